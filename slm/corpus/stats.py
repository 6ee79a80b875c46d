"""What a corpus holds, in figures: ``stats.json``.

Everything is counted in one pass over the documents and one over ``train.bin``, whatever their size. Beside counts by
source and split there are distributions, each small enough to be kept whole:

- ``lengths``: for each bucket, ``[shortest, documents]`` of each half octave of characters, from the shortest
  document's to the longest's;
- ``zipf``: ``[rank, count]`` of the training split's tokens at ranks spread evenly over their logarithm, and the
  exponent of the power law that fits them best.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slm.corpus.documents import Document
from slm.corpus.mix import SPLITS
from slm.corpus.pack import id_type
from slm.errors import CorpusError
from slm.prompts import SPECIAL_TOKENS
from slm.spec import Bucket, CorpusSpec

#: A split that could not be filled to its size by more than this share is worth a remark.
_SHORT = 0.98

#: Ids read at a time when a token file is counted.
_BLOCK = 1 << 22

#: The most frequent tokens (marks and the commonest words) lie off the line in any text, so the fit begins here.
_FIRST_RANK = 10


def require_text(spec: CorpusSpec, buckets: Collection[str]) -> None:
    """Refuse a corpus in which a bucket that has a share has no text.

    :raises CorpusError: naming the empty buckets.
    """
    if empty := [bucket for bucket, share in spec.shares.items() if share > 0 and bucket not in buckets]:
        raise CorpusError(
            f"No text was left for {', '.join(empty)}.",
            "See `include` of its sources, and documents/rejected for what was left out and why.",
        )


def reason_kind(reason: str) -> str:
    """Return the kind of a reason for leaving a text out: what stands before the first `` of ``."""
    return reason.partition(" of ")[0]


def corpus_stats(
    spec: CorpusSpec,
    vocab_size: int,
    documents: Mapping[str, Any],
    splits: Mapping[str, Any],
    decided: Mapping[Bucket, float],
    missing: list[str],
    folder: Path,
) -> dict[str, Any]:
    """Count a packed corpus: its documents, the mix got and wanted, and remarks in words.

    :param documents: what was counted of the documents, which becomes a part of the whole.
    :param splits: what :func:`slm.corpus.pack.pack_splits` returned.
    :param decided: the shares that the mix was made to, also from there.
    :param folder: where ``train.bin`` is.
    """
    used = token_counts(folder / "train.bin", vocab_size)
    return {
        **documents,
        "name": spec.name,
        "notes": [*missing, *_short_splits(decided, splits, spec.measured.shares if spec.measured else None)],
        "shares": spec.shares,
        "splits": splits,
        "vocab_size": vocab_size,
        "vocabulary_used": round(float((used > 0).mean()), 4),
        "zipf": zipf(used[len(SPECIAL_TOKENS) :]),
    }


def count_documents(documents: Iterable[Document], rejected: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    """Count documents by source, licence and length, and rejected texts by reason.

    :param rejected: the number of rejected texts by (source, kind of reason).
    """
    reasons: Counter[str] = Counter()
    for (_, reason), count in rejected.items():
        reasons[reason] += count
    sources: dict[tuple[str, str], dict[str, Any]] = {}
    of_source: dict[tuple[str, str], Counter[str]] = {}
    licences: dict[str, dict[str, int]] = {}
    lengths: dict[str, Counter[int]] = {}
    for document in documents:
        key = (document.source, document.bucket)
        if key not in sources:
            names = {"source": document.source, "version": document.version, "bucket": document.bucket}
            sources[key] = {**names, "documents": 0, "characters": 0}
            of_source[key] = Counter()
        sources[key]["documents"] += 1
        sources[key]["characters"] += len(document.text)
        of_source[key][document.licence] += 1
        held = licences.setdefault(document.licence, {"documents": 0, "bytes": 0})
        held["documents"] += 1
        held["bytes"] += len(document.text.encode("utf-8", "surrogatepass"))
        lengths.setdefault(document.bucket, Counter())[_half_octave(len(document.text))] += 1
    return {
        "sources": [{**sources[key], "licence": _commonest(of_source[key])} for key in sorted(sources)],
        "licences": dict(sorted(licences.items())),
        "lengths": {
            bucket: [[_shortest(step), counts[step]] for step in range(min(counts), max(counts) + 1)]
            for bucket, counts in sorted(lengths.items())
        },
        "rejected": dict(sorted(reasons.items())),
        "rejected_by_source": {f"{source}: {reason}": count for (source, reason), count in sorted(rejected.items())},
    }


def _commonest(licences: Counter[str]) -> str:
    first = min(licences, key=lambda licence: (-licences[licence], licence))
    return first if len(licences) == 1 else f"{first} and others"


def _short_splits(
    training: Mapping[Bucket, float], splits: Mapping[str, Any], measured: Mapping[Bucket, float] | None = None
) -> list[str]:
    """Say which splits fell short; ``measured`` are the shares of validation and test where they are not training's."""
    notes = []
    for split in SPLITS:
        held, shares = splits[split], training if split == "train" or measured is None else measured
        if held["lacks"]:
            notes.append(
                f"No document of {', '.join(held['lacks'])} fell into {split}: the others have its share there."
            )
        got, wanted = held["tokens"], held["wanted_tokens"]
        if got >= _SHORT * wanted:
            continue
        buckets = held["buckets"]
        tight = min(buckets, key=lambda bucket: buckets[bucket]["available_tokens"] / shares[bucket])
        there = buckets[tight]["available_tokens"]
        why = "the documents that are left are too long for what is left to fill"
        if held["scale"] < 1:
            why = f"{tight} has only {there} for its share of {shares[tight]:.0%}"
        notes.append(f"{split} holds {got} tokens, not the {wanted} wished for: {why}.")
    return notes


def token_counts(path: Path, vocab_size: int) -> npt.NDArray[np.int64]:
    """Count how often each id stands in a token file, ``[vocab_size]``, reading it in blocks."""
    counts = np.zeros(vocab_size, dtype=np.int64)
    with open(path, "rb") as file:
        while len(block := np.fromfile(file, dtype=np.dtype(id_type(vocab_size)).newbyteorder("<"), count=_BLOCK)):
            counts += np.bincount(block, minlength=vocab_size)
    return counts


def zipf(counts: npt.NDArray[np.int64], points: int = 100) -> dict[str, Any]:
    """Rank tokens by how often they stand in a text, and fit ``count ∝ rank^-exponent``.

    The fit is least squares over the logarithms, at ranks spread evenly over theirs: over all ranks, the many rare
    tokens would outweigh the rest. It begins at rank 10.

    :return: ``points`` (``[rank, count]``), and ``exponent`` and ``scale`` (the line's count at rank 1); both are None
        when fewer than two points lie in the fit's range.
    """
    ranked = np.sort(counts[counts > 0])[::-1]
    if not len(ranked):
        return {"points": [], "exponent": None, "scale": None}
    ranks = np.unique(np.geomspace(1, len(ranked), points).round().astype(np.int64))
    rows = [[int(rank), int(ranked[rank - 1])] for rank in ranks]
    fitted = np.log([row for row in rows if row[0] >= _FIRST_RANK])
    if len(fitted) < 2:
        return {"points": rows, "exponent": None, "scale": None}
    slope, level = np.polyfit(fitted[:, 0], fitted[:, 1], 1)
    return {"points": rows, "exponent": round(-float(slope), 3), "scale": round(math.exp(level), 1)}


def _half_octave(length: int) -> int:
    """Return ``floor(2 log2(length))``, exactly."""
    return max(0, (length * length).bit_length() - 1)


def _shortest(step: int) -> int:
    """Return the smallest length whose half octave is ``step``."""
    return math.isqrt((1 << step) - 1) + 1
