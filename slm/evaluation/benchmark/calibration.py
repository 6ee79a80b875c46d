"""Confidences that mean what they say: temperature, then Platt's sigmoid, both fitted on validation items.

A ranking's confidences are made sharper or flatter by one temperature (Guo et al., 2017); then the best answer's is
mapped to the chance that it is right (Platt, "Probabilistic Outputs for Support Vector Machines", 1999). The order of
answers stays as it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from slm.evaluation.benchmark.score import Floats
from slm.serving.confidence import EDGE, Calibration, logit, tempered

#: Fewer validation items than this fit nothing worth having.
FEWEST = 20
_TEMPERATURES = (0.05, 20.0)


class Judged(NamedTuple):
    """A ranking's confidences, best first, and the place of the first right answer; None where none is there."""

    confidences: Sequence[float]
    place: int | None


def fit(judged: Sequence[Judged]) -> Calibration | None:
    """Fit a calibration on validation items; None when fewer than :data:`FEWEST` were answered, or all are alike."""
    answered = [item for item in judged if item.confidences]
    right = np.array([item.place == 0 for item in answered], dtype=np.float64)
    if len(answered) < FEWEST or right.min() == right.max():
        return None
    temperature = fit_temperature(answered)
    best = np.array([tempered(item.confidences, temperature)[0] for item in answered])
    slope, intercept = fit_platt(best, right)
    return Calibration(temperature=temperature, slope=slope, intercept=intercept, n=len(answered))


def fit_temperature(judged: Sequence[Judged]) -> float:
    """Return the temperature of the least negative log-likelihood of what was right; none right counts as the rest."""

    def nats(log_temperature: float) -> float:
        total = 0.0
        for confidences, place in judged:
            at = tempered(confidences, math.exp(log_temperature))
            total -= math.log(max(float(1 - at.sum()) if place is None else float(at[place]), EDGE))
        return total

    bounds = (math.log(_TEMPERATURES[0]), math.log(_TEMPERATURES[1]))
    return math.exp(minimize_scalar(nats, bounds=bounds, method="bounded", options={"xatol": 1e-4}).x)


def fit_platt(confidence: Floats, right: Floats) -> tuple[float, float]:
    """Return slope and intercept over the logits of ``confidence`` ``[n]``, with Platt's softened targets.

    The slope is not negative: more confidence never comes to mean less.
    """
    yes, no = float(right.sum()), float(len(right) - right.sum())
    targets = np.where(right > 0, (yes + 1) / (yes + 2), 1 / (no + 2))
    logits = logit(confidence)

    def nats(weights: Floats) -> tuple[float, Floats]:
        z = weights[0] * logits + weights[1]
        error = 1 / (1 + np.exp(-np.clip(z, -700, 700))) - targets
        return float(np.sum(np.logaddexp(0, z) - targets * z)), np.array([error @ logits, error.sum()])

    done = minimize(nats, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0, None), (None, None)])
    return float(done.x[0]), float(done.x[1])
