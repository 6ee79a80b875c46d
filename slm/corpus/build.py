"""A corpus from start to end: fetch, device tables, documents, tokenizer, token files.

Every stage leaves its result under its final name only when it is whole, so a build that was interrupted goes on with
the first stage whose result is missing, and a finished corpus is returned at once. ``manifest.json`` is written last.
"""

from __future__ import annotations

import shutil
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slm.corpus.audit import check_held_out
from slm.corpus.curate import judge_all, kept, read_counts, write_documents
from slm.corpus.devices import DATABASE, build_devices
from slm.corpus.documents import read_documents, read_shard, write_shard
from slm.corpus.executor import Executor, Processes
from slm.corpus.fetch import Fetched, fetch_all, hash_folder
from slm.corpus.heldout import HeldOut
from slm.corpus.instructions import (
    EXCHANGES,
    document_exchanges,
    intent_exchanges,
    read_exchanges,
    table_exchanges,
    write_exchanges,
)
from slm.corpus.measure import documents_of, measure_all
from slm.corpus.mix import order_of, split_of
from slm.corpus.pack import encode_documents, id_type, load_encoded, pack_splits
from slm.corpus.prepare import DAMAGED, extract_all, origins
from slm.corpus.stats import corpus_stats, count_documents, reason_kind, require_text
from slm.corpus.tokenizer import FILES, SAMPLE_BYTES, load_tokenizer, train_tokenizer, write_tokenizer
from slm.errors import CorpusError
from slm.files import atomic_folder, exclusive_lock, read_json, write_json
from slm.lineage import MANIFEST, input_from, read_manifest, write_manifest
from slm.progress import Progress, Reporter
from slm.spec import Bucket, CorpusSpec, digest

SPEC = "spec.json"
SOURCES = "sources.json"
#: What stages leave for the next ones and a finished corpus does not need.
SCRATCH = ("extracted", "measured", "curated", "encoded")
TOKENIZER_MANIFEST = "tokenizer.manifest.json"


def corpus_identity(spec: CorpusSpec, vocab_size: int) -> dict[str, Any]:
    """Return what makes a corpus this one and no other: its spec and the size of its vocabulary, with their hash."""
    content = {"corpus": spec.model_dump(mode="json"), "vocab_size": vocab_size}
    return {"sha256": digest(content), **content}


def folder_for(spec: CorpusSpec, vocab_size: int, root: Path) -> Path:
    """Return the folder of a corpus below ``root``.

    It is ``root/NAME`` when that is free or holds this very corpus, else ``root/NAME-DIGEST``: a corpus that models
    were made from is never overwritten.
    """
    folder = Path(root) / spec.name
    identity = corpus_identity(spec, vocab_size)
    if not folder.exists() or not any(folder.iterdir()):
        return folder
    if (folder / SPEC).is_file() and read_json(folder / SPEC) == identity:
        return folder
    return folder.with_name(f"{spec.name}-{identity['sha256'][:8]}")


def build(
    spec: CorpusSpec, vocab_size: int, raw: Path, folder: Path, report: Reporter, executor: Executor | None = None
) -> Path:
    """Build a corpus in ``folder``, or go on with one, and return its manifest's path.

    :param raw: where downloads are kept, for this corpus and the next.
    :param executor: where the shards are worked on; without one, processes of this machine. The corpus is the same.
    :raises SourceError: when a source cannot be had or read.
    :raises CorpusError: when there is too little text, or ``folder`` holds another corpus.
    """
    manifest = folder / MANIFEST
    _claim(folder, corpus_identity(spec, vocab_size))
    if manifest.is_file():
        _tidy(folder)
        return manifest
    # Two builds may share a corpus, and any two share the downloads.
    report(Progress("fetch", 0, 1, "", "waiting for its turn"))
    with exclusive_lock(raw / "lock"), Processes() as processes:
        return _build(spec, vocab_size, raw, folder, executor or processes, report)


def _build(spec: CorpusSpec, vocab_size: int, raw: Path, folder: Path, executor: Executor, report: Reporter) -> Path:
    manifest = folder / MANIFEST
    if manifest.is_file():  # by then another build may have made it
        return manifest
    fetched, missing = _fetch(spec, raw, folder, report)
    if not (folder / "devices" / MANIFEST).is_file():
        build_devices(spec, fetched, folder / "devices", report)
    if spec.edition is not None:
        from slm.edition.corpus import build_edition  # it stands on this package

        return build_edition(spec, spec.edition, vocab_size, folder, report)
    if not (folder / "documents" / MANIFEST).is_file():
        _make_documents(spec, fetched, folder, executor, report)
    if not (folder / TOKENIZER_MANIFEST).is_file():
        _make_tokenizer(spec, vocab_size, folder, report)
    _make_bins(spec, vocab_size, folder, missing, report)
    _tidy(folder)
    return manifest


def _tidy(folder: Path) -> None:
    """Delete what a finished corpus does not need, and what a killed build left half written."""
    for name in SCRATCH:
        shutil.rmtree(folder / name, ignore_errors=True)
    for part in folder.glob(".*.part"):
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink()


def changed_since(folder: Path) -> list[str]:
    """Return the local folders that hold something else by now than when the corpus in ``folder`` was begun."""
    fetched = map(Fetched.model_validate, read_json(folder / SOURCES)["fetched"].values())
    return sorted(
        item.name
        for item in fetched
        if item.kind == "folder" and item.path.exists() and hash_folder(item.path) != item.sha256
    )


def _claim(folder: Path, identity: dict[str, Any]) -> None:
    """Write what the corpus is before anything else is made of it."""
    path = folder / SPEC
    if path.is_file() and read_json(path) != identity:
        raise CorpusError(f"{folder} holds another corpus.", "Choose another folder, or another name for this corpus.")
    if not path.is_file():
        write_json(path, identity)


def _fetch(spec: CorpusSpec, raw: Path, folder: Path, report: Reporter) -> tuple[dict[str, Fetched], list[str]]:
    """Fetch all sources; a build that goes on uses the very versions that it began with, while they are still here."""
    path = folder / SOURCES
    if path.is_file():
        kept = read_json(path)
        fetched = {key: Fetched.model_validate(value) for key, value in kept["fetched"].items()}
        gone = sorted(item.name for item in fetched.values() if not item.path.exists())
        if (folder / "documents" / MANIFEST).is_file():  # documents are made: no source is read again
            return fetched, kept["missing"]
        gone += changed_since(folder)
        if not gone:
            return fetched, kept["missing"]
        if (folder / "devices").exists() or (folder / "extracted").exists():
            raise CorpusError(
                f"{folder} was begun with sources that are gone or were changed: {', '.join(gone)}.",
                "Delete it and run the same command again.",
            )
    fetched, missing = fetch_all(spec, raw, report)
    write_json(
        path, {"fetched": {key: value.model_dump(mode="json") for key, value in fetched.items()}, "missing": missing}
    )
    return fetched, missing


def _make_documents(
    spec: CorpusSpec, fetched: dict[str, Fetched], folder: Path, executor: Executor, report: Reporter
) -> None:
    """Extract, measure, make exchanges, judge, and write what stays.

    Exchanges are made from every extracted document and judged with them: the one from which an exchange was made is
    in the same split, and no exchange of the test split repeats training.
    """
    tables = folder / "devices" / DATABASE
    shards = extract_all(spec, origins(spec, fetched), tables, folder / "extracted", executor, report)
    made = [_make_exchanges(spec, shards, tables, folder / "extracted" / f"{len(shards):03d}-exchanges", report)]
    measured = measure_all([*shards, *made], spec, folder / "measured", executor, report)
    parts = judge_all([*shards, *made], measured, spec, folder / "curated", executor, report)
    inputs = [item.entry for _, item in sorted(fetched.items())]
    inputs.append(input_from(folder / "devices" / MANIFEST))
    target = folder / "documents"
    with atomic_folder(target) as part:
        names = write_documents(parts, folder / "curated", measured, part, executor, report)
        exchanges = zip(
            read_exchanges(folder / "extracted" / EXCHANGES), kept(folder / "curated", parts[-1]), strict=True
        )
        write_exchanges(part / EXCHANGES, (exchange.in_split(spec) for exchange, stays in exchanges if stays))
        counts = read_counts(folder / "curated")
        write_manifest(part / MANIFEST, "documents", spec.name, [*names, EXCHANGES], inputs, counts, final=target)


def _make_exchanges(spec: CorpusSpec, shards: Sequence[Path], tables: Path, stem: Path, report: Reporter) -> Path:
    """Make the question/answer documents, as JSON Lines of messages and as a shard of documents; return the shard."""
    shard = stem.with_name(f"{stem.name}.jsonl.zst")
    if shard.exists():
        return shard
    lines = stem.with_name(EXCHANGES)
    report(Progress("exchanges", 0, 3, "", "from documents"))
    documents = (document for path in shards for document in documents_of(path))
    found = list(document_exchanges(documents, spec.manual_exchanges, spec.seed))
    report(Progress("exchanges", 1, 3, "", "from the device tables"))
    found += table_exchanges(tables, spec.devices.exchanges, spec.seed)
    report(Progress("exchanges", 2, 3, "", "about the system"))
    found += intent_exchanges(spec.intent_exchanges, spec.seed)
    finder = HeldOut(tables)  # an exchange may bring together what stood apart in its document
    found = [exchange for exchange in found if not finder.named(exchange.document().text)]
    write_exchanges(lines, found)
    write_shard(shard, (exchange.document() for exchange in found))
    report(Progress("exchanges", 3, 3))
    return shard


def document_shards(folder: Path) -> list[Path]:
    """Return the shards of a corpus's documents in order, without the rejected."""
    names = read_manifest(folder / "documents").files
    return [folder / "documents" / name for name in sorted(names) if name != EXCHANGES and "/" not in name]


def document_stats(folder: Path) -> dict[str, Any]:
    """Count the documents of a corpus that has them, whether or not its later stages have been reached.

    :raises ArtefactError: when it has none yet.
    """
    shards = document_shards(folder)
    rejected = Counter(
        (row["source"], reason_kind(row["reason"]))
        for shard in shards
        for row in read_shard(shard.parent / "rejected" / shard.name)
    )
    return {**count_documents(read_documents(shards), rejected), **read_manifest(folder / "documents").info}


def _make_tokenizer(spec: CorpusSpec, vocab_size: int, folder: Path, report: Reporter) -> None:
    report(Progress("tokenizer", 0, 1, "", "choosing text"))
    chosen = _tokenizer_sample(spec, folder)
    texts = (
        document.text for number, document in enumerate(read_documents(document_shards(folder))) if number in chosen
    )
    report(Progress("tokenizer", 0, 1, "", f"fitting on {len(chosen)} documents"))
    tokenizer = train_tokenizer(texts, vocab_size, len(chosen))
    write_tokenizer(tokenizer, folder)
    inputs = [input_from(folder / "documents" / MANIFEST)]
    write_manifest(folder / TOKENIZER_MANIFEST, "tokenizer", spec.name, FILES, inputs, {"vocab_size": vocab_size})
    report(Progress("tokenizer", 1, 1))


def _tokenizer_sample(spec: CorpusSpec, folder: Path) -> set[int]:
    """Choose training documents for the tokenizer by number: each bucket to its share of :data:`SAMPLE_BYTES`.

    :raises CorpusError: when a bucket that has a share is empty.
    """
    found: dict[Bucket, tuple[array[int], array[int], array[int]]] = {}
    for number, document in enumerate(read_documents(document_shards(folder))):
        if split_of(document.key, spec.seed, spec.split) == "train":
            orders, numbers, sizes = found.setdefault(document.bucket, (array("Q"), array("Q"), array("Q")))
            orders.append(order_of(document.key, document.path, spec.seed))
            numbers.append(number)
            sizes.append(len(document.text))
    require_text(spec, found.keys())
    chosen: set[int] = set()
    for bucket, columns in found.items():
        order, number_of, size = map(np.asarray, columns)
        sequence = np.lexsort((number_of, order))
        before = np.cumsum(size[sequence]) - size[sequence]
        chosen.update(number_of[sequence[before < spec.shares.get(bucket, 0) * SAMPLE_BYTES]].tolist())
    return chosen


def _make_bins(spec: CorpusSpec, vocab_size: int, folder: Path, missing: list[str], report: Reporter) -> None:
    shards = document_shards(folder)
    if not (folder / "encoded").is_dir():
        total = sum(1 for shard in shards for _ in read_shard(shard))
        encode_documents(read_documents(shards), total, load_tokenizer(folder), spec, folder / "encoded", report)
    encoded = load_encoded(folder / "encoded", vocab_size)
    splits, shares = pack_splits(encoded, spec, folder, report)
    tables = folder / "devices" / DATABASE
    checked = check_held_out(folder / "train.bin", vocab_size, load_tokenizer(folder), tables, report)
    documents = document_stats(folder)
    suffix = f": {DAMAGED}"
    damaged = [key.removesuffix(suffix) for key in documents["rejected_by_source"] if key.endswith(suffix)]
    notes = [*missing, *(f"{source} is damaged and was left out." for source in damaged)]
    # A spec whose sources name machines leaves those of others out; one whose sources name none is the same for all.
    if not any(source.arch for source in spec.sources) and spec.arch != CorpusSpec.model_fields["arch"].default:
        notes.append(f"corpus.arch is {spec.arch}, but no source names a machine: the text is the same for all.")
    stats = corpus_stats(spec, vocab_size, documents, splits, shares, notes, folder)
    stats["held_out"] = checked
    stats["mix"] = shares
    stats["bytes_per_token"] = splits["train"]["bytes"] / splits["train"]["tokens"]
    stats["decisions"] = _decisions(spec, shares)
    write_json(folder / "stats.json", stats)
    inputs = [input_from(path) for path in (folder / "documents" / MANIFEST, folder / "devices" / MANIFEST)]
    inputs.append(input_from(folder / TOKENIZER_MANIFEST))
    info = {
        "vocab_size": vocab_size,
        "dtype": id_type(vocab_size),
        "splits": splits,
        "spec_sha256": read_json(folder / SPEC)["sha256"],
    }
    files = ["train.bin", "val.bin", "test.bin", "stats.json"]
    write_manifest(folder / MANIFEST, "corpus", spec.name, files, inputs, info)


def _decisions(spec: CorpusSpec, shares: Mapping[Bucket, float]) -> list[str]:
    """Say in words where the shares had to be moved."""
    moved = [
        f"{bucket} from {spec.shares[bucket]:.1%} to {share:.1%}"
        for bucket, share in shares.items()
        if abs(share - spec.shares[bucket]) > 5e-4
    ]
    short = ", ".join(bucket for bucket, share in shares.items() if share < spec.shares[bucket] - 5e-4)
    return [f"{short} is short even with repetition; shares moved: {'; '.join(moved)}"] if moved else []
