"""What advice has cost a build: ``advice.jsonl``, written before a question is asked and after it was answered.

A question of which the end is not known, because the program was killed or the answer broke off, counts with the most
that it can have cost.
"""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slm.files import append_line


class Ledger:
    """The record in a build's folder."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        """Read and write in ``folder``."""
        self._path = folder / "advice.jsonl"
        self._clock = clock

    def ask(self, model: str, at_most: float) -> str:
        """Record that a question is about to be asked that costs at most so many US dollars; return its name."""
        question = uuid.uuid4().hex[:12]
        self._write({"question": question, "model": model, "at_most_usd": at_most})
        return question

    def settle(self, question: str, usd: float, input_tokens: int, output_tokens: int) -> None:
        """Record what a question did cost."""
        self._write({"question": question, "usd": usd, "input_tokens": input_tokens, "output_tokens": output_tokens})

    def spent(self) -> float:
        """Return the US dollars that all questions so far have cost, or can have cost."""
        costs: dict[str, float] = {}
        for line in self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []:
            with contextlib.suppress(ValueError, KeyError, TypeError):  # a line that a crash cut short
                row = json.loads(line)
                costs[row["question"]] = float(row["usd"] if "usd" in row else row["at_most_usd"])
        return sum(costs.values())

    def _write(self, row: dict[str, Any]) -> None:
        append_line(self._path, json.dumps({"time": self._clock(), **row}))
