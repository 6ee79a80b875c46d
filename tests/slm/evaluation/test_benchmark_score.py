from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm.errors import ArtefactError
from slm.evaluation.benchmark.calibration import Judged, fit, fit_platt, fit_temperature
from slm.evaluation.benchmark.score import (
    BINS,
    expected_calibration_error,
    interval,
    is_order,
    kendall_tau,
    plain,
    rank,
    same_words,
    token_f1,
)
from slm.serving.confidence import Calibration, read_calibrations, tempered, write_calibrations

NAMES = st.lists(st.sampled_from(["intel", "gigabit", "ethernet", "82540em", "controller"]), max_size=6)


def test_any_right_answer_counts_and_its_place() -> None:
    ranked = [("8139cp", 0.5), ("snd-hda-intel", 0.3), ("e1000", 0.1)]
    assert rank(ranked, ["snd_hda_intel"]) == 1
    assert rank(ranked, ["e1000", "8139CP"]) == 0
    assert rank(ranked, ["ahci"]) is None and rank((), ["ahci"]) is None
    assert plain("  Two  Words ") == "two words"
    assert same_words("Intel Corp.", "intel corp") and not same_words("Intel", "Intel Corp")


@given(NAMES, NAMES)
def test_token_f1_equals_its_definition(said: list[str], right: list[str]) -> None:
    left = list(right)
    shared = 0
    for word in said:
        if word in left:
            left.remove(word)
            shared += 1
    wanted = 0.0
    if shared:
        precision, recall = shared / len(said), shared / len(right)
        wanted = 2 * precision * recall / (precision + recall)
    assert token_f1(" ".join(said).upper(), ", ".join(right)) == pytest.approx(wanted)


@given(st.permutations(range(6)), st.integers(2, 6))
def test_kendalls_tau_equals_its_definition(order: list[int], length: int) -> None:
    order = [number for number in order if number < length]
    pairs = list(itertools.combinations(order, 2))
    assert kendall_tau(order) == pytest.approx(sum(1 if a < b else -1 for a, b in pairs) / len(pairs))
    assert is_order(order, length) and not is_order(order[1:], length) and not is_order([0] * length, length)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_calibration_error_equals_its_definition(answers: list[tuple[float, bool]]) -> None:
    wanted = 0.0
    for number in range(BINS):
        inside = [(c, r) for c, r in answers if min(int(c * BINS), BINS - 1) == number]
        if inside:
            believed, found = (sum(row[i] for row in inside) / len(inside) for i in (0, 1))
            wanted += abs(believed - found) * len(inside) / len(answers)
    confidence, right = (np.array([float(row[i]) for row in answers]) for i in (0, 1))
    assert expected_calibration_error(confidence, right) == pytest.approx(wanted)


def test_nineteen_of_twenty_intervals_cover() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        low, high = interval((rng.random(120) < 0.7).astype(float), seed)
        covered += low <= 0.7 <= high
    assert 180 <= covered <= 199
    assert interval(np.ones(5)) == (1.0, 1.0)
    assert all(map(math.isnan, interval(np.zeros(0))))
    values = rng.random(50)
    assert interval(values, 3) == interval(values, 3)


def sampled(temperature: float, count: int) -> list[Judged]:
    """Draw answers from distributions, and say the confidences of another temperature."""
    rng = np.random.default_rng(1)
    judged = []
    for _ in range(count):
        logits = np.sort(rng.normal(0, 2, 8))[::-1]
        true = np.exp(logits) / np.exp(logits).sum()
        said = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
        judged.append(Judged([float(value) for value in said], int(rng.choice(8, p=true))))
    return judged


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_found(temperature: float) -> None:
    # What was said at temperature t is put right by 1/t.
    assert fit_temperature(sampled(temperature, 4000)) == pytest.approx(1 / temperature, rel=0.08)


def test_what_is_missing_to_one_is_the_chance_that_none_is_right() -> None:
    assert tempered([0.5, 0.25], 1.0) == pytest.approx([0.5, 0.25])
    assert tempered([0.6, 0.4], 2.0).sum() == pytest.approx(1.0)
    rng = np.random.default_rng(2)
    judged = [Judged([0.99], 0 if rng.random() < 0.5 else None) for _ in range(400)]
    at = tempered([0.99], fit_temperature(judged))
    assert at[0] == pytest.approx(0.5, abs=0.1)


def test_platts_sigmoid_is_found() -> None:
    rng = np.random.default_rng(3)
    confidence = rng.uniform(0.02, 0.98, 20_000)
    chance = 1 / (1 + np.exp(-(0.5 * np.log(confidence / (1 - confidence)) - 0.7)))
    slope, intercept = fit_platt(confidence, (rng.random(20_000) < chance).astype(float))
    assert slope == pytest.approx(0.5, abs=0.05) and intercept == pytest.approx(-0.7, abs=0.07)


def test_calibration_mends_overconfidence_and_keeps_the_order() -> None:
    judged = sampled(0.3, 3000)
    calibration = fit(judged[:1500])
    assert calibration is not None and calibration.n == 1500
    rest = judged[1500:]
    right = np.array([item.place == 0 for item in rest], dtype=float)
    before = np.array([item.confidences[0] for item in rest])
    after = np.array([calibration.confidence(item.confidences) for item in rest])
    assert expected_calibration_error(after, right) < 0.5 * expected_calibration_error(before, right)
    assert calibration.confidence([]) == 0.0


def test_nothing_is_fitted_on_too_little_or_on_answers_all_alike() -> None:
    assert fit([Judged([0.5], 0)] * 5) is None
    assert fit([Judged([0.5], 0)] * 50) is None
    assert fit([Judged([], None)] * 50) is None


def test_calibrations_are_read_beside_a_model_as_they_were_written(tmp_path: Path) -> None:
    assert read_calibrations(tmp_path) == {}
    one = Calibration(temperature=1.5, slope=0.9, intercept=-0.2, n=40)
    write_calibrations(tmp_path / "calibration.json", {"model": {"intent": one}})
    assert read_calibrations(tmp_path) == read_calibrations(tmp_path / "model.gguf") == {"model": {"intent": one}}
    (tmp_path / "calibration.json").write_text('{"model": {"intent": {"temperature": "warm"}}}')
    with pytest.raises(ArtefactError, match="holds no calibrations"):
        read_calibrations(tmp_path)
