"""Held-out text that training has read: validation and test documents with 13 words in a row of a training document.

A score on such a document measures memory. Thirteen words are the measure of Brown et al., "Language models are
few-shot learners" (2020), appendix C. The documents are left out of validation and test; training keeps its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from slm.corpus.near import Words, word_grams

GRAM = 13
_BATCH = 256


def held_grams(texts: Iterable[str], part: tuple[int, int] = (0, 1)) -> Words:
    """Return the hashes of the 13-grams of ``texts``, ascending and each once.

    :param part: ``(i, n)``: only the i-th of n parts of all hashes.
    """
    number, parts = (np.uint64(value) for value in part)
    found = [np.unique(hashes[hashes % parts == number]) for hashes, _ in _batches(texts)]
    return np.unique(np.concatenate(found)) if found else np.zeros(0, np.uint64)


def seen_grams(texts: Iterable[str], held: Words) -> Words:
    """Return those of the ascending hashes ``held`` that stand in ``texts``."""
    marks = np.zeros(len(held), dtype=bool)
    if len(held):
        for hashes, _ in _batches(texts):
            places = np.searchsorted(held, hashes)
            places[places == len(held)] = 0
            marks[places[held[places] == hashes]] = True
    return held[marks]


def contaminated(texts: Iterable[str], seen: Words) -> npt.NDArray[np.bool_]:
    """Say of each text whether a 13-gram of it is among the ascending hashes ``seen``."""
    out: list[npt.NDArray[np.bool_]] = []
    for hashes, counts in _batches(texts):
        places = np.searchsorted(seen, hashes)
        places[places == len(seen)] = 0
        hits = seen[places] == hashes if len(seen) else np.zeros(len(hashes), dtype=bool)
        document = np.repeat(np.arange(len(counts)), counts)
        out.append(np.bincount(document[hits], minlength=len(counts)) > 0)
    return np.concatenate(out) if out else np.zeros(0, bool)


def _batches(texts: Iterable[str]) -> Iterator[tuple[Words, npt.NDArray[np.int64]]]:
    """Yield the hashes of the 13-grams of some texts at a time, and how many each text has."""
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == _BATCH:
            yield _grams(batch)
            batch = []
    if batch:
        yield _grams(batch)


def _grams(texts: Sequence[str]) -> tuple[Words, npt.NDArray[np.int64]]:
    hashes, offsets = word_grams(texts, GRAM)
    return hashes, np.diff(offsets)
