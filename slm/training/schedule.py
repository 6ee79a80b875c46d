"""The learning rate over a training, as a factor of its top value."""

from __future__ import annotations

import math
from typing import Literal


def learning_rate_factor(
    step: int,
    steps: int,
    warmup: int,
    schedule: Literal["cosine", "wsd"],
    decay_fraction: float,
    final: float,
) -> float:
    """Return the factor for optimizer step ``step`` (0-based) of ``steps``.

    It rises linearly over ``warmup`` steps. ``cosine`` then falls along half a cosine to ``final``; ``wsd``
    (warmup-stable-decay, arXiv:2404.06395) stays at 1 and falls linearly to ``final`` over the last
    ``decay_fraction`` of all steps.
    """
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "cosine":
        progress = (step - warmup) / max(1, steps - warmup)
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    decay = max(1, round(steps * decay_fraction))
    return final + (1 - final) * min(1.0, max(0, steps - step) / decay)
