"""Splitting by document and mixing by tokens: which documents stand in which split, and how often."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from slm.spec import Bucket, SplitSpec

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


def split_of(key: str, seed: int, split: SplitSpec) -> Split:
    """Return the split of all documents that share ``key``; it depends on nothing else in the corpus."""
    point = _hash(f"{seed}:split:{key}") / 2**64
    if point < split.train:
        return "train"
    return "val" if point < split.train + split.val else "test"


def order_of(key: str, path: str, seed: int) -> int:
    """Return a 64-bit number by which documents are shuffled, the same in every build with ``seed``."""
    return _hash(f"{seed}:order:{key}:{path}")


@dataclass(frozen=True)
class Choice:
    """What one bucket gives to one split: document numbers in order (repeated ones too), and the tokens they hold."""

    documents: list[int]
    tokens: int
    available: int
    wanted: int


def reweigh(
    available: Mapping[Bucket, int], shares: Mapping[Bucket, float], tokens: int, max_repetition: int, slack: float
) -> dict[Bucket, float]:
    """Move shares from buckets that cannot fill theirs, even repeated, to those that can, each by at most ``slack``.

    :param available: the different tokens of each bucket.
    :return: shares that add up to what ``shares`` add up to; the same ones where every bucket can fill its own.
    """
    room = {bucket: available.get(bucket, 0) * max_repetition / tokens for bucket in shares}
    after = {
        bucket: max(share - slack, min(share, room[bucket]), 0.0) if share > 0 else share
        for bucket, share in shares.items()
    }
    missing = sum(shares.values()) - sum(after.values())
    gain = {
        bucket: max(0.0, min(share + slack, room[bucket]) - share) if share > 0 and after[bucket] == share else 0.0
        for bucket, share in shares.items()
    }
    if missing <= 0 or not any(gain.values()):
        return dict(shares)
    given = min(1.0, missing / sum(gain.values()))
    after = {bucket: share + gain[bucket] * given for bucket, share in after.items()}
    # What nobody has room for stays where it was, in proportion to what was taken.
    rest = sum(shares.values()) - sum(after.values())
    return {
        bucket: share + rest * max(0.0, shares[bucket] - share) / missing if rest > 0 else share
        for bucket, share in after.items()
    }


def mix(
    supply: Mapping[Bucket, Sequence[tuple[int, int]]],
    shares: Mapping[Bucket, float],
    tokens: int,
    max_repetition: int,
) -> tuple[dict[Bucket, Choice], float]:
    """Fill every bucket to its share of ``tokens``.

    :param supply: (document number, tokens) of each bucket, already shuffled.
    :return: the choice of each bucket with a share, and the scale (at most 1) by which everything was made smaller,
        because a bucket is too small for its share even when repeated.
    """
    available = {bucket: sum(size for _, size in supply.get(bucket, ())) for bucket in shares}
    scale = min(
        [1.0, *(available[bucket] * max_repetition / (share * tokens) for bucket, share in shares.items() if share > 0)]
    )
    return {
        bucket: _fill(supply.get(bucket, ()), round(share * tokens * scale), available[bucket], max_repetition)
        for bucket, share in shares.items()
        if share > 0
    }, scale


def _fill(documents: Sequence[tuple[int, int]], target: int, available: int, max_repetition: int) -> Choice:
    """Take documents in order until ``target`` tokens are reached, again and again when they run out.

    A document that would overshoot by more than a hundredth is passed over, so that one long text cannot spoil a small
    split.
    """
    taken: list[int] = []
    total = 0
    slack = target // 100
    for _ in range(max_repetition):
        if total >= target - slack:
            break
        for number, size in documents:
            if total + size <= target + slack:
                taken.append(number)
                total += size
                if total >= target:
                    break
    return Choice(taken, total, available, target)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
