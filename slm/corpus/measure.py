"""What is known of each extracted document before any is judged: hashes, signature, 3-grams, quality, split."""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slm.corpus.clean import normal_form
from slm.corpus.documents import MADE, Document, read_shard
from slm.corpus.executor import Executor
from slm.corpus.mix import SPLITS, split_of
from slm.corpus.near import gram_sets, signatures
from slm.files import atomic_folder, write_json
from slm.progress import Progress, Reporter
from slm.spec import BUCKETS, CorpusSpec

#: One row a document. ``exact`` is 128 bits of the SHA-256 of its :func:`normal_form`; ``grams`` counts its 3-grams.
TABLE = np.dtype(
    [("exact", "<u8", (2,)), ("grams", "<u4"), ("quality", "<f4"), ("bucket", "u1"), ("split", "u1"), ("made", "?")]
)

_BATCH = 512


def measure_all(
    shards: Sequence[Path], spec: CorpusSpec, folder: Path, executor: Executor, report: Reporter
) -> list[Path]:
    """Measure every shard into a folder of its own below ``folder``; those that are there are kept."""
    places = [folder / shard.name.removesuffix(".jsonl.zst") for shard in shards]
    left = [(shard, place) for shard, place in zip(shards, places, strict=True) if not place.is_dir()]
    done = len(shards) - len(left)
    report(Progress("measure", done, len(shards), "shards"))
    for _ in executor.map(functools.partial(_measure, spec), left):
        done += 1
        report(Progress("measure", done, len(shards), "shards"))
    return places


def _measure(spec: CorpusSpec, work: tuple[Path, Path]) -> None:
    """Write ``table.npy``, ``marks.bin``, ``grams.bin`` and ``paths.json`` of one shard's documents."""
    shard, place = work
    rows: list[tuple[Any, ...]] = []
    paths: list[str] = []
    stream = documents_of(shard)
    with atomic_folder(place) as part:
        with open(part / "marks.bin", "wb") as marks, open(part / "grams.bin", "wb") as values:
            while batch := list(itertools.islice(stream, _BATCH)):
                grams = gram_sets([document.text for document in batch])
                marks.write(signatures(grams).tobytes())
                values.write(grams.values.tobytes())
                for document, size in zip(batch, np.diff(grams.offsets).tolist(), strict=True):
                    mark = hashlib.sha256(normal_form(document.text).encode("utf-8", "surrogatepass")).digest()
                    halves = (int.from_bytes(mark[:8], "little"), int.from_bytes(mark[8:16], "little"))
                    split = SPLITS.index(split_of(document.key, spec.seed, spec.split))
                    bucket, made = BUCKETS.index(document.bucket), document.source == MADE
                    rows.append((halves, size, document.quality, bucket, split, made))
                    paths.append(document.path)
        np.save(part / "table.npy", np.array(rows, dtype=TABLE))
        write_json(part / "paths.json", paths)


def documents_of(shard: Path) -> Iterator[Document]:
    """Yield the documents of an extracted shard, which holds rejected texts too."""
    return (Document.model_construct(**row) for row in read_shard(shard) if "reason" not in row)
