"""From fetched origins to cleaned, deduplicated document shards; what was left out is kept with its reason."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import re
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from slm.corpus.clean import clean_text, cut, normal_form, reject_reason
from slm.corpus.documents import Document, Rejected, read_shard, text_key, write_shard
from slm.corpus.extract import EXTRACTORS
from slm.corpus.fetch import Fetched, origin_key
from slm.corpus.members import Member, glob_pattern, members
from slm.files import atomic_folder
from slm.progress import Progress, Reporter
from slm.spec import CorpusSpec, SourceSpec

#: How much a worker process takes at once: enough to hide the cost of handing it over, little enough to share evenly.
_BATCH_BYTES = 4 << 20
_BATCH_FILES = 200


class Origin(NamedTuple):
    """One fetched origin with all sources that draw from it, so that it is read once."""

    fetched: Fetched
    sources: tuple[SourceSpec, ...]


def origins(spec: CorpusSpec, fetched: Mapping[str, Fetched]) -> list[Origin]:
    """Group a spec's sources by origin, in the spec's order; sources that were left out are absent."""
    grouped: dict[str, list[SourceSpec]] = {}
    for source in spec.sources:
        grouped.setdefault(origin_key(source.origin), []).append(source)
    return [Origin(fetched[key], tuple(sources)) for key, sources in grouped.items() if key in fetched]


def extract_all(spec: CorpusSpec, found: Sequence[Origin], folder: Path, report: Reporter) -> list[Path]:
    """Extract and clean every origin into a shard of its own in ``folder``; shards that are there are kept.

    A shard holds documents (with ``text`` and ``key``) and rejected texts (with ``reason``) in the order of the files.
    """
    shards = [folder / f"{number:03d}-{_slug(origin.fetched.name)}.jsonl.zst" for number, origin in enumerate(found)]
    left = [(number, origin) for number, origin in enumerate(found) if not shards[number].exists()]
    if not left:
        return shards
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of our caller's threads
    with ProcessPoolExecutor(os.cpu_count() or 1, mp_context=context, initializer=_obey_parent) as pool:
        for number, origin in left:

            def step(files: int, number: int = number, origin: Origin = origin) -> None:
                report(Progress("extract", number, len(found), "sources", f"{origin.fetched.name}: {files} files"))

            step(0)
            rows = (row for batch in _results(pool, spec, origin, step) for row in batch)
            write_shard(shards[number], rows)
    report(Progress("extract", len(found), len(found), "sources"))
    return shards


def _obey_parent() -> None:
    """Make a worker process leave Ctrl-C to its parent, and end when its parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _results(
    pool: ProcessPoolExecutor, spec: CorpusSpec, origin: Origin, step: Callable[[int], None]
) -> Iterator[list[Document | Rejected]]:
    """Hand batches of files to the pool and yield what becomes of them, in order."""
    running: deque[Future[list[Document | Rejected]]] = deque()
    files = 0
    for batch in _batches(origin):
        running.append(pool.submit(_extract_batch, spec, origin, batch))
        files += len(batch)
        while len(running) > 2 * (os.cpu_count() or 1):
            yield running.popleft().result()
        step(files)
    while running:
        yield running.popleft().result()


def _batches(origin: Origin) -> Iterator[list[tuple[int, Member]]]:
    """Yield batches of (source number, file)."""
    takers = [(glob_pattern(source.include), glob_pattern(source.exclude)) for source in origin.sources]

    def takes(number: int, path: str) -> bool:
        include, exclude = takers[number]
        return bool(include.fullmatch(path)) and not exclude.fullmatch(path)

    batch: list[tuple[int, Member]] = []
    size = 0
    for member in members(origin.fetched, lambda path: any(takes(number, path) for number in range(len(takers)))):
        for number in range(len(takers)):
            if takes(number, member.path):
                batch.append((number, member))
                size += len(member.data)
        if size > _BATCH_BYTES or len(batch) >= _BATCH_FILES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _extract_batch(spec: CorpusSpec, origin: Origin, batch: Sequence[tuple[int, Member]]) -> list[Document | Rejected]:
    """Turn files into documents and rejected texts; runs in a worker process."""
    rows: list[Document | Rejected] = []
    for number, member in batch:
        source = origin.sources[number]
        for path, raw in EXTRACTORS[source.extract](member.path, member.data):
            rows += _documents(clean_text(raw), path, source, origin.fetched.label, spec)
    return rows


def _documents(text: str, path: str, source: SourceSpec, label: str, spec: CorpusSpec) -> Iterator[Document | Rejected]:
    if reason := reject_reason(text, spec):
        yield Rejected(text=text, bucket=source.bucket, source=label, path=path, reason=reason)
        return
    key = text_key(text)
    for part, piece in enumerate(cut(text, spec.max_characters)):
        where = path if part == 0 else f"{path}#part{part + 1}"
        if part and (reason := reject_reason(piece, spec)):
            yield Rejected(text=piece, bucket=source.bucket, source=label, path=where, reason=reason)
        else:
            yield Document(text=piece, bucket=source.bucket, source=label, licence=source.licence, path=where, key=key)


def deduplicate(shards: Sequence[Path], made: Iterable[Document], folder: Path, report: Reporter) -> list[str]:
    """Write the documents that are left to ``folder``: the first of equal texts stays, whatever case and white space.

    :param made: documents of our own, written last.
    :return: the names of the shards; those of rejected texts are below ``rejected/``.
    """
    seen: set[bytes] = set()

    def keep(rows: Iterable[Document | Rejected], rejected: list[Rejected]) -> Iterator[Document]:
        for row in rows:
            if isinstance(row, Rejected):
                rejected.append(row)
                continue
            mark = hashlib.sha256(normal_form(row.text).encode()).digest()
            if mark in seen:
                fields = row.model_dump(include={"text", "bucket", "source", "path"})
                rejected.append(Rejected(**fields, reason="duplicate"))
            else:
                seen.add(mark)
                yield row

    names = []
    with atomic_folder(folder) as part:
        (part / "rejected").mkdir()
        for number, shard in enumerate(shards):
            rejected: list[Rejected] = []
            write_shard(part / shard.name, keep(map(_row, read_shard(shard)), rejected))
            write_shard(part / "rejected" / shard.name, rejected)
            names += [shard.name, f"rejected/{shard.name}"]
            report(Progress("deduplicate", number + 1, len(shards) + 1, "shards", shard.name))
        name = f"{len(shards):03d}-exchanges.jsonl.zst"
        write_shard(part / name, keep(made, []))
        names.append(name)
        report(Progress("deduplicate", len(shards) + 1, len(shards) + 1, "shards"))
    return names


def _row(fields: dict[str, str]) -> Document | Rejected:
    return Rejected.model_validate(fields) if "reason" in fields else Document.model_validate(fields)


def _slug(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9.+-]+", "-", name).strip("-.")[-60:] or "source"
