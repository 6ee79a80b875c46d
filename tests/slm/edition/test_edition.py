"""An edition from its device tables to its flat file: corpus, training by the real loop, spellings, answers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from kernel_interface import wire
from kernel_interface.serve import choose
from slm.corpus.devices import DATABASE
from slm.edition.__main__ import main
from slm.edition.corpus import read_knowledge
from slm.edition.evaluation import load, score_edition
from slm.edition.facts import name_words, read_devices
from slm.edition.flat import EMBEDDING, Reader, same_answers, spelled
from slm.edition.lines import Knowledge
from slm.edition.questions import PLAIN, id_questions, pattern, phrasing_questions, some_lines
from slm.edition.vocabulary import fit, with_spellings
from slm.edition.words import canonical, is_answered_by_kernel, words_of
from slm.errors import ArtefactError, CorpusError, ServingError, SpecError
from slm.evaluation.evaluation import evaluate
from slm.evaluation.gates import judge
from slm.export.flat import read_checkpoint
from slm.export.flat_file import read_flat
from slm.export.flat_limits import SPECIAL
from slm.export.publish import publish
from slm.files import read_json
from slm.lineage import MANIFEST, verify
from slm.model.files import FLAT
from slm.model.llama import build_model
from slm.model.packed import LEARNED, positions_in_line
from slm.prompts import UNK
from slm.spec import BuildSpec, GateSpec
from slm.spec_file import load_spec, parse_spec
from slm.training.cross_entropy import IGNORE
from slm.training.data import PackedTokens
from slm.training.engine import LossModule
from slm.training.loop import train
from tests.data.corpus.make import write_corpus
from tests.edition import build_edition_corpus, edition_spec
from tests.needs import need_program

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    write_corpus(folder, size=1)
    return folder


@pytest.fixture(scope="module")
def spec(sources: Path) -> BuildSpec:
    return edition_spec(sources)


@pytest.fixture(scope="module")
def corpus(spec: BuildSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_edition_corpus(spec, tmp_path_factory.mktemp("edition"))


@pytest.fixture(scope="module")
def tokens(corpus: Path) -> list[str]:
    vocabulary = read_json(corpus / "vocab.json")
    return sorted(vocabulary, key=vocabulary.__getitem__)


def knowledge_of(corpus: Path, spec: BuildSpec) -> Knowledge:
    assert spec.corpus.edition is not None
    return read_knowledge(corpus / "devices" / DATABASE, spec.corpus.edition)


def test_every_row_begins_with_a_line_and_only_answers_are_learned(
    spec: BuildSpec, corpus: Path, tokens: list[str]
) -> None:
    ids = np.fromfile(corpus / "train.bin", dtype="<u2")
    learned = np.fromfile(corpus / f"train{LEARNED}", dtype=np.uint8)
    row, eos = spec.model.context, SPECIAL.index("<eos>")
    assert len(ids) == len(learned) and len(ids) % row == 0
    devices = {device.id for device in knowledge_of(corpus, spec).devices}
    seen = set()
    for start in range(0, len(ids), row):
        assert not learned[start]
        inside = ids[start : start + row]
        marks = learned[start : start + row]
        ends = np.flatnonzero(inside == eos)
        assert (inside[ends[-1] + 1 :] == 0).all() and not marks[ends[-1] + 1 :].any()
        for begin, end in zip([0, *(ends[:-1] + 1)], ends, strict=True):
            answer = int(np.flatnonzero(marks[begin : end + 1])[0]) + begin
            assert begin < answer < end and marks[answer : end + 1].all()
            line = [tokens[index] for index in inside[begin:answer]]
            assert all(" " not in word for word in line)
            assert not is_answered_by_kernel(" ".join(line))
            seen |= devices.intersection(line)
    assert seen == devices


def test_nothing_is_trained_on_that_people_s_lines_are_measured_with(corpus: Path, tokens: list[str]) -> None:
    held = {pattern(words_of(question.line)) for question in phrasing_questions()}
    assert len(held) > 95 and not held & PLAIN
    ids = np.fromfile(corpus / "train.bin", dtype="<u2")
    learned = np.fromfile(corpus / f"train{LEARNED}", dtype=np.uint8)
    lines, line = set(), list[str]()
    for index, mark in zip(ids.tolist(), learned.tolist(), strict=True):
        if mark:
            lines.add(pattern(line))
            line = []
        elif index:
            line.append(tokens[index])
    assert len(lines) > 1000
    assert not held & lines


def test_a_vocabulary_too_small_leaves_out_the_least_common_devices(spec: BuildSpec, corpus: Path) -> None:
    known = knowledge_of(corpus, spec)
    all_known, whole = fit(known, 2000)
    assert all_known.devices == known.devices and len(whole) == 2000 and whole[-1].startswith("<spare")
    needed = next(index for index, token in enumerate(whole) if token.startswith("<spare"))
    fewer, small = fit(known, needed - 30)
    assert 0 < len(fewer.devices) < len(known.devices)
    assert list(known.devices[: len(fewer.devices)]) == list(fewer.devices)
    assert len(small) == len(set(small)) == needed - 30
    with pytest.raises(CorpusError, match="no room for a single device"):
        fit(known, 600)


def test_spellings_come_after_the_words_whose_rows_they_have(tokens: list[str]) -> None:
    texts, rows = with_spellings(tokens, 3000)
    assert len(texts) == len(set(texts)) == len(rows) == 3000
    needed = sum(not token.startswith("<spare") for token in tokens)
    assert texts[:needed] == tokens[:needed] and rows[:needed] == list(range(needed))
    assert all(tokens[row] == canonical(text) for text, row in list(zip(texts, rows, strict=True))[needed:])
    assert with_spellings(tokens, 2500)[0] == texts[:2500], "more room only adds"
    assert len(with_spellings(tokens, 1)[0]) == needed, "no word is given up for another's spelling"


def test_lines_side_by_side_are_as_lines_alone(spec: BuildSpec) -> None:
    model = build_model(spec.model, seed=3)
    eos = SPECIAL.index("<eos>")
    lines = [[10, 11, 12, eos], [20, 21, eos], [30, 31, 32, 33, eos]]
    row = torch.tensor([[*(index for line in lines for index in line), 0, 0]])
    places = positions_in_line(row)
    assert places.tolist() == [[0, 1, 2, 3, 0, 1, 2, 0, 1, 2, 3, 4, 0, 1]]
    with torch.inference_mode():
        together = model(input_ids=row, position_ids=places, use_cache=False).logits[0]
        alone = torch.cat([model(input_ids=torch.tensor([line])).logits[0] for line in lines])
    torch.testing.assert_close(together[: len(alone)], alone, atol=1e-5, rtol=0)


def test_the_loss_is_that_of_the_answers_alone(spec: BuildSpec, corpus: Path) -> None:
    data = PackedTokens(corpus, "train", spec.model.context, spec.model.vocab_size, seed=0)
    inputs, targets = data.rows(0, 4)
    share = float((targets != IGNORE).float().mean())
    assert 0.1 < share < 0.5
    model = build_model(spec.model, seed=3)
    found = LossModule(model, lines_apart=True)(inputs, targets)
    logits = model(input_ids=inputs, position_ids=positions_in_line(inputs), use_cache=False).logits
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="sum"
    )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


def test_a_spec_that_the_kernel_would_refuse_is_told_at_once(sources: Path) -> None:
    spec = edition_spec(sources)
    for change, words in {
        "model.layers=17": "layers is 17; at most 16",
        "model.context=128": "corpus.edition.row 64 must be model.context 128",
        "export.flat=false": "an edition is published as",
        "corpus.edition.spellings=40000": "less than or equal to 32000",
        "train.context_warmup=0.5": "would cut an edition's lines in two",
        "corpus.shares={hardware: 1}": "leave them out",
    }.items():
        with pytest.raises(SpecError) as refused:
            parse_spec(spec.model_dump(mode="json"), [change])
        assert words in str(refused.value)


def test_the_other_builds_keep_their_names() -> None:
    assert load_spec(ROOT / "specs/builds/nano.yaml").build_id == "nano-3722fcaf"
    spec = load_spec(ROOT / "specs/builds/nano.yaml")
    with pytest.raises(SpecError, match=r"gates\.perplexity"):
        parse_spec({**spec.model_dump(mode="json"), "gates": {}})
    with pytest.raises(SpecError, match="are for a corpus with an edition"):
        parse_spec(spec.model_dump(mode="json"), ["gates.known_ids=0.9"])


def test_people_s_lines_reach_the_model() -> None:
    held, tuned = phrasing_questions("held"), phrasing_questions("tuned")
    assert len(held) == 100 and len(tuned) >= 50
    assert not {question.line for question in held} & {question.line for question in tuned}
    assert held[0].is_right("e1000") and not held[0].is_right("e1000e")


def test_a_line_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lines.tsv"
    path.write_text("held\te1000\tdriver for 8086:100e\nheld\tx\tmy uptime\n")
    with pytest.raises(ArtefactError, match="line 2"):
        phrasing_questions("held", path)


def test_names_are_read_as_people_type_them() -> None:
    words = name_words("RTL8111/8168/8411 PCI Express Gigabit Ethernet Controller")
    assert {"rtl8111", "rtl8168", "8168", "gigabit"} <= set(words)


@pytest.fixture(scope="module")
def trained(spec: BuildSpec, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the edition, trained by the loop that trains every build."""
    return train(spec, corpus, tmp_path_factory.mktemp("training")).checkpoint


@pytest.fixture(scope="module")
def published(spec: BuildSpec, corpus: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(trained, corpus, [], tmp_path_factory.mktemp("out") / "export", edition=spec.corpus.edition)


@pytest.mark.slow
def test_it_knows_what_it_was_taught_and_its_gates_say_so(
    spec: BuildSpec, corpus: Path, trained: Path, tmp_path: Path
) -> None:
    found = evaluate(trained, corpus, spec, tmp_path / "evaluation.json")
    assert found.edition is not None and found.test is not None and found.coherence is None
    assert found.edition.known_ids > 0.8
    assert 1 < found.test.perplexity < 3
    asked = spec.model_copy(update={"gates": GateSpec(known_ids=0.5, phrasings=1.0)})
    verdict = judge(found, asked, finished=True)
    assert {gate.name: gate.passed for gate in verdict.gates} == {
        "completed": True, "loads": True, "size": True, "known_ids": True, "phrasings": False,
    }  # fmt: skip


@pytest.mark.slow
def test_its_flat_file_is_the_checkpoint_with_more_spellings(
    spec: BuildSpec, corpus: Path, trained: Path, published: Path
) -> None:
    flat, checkpoint = read_flat(published / FLAT), read_checkpoint(trained)
    assert flat.shape.vocab > checkpoint.shape.vocab
    count = sum(not token.startswith(b"<spare") for token in checkpoint.tokens)
    assert (flat.weights[EMBEDDING][:count] == checkpoint.weights[EMBEDDING][:count]).all()
    parity = read_json(published / "parity.json")[FLAT]
    assert parity["same_answers"] >= 0.99 and parity["lines"] > 150
    assert same_answers(checkpoint, spelled(checkpoint, 3000), some_lines(corpus / "devices" / DATABASE)) >= 0.99
    reader = Reader(flat)
    device = knowledge_of(corpus, spec).devices[-1]
    ways = [f"driver for {device.id}", f"Driver for {device.id.upper()}?", f"driver for {device.id.upper()}"]
    assert len(set(reader.answers(ways))) == 1
    assert [link.kind for link in verify(published)] == ["devices", "tokenizer", "corpus", "checkpoint", "export"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("c") / "auton_flat"
    source = Path(wire.__file__).parent / "c" / "auton_flat.c"
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([need_program("gcc", "gcc"), *flags, "-o", path, source, "-lm"], check=True)
    return path


def asked_in_c(program: Path, flat: Path, lines: list[str]) -> list[str]:
    done = subprocess.run([program, flat], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.slow
def test_the_decoder_in_c_gives_the_same_answers(program: Path, corpus: Path, published: Path) -> None:
    lines = [*some_lines(corpus / "devices" / DATABASE)[:120], "", "  hello", " ".join(["driver"] * 80)]
    lines = [line for line in lines if line]
    found = asked_in_c(program, published / FLAT, lines)
    expected = Reader(read_flat(published / FLAT)).answers(lines)
    assert sum(one == other for one, other in zip(found, expected, strict=True)) >= 0.99 * len(lines)


@pytest.mark.slow
def test_the_released_edition_answers(program: Path) -> None:
    folder = ROOT / "checkpoints/released/kernel"
    tables = folder / DATABASE
    for questions, wanted in ((id_questions(read_devices(tables)), 0.95), (phrasing_questions(), 0.90)):
        answers = asked_in_c(program, folder / FLAT, [question.line for question in questions])
        right = [question.is_right(answer) for question, answer in zip(questions, answers, strict=True)]
        assert sum(right) >= wanted * len(questions)
    score = score_edition(load(folder / FLAT, 0), tables)
    assert score.known_ids >= 0.95 and score.phrasings >= 0.90
    assert UNK not in {canonical(miss.answer) for miss in score.misses}


def test_a_releases_folder_is_asked_as_its_flat_file_is(capsys: pytest.CaptureFixture[str]) -> None:
    for path in (ROOT / "checkpoints/released/kernel", ROOT / "checkpoints/released/kernel" / FLAT):
        assert main([str(path), "--ask", "what is pci 8086:100e", "--json"]) == 0
    one, other = capsys.readouterr().out.split("]\n[")
    assert "82540EM" in one and one.strip("[]\n") == other.strip("[]\n")


def test_a_server_passes_over_what_the_kernel_runs_by_itself(tmp_path: Path) -> None:
    folder = tmp_path / "kernel-1" / "export"
    folder.mkdir(parents=True)
    for name in (FLAT, MANIFEST):
        (folder / name).touch()
    with pytest.raises(ServingError, match="There is no exported model"):
        choose(None, None, tmp_path)
