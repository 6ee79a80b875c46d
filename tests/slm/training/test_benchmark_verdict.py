from __future__ import annotations

import math

import pytest

from benchmarks.training import verdict

FIRST = {"seconds": 300.0, "bits_per_byte": 1.6}


@pytest.mark.parametrize("score", [1.5, 1.6])
def test_a_score_as_good_is_compared_by_its_time(score: float) -> None:
    assert verdict(FIRST, {"seconds": 100.0, "bits_per_byte": score}) == "3.00× as fast"


@pytest.mark.parametrize("score", [1.6001, math.nan])
def test_a_worse_score_is_not_called_fast(score: float) -> None:
    assert verdict(FIRST, {"seconds": 1.0, "bits_per_byte": score}) == "the first's score is not reached"
