"""Which of the extracted documents stay: no duplicates, no near-duplicates, not the worst, no test text in training.

Every shard has been measured by itself (:mod:`slm.corpus.measure`). One process decides over all from these figures, so
its memory grows with the number of documents (some 400 bytes each), not with their text. The verdicts lie in
``curated/verdicts.npy``; :func:`write_documents` carries them out.
"""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from slm.corpus.contamination import held_grams, seen_grams, without_seen
from slm.corpus.documents import Document, Rejected, parse_row, read_shard, write_shard
from slm.corpus.executor import Executor
from slm.corpus.measure import documents_of
from slm.corpus.mix import SPLITS
from slm.corpus.near import PERMUTATIONS, Grams, Words, duplicates, sample_left
from slm.files import atomic_folder, read_json, write_json
from slm.progress import Progress, Reporter
from slm.spec import BUCKETS, CorpusSpec

#: Verdicts, in the order in which they are found, and the reasons that rejected texts are given. A trimmed document
#: stays without the paragraphs that stand in training.
KEPT, LOW, EXACT, NEAR, HELD, TRIMMED = range(6)
REASONS = {
    EXACT: "duplicate",
    LOW: "low quality",
    NEAR: "near-duplicate",
    HELD: "validation or test text that mostly repeats a training text",
}

#: So many kept documents are compared with all others to measure the duplicates that are left.
SAMPLE = 400

Row = TypeVar("Row", Document, Rejected)


class Part(NamedTuple):
    """One shard and where its documents stand among all: what a worker is told."""

    shard: Path
    first: int
    documents: int


def judge_all(
    shards: Sequence[Path],
    places: Sequence[Path],
    spec: CorpusSpec,
    folder: Path,
    executor: Executor,
    report: Reporter,
) -> list[Part]:
    """Decide on every document and write the verdicts to ``folder``, atomically; verdicts that are there are kept."""
    tables = [np.load(place / "table.npy", allow_pickle=False) for place in places]
    firsts = np.concatenate(([0], np.cumsum([len(table) for table in tables]))).tolist()
    parts = [Part(shard, first, len(table)) for shard, first, table in zip(shards, firsts[:-1], tables, strict=True)]
    if folder.is_dir():
        return parts
    table = np.concatenate(tables)
    with atomic_folder(folder) as part:
        report(Progress("judge", 0, 4, "", "duplicates and quality"))
        verdicts, references = _alike(table, spec)
        report(Progress("judge", 1, 4, "", "near-duplicates"))
        grams, marks = _joined(places, table, part)
        among = (verdicts == KEPT) & ~table["made"]
        likeness = duplicates(grams, marks, spec.near_duplicate, among)
        for gone, (stays, _) in likeness.items():
            verdicts[gone], references[gone] = NEAR, stays
        report(Progress("judge", 2, 4, "", "test text in training"))
        np.save(part / "verdicts.npy", verdicts)
        for number, verdict in _contaminated(parts, table, part, executor):
            verdicts[number] = verdict
        np.save(part / "verdicts.npy", verdicts)
        np.save(part / "references.npy", references)
        report(Progress("judge", 3, 4, "", "what is left"))
        left = among & np.isin(verdicts, (KEPT, TRIMMED))
        alike, sample = sample_left(grams, left, spec.near_duplicate, SAMPLE, spec.seed)
        left_over = {"duplicates_left": alike / max(sample, 1), "duplicates_sample": sample}
        write_json(part / "counts.json", {**_counts(table, verdicts), **left_over})
        for scratch in ("marks.bin", "grams.bin", "held.npy"):
            (part / scratch).unlink(missing_ok=True)
    report(Progress("judge", 4, 4))
    return parts


def _alike(table: npt.NDArray[Any], spec: CorpusSpec) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Find the lowest of each bucket by quality, and among the others equal documents, of which the first stays."""
    verdicts = np.zeros(len(table), dtype=np.uint8)
    references = np.full(len(table), -1, dtype=np.int64)
    for bucket in range(len(BUCKETS)):
        # A text made from tables (quality 1) is as good as they are.
        there = np.flatnonzero((table["bucket"] == bucket) & (table["quality"] < 1))
        order = np.argsort(table["quality"][there], kind="stable")
        verdicts[there[order[: int(spec.drop_lowest * len(there))]]] = LOW
    rest = np.flatnonzero(verdicts == KEPT)
    _, first, inverse = np.unique(table["exact"][rest], axis=0, return_index=True, return_inverse=True)
    earlier = rest[first[inverse.reshape(-1)]]
    again = earlier != rest
    verdicts[rest[again]], references[rest[again]] = EXACT, earlier[again]
    return verdicts, references


def _joined(places: Sequence[Path], table: npt.NDArray[Any], folder: Path) -> tuple[Grams, npt.NDArray[Any]]:
    """Lay the shards' 3-grams and signatures end to end in files, and map those."""
    for name in ("marks.bin", "grams.bin"):
        with open(folder / name, "wb") as joined:
            for place in places:
                with open(place / name, "rb") as one:
                    shutil.copyfileobj(one, joined, 1 << 20)
    offsets = np.concatenate(([0], np.cumsum(table["grams"], dtype=np.int64)))
    values = _map(folder / "grams.bin", (int(offsets[-1]),))
    return Grams(values, offsets), _map(folder / "marks.bin", (len(table), PERMUTATIONS))


def _map(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.uint32]:
    if 0 in shape:  # an empty file cannot be mapped
        return np.zeros(shape, dtype=np.uint32)
    return np.memmap(path, dtype="<u4", mode="r", shape=shape)


#: Held-out 3-grams, about one a word, whose 13-grams are looked for in one pass: 8 bytes each, twice.
_HELD_AT_ONCE = 2_000_000


def _contaminated(
    parts: Sequence[Part], table: npt.NDArray[Any], folder: Path, executor: Executor
) -> Iterator[tuple[int, int]]:
    """Find the kept validation and test documents that share 13 words in a row with training; yield their verdicts.

    Where there is much held-out text, its 13-grams are split by their hashes, a pass over the shards for each part.
    The 13-grams that training has stay in ``seen.npy``.
    """
    splits, verdicts = table["split"], folder / "verdicts.npy"
    passes = int(table["grams"][splits != SPLITS.index("train")].sum()) // _HELD_AT_ONCE + 1
    all_seen = []
    for turn in range(passes):
        found = executor.map(functools.partial(_held_part, verdicts, splits, (turn, passes)), parts)
        held = np.unique(np.concatenate(list(found)))
        np.save(folder / "held.npy", held)
        seen = np.zeros(len(held), dtype=bool)
        for hashes in executor.map(functools.partial(_seen_part, verdicts, splits, folder / "held.npy"), parts):
            seen[np.searchsorted(held, hashes)] = True
        all_seen.append(held[seen])
    np.save(folder / "seen.npy", np.sort(np.concatenate(all_seen)))
    for judged in executor.map(functools.partial(_trim_part, verdicts, splits, folder / "seen.npy"), parts):
        yield from judged


def _kept_texts(verdicts: Path, splits: npt.NDArray[np.uint8], part: Part, training: bool) -> Iterator[tuple[int, str]]:
    """Yield number and text of a shard's kept documents that are (or are not) for training."""
    kept = np.load(verdicts, mmap_mode="r", allow_pickle=False)
    train = SPLITS.index("train")
    for number, document in enumerate(documents_of(part.shard), part.first):
        if kept[number] == KEPT and (splits[number] == train) == training:
            yield number, document.text


def _held_part(verdicts: Path, splits: npt.NDArray[np.uint8], turn: tuple[int, int], part: Part) -> Words:
    return held_grams((text for _, text in _kept_texts(verdicts, splits, part, training=False)), turn)


def _seen_part(verdicts: Path, splits: npt.NDArray[np.uint8], grams: Path, part: Part) -> Words:
    held = np.load(grams, mmap_mode="r", allow_pickle=False)
    return seen_grams((text for _, text in _kept_texts(verdicts, splits, part, training=True)), held)


def _trim_part(verdicts: Path, splits: npt.NDArray[np.uint8], grams: Path, part: Part) -> list[tuple[int, int]]:
    seen = np.load(grams, mmap_mode="r", allow_pickle=False)
    judged = []
    for number, text in _kept_texts(verdicts, splits, part, training=False):
        left = without_seen(text, seen)
        if left != text:
            judged.append((number, TRIMMED if left else HELD))
    return judged


def _counts(table: npt.NDArray[Any], verdicts: npt.NDArray[np.uint8]) -> dict[str, Any]:
    """Count what was removed and why, held-out documents by split, and scores by bucket (20 bins from 0 to 1)."""
    removed = {
        name: int((verdicts == code).sum())
        for name, code in (("exact", EXACT), ("low", LOW), ("near", NEAR), ("contaminated", HELD))
    }
    scored = table[table["quality"] < 1]
    scores = {
        bucket: np.histogram(scored["quality"][scored["bucket"] == number], bins=20, range=(0, 1))[0].tolist()
        for number, bucket in enumerate(BUCKETS)
    }
    held = {}
    for split in SPLITS[1:]:
        here = table["split"] == SPLITS.index(split)
        held[split] = {
            "documents": int((here & (verdicts == HELD)).sum()),
            "trimmed": int((here & (verdicts == TRIMMED)).sum()),
            "of": int((here & np.isin(verdicts, (KEPT, HELD, TRIMMED))).sum()),
        }
    return {"removed": removed, "contamination": held, "quality": scores}


def write_documents(
    parts: Sequence[Part], curated: Path, places: Sequence[Path], folder: Path, executor: Executor, report: Reporter
) -> list[str]:
    """Write the kept documents to ``folder`` and the rejected texts to ``folder/rejected``, shard by shard.

    :return: the names of all shards, relative to ``folder``.
    """
    references = np.load(curated / "references.npy", allow_pickle=False)
    paths = _paths_of(np.unique(references[references >= 0]), parts, places)
    names = []
    (folder / "rejected").mkdir()
    work = [(part, {str(n): paths[n] for n in _wanted(references, part)}) for part in parts]
    for done, name in enumerate(executor.map(functools.partial(_write_part, curated, folder), work), 1):
        names += [name, f"rejected/{name}"]
        report(Progress("documents", done, len(parts), "shards", name))
    return names


def kept(curated: Path, part: Part) -> list[bool]:
    """Say of each document of a shard whether it stays as it is."""
    verdicts = np.load(curated / "verdicts.npy", mmap_mode="r", allow_pickle=False)
    return [verdict == KEPT for verdict in verdicts[part.first : part.first + part.documents].tolist()]


def _wanted(references: npt.NDArray[np.int64], part: Part) -> list[int]:
    mine = references[part.first : part.first + part.documents]
    return [int(number) for number in np.unique(mine[mine >= 0])]


def _paths_of(numbers: npt.NDArray[np.int64], parts: Sequence[Part], places: Sequence[Path]) -> dict[int, str]:
    """Return the paths of some documents by number."""
    found: dict[int, str] = {}
    for part, place in zip(parts, places, strict=True):
        mine = numbers[(numbers >= part.first) & (numbers < part.first + part.documents)]
        if len(mine):
            paths = read_json(place / "paths.json")
            found.update((int(number), paths[int(number) - part.first]) for number in mine)
    return found


def _write_part(curated: Path, folder: Path, work: tuple[Part, dict[str, str]]) -> str:
    part, paths = work
    # The shard is read twice rather than half of it held in memory.
    write_shard(folder / part.shard.name, _judged(curated, part, paths, Document))
    write_shard(folder / "rejected" / part.shard.name, _judged(curated, part, paths, Rejected))
    return part.shard.name


def _judged(curated: Path, part: Part, paths: dict[str, str], kind: type[Row]) -> Iterator[Row]:
    """Yield a shard's documents, or its rejected texts, the verdicts carried out."""
    verdicts = np.load(curated / "verdicts.npy", mmap_mode="r", allow_pickle=False)
    references = np.load(curated / "references.npy", mmap_mode="r", allow_pickle=False)
    seen = np.load(curated / "seen.npy", mmap_mode="r", allow_pickle=False)
    number = part.first - 1
    for fields in read_shard(part.shard):
        row = parse_row(fields)
        if isinstance(row, Document):
            number += 1
            if verdicts[number] == TRIMMED:
                row = row.model_copy(update={"text": without_seen(row.text, seen)})
            elif verdicts[number] != KEPT:
                reason = REASONS[int(verdicts[number])]
                if references[number] >= 0:
                    reason += f" of {paths[str(int(references[number]))]}"
                kept = row.model_dump(include={"text", "bucket", "source", "path"})
                row = Rejected(**kept, reason=reason)
        if isinstance(row, kind):
            yield row


def read_counts(curated: Path) -> dict[str, Any]:
    """Read what :func:`judge_all` counted."""
    content = json.loads((curated / "counts.json").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content
