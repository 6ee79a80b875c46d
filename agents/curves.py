"""A training's curves, read from its log: what rules and advisers go by, and what people are shown."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict


class Curves(BaseModel):
    """Points by step, ascending. Of a step that was trained twice, after a failure, the later counts."""

    model_config = ConfigDict(frozen=True)
    #: (step, mean training loss in nats a token)
    loss: list[tuple[int, float]] = []
    #: (step, validation perplexity, validation bits per byte), on the tokens that training measures on.
    validation: list[tuple[int, float, float]] = []
    #: Training tokens a second: the median of the log's lines.
    rate: float | None = None

    @property
    def steps(self) -> int:
        """The last step that was logged."""
        return self.loss[-1][0] if self.loss else 0

    @property
    def final_loss(self) -> float | None:
        """The mean training loss of the last tenth of the steps."""
        return _mean(self._between(0.9, 1.0))

    @property
    def falling(self) -> float | None:
        """By which share validation bits per byte fell over the last fifth of the steps, or more; below 0, they rose.

        Where they were not measured before that, by which share the training loss fell from the last but one tenth of
        the steps to the last.
        """
        if self.validation:
            step, _, last = self.validation[-1]
            earlier = [bits for at, _, bits in self.validation if at <= 0.8 * step]
            if earlier:
                return 1 - last / earlier[-1]
        before, after = _mean(self._between(0.8, 0.9)), self.final_loss
        return None if before is None or after is None else 1 - after / before

    @property
    def risen(self) -> float:
        """By which share validation bits per byte ended above the lowest that they had been."""
        figures = [bits for _, _, bits in self.validation]
        return figures[-1] / min(figures) - 1 if figures else 0.0

    def _between(self, low: float, high: float) -> list[float]:
        return [loss for step, loss in self.loss if low * self.steps < step <= high * self.steps]


def read_curves(log: Path) -> Curves:
    """Read a training's ``log.jsonl``; lines that a crash cut short, and figures that are not finite, are left out."""
    loss: dict[int, float] = {}
    validation: dict[int, tuple[float, float]] = {}
    rates: list[float] = []
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if not isinstance(row, dict) or not isinstance(step := row.get("step"), int):
            continue
        if (value := _number(row, "loss")) is not None:
            loss[step] = value
        if (rate := _number(row, "tokens_per_second")) is not None:
            rates.append(rate)
        perplexity, bits = _number(row, "validation_perplexity"), _number(row, "validation_bits_per_byte")
        if perplexity is not None and bits is not None:
            validation[step] = (perplexity, bits)
    return Curves(
        loss=sorted(loss.items()),
        validation=[(step, *figures) for step, figures in sorted(validation.items())],
        rate=sorted(rates)[len(rates) // 2] if rates else None,
    )


def thinned(points: Sequence[Any], most: int) -> list[Any]:
    """Return at most ``most`` points, evenly chosen, the last among them."""
    if len(points) <= most:
        return list(points)
    return [points[round((number + 1) * len(points) / most) - 1] for number in range(most)]


def _number(row: dict[str, Any], key: str) -> float | None:
    value = row.get(key)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
