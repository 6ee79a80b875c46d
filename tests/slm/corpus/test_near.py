"""Near-duplicates against brute force over the same sets, and the sets against a plain reading of the text."""

from __future__ import annotations

import itertools
import random
import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from slm.corpus.near import (
    GRAM,
    Grams,
    duplicates,
    gram_sets,
    jaccard,
    sample_left,
    signatures,
    word_grams,
)

WORD = re.compile(rb"[A-Za-z0-9_\x80-\xff]+")
TEXTS = st.lists(st.text(st.sampled_from("abAB é_ \n.,"), max_size=60), max_size=12)


def plain_grams(text: str, gram: int) -> list[tuple[bytes, ...]]:
    words = WORD.findall(text.casefold().encode("utf-8", "surrogatepass"))
    if 0 < len(words) < gram:
        return [tuple(words)]
    return [tuple(words[place : place + gram]) for place in range(len(words) - gram + 1)]


@given(TEXTS, st.sampled_from([1, 3, 13]))
def test_hashes_are_equal_exactly_where_the_runs_of_words_are(texts: list[str], gram: int) -> None:
    hashes, offsets = word_grams(texts, gram)
    runs = [plain_grams(text, gram) for text in texts]
    assert np.diff(offsets).tolist() == [len(run) for run in runs]
    meaning: dict[int, tuple[bytes, ...]] = {}
    for value, run in zip(hashes.tolist(), itertools.chain(*runs), strict=True):
        assert meaning.setdefault(value, run) == run
    assert len(meaning) == len(set(itertools.chain(*runs)))


@given(TEXTS)
def test_sets_do_not_depend_on_their_company(texts: list[str]) -> None:
    together = gram_sets(texts)
    for number, text in enumerate(texts):
        assert together.of(number).tolist() == gram_sets([text]).of(0).tolist()
        assert len(together.of(number)) == len(set(plain_grams(text, GRAM)))


def test_texts_longer_than_a_block_are_hashed_alike() -> None:
    rng = random.Random(1)
    words = [f"w{rng.randrange(5000)}" for _ in range(150_000)]
    long, tail = " ".join(words), " ".join(words[-1000:])
    hashes, offsets = word_grams([long, tail, long], GRAM)
    first, second, third = (hashes[offsets[n] : offsets[n + 1]] for n in range(3))
    assert np.array_equal(first, third)
    assert np.array_equal(first[-len(second) :], second)


@given(st.sets(st.integers(0, 2**32 - 1), max_size=60), st.sets(st.integers(0, 2**32 - 1), max_size=60))
def test_jaccard_is_that_of_the_sets(left: set[int], right: set[int]) -> None:
    arrays = [np.array(sorted(values), dtype=np.uint32) for values in (left, right)]
    expected = len(left & right) / len(left | right) if left and right else 0.0
    assert jaccard(arrays[0], arrays[1]) == expected


def family(rng: random.Random, documents: int) -> list[str]:
    """Texts of which many are others with some of their words changed."""
    texts: list[list[str]] = []
    for _ in range(documents):
        if texts and rng.random() < 0.6:
            words = list(rng.choice(texts))
            for _ in range(rng.randrange(0, 1 + len(words) // 10)):
                words[rng.randrange(len(words))] = f"n{rng.randrange(10**6)}"
        else:
            words = [f"w{rng.randrange(3000)}" for _ in range(rng.randrange(20, 300))]
        texts.append(words)
    return [" ".join(words) for words in texts]


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32))
def test_what_is_left_out_has_a_like_that_stays_and_almost_nothing_is_missed(seed: int) -> None:
    texts = family(random.Random(seed), 400)
    grams = gram_sets(texts)
    found = duplicates(grams, signatures(grams), 0.8)
    for gone, (stays, index) in found.items():
        assert stays < gone
        assert stays not in found
        assert index >= 0.8
        left, right = set(plain_grams(texts[gone], GRAM)), set(plain_grams(texts[stays], GRAM))
        assert abs(len(left & right) / len(left | right) - index) < 1e-9
    kept = [number for number in range(len(texts)) if number not in found]
    pairs = sum(jaccard(grams.of(a), grams.of(b)) >= 0.8 for a, b in itertools.combinations(kept, 2))
    assert pairs <= 0.02 * max(len(found), 1)


def test_signatures_estimate_the_index() -> None:
    rng = random.Random(3)
    words = [f"w{number}" for number in range(2000)]
    other = words[:1400] + [f"x{rng.random()}" for _ in range(600)]
    grams = gram_sets([" ".join(words), " ".join(other)])
    marks = signatures(grams)
    assert abs((marks[0] == marks[1]).mean() - jaccard(grams.of(0), grams.of(1))) < 0.15


def test_nothing_in_nothing_out() -> None:
    grams = gram_sets(["", "...", ""])
    assert duplicates(grams, signatures(grams), 0.8) == {}
    assert len(Grams(grams.values, grams.offsets)) == 3
    assert duplicates(gram_sets([]), signatures(gram_sets([])), 0.8) == {}


SHORT = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=14).map(" ".join)


@given(st.lists(SHORT, min_size=1, max_size=12), st.sampled_from([0.55, 0.8, 0.95]))
@settings(max_examples=200)
def test_no_duplicate_that_is_left_goes_unseen(texts: list[str], threshold: float) -> None:
    grams = gram_sets(texts)
    left = np.array([number % 3 != 2 for number in range(len(texts))])
    pairs = [(a, b) for a, b in itertools.permutations(np.flatnonzero(left).tolist(), 2)]
    alike = {a for a, b in pairs if jaccard(grams.of(a), grams.of(b)) >= threshold}
    assert sample_left(grams, left, threshold, 100, 0) == (len(alike), left.sum())
    assert sample_left(grams, left, threshold, 2, 0)[1] == min(2, left.sum())
