"""Documents drawn at random from a corpus's shards, kept ones and rejected ones, in one pass and little memory."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from slm.corpus.build import document_shards
from slm.corpus.documents import MADE, read_shard
from slm.corpus.mix import split_of
from slm.corpus.stats import reason_kind
from slm.errors import ArtefactError
from slm.spec import CorpusSpec

Row = dict[str, Any]


def kept_rows(folder: Path, spec: CorpusSpec, split: str | None = None) -> Iterator[Row]:
    """Yield the documents of the corpus in ``folder``, those of one split if it is named."""
    for shard in document_shards(folder):
        for row in read_shard(shard):
            if split is None or split_of(row["key"], spec.seed, spec.split) == split:
                yield row


def rejected_rows(folder: Path) -> Iterator[Row]:
    """Yield the texts that were left out, with their reason."""
    for shard in document_shards(folder):
        yield from read_shard(shard.parent / "rejected" / shard.name)


def kept_group(row: Row) -> str:
    """Name the group of a document: its bucket, with the exchanges that we made apart."""
    return f"{row['bucket']}, made" if row["source"] == MADE else str(row["bucket"])


def rejected_group(row: Row) -> str:
    """Name the group of a rejected text: the kind of its reason."""
    return reason_kind(row["reason"])


def draw(rows: Iterable[Row], group: Callable[[Row], str], count: int, seed: int) -> dict[str, list[Row]]:
    """Draw up to ``count`` rows of each group, each as likely as the next; equal rows and seed give an equal choice.

    Reservoir sampling: Vitter, "Random Sampling with a Reservoir" (1985), algorithm R.
    """
    rng = random.Random(seed)
    drawn: dict[str, list[Row]] = {}
    seen: dict[str, int] = {}
    for row in rows:
        name = group(row)
        number = seen[name] = seen.get(name, 0) + 1
        chosen = drawn.setdefault(name, [])
        if len(chosen) < count:
            chosen.append(row)
        elif (place := rng.randrange(number)) < count:
            chosen[place] = row
    return dict(sorted(drawn.items()))


def sample(
    folder: Path,
    spec: CorpusSpec,
    *,
    bucket: str | None = None,
    split: str | None = None,
    rejected: str | None = None,
    count: int = 5,
    seed: int = 0,
) -> list[Row]:
    """Draw ``count`` documents, or texts rejected for a reason, of one bucket or of all.

    :param rejected: a kind of reason, such as ``too short``.
    :raises ArtefactError: when there is nothing to draw from, naming the reasons that there are.
    """
    rows = kept_rows(folder, spec, split) if rejected is None else rejected_rows(folder)
    kinds: set[str] = set()

    def wanted(row: Row) -> bool:
        if bucket is not None and row["bucket"] != bucket:
            return False
        if rejected is None:
            return True
        kinds.add(rejected_group(row))
        return rejected_group(row) == rejected

    found = draw(filter(wanted, rows), lambda row: "", count, seed).get("", [])
    if not found:
        what = f"text rejected as {rejected!r}" if rejected is not None else f"document of the split {split or 'any'}"
        of = f" in the bucket {bucket}" if bucket else ""
        hint = f"Reasons here: {', '.join(sorted(kinds)) or 'none'}." if rejected is not None else ""
        raise ArtefactError(f"The corpus {folder} has no {what}{of}.", hint)
    return found
