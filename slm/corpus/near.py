"""Near-duplicates: MinHash signatures of word 3-grams, banded to candidates, each candidate checked exactly.

A document is the set of its word 3-grams (case folded; a shorter text is one 3-gram). Signatures and bands only
propose pairs; a document is left out for another only when the Jaccard index of the two sets themselves reaches the
threshold, so nothing is lost to a rough estimate.

MinHash: Broder, "On the resemblance and containment of documents" (1997). Banding: Leskovec, Rajaraman, Ullman,
"Mining of Massive Datasets", chapter 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Hashes = npt.NDArray[np.uint32]

GRAM = 3
PERMUTATIONS = 128
#: 21 bands of 6 rows propose a pair of Jaccard index 0.8 with probability 1 - (1 - 0.8⁶)²¹ = 0.998.
BANDS, ROWS = 21, 6
#: A signature estimates the index with a standard deviation of at most 0.045; candidates below by more than three of
#: these are not looked at.
_MARGIN = 0.14

#: A row of a band that more documents share than this says little of any of them; the latest so many are looked at.
_CROWD = 2_000

#: Odd multipliers make bijections of the 32-bit numbers; drawn once, for all corpora.
_MULTIPLIERS = np.random.Generator(np.random.PCG64(1)).integers(0, 2**32, PERMUTATIONS, dtype=np.uint32) | np.uint32(1)
_ADDENDS = np.random.Generator(np.random.PCG64(2)).integers(0, 2**32, PERMUTATIONS, dtype=np.uint32)

#: Bytes that make words: letters, digits, the underscore, and whatever is not ASCII.
_IN_WORD = np.array([bytes([c]).isalnum() or c == 0x5F or c >= 0x80 for c in range(256)])
_BASE = 0x9E3779B97F4A7C15
#: Masks of the first 0 to 8 bytes of a little-endian number.
_FIRST_BYTES = np.array([(1 << 8 * count) - 1 for count in range(9)], dtype=np.uint64)
#: Texts are hashed in blocks of about so many bytes, which keeps the working arrays in a processor's cache.
_BLOCK = 1 << 19


@dataclass(frozen=True)
class Grams:
    """The 3-grams of documents: ``values[offsets[i]:offsets[i + 1]]`` are those of document ``i``, ascending."""

    values: Hashes
    offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """How many documents there are."""
        return len(self.offsets) - 1

    def of(self, document: int) -> Hashes:
        """Return one document's set."""
        return self.values[self.offsets[document] : self.offsets[document + 1]]


def word_grams(texts: Sequence[str], gram: int) -> tuple[Words, npt.NDArray[np.int64]]:
    """Hash every run of ``gram`` words of each text to 64 bits, in reading order.

    :return: the hashes ``[all]``, and ``offsets`` ``[texts + 1]`` of each text's first. A text of fewer words, but at
        least one, has a single hash, of all of them.
    """
    hashes: list[Words] = []
    counts = np.zeros(len(texts), dtype=np.int64)
    first = 0
    while first < len(texts):
        size, last = 0, first
        encoded: list[bytes] = []
        while last < len(texts) and (not encoded or size < _BLOCK):
            encoded.append(texts[last].casefold().encode("utf-8", "surrogatepass") + b"\n")
            size += len(encoded[-1])
            last += 1
        found, counts[first:last] = _block_grams(encoded, gram)
        hashes.append(found)
        first = last
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    return (np.concatenate(hashes) if hashes else np.zeros(0, np.uint64)), offsets


def _block_grams(encoded: list[bytes], gram: int) -> tuple[Words, npt.NDArray[np.int64]]:
    ends = np.cumsum([len(text) for text in encoded])
    data = np.frombuffer(b"".join(encoded), dtype=np.uint8)
    words, starts = _hash_words(data)
    bounds = np.searchsorted(starts, ends)  # behind each document's last word
    per_document = np.diff(bounds, prepend=0)
    document = np.repeat(np.arange(len(encoded)), per_document)  # of each word
    combined = words.copy()
    for step in range(1, gram):
        combined *= np.uint64(_BASE)
        combined[: -step or None] += words[step:]
        combined ^= combined >> np.uint64(29)
    # A run counts where its last word is of the same document; a short document's, where it starts.
    whole = np.zeros(len(words), dtype=bool)
    runs = max(len(words) - gram + 1, 0)
    np.equal(document[gram - 1 :], document[:runs], out=whole[:runs])
    firsts = bounds - per_document
    short = (per_document < gram) & (per_document > 0)
    if short.any():
        for number in np.flatnonzero(short):
            value = np.uint64(0)
            with np.errstate(over="ignore"):
                for word in words[firsts[number] : firsts[number] + per_document[number]]:
                    value = value * np.uint64(_BASE) + word
            combined[firsts[number]] = value
        whole[firsts[short]] = True
    counts = np.bincount(document[whole], minlength=len(encoded))
    return _mix(combined[whole]), counts


def _hash_words(data: npt.NDArray[np.uint8]) -> tuple[Words, npt.NDArray[np.int64]]:
    """Hash each word of ``data``, and say where it starts: eight bytes at a time, those behind its end as zeros."""
    inside = _IN_WORD.take(data)
    edges = np.flatnonzero(np.diff(inside, prepend=False, append=False))
    starts, left = edges[::2], edges[1::2] - edges[::2]
    padded = np.concatenate((data, np.zeros(8, np.uint8)))
    # The eight bytes from each place on, as one number.
    eights = np.ndarray((len(data) + 1,), dtype="<u8", buffer=padded, strides=(1,))
    hashes = _mix(left.astype(np.uint64))
    going, place = np.arange(len(starts)), starts  # the words of which bytes are left
    while len(going):
        piece = eights.take(place)
        piece &= _FIRST_BYTES.take(left, mode="clip")
        hashes[going] = _mix(hashes.take(going) * np.uint64(_BASE) + piece)
        more = np.flatnonzero(left > 8)
        going, place, left = going.take(more), place.take(more) + 8, left.take(more) - 8
    return hashes, starts


def _mix(values: Words) -> Words:
    """Spread every bit over all (the finaliser of SplitMix64; Steele, Lea, Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def gram_sets(texts: Sequence[str]) -> Grams:
    """Return each text's set of word 3-grams."""
    hashes, offsets = word_grams(texts, GRAM)
    values = (hashes >> np.uint64(32)).astype(np.uint32)
    for first, last in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        values[first:last].sort()
    # Sorted within each text, a value stands again only right behind itself.
    fresh = np.ones(len(values), dtype=bool)
    fresh[1:] = values[1:] != values[:-1]
    fresh[offsets[:-1][np.diff(offsets) > 0]] = True
    bounds = np.concatenate(([0], np.cumsum(fresh)))[offsets]
    return Grams(values[fresh], bounds)


def signatures(grams: Grams) -> Hashes:
    """Return ``[documents, 128]``: under each permutation, the least of a document's 3-grams (all ones if it has none).

    One permutation of all 3-grams at a time, whose least are found document by document: simple loops over
    contiguous numbers, which a processor does eight or sixteen at once.
    """
    out = np.full((PERMUTATIONS, len(grams)), 0xFFFFFFFF, dtype=np.uint32)
    some = np.diff(grams.offsets) > 0
    starts = grams.offsets[:-1][some]
    permuted = np.empty(len(grams.values), dtype=np.uint32)
    for number in range(PERMUTATIONS if len(starts) else 0):
        np.multiply(grams.values, _MULTIPLIERS[number], out=permuted)
        permuted += _ADDENDS[number]
        out[number, some] = np.minimum.reduceat(permuted, starts)
    return np.ascontiguousarray(out.T)


def jaccard(left: Hashes, right: Hashes) -> float:
    """Return the Jaccard index of two ascending sets; 0 when both are empty."""
    if not len(left) or not len(right):
        return 0.0
    # Equal values stand side by side in the merged order.
    merged = np.sort(np.concatenate((left, right)), kind="stable")
    shared = int(np.count_nonzero(merged[1:] == merged[:-1]))
    return shared / (len(merged) - shared)


def duplicates(
    grams: Grams, marks: npt.NDArray[Any], threshold: float, among: npt.NDArray[np.bool_] | None = None
) -> dict[int, tuple[int, float]]:
    """Find the documents to leave out: each with the earlier one that stays, and their Jaccard index.

    :param marks: what :func:`signatures` returned for ``grams``; both may be memory-mapped.
    :param among: which documents are looked at at all; without it, every one.
    """
    sizes = np.diff(grams.offsets)
    looked = np.flatnonzero(sizes > 0 if among is None else among & (sizes > 0))
    groups = np.full((len(marks), BANDS), -1, dtype=np.int32)
    for band in range(BANDS):
        groups[looked, band] = _groups(marks[looked, band * ROWS : (band + 1) * ROWS])
    kept: dict[tuple[int, int], list[int]] = {}
    out: dict[int, tuple[int, float]] = {}
    for document in np.flatnonzero((groups >= 0).any(axis=1)).tolist():
        mine = [(band, group) for band, group in enumerate(groups[document].tolist()) if group >= 0]
        candidates = sorted({other for key in mine for other in kept.get(key, ())[-_CROWD:]})
        found = _match(document, candidates, grams, marks, sizes, threshold) if candidates else None
        if found is not None:
            out[document] = found
            continue
        for key in mine:
            kept.setdefault(key, []).append(document)
    return out


def _match(
    document: int,
    candidates: list[int],
    grams: Grams,
    marks: npt.NDArray[Any],
    sizes: npt.NDArray[np.int64],
    threshold: float,
) -> tuple[int, float] | None:
    """Return the most alike of the candidates when it is alike enough."""
    others = np.array(candidates)
    likeness = (marks[others] == marks[document]).mean(axis=1)
    ratio = np.minimum(sizes[others], sizes[document]) / np.maximum(sizes[others], sizes[document])
    for place in np.argsort(-likeness, kind="stable"):
        if likeness[place] < threshold - _MARGIN:
            return None
        if ratio[place] < threshold:  # the index is never above the ratio of the sizes
            continue
        index = jaccard(grams.of(int(others[place])), grams.of(document))
        if index >= threshold:
            return int(others[place]), index
    return None


def _groups(rows: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Number the documents so that those whose rows of a band are all equal share a number; -1 for one alone."""
    keys = np.zeros(len(rows), dtype=np.uint64)
    for column in rows.T:
        keys = _mix(keys * np.uint64(_BASE) + column)
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1]))[: len(ordered)])
    lengths = np.diff(np.append(starts, len(ordered)))
    groups = np.empty(len(rows), dtype=np.int32)
    groups[order] = np.repeat(np.where(lengths > 1, np.arange(len(lengths)), -1), lengths)
    return groups


def sample_left(grams: Grams, left: npt.NDArray[np.bool_], threshold: float, sample: int, seed: int) -> tuple[int, int]:
    """Compare a random sample of documents with all others and count those that have a near-duplicate, missing none.

    Sets of Jaccard index t share one of their |A| - ⌈t|A|⌉ + 1 least members at least (prefix filtering; Chaudhuri,
    Ganti, Kaushik, "A primitive operator for similarity joins", 2006), so only those are looked up.

    :param left: which documents there are, by number in ``grams``.
    :return: how many of the sample have one, and how large the sample is.
    """
    sizes = np.diff(grams.offsets)
    kept = np.flatnonzero(left & (sizes > 0))
    if not len(kept):
        return 0, 0
    rng = np.random.Generator(np.random.PCG64([seed, 7]))
    chosen = np.sort(rng.choice(kept, min(sample, len(kept)), replace=False))
    prefixes = sizes - np.ceil(threshold * sizes).astype(np.int64) + 1

    def least(document: int) -> Hashes:
        return grams.of(document)[: prefixes[document]]

    index = np.concatenate([least(number) for number in chosen.tolist()])
    owners = np.repeat(np.arange(len(chosen)), prefixes[chosen])
    order = np.argsort(index, kind="stable")
    index, owners = index[order], owners[order]
    alike = np.zeros(len(chosen), dtype=bool)
    for number in kept.tolist():
        mine = least(number)
        low, high = np.searchsorted(index, mine, "left"), np.searchsorted(index, mine, "right")
        hits = np.flatnonzero(high > low)
        if not len(hits):
            continue
        for place in np.unique(np.concatenate([owners[low[hit] : high[hit]] for hit in hits])).tolist():
            other = int(chosen[place])
            near_in_size = min(sizes[other], sizes[number]) >= threshold * max(sizes[other], sizes[number])
            if other != number and not alike[place] and near_in_size:
                alike[place] = jaccard(grams.of(other), grams.of(number)) >= threshold
    return int(alike.sum()), len(chosen)
