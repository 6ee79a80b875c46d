"""What a rejected iteration shows: all that rules and advisers see before they propose a change.

Figures of the test split are not among it. Of a gate they learn its name, its threshold and whether it was passed; what
they weigh is the validation split.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from agents.curves import Curves, read_curves
from agents.journal import Journal
from agents.plan import Changes, Left
from agents.state import BuildState, Iteration
from slm.errors import ArtefactError
from slm.evaluation.figures import SplitScore
from slm.files import read_json
from slm.spec import Bucket, BuildSpec
from slm.training.guards import Diagnosis

#: The gates that the program itself has. Any other is about what a model knows.
OWN_GATES = ("completed", "loads", "size", "perplexity", "coherence")


class Supply(BaseModel):
    """What one bucket gives to training, in tokens: read in all, and different ones that are there."""

    model_config = ConfigDict(frozen=True)
    tokens: int
    available: int


class Evidence(BaseModel):
    """One rejected iteration."""

    model_config = ConfigDict(frozen=True)
    spec: BuildSpec
    changes: Changes
    failed: list[str]
    #: A person's reason, where a person rejected it.
    reason: str
    #: Why attempts ended early, in their order.
    diagnoses: list[Diagnosis]
    details: list[str]
    curves: Curves
    #: The checkpoint on the whole validation split; None when there is no checkpoint.
    validation: SplitScore | None
    supply: dict[Bucket, Supply]
    #: The iterations so far, this one last.
    history: list[Iteration]
    #: The end of what the agents said that prepare and train.
    tail: list[str]
    left: Left

    @property
    def excess(self) -> float | None:
        """How far validation is above training, in nats a token."""
        loss = self.curves.final_loss
        if loss is None or self.validation is None or not self.validation.perplexity > 1:
            return None
        return math.log(self.validation.perplexity) - loss


def gather(
    state: BuildState,
    spec: BuildSpec,
    log: Path,
    journal: Journal,
    validation: SplitScore | None,
    history: list[Iteration],
    left: Left,
) -> Evidence:
    """Read what an iteration left in its files."""
    return Evidence(
        spec=spec,
        changes=state.plan,
        failed=[gate.name for gate in state.gates if not gate.passed],
        reason=state.decision.reason if state.decision and not state.decision.approved else "",
        diagnoses=[attempt.diagnosis for attempt in state.attempts if attempt.diagnosis],
        details=[attempt.detail for attempt in state.attempts if attempt.diagnosis],
        curves=read_curves(log),
        validation=validation,
        supply=_supply(Path(state.corpus)),
        history=history,
        # What the reviewer says has figures of the test split.
        tail=journal.tail(30, ("data", "training")),
        left=left,
    )


def _supply(corpus: Path) -> dict[Bucket, Supply]:
    try:
        buckets: dict[Bucket, Any] = read_json(corpus / "stats.json")["splits"]["train"]["buckets"]
    except (ArtefactError, KeyError):  # of a corpus that is not ours, or gone by now
        return {}
    return {
        name: Supply(tokens=held["tokens"], available=held["available_tokens"])
        for name, held in buckets.items()
        if "available_tokens" in held
    }
