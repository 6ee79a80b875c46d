"""How a build stands at this moment: its state, and what its events say of the work going on."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

from agents.curves import Curves
from agents.dossier import curves_of
from agents.journal import Journal
from agents.state import BuildState
from agents.trials import Record, Round
from slm.layout import Layout

#: What a build's state says to a shell. 2 is a wrong command, or no such build.
EXIT = {
    "accepted": 0,
    "failed": 1,
    "rejected": 3,
    "waiting": 4,
    "running": 5,
    "interrupted": 6,
    "cancelled": 7,
}

#: Seconds of silence of a running build that are worth a word.
_SILENT = 120.0


@dataclass(frozen=True)
class Standing:
    """A build's state with the work going on in it, which there is none of unless it runs."""

    state: BuildState
    curves: Curves
    #: The rounds of its search that have ended.
    search: list[Round]
    attempt: int | None
    #: The newest progress event; its keys are those of :class:`slm.progress.Progress` and ``time``.
    progress: dict[str, Any] | None
    seconds_left: float | None
    silent: float

    @property
    def work(self) -> str:
        """What is being done, in words; empty when nothing is."""
        if self.progress is None:
            return ""
        step = self.progress
        words = f"{step['stage']}: {step['done']:,.0f} of {step['total']:,.0f} {step['unit']}".rstrip()
        left = "" if self.seconds_left is None else f", {clock(self.seconds_left)} left"
        said = f"  {step['text']}" if step["text"] else ""
        silence = f"  (silent for {clock(self.silent)})" if self.silent > _SILENT else ""
        return f"{words}{'' if 'left' in said else left}{said}{silence}"

    def describe(self) -> dict[str, Any]:
        """Return what other programs read."""
        content = self.state.model_dump(mode="json")
        keys = ("build", "spec", "state", "stage", "iteration", "commit", "tag", "exports", "reasons", "error")
        gates = [
            # JSON has no NaN, which is what a model that does not load measures.
            {**{key: gate[key] for key in ("name", "threshold", "passed")}, "value": finite(gate["value"])}
            for gate in content["gates"]
        ]
        return {
            **{key: content[key] for key in keys},
            "iterations": content["iterations"],
            "search": [each.model_dump(mode="json") for each in self.search],
            "gates": gates,
            "attempt": self.attempt,
            "loss": self.curves.loss[-1][1] if self.curves.loss else None,
            "validation_bits_per_byte": self.curves.validation[-1][2] if self.curves.validation else None,
            "progress": self.progress,
            "seconds_left": self.seconds_left,
        }


def standing(state: BuildState, layout: Layout, now: float | None = None) -> Standing:
    """Read how a build stands."""
    journal = Journal(layout.build(state.build), "status")
    running = state.state == "running"
    steps = journal.latest_steps() if running else []
    last = steps[-1] if steps else None
    return Standing(
        state=state,
        curves=curves_of(state, layout, state.iteration),
        search=Record(layout.build(state.build)).rounds(),
        attempt=journal.latest_attempt() if running and state.stage == "train" else len(state.attempts) or None,
        progress=last,
        seconds_left=_left(steps),
        silent=0.0 if last is None else max(0.0, (time.time() if now is None else now) - last["time"]),
    )


def finite(value: float | str) -> float | None:
    """Return ``value``, or nothing when it is no finite number."""
    return float(value) if math.isfinite(float(value)) else None


def clock(seconds: float) -> str:
    """Write a duration as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _left(steps: list[dict[str, Any]]) -> float | None:
    """Reckon the rest of a stage from the pace of its last events."""
    if len(steps) < 2 or steps[-1]["stage"] == "search":  # trials tell of themselves, side by side
        return None
    done, took = steps[-1]["done"] - steps[0]["done"], steps[-1]["time"] - steps[0]["time"]
    if done <= 0 or took <= 0:
        return None
    return float(max(0, steps[-1]["total"] - steps[-1]["done"]) * took / done)
