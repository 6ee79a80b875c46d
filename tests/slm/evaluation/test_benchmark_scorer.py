from __future__ import annotations

import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import ValidationError

from slm.evaluation.benchmark.scorer import Scorer
from slm.evaluation.benchmark.weights import fitted

Questions = tuple[list[npt.NDArray[np.float32]], list[npt.NDArray[np.bool_]]]


def questions(seed: int, count: int) -> Questions:
    """Of six answers one is right: the one whose first two figures agree in sign, which no sum of them tells."""
    rng = np.random.default_rng(seed)
    figures, right = [], []
    for _ in range(count):
        each = rng.uniform(0.5, 1, (6, 3)) * rng.choice((-1, 1), (6, 3))
        each[:, 1] = -np.sign(each[:, 0]) * np.abs(each[:, 1])
        answer = int(rng.integers(6))
        each[answer, 1] *= -1
        figures.append((each * (1, 1, 50) + (0, 3, 200)).astype(np.float32))
        right.append(np.arange(6) == answer)
    return figures, right


def share_right(scorer: Scorer, asked: Questions) -> float:
    return float(
        np.mean([these[scorer.scores(each.astype(np.float64)).argmax()] for each, these in zip(*asked, strict=True)])
    )


def test_it_learns_what_no_weighted_sum_can_tell() -> None:
    known, asked = questions(0, 3000), questions(1, 300)
    weights = fitted([each.astype(np.float64) for each in known[0][:300]], known[1][:300])
    by_sum = float(np.mean([these[(each @ weights).argmax()] for each, these in zip(*asked, strict=True)]))
    assert by_sum < 0.5 and share_right(Scorer.fitted(*known), asked) > 0.9


def test_equal_questions_and_seeds_give_equal_weights_and_others_do_not() -> None:
    known = questions(0, 50)
    assert Scorer.fitted(*known, seed=3) == Scorer.fitted(*known, seed=3) != Scorer.fitted(*known, seed=4)


def test_a_figure_that_never_moved_does_not_count_once_it_does() -> None:
    figures, right = questions(0, 200)
    still = [np.concatenate([each, np.zeros((6, 1), np.float32)], axis=1) for each in figures]
    scorer = Scorer.fitted(still, right)
    asked = still[0].astype(np.float64)
    moved = asked + np.array([0, 0, 0, -4.0])
    assert np.array_equal(scorer.scores(moved), scorer.scores(asked))


def test_one_question_with_one_answer_is_enough() -> None:
    scorer = Scorer.fitted([np.ones((1, 3), np.float32)], [np.array([True])])
    assert np.isfinite(scorer.scores(np.ones((2, 3)))).all()


def test_who_only_scores_loads_no_torch() -> None:
    code = "import sys, slm.evaluation.benchmark.neighbours; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_questions_without_a_right_answer_say_nothing() -> None:
    figures, right = questions(0, 64)
    nothing = [np.zeros(6, bool)] * 10
    known = Scorer.fitted(figures, right)
    assert Scorer.fitted([*figures, *figures[:10]], [*right, *nothing]) == known
    assert np.isfinite(Scorer.fitted(figures[:10], nothing).scores(figures[0].astype(np.float64))).all()


@pytest.mark.parametrize(
    "wrong", [{"bias": [0.0, 0.0]}, {"hidden": [[1.0]]}, {"out": []}, {"linear": [float("nan")] * 2}]
)
def test_weights_that_do_not_fit_each_other_are_refused(wrong: dict[str, object]) -> None:
    stored = {"linear": [1.0, 2.0], "hidden": [[0.5, -1.0]], "bias": [0.0], "out": [2.0]}
    scores = Scorer.model_validate(stored).scores(np.array([[1.0, 1.0], [3.0, 0.0]]))
    assert scores.tolist() == [3.0, 3.0 + 2 * 1.5]
    with pytest.raises(ValidationError):
        Scorer.model_validate(stored | wrong)
