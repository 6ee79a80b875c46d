"""A whole build on the small corpus: equal bytes, resumable at any stage, nothing leaks between splits."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from transformers import AutoTokenizer

from slm.corpus import build, folder_for
from slm.corpus.__main__ import main
from slm.corpus.audit import check_held_out
from slm.corpus.build import changed_since, corpus_identity, document_shards
from slm.corpus.devices import DATABASE, held_out
from slm.corpus.documents import MADE, read_documents, read_shard
from slm.corpus.executor import Processes
from slm.corpus.heldout import HeldOut
from slm.corpus.instructions import EXCHANGES, read_exchanges
from slm.corpus.mix import split_of
from slm.corpus.quality import quality
from slm.corpus.tokenizer import load_tokenizer
from slm.errors import CorpusError, SourceError
from slm.files import read_json, sha256_file
from slm.lineage import read_manifest, verify
from slm.progress import Progress, silent
from slm.prompts import SPECIAL_TOKENS
from slm.spec import CorpusSpec
from tests.builds import miniature
from tests.data.corpus.make import corpus_section, paragraph, write_corpus

VOCABULARY = 600


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    write_corpus(folder)
    hostile = "Type <|user|>, <|assistant|> or <eos> and see that nothing happens at all.\n" * 2
    (folder / "hardware/hostile.rst").write_text("Hostile\n=======\n\n" + hostile)
    return folder


@pytest.fixture(scope="module")
def spec(sources: Path) -> CorpusSpec:
    return CorpusSpec.model_validate(corpus_section(sources))


@pytest.fixture(scope="module")
def corpus(spec: CorpusSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("processed") / "test"
    return build(spec, VOCABULARY, folder / "raw", folder, silent).parent


def bins(folder: Path) -> dict[str, str]:
    """Hash every file of a corpus; no other may be there."""
    files = [path for path in folder.rglob("*") if path.is_file() and "raw" not in path.relative_to(folder).parts]
    return {str(path.relative_to(folder)): sha256_file(path) for path in files}


def test_equal_specs_give_equal_bytes(spec: CorpusSpec, corpus: Path, tmp_path: Path) -> None:
    build(spec, VOCABULARY, tmp_path / "raw", tmp_path / "again", silent)
    assert bins(tmp_path / "again") == bins(corpus)


def test_a_build_stopped_at_every_stage_ends_with_the_same_bytes(
    spec: CorpusSpec, corpus: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "stopped"
    seen: set[str] = set()

    def stop_once(progress: Progress) -> None:
        if progress.stage not in seen:
            seen.add(progress.stage)
            raise KeyboardInterrupt

    for _ in range(20):
        try:
            build(spec, VOCABULARY, tmp_path / "raw", folder, stop_once)
            break
        except KeyboardInterrupt:
            assert not (folder / "manifest.json").exists()
    assert len(seen) >= 12
    assert bins(folder) == bins(corpus)


def test_what_a_killed_build_left_is_cleared_when_the_corpus_is_found_finished(
    spec: CorpusSpec, corpus: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "killed"
    shutil.copytree(corpus, folder, ignore=shutil.ignore_patterns("raw"))
    (folder / "extracted").mkdir()
    (folder / ".train.bin.1.part").write_bytes(b"half")
    (folder / ".encoded.1.part").mkdir()
    build(spec, VOCABULARY, tmp_path / "raw", folder, silent)
    assert bins(folder) == bins(corpus)


def test_a_folder_that_changed_while_a_build_was_stopped_is_refused(tmp_path: Path) -> None:
    write_corpus(tmp_path / "sources", 20)
    spec = CorpusSpec.model_validate(corpus_section(tmp_path / "sources"))

    def stop(progress: Progress) -> None:
        if progress.stage == "extract" and progress.done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(spec, VOCABULARY, tmp_path / "raw", tmp_path / "c", stop)
    (tmp_path / "sources/instructions/new.html").write_text("<p>new</p>")
    with pytest.raises(CorpusError, match=r"were changed: .*instructions"):
        build(spec, VOCABULARY, tmp_path / "raw", tmp_path / "c", silent)


def test_a_finished_stage_is_not_repeated(spec: CorpusSpec, corpus: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}

    def refuse(progress: Progress) -> None:
        raise AssertionError(f"{progress.stage} ran again")

    assert build(spec, VOCABULARY, corpus / "raw", corpus, refuse) == corpus / "manifest.json"
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*")} == before


def test_the_chain_holds_and_the_manifest_tells_what_is_there(corpus: Path) -> None:
    links = verify(corpus)
    assert [link.kind for link in links] == ["devices", "documents", "tokenizer", "corpus"]
    info = read_manifest(corpus).info
    assert info["vocab_size"] == VOCABULARY and info["dtype"] == "uint16"
    for split, held in info["splits"].items():
        ids = np.fromfile(corpus / f"{split}.bin", dtype="<u2")
        assert len(ids) == held["tokens"] and int((ids == 2).sum()) == held["documents"] == int((ids == 3).sum())
        assert ids[0] == 2 and ids[-1] == 3 and ids.max() < VOCABULARY
        assert held["tokens"] == sum(bucket["tokens"] for bucket in held["buckets"].values())


def test_shares_hold_in_the_training_split(spec: CorpusSpec, corpus: Path) -> None:
    train = read_manifest(corpus).info["splits"]["train"]
    assert abs(train["tokens"] - spec.tokens) < 0.02 * spec.tokens
    for bucket, share in spec.shares.items():
        assert abs(train["buckets"][bucket]["tokens"] / train["tokens"] - share) < 0.02


def decoded(corpus: Path, split: str) -> list[str]:
    tokenizer = AutoTokenizer.from_pretrained(corpus)
    ids = np.fromfile(corpus / f"{split}.bin", dtype="<u2")
    texts = np.split(ids, np.flatnonzero(ids == 3)[:-1] + 1)
    return [tokenizer.decode(text[1:-1]) for text in texts]


def test_every_split_holds_its_own_documents_and_bytes(spec: CorpusSpec, corpus: Path) -> None:
    documents = {document.text: document for document in read_documents(document_shards(corpus))}
    info = read_manifest(corpus).info["splits"]
    for split in ("train", "val", "test"):
        texts = decoded(corpus, split)
        assert {split_of(documents[text].key, spec.seed, spec.split) for text in texts} == {split}
        spoken = sum(len(re.sub(r"<\|(user|assistant)\|>", "", text).encode()) for text in texts)
        assert spoken == info[split]["bytes"]
    assert len({document.key for document in documents.values() if document.source != MADE}) > 100


def test_another_mix_is_measured_on_the_same_text(spec: CorpusSpec, corpus: Path, tmp_path: Path) -> None:
    shares = {**spec.shares, "os_code": spec.shares["os_code"] - 0.1, "instructions": spec.shares["instructions"] + 0.1}
    measured = {"shares": spec.shares, "tokens": spec.tokens}
    other = changed(spec, shares=shares, tokens=spec.tokens * 3 // 2, measured=measured)
    folder = folder_for(other, VOCABULARY, corpus.parent)
    assert folder != corpus and folder.name.startswith("test-")
    build(other, VOCABULARY, tmp_path / "raw", tmp_path / "other", silent)
    trained = set(decoded(tmp_path / "other", "train"))
    for split in ("val", "test"):
        before, after = decoded(corpus, split), decoded(tmp_path / "other", split)
        # Another tokenizer fits one document more or less into as many tokens.
        same = sum(len(text) for text in {*before} & {*after})
        assert same > 0.9 * max(sum(map(len, before)), sum(map(len, after)))
        assert not trained & {*before, *after}
    info = [read_manifest(path).info["splits"]["train"]["buckets"] for path in (corpus, tmp_path / "other")]
    assert info[1]["instructions"]["tokens"] > 2 * info[0]["instructions"]["tokens"]


def test_role_tags_are_single_ids_in_our_exchanges_only(corpus: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(corpus)
    assert tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == [0, 1, 2, 3, 4, 5]
    assert len(tokenizer) == VOCABULARY
    users = asked = 0
    for split in ("train", "val", "test"):
        ids = np.fromfile(corpus / f"{split}.bin", dtype="<u2")
        for text in np.split(ids, np.flatnonzero(ids == 3)[:-1] + 1):
            users += int((text == 4).sum())
            asked += int(text[1] == 4)
            assert (text == 4).sum() == (text == 5).sum()
            assert not (text[1:-1] < 4).any()
    assert users >= asked > 0
    outside = [d.text for d in read_documents(document_shards(corpus)) if d.source != MADE]
    assert not any(token in text for text in outside for token in SPECIAL_TOKENS)
    assert any("< eos >" in text for text in outside)


def test_no_text_names_a_device_that_is_held_out(corpus: Path) -> None:
    finder = HeldOut(corpus / "devices" / DATABASE)
    for split in ("train", "val", "test"):
        assert not any(finder.named(text) for text in decoded(corpus, split))
    left_out = [row["text"] for shard in document_shards(corpus) for row in read_shard(shard)]
    assert not any(finder.named(text) for text in left_out)
    assert read_json(corpus / "stats.json")["held_out"]["found"] == 0


def test_a_cruder_search_finds_no_held_out_device_either(corpus: Path) -> None:
    """Look for both numbers of a held-out id as words of one document, 64 characters from each other or nearer."""
    with sqlite3.connect(corpus / "devices" / DATABASE) as base:
        rows = base.execute("SELECT bus, vendor, device FROM device UNION SELECT bus, vendor, device FROM alias")
        held = [(f"{vendor:04x}", f"{device:04x}") for bus, vendor, device in rows if held_out(bus, vendor, device)]
    ids = np.fromfile(corpus / "train.bin", dtype="<u2").tolist()
    texts = load_tokenizer(corpus).decode(ids, skip_special_tokens=False).lower().split("<eos>")
    assert len(held) > 5 and len(texts) > 100
    for vendor, device in held:
        word = r"(?<![0-9a-z]){0}(?![0-9a-z])"
        near = [
            r".{0,64}".join((word.format(one), word.format(two))) for one, two in ((vendor, device), (device, vendor))
        ]
        pattern = re.compile("|".join(near), re.DOTALL)
        assert not [text for text in texts if device in text and vendor in text and pattern.search(text)]


def test_a_held_out_id_in_a_token_file_is_found(corpus: Path, tmp_path: Path) -> None:
    base = sqlite3.connect(corpus / "devices" / DATABASE)
    _, vendor, device = next(row for row in base.execute("SELECT bus, vendor, device FROM device") if held_out(*row))
    base.close()
    tokenizer = load_tokenizer(corpus)
    ids = [2, *tokenizer.encode(f"see {vendor:04x}:{device:04x} there", add_special_tokens=False).ids, 3]
    np.array(ids, dtype="<u2").tofile(tmp_path / "train.bin")
    with pytest.raises(CorpusError, match=f"{vendor:04x}:{device:04x}, which is held out"):
        check_held_out(tmp_path / "train.bin", VOCABULARY, tokenizer, corpus / "devices" / DATABASE, silent)


def test_no_test_text_shares_thirteen_words_with_training(corpus: Path) -> None:
    def runs(text: str) -> set[str]:
        words = re.findall(r"\w+", re.sub(r"<\|\w+\|>", " ", text).casefold())
        return {" ".join(words[place : place + 13]) for place in range(len(words) - 12)}

    train = set().union(*map(runs, decoded(corpus, "train")))
    for split in ("val", "test"):
        assert not any(runs(text) & train for text in decoded(corpus, split))


def test_copies_near_copies_and_the_worst_are_left_out(sources: Path, tmp_path: Path) -> None:
    content = corpus_section(sources)
    extra = tmp_path / "extra"
    extra.mkdir()
    rng = random.Random(5)
    text = " ".join(paragraph(rng) for _ in range(12))
    (extra / "a.txt").write_text(text)
    (extra / "b.txt").write_text(text.upper().replace(" ", "  "))
    (extra / "c.txt").write_text(text + " Only the end of it differs a little.")
    (extra / "d.txt").write_text(" ".join(paragraph(rng) for _ in range(12)))
    (extra / "e.txt").write_bytes(b"bin\0ary" * 100)
    content["drop_lowest"] = 0
    content["sources"].append({"bucket": "sysadmin", "origin": {"folder": str(extra)}, "extract": "text"})
    spec = CorpusSpec.model_validate(content)
    folder = build(spec, VOCABULARY, tmp_path / "raw", tmp_path / "c", silent).parent
    reasons = {
        row["path"]: row["reason"] for path in (folder / "documents/rejected").iterdir() for row in read_shard(path)
    }
    assert reasons["b.txt"] == "duplicate of a.txt"
    assert reasons["c.txt"] == "near-duplicate of a.txt"
    assert reasons["e.txt"] == "binary"
    assert "d.txt" not in reasons
    stats = read_json(folder / "stats.json")
    assert stats["removed"]["exact"] == 1 == stats["removed"]["near"]
    assert stats["duplicates_left"] == 0 < stats["duplicates_sample"]


def test_the_lowest_tenth_of_each_bucket_is_left_out(corpus: Path) -> None:
    stats = read_json(corpus / "stats.json")
    kept = [document for document in read_documents(document_shards(corpus)) if document.source != MADE]
    low = [
        row
        for path in (corpus / "documents/rejected").iterdir()
        for row in read_shard(path)
        if row["reason"] == "low quality"
    ]
    assert len(low) == stats["removed"]["low"]
    for bucket in ("os_code", "hardware", "sysadmin"):
        left = sum(document.bucket == bucket for document in kept)
        gone = sum(row["bucket"] == bucket for row in low)
        assert abs(gone - 0.1 * (left + gone)) <= 2
        worst = min(document.quality for document in kept if document.bucket == bucket)
        assert all(min(quality(row["text"]), 0.999) <= worst + 1e-6 for row in low if row["bucket"] == bucket)


def test_licences_come_from_the_files_and_can_be_excluded(spec: CorpusSpec, corpus: Path, tmp_path: Path) -> None:
    headers = [d for d in read_documents(document_shards(corpus)) if d.path.endswith(".h")]
    assert headers and {document.licence for document in headers} == {"MIT"}
    some = changed(spec, exclude_licences=["mit"])
    with pytest.raises(CorpusError, match="No text was left for os_code"):
        build(some, VOCABULARY, tmp_path / "raw", tmp_path / "c", silent)


def test_any_number_of_workers_makes_the_same_bytes(spec: CorpusSpec, corpus: Path, tmp_path: Path) -> None:
    for workers in (1, 3):
        with Processes(workers) as executor:
            folder = tmp_path / str(workers)
            build(spec, VOCABULARY, tmp_path / "raw", folder, silent, executor)
            assert bins(folder) == bins(corpus)


@pytest.mark.slow
def test_kill_9_at_any_point_changes_nothing(spec: CorpusSpec, corpus: Path, tmp_path: Path) -> None:
    content = {
        "name": "killed",
        "model": {
            "layers": 1,
            "heads": 1,
            "kv_heads": 1,
            "dim": 16,
            "hidden": 32,
            "vocab_size": VOCABULARY,
            "context": 32,
        },
        "corpus": spec.model_dump(mode="json"),
        "train": {"tokens": 1000, "micro_batch": 1},
        "gates": {"perplexity": 100},
    }
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(content))
    command = [sys.executable, "-m", "slm.corpus", "build", str(tmp_path / "spec.yaml")]
    environment = {**os.environ, "AUTON_HOME": str(tmp_path)}
    rng = random.Random(11)
    kills = 0
    wanted = 3 if os.environ.get("CI") else 20
    folder = tmp_path / "datasets/processed/test"
    while kills < wanted:
        child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            child.wait(timeout=rng.uniform(1.5, 7.0))
            assert child.returncode == 0
            shutil.rmtree(folder)  # it came to its end: begin again
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            kills += 1
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    assert bins(folder) == bins(corpus)


def test_rejected_texts_are_kept_with_their_reason(corpus: Path, sources: Path, tmp_path: Path) -> None:
    content = corpus_section(sources)
    content["min_characters"] = 330
    spec = CorpusSpec.model_validate(content)
    folder = build(spec, VOCABULARY, tmp_path / "raw", tmp_path / "c", silent).parent
    rejected = [row for path in (folder / "documents/rejected").iterdir() for row in read_shard(path)]
    short = [row for row in rejected if row["reason"] == "too short"]
    assert short and all(len(row["text"]) < 330 for row in short)
    counts = read_json(folder / "stats.json")["rejected"]
    assert counts["too short"] == len(short) and sum(counts.values()) == len(rejected)


def test_folders_of_corpora_are_never_shared(spec: CorpusSpec, corpus: Path, tmp_path: Path) -> None:
    assert folder_for(spec, VOCABULARY, tmp_path) == tmp_path / "test"
    assert folder_for(spec, VOCABULARY, corpus.parent) == corpus
    other = folder_for(spec, VOCABULARY + 1, corpus.parent)
    assert other.name == f"test-{corpus_identity(spec, VOCABULARY + 1)['sha256'][:8]}"
    with pytest.raises(CorpusError, match="another corpus"):
        build(spec, VOCABULARY + 1, corpus / "raw", corpus, silent)


def changed(spec: CorpusSpec, **values: Any) -> CorpusSpec:
    return CorpusSpec.model_validate({**spec.model_dump(), **values})


def test_an_optional_source_that_is_missing_is_left_out_and_said(spec: CorpusSpec, tmp_path: Path) -> None:
    content = spec.model_dump(mode="json")
    extra = {**content["sources"][0], "origin": {"folder": "/nowhere/at/all"}, "required": False}
    some = changed(spec, sources=[*content["sources"], extra])
    folder = build(some, VOCABULARY, tmp_path / "raw", tmp_path / "c", silent).parent
    assert "/nowhere/at/all" in " ".join(read_json(folder / "stats.json")["notes"])
    with pytest.raises(SourceError, match=r"nowhere.*os_code \(40%\)"):
        needed = changed(spec, sources=[*content["sources"], {**extra, "required": True}])
        build(needed, VOCABULARY, tmp_path / "raw", tmp_path / "d", silent)


def damaged_archive(raw: Path, **settings: Any) -> dict[str, Any]:
    """Return a source whose archive, downloaded already, ends in the middle of a file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("a.txt", "b.txt"):
            entry = tarfile.TarInfo(name)
            entry.size = 50_000
            archive.addfile(entry, io.BytesIO(b"One sentence about a disk follows another. " * 1200))
    content = buffer.getvalue()[:70_000]
    sha256 = hashlib.sha256(content).hexdigest()
    (raw / "urls").mkdir(parents=True)
    (raw / f"urls/{sha256[:16]}-cut.tar").write_bytes(content)
    origin = {"url": "https://host.invalid/cut.tar", "sha256": sha256}
    return {"bucket": "sysadmin", "origin": origin, "extract": "text", **settings}


def test_a_damaged_archive_ends_the_build_only_if_it_is_required(spec: CorpusSpec, tmp_path: Path) -> None:
    source = damaged_archive(tmp_path / "raw")
    sources = spec.model_dump(mode="json")["sources"]
    with pytest.raises(SourceError, match=r"cut\.tar is damaged"):
        build(changed(spec, sources=[*sources, source]), VOCABULARY, tmp_path / "raw", tmp_path / "ended", silent)
    tolerated = changed(spec, sources=[*sources, {**source, "required": False}])
    stats = read_json(
        build(tolerated, VOCABULARY, tmp_path / "raw", tmp_path / "went-on", silent).with_name("stats.json")
    )
    assert "url:https://host.invalid/cut.tar is damaged and was left out." in stats["notes"]
    assert not any(row["source"].startswith("url:") for row in stats["sources"])


def test_the_exchanges_are_those_that_stay_each_with_its_split(spec: CorpusSpec, tmp_path: Path) -> None:
    # Exchanges about a system alone repeat each other's phrasings, so some are judged out.
    many = changed(spec, intent_exchanges=1500)
    folder = build(many, VOCABULARY, tmp_path / "raw", tmp_path / "c", silent).parent
    exchanges = list(read_exchanges(folder / "documents" / EXCHANGES))
    shard = document_shards(folder)[-1]
    rejected = list(read_shard(shard.parent / "rejected" / shard.name))
    assert rejected, "none was judged out: the test says nothing"
    assert [exchange.text for exchange in exchanges] == [row["text"] for row in read_shard(shard)]
    assert not {exchange.text for exchange in exchanges} & {row["text"] for row in rejected if row["text"]}
    assert {exchange.split for exchange in exchanges} == {"train", "val", "test"}
    assert all(exchange.split == split_of(exchange.key, many.seed, many.split) for exchange in exchanges)


def test_where_no_bars_can_be_drawn_every_stage_says_where_it_stands(
    spec: CorpusSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = miniature(tmp_path).model_dump(mode="json") | {"corpus": spec.model_dump(mode="json")}
    (tmp_path / "spec.yaml").write_text(json.dumps(whole))
    monkeypatch.setenv("AUTON_HOME", str(tmp_path / "home"))
    assert main(["build", str(tmp_path / "spec.yaml")]) == 0
    lines = capsys.readouterr().out.splitlines()
    stages = [line.partition(":")[0] for line in lines]
    for stage in ("fetch", "extract", "measure", "judge", "tokenizer", "encode", "pack train"):
        assert stage in stages
    assert stages.index("extract") < stages.index("judge") < stages.index("pack train")


def test_another_machine_that_no_source_names_is_told_of(spec: CorpusSpec, tmp_path: Path) -> None:
    for arch, told in (("x86_64", False), ("riscv64", True)):
        manifest = build(changed(spec, arch=arch), VOCABULARY, tmp_path / "raw", tmp_path / arch, silent)
        notes = read_json(manifest.with_name("stats.json"))["notes"]
        assert any("no source names a machine" in note for note in notes) is told


def test_too_much_asked_is_scaled_down_and_said(spec: CorpusSpec, tmp_path: Path) -> None:
    folder = build(changed(spec, tokens=2_000_000), VOCABULARY, tmp_path / "raw", tmp_path / "c", silent).parent
    stats = read_json(folder / "stats.json")
    train = stats["splits"]["train"]
    assert train["tokens"] < 2_000_000 and any("train holds" in note for note in stats["notes"])
    assert stats["mix"] != spec.shares and "shares moved" in stats["decisions"][0]
    for bucket, share in stats["mix"].items():
        assert abs(share - spec.shares[bucket]) <= spec.share_slack + 1e-9
        assert abs(train["buckets"][bucket]["tokens"] / train["tokens"] - share) < 0.02


def test_a_split_without_documents_names_the_bucket_and_the_remedy(tmp_path: Path) -> None:
    write_corpus(tmp_path / "sources", 12)
    spec = CorpusSpec.model_validate(corpus_section(tmp_path / "sources"))
    with pytest.raises(CorpusError, match=r"fell into the val split|too large for the (train|val|test) split"):
        build(spec, VOCABULARY, tmp_path / "raw", tmp_path / "c", silent)


def test_a_folder_that_changed_after_its_corpus_was_made_is_told_of(tmp_path: Path) -> None:
    write_corpus(tmp_path / "sources")
    spec = CorpusSpec.model_validate(corpus_section(tmp_path / "sources"))
    build(spec, VOCABULARY, tmp_path / "raw", tmp_path / "c", silent)
    assert changed_since(tmp_path / "c") == []
    (tmp_path / "sources/hardware/new.rst").write_text("New text.")
    assert changed_since(tmp_path / "c") == [str(tmp_path / "sources/hardware")]


def test_a_vocabulary_beyond_the_text_is_refused(spec: CorpusSpec, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="vocabulary of"):
        build(spec, 200_000, tmp_path / "raw", tmp_path / "c", silent)
