from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from slm.serving.choices import Choices, log_probabilities

VOCABULARY, END = 6, 5
ANSWERS = st.sets(st.lists(st.integers(0, END - 1), max_size=4).map(tuple), min_size=1, max_size=25)


class Model:
    """Any distribution after any sequence: drawn from the sequence itself, so that it is the same each time."""

    def __init__(self, seed: int) -> None:
        self.seed, self.runs = seed, 0

    def after(self, ids: Sequence[int]) -> NDArray[np.float32]:
        chance = np.random.default_rng([self.seed, len(ids), *ids])
        return (4 * chance.standard_normal(VOCABULARY)).astype(np.float32)

    def following(self, ids: Sequence[int], wanted: int) -> NDArray[np.float32]:
        self.runs += 1
        return np.stack([self.after(ids[: len(ids) - wanted + 1 + at]) for at in range(wanted)])


@settings(deadline=None)
@given(ANSWERS, st.integers(0, 10**6), st.integers(1, 30), st.sampled_from([0.0, 0.01, 0.3]))
def test_the_ranking_is_that_of_trying_all(answers: set[tuple[int, ...]], seed: int, count: int, least: float) -> None:
    model, prompt = Model(seed), (1, 2)
    names = {"".join(map(str, tokens)): [*tokens, END] for tokens in answers}
    by_hand = {}
    for name, tokens in names.items():
        logits = np.stack([model.after([*prompt, *tokens[:at]]) for at in range(len(tokens))])
        chances = np.exp(logits.astype(np.float64))
        by_hand[name] = float((chances / chances.sum(1, keepdims=True))[range(len(tokens)), tokens].prod())
        assert math.exp(sum(log_probabilities(logits, tokens))) == pytest.approx(by_hand[name], rel=1e-4)
    found = Choices(names.items()).ranked(model.following, prompt, count, least)
    best = sorted(by_hand.items(), key=lambda pair: -pair[1])[:count]
    expected = [pair for place, pair in enumerate(best) if place == 0 or pair[1] >= least]
    assert [each.text for each in found] == [name for name, _ in expected]
    assert [each.probability for each in found] == pytest.approx([p for _, p in expected], rel=1e-4)


def test_fewer_places_are_the_first_of_more_and_cost_less() -> None:
    names = {"".join(map(str, way)): [*way, END] for way in itertools.product(range(END), repeat=4)}
    choices, runs = Choices(names.items()), []
    for count in (1, 3, 10, len(names)):
        model = Model(1)
        found = choices.ranked(model.following, [1], count)
        assert len(found) == count
        assert found == choices.ranked(model.following, [1], len(names))[:count]
        model = Model(1)
        choices.ranked(model.following, [1], count)
        runs.append(model.runs)
    assert runs == sorted(runs)
    assert runs[0] < runs[-1] / 10
