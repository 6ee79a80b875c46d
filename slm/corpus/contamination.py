"""Held-out text that training has read: validation and test documents with 13 words in a row of a training document.

A score on such a passage measures memory. Thirteen words are the measure of Brown et al., "Language models are few-shot
learners" (2020), appendix C. Its paragraphs are taken out of validation and test; training keeps its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

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
    found = [np.unique(hashes[hashes % parts == number]) for hashes in _batches(texts)]
    return np.unique(np.concatenate(found)) if found else np.zeros(0, np.uint64)


def seen_grams(texts: Iterable[str], held: Words) -> Words:
    """Return those of the ascending hashes ``held`` that stand in ``texts``."""
    marks = np.zeros(len(held), dtype=bool)
    if len(held):
        for hashes in _batches(texts):
            marks[np.searchsorted(held, hashes[_among(hashes, held)])] = True
    return held[marks]


def without_seen(text: str, seen: Words) -> str:
    """Return ``text`` without the paragraphs that hold a word of a 13-gram among the ascending hashes ``seen``.

    Nothing is left of a text that has fewer than 13 words and is seen as a whole, or that loses more than half.
    """
    left = text
    while True:
        hashes, _ = word_grams([left], GRAM)
        hits = np.flatnonzero(_among(hashes, seen))
        if not len(hits):
            return left
        paragraphs = left.split("\n\n")
        words = np.diff(word_grams(paragraphs, 1)[1])
        bad = np.zeros(int(words.sum()), dtype=bool)
        for step in range(GRAM):
            bad[np.minimum(hits + step, len(bad) - 1)] = True
        # Of the paragraph of each word; one without words goes with nothing and stays.
        owner = np.repeat(np.arange(len(paragraphs)), words)
        gone = set(owner[bad].tolist())
        left = "\n\n".join(part for number, part in enumerate(paragraphs) if number not in gone).strip()
        if 2 * len(left) < len(text):
            return ""


def _among(hashes: Words, seen: Words) -> npt.NDArray[np.bool_]:
    if not len(seen):
        return np.zeros(len(hashes), dtype=bool)
    places = np.searchsorted(seen, hashes)
    places[places == len(seen)] = 0
    found: npt.NDArray[np.bool_] = seen[places] == hashes
    return found


def _batches(texts: Iterable[str]) -> Iterator[Words]:
    """Yield the hashes of the 13-grams of some texts at a time."""
    stream = iter(texts)
    while batch := list(itertools.islice(stream, _BATCH)):
        yield word_grams(batch, GRAM)[0]
