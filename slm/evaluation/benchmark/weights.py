"""Weights of figures that speak for answers: a conditional logit (McFadden, 1974)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

Floats = npt.NDArray[np.float64]

#: The weight of the squared weights beside the mean log-likelihood.
_SMALL = 1e-3


def fitted(figures: Sequence[Floats], right: Sequence[npt.NDArray[np.bool_]]) -> Floats:
    """Return the weights under which the right answers are likeliest; any of several right ones will do.

    :param figures: for each question ``[answers, figures]``; the numbers of answers may differ.
    :param right: for each question which of the answers are right ``[answers]``; questions without one are passed over.
    """
    kept = [(each, these) for each, these in zip(figures, right, strict=True) if these.any()]
    width = figures[0].shape[1]
    first = np.full(width, 0.2)
    if not kept:
        return first
    rows = np.concatenate([each for each, _ in kept])
    hits = np.concatenate([these for _, these in kept])
    starts = np.cumsum([0, *(len(each) for each, _ in kept[:-1])])
    owner = np.repeat(np.arange(len(kept)), [len(each) for each, _ in kept])

    def loss(weights: Floats) -> tuple[float, Floats]:
        scores = rows @ weights
        scores -= np.maximum.reduceat(scores, starts)[owner]
        chances = np.exp(scores)
        chances /= np.add.reduceat(chances, starts)[owner]
        of_right = np.add.reduceat(chances * hits, starts)
        pulled = chances * hits / np.maximum(of_right, 1e-12)[owner]
        value = -np.log(np.maximum(of_right, 1e-12)).mean() + _SMALL * weights @ weights
        return float(value), (chances - pulled) @ rows / len(kept) + 2 * _SMALL * weights

    found: Floats = minimize(loss, first, jac=True, method="L-BFGS-B", options={"maxiter": 100}).x
    return found
