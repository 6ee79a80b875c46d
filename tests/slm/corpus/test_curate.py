"""The measure of duplicates that are left, against brute force."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from slm.corpus.curate import duplicates_left
from slm.corpus.near import gram_sets, jaccard
from slm.spec import CorpusSpec
from tests.data.corpus.make import corpus_section

TEXT = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=14).map(" ".join)


@given(st.lists(TEXT, min_size=1, max_size=12), st.sampled_from([0.55, 0.8, 0.95]))
@settings(max_examples=200)
def test_no_duplicate_that_is_left_goes_unseen(texts: list[str], threshold: float) -> None:
    grams = gram_sets(texts)
    spec = CorpusSpec.model_validate({**corpus_section(Path("x")), "near_duplicate": threshold})
    left = np.array([number % 3 != 2 for number in range(len(texts))])
    pairs = [(a, b) for a, b in itertools.permutations(np.flatnonzero(left).tolist(), 2)]
    alike = {a for a, b in pairs if jaccard(grams.of(a), grams.of(b)) >= threshold}
    measured = duplicates_left(grams, left, spec)
    assert measured["duplicates_sample"] == left.sum()
    assert abs(measured["duplicates_left"] * left.sum() - len(alike)) < 1e-6
