"""The measures of a benchmark: pure functions of answers, each defined where it stands."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Confidences are put into so many bins of equal width.
BINS = 15
#: Resamples of a bootstrap interval, and the most numbers that are drawn at once.
RESAMPLES = 2_000
_DRAWN = 4_000_000

_WORD = re.compile(r"[a-z0-9]+")


def plain(answer: str) -> str:
    """Fold what makes no difference between two answers: case, white space, and ``-`` for ``_`` in module names."""
    return " ".join(answer.casefold().split()).replace("-", "_")


def rank(ranked: Sequence[tuple[str, float]], right: Collection[str], exact: bool = False) -> int | None:
    """Return the place, from 0, of the first right answer; any of several will do. None: none is there.

    :param exact: whether case and dashes count, as in a command's options.
    """
    fold = str.strip if exact else plain
    wanted = {fold(answer) for answer in right}
    return next((place for place, (answer, _) in enumerate(ranked) if fold(answer) in wanted), None)


def same_words(one: str, other: str) -> bool:
    """Say whether two names have the same words in the same order, marks and case apart."""
    return _WORD.findall(one.casefold()) == _WORD.findall(other.casefold())


def token_f1(said: str, right: str) -> float:
    """Return the harmonic mean of precision and recall of the words of ``said``, counted with repetition.

    As for SQuAD: Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text" (2016).
    """
    one, other = (Counter(_WORD.findall(text.casefold())) for text in (said, right))
    shared = (one & other).total()
    return 2 * shared / (one.total() + other.total()) if shared else 0.0


def is_order(order: Sequence[int], steps: int) -> bool:
    """Say whether ``order`` has every number below ``steps`` once."""
    return sorted(order) == list(range(steps))


def kendall_tau(order: Sequence[int]) -> float:
    """Return Kendall's tau of a permutation with the ascending one: the pairs in order less those not, over all pairs.

    :param order: at least two different numbers.
    """
    places = np.asarray(order)
    before = np.triu(np.sign(places[None, :] - places[:, None]), 1)
    return float(before.sum() / (len(places) * (len(places) - 1) / 2))


def expected_calibration_error(confidence: Floats, right: Floats) -> float:
    """Return the mean distance of confidence from accuracy over :data:`BINS` bins, each weighted by its answers.

    Guo et al., "On Calibration of Modern Neural Networks" (2017), equation 3.

    :param confidence: ``[n]``, 0 to 1.
    :param right: ``[n]``, 1 where the answer was right, else 0.
    """
    if not len(confidence):
        return float("nan")
    which = bin_of(confidence)
    sums = (np.bincount(which, weights=values, minlength=BINS) for values in (confidence, right))
    believed, found = sums
    return float(np.abs(believed - found).sum() / len(confidence))


def bin_of(confidence: Floats) -> npt.NDArray[np.int64]:
    """Return the bin of each confidence; 1 belongs to the last."""
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)


def interval(values: Floats, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % bootstrap interval (percentiles) of the mean of ``values`` ``[n]``; NaN without any.

    Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13.
    """
    count = len(values)
    if count == 0:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    rows = max(1, _DRAWN // count)
    means = [
        values[rng.integers(0, count, (min(rows, RESAMPLES - first), count))].mean(axis=1)
        for first in range(0, RESAMPLES, rows)
    ]
    low, high = np.percentile(np.concatenate(means), (2.5, 97.5))
    return float(low), float(high)
