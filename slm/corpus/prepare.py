"""From fetched origins to shards of cleaned documents; what was left out is there with its reason."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from slm.corpus.clean import clean_text, cut, reject_reason
from slm.corpus.documents import Document, Rejected, text_key, write_shard
from slm.corpus.executor import Executor
from slm.corpus.extract import EXTRACTORS
from slm.corpus.fetch import Fetched, origin_key
from slm.corpus.heldout import HeldOut
from slm.corpus.licences import normalised
from slm.corpus.members import Member, Unreadable, glob_pattern, members
from slm.corpus.quality import quality
from slm.errors import SourceError
from slm.files import sha256_file
from slm.progress import Progress, Reporter
from slm.spec import CorpusSpec, Extractor, SourceSpec

#: Why nothing of an optional source is there whose archive cannot be read to its end.
DAMAGED = "damaged archive"

#: How much a worker process takes at once: enough to hide the cost of handing it over, little enough to share evenly.
_BATCH_BYTES = 4 << 20
_BATCH_FILES = 200

#: What these write is our own wording of tables: its quality is not in question, and its numbers are no symbols.
_TABLES: frozenset[Extractor] = frozenset({"ids", "kernel_modules", "hwdb"})

#: https://spdx.github.io/spdx-spec/v2.3/using-SPDX-short-identifiers-in-source-files
_SPDX = re.compile(rb"SPDX-License-Identifier:[ \t]*([A-Za-z0-9.+() -]{2,80})")
_SPDX_WITHIN = 2048


class Origin(NamedTuple):
    """One fetched origin with all sources that draw from it, so that it is read once."""

    fetched: Fetched
    sources: tuple[SourceSpec, ...]


class Skipped(NamedTuple):
    """A file that could not be read."""

    path: str
    reason: str


class Job(NamedTuple):
    """What every worker must know: the spec, an origin, and the device tables that say which ids are held out."""

    spec: CorpusSpec
    origin: Origin
    tables: Path
    tables_sha256: str


Batch = list[tuple[int, Member | Skipped]]


def origins(spec: CorpusSpec, fetched: Mapping[str, Fetched]) -> list[Origin]:
    """Group a spec's sources by origin, in the spec's order; sources that were left out are absent."""
    grouped: dict[str, list[SourceSpec]] = {}
    for source in spec.drawn:
        grouped.setdefault(origin_key(source.origin), []).append(source)
    return [Origin(fetched[key], tuple(sources)) for key, sources in grouped.items() if key in fetched]


def extract_all(
    spec: CorpusSpec, found: Sequence[Origin], tables: Path, folder: Path, executor: Executor, report: Reporter
) -> list[Path]:
    """Extract and clean every origin into a shard of its own in ``folder``; shards that are there are kept.

    A shard holds documents (with ``text`` and ``key``) and rejected texts (with ``reason``) in the order of the files.
    An optional source whose archive is damaged gives nothing but that word.
    No document names a device id that is held out, according to the device tables at ``tables``.

    :raises SourceError: when the archive of a required source is damaged.
    """
    shards = [folder / f"{number:03d}-{_slug(origin.fetched.name)}.jsonl.zst" for number, origin in enumerate(found)]
    known = sha256_file(tables)
    for number, origin in enumerate(found):
        if shards[number].exists():
            continue

        def step(files: int, number: int = number, origin: Origin = origin) -> None:
            report(Progress("extract", number, len(found), "sources", f"{origin.fetched.name}: {files} files"))

        step(0)
        extract = functools.partial(_extract_batch, Job(spec, origin, tables, known))
        try:
            write_shard(shards[number], (row for rows in executor.map(extract, _batches(origin, step)) for row in rows))
        except SourceError:
            if any(source.required for source in origin.sources):
                raise
            write_shard(shards[number], [_rejected(origin.sources[0], origin.fetched.label, "", DAMAGED)])
    report(Progress("extract", len(found), len(found), "sources"))
    return shards


def _batches(origin: Origin, step: Callable[[int], None]) -> Iterator[Batch]:
    """Yield batches of (source number, file)."""
    takers = [(glob_pattern(source.include), glob_pattern(source.exclude)) for source in origin.sources]

    def takes(number: int, path: str) -> bool:
        include, exclude = takers[number]
        return bool(include.fullmatch(path)) and not exclude.fullmatch(path)

    batch: Batch = []
    size = files = 0

    def skipped(path: str, reason: str) -> None:
        batch.append((0, Skipped(path, reason)))

    for member in members(
        origin.fetched, lambda path: any(takes(number, path) for number in range(len(takers))), skipped
    ):
        for number in range(len(takers)):
            if takes(number, member.path):
                batch.append((number, member))
                size += len(member.data)
        if size > _BATCH_BYTES or len(batch) >= _BATCH_FILES:
            files += len(batch)
            step(files)
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _extract_batch(job: Job, batch: Batch) -> list[Document | Rejected]:
    """Turn files into documents and rejected texts; runs in a worker process."""
    rows: list[Document | Rejected] = []
    for number, member in batch:
        source, label = job.origin.sources[number], job.origin.fetched.label
        if isinstance(member, Skipped):
            rows.append(_rejected(source, label, member.path, member.reason))
            continue
        licence = _licence(member, source)
        if any(fnmatch.fnmatch(licence.lower(), normalised(glob).lower()) for glob in job.spec.exclude_licences):
            rows.append(_rejected(source, label, member.where, "licence"))
            continue
        try:
            for path, raw in EXTRACTORS[source.extract](member.where, member.data):
                rows += _documents(raw, path, licence, source, job)
        except Unreadable as error:
            rows.append(_rejected(source, label, member.where, error.reason))
    return rows


def _rejected(source: SourceSpec, label: str, path: str, reason: str, text: str = "") -> Rejected:
    return Rejected(text=text, bucket=source.bucket, source=label, path=path, reason=reason)


def _licence(member: Member, source: SourceSpec) -> str:
    """Return what a file says of its own licence, else what the spec says of its source's, as SPDX spells it."""
    found = _SPDX.search(member.data, 0, _SPDX_WITHIN)
    return normalised(found[1].decode().strip(" -") if found else source.licence)


@functools.lru_cache(maxsize=1)
def _held_out(tables: Path, sha256: str) -> HeldOut:
    return HeldOut(tables)


def _documents(raw: str, path: str, licence: str, source: SourceSpec, job: Job) -> Iterator[Document | Rejected]:
    spec, fetched = job.spec, job.origin.fetched
    finder = _held_out(job.tables, job.tables_sha256)
    text = finder.without(clean_text(raw))[0].strip()
    table = source.extract in _TABLES
    if reason := reject_reason(text, spec, table):
        yield _rejected(source, fetched.label, path, reason, text)
        return
    key = text_key(text)
    for part, cut_off in enumerate(cut(text, spec.max_characters)):
        piece = finder.without(cut_off)[0].strip()  # a cut may bare a number that was part of a longer word
        where = path if part == 0 else f"{path}#part{part + 1}"
        if (part or piece != text) and (reason := reject_reason(piece, spec, table)):
            yield _rejected(source, fetched.label, where, reason, piece)
            continue
        yield Document(
            text=piece,
            bucket=source.bucket,
            source=fetched.label,
            version=fetched.version,
            licence=licence,
            path=where,
            key=key,
            quality=1.0 if table else min(quality(piece), 0.999),
        )


def _slug(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9.+-]+", "-", name).strip("-.")[-60:] or "source"
