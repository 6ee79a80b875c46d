"""What a corpus holds, in figures: ``stats.json``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from slm.corpus.documents import Document
from slm.corpus.mix import SPLITS
from slm.corpus.pack import id_type
from slm.errors import CorpusError
from slm.spec import CorpusSpec

#: A split that could not be filled to its size by more than this share is worth a remark.
_SHORT = 0.98


def require_text(spec: CorpusSpec, buckets: Collection[str]) -> None:
    """Refuse a corpus in which a bucket that has a share has no text.

    :raises CorpusError: naming the empty buckets.
    """
    if empty := [bucket for bucket, share in spec.shares.items() if share > 0 and bucket not in buckets]:
        raise CorpusError(
            f"No text was left for {', '.join(empty)}.",
            "See `include` of its sources, and documents/rejected for what was left out and why.",
        )


def corpus_stats(
    spec: CorpusSpec,
    vocab_size: int,
    documents: Iterable[Document],
    rejected: Mapping[tuple[str, str], int],
    splits: Mapping[str, Any],
    missing: list[str],
    folder: Path,
) -> dict[str, Any]:
    """Count a packed corpus: sources, rejected texts by reason, the mix got and wanted, and remarks in words."""
    sources: dict[str, dict[str, Any]] = {}
    for document in documents:
        key = f"{document.source} → {document.bucket}"
        entry = sources.setdefault(
            key,
            {
                "source": document.source,
                "bucket": document.bucket,
                "licence": document.licence,
                "documents": 0,
                "characters": 0,
            },
        )
        entry["documents"] += 1
        entry["characters"] += len(document.text)
    reasons: Counter[str] = Counter()
    for (_, reason), count in rejected.items():
        reasons[reason] += count
    used = np.bincount(np.fromfile(folder / "train.bin", dtype=id_type(vocab_size)), minlength=vocab_size)
    notes = list(missing)
    for split in SPLITS:
        got, wanted = splits[split]["tokens"], splits[split]["wanted_tokens"]
        if got < _SHORT * wanted:
            tight = min(
                splits[split]["buckets"],
                key=lambda bucket: splits[split]["buckets"][bucket]["available_tokens"] / spec.shares[bucket],
            )
            there = splits[split]["buckets"][tight]["available_tokens"]
            notes.append(
                f"{split} holds {got} tokens, not the {wanted} wished for: {tight} has only {there} "
                f"for its share of {spec.shares[tight]:.0%}."
            )
    return {
        "name": spec.name,
        "notes": notes,
        "rejected": dict(sorted(reasons.items())),
        "rejected_by_source": {f"{source}: {reason}": count for (source, reason), count in sorted(rejected.items())},
        "shares": spec.shares,
        "sources": [sources[key] for key in sorted(sources)],
        "splits": splits,
        "vocab_size": vocab_size,
        "vocabulary_used": round(float((used > 0).mean()), 4),
    }
