from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks.training import verdict, with_steps
from slm.spec_file import load_spec

FIRST = {"seconds": 300.0, "bits_per_byte": 1.6}


@pytest.mark.parametrize("score", [1.5, 1.6])
def test_a_score_as_good_is_compared_by_its_time(score: float) -> None:
    assert verdict(FIRST, {"seconds": 100.0, "bits_per_byte": score}) == "3.00× as fast"


@pytest.mark.parametrize("score", [1.6001, math.nan])
def test_a_worse_score_is_not_called_fast(score: float) -> None:
    assert verdict(FIRST, {"seconds": 1.0, "bits_per_byte": score}) == "the first's score is not reached"


def test_a_comparison_takes_the_steps_asked_for_on_one_worker() -> None:
    for name in ("nano", "medium", "large"):
        spec = load_spec(Path(f"specs/builds/{name}.yaml"), [])
        alone = with_steps(spec, 30, whole=True)
        assert (alone.steps, alone.train.workers) == (30, 1), name
        assert alone.batch_tokens * spec.train.workers == spec.batch_tokens, name
