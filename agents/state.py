"""What a build knows. Nothing else passes between agents, and each piece survives in a file or a graph checkpoint."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from agents.plan import Changes
from slm.evaluation.gates import Gate
from slm.training.guards import Diagnosis
from slm.training.outcome import Adjustments

Stage = Literal[
    "specify", "prepare", "search", "train", "teach", "evaluate", "review", "iterate", "commit", "export", "done"
]
Status = Literal["running", "interrupted", "waiting", "accepted", "rejected", "failed", "cancelled"]


class Attempt(BaseModel):
    """One launch of training workers and what came of it."""

    model_config = ConfigDict(extra="forbid")
    number: int
    adjustments: Adjustments
    #: Why it ended early; nothing when it reached its last step.
    diagnosis: Diagnosis | None = None
    detail: str = ""
    #: Whether it left a newer checkpoint than it began from before it ended early.
    advanced: bool = False


class Decision(BaseModel):
    """A person's answer to a build that waits for review."""

    model_config = ConfigDict(extra="forbid")
    approved: bool
    by: str
    reason: str = ""
    #: Which iteration's model it is about.
    iteration: int = 1
    #: A rejection after which no changed plan is tried, whatever the spec allows.
    final: bool = False


class Iteration(BaseModel):
    """One plan of a build, and what came of it; figures are of validation, and missing until it has ended."""

    model_config = ConfigDict(extra="forbid")
    number: int
    changes: Changes = Changes()
    #: The plan as the name of a build of its own: the same spec gives the same model.
    plan: str
    #: Who changed the plan, and why.
    by: str = "the spec"
    why: str = ""
    tokens: int = 0
    #: Training tokens of the trials before it.
    searched: int = 0
    training_loss: float | None = None
    perplexity: float | None = None
    bits_per_byte: float | None = None
    failed: list[str] = []

    def words(self) -> str:
        """Say what it was trained with, and what came of it."""
        figure = "no figures" if self.bits_per_byte is None else f"validation {self.bits_per_byte:.4f} bits per byte"
        return f"iteration {self.number} ({self.changes.words()}): {figure}"


class BuildState(BaseModel):
    """The Manager's graph state, and, as ``build.json``, what status reports read.

    Paths are absolute and given as text, since they cross processes.
    """

    model_config = ConfigDict(extra="forbid")
    build: str
    spec: str
    review: Literal["auto", "manual"]
    stage: Stage = "specify"
    state: Status = "running"
    corpus: str = ""
    #: The folder of the hardware benchmark; empty where the spec asks for none.
    benchmark: str = ""
    checkpoint: str = ""
    attempts: list[Attempt] = []
    gates: list[Gate] = []
    reasons: list[str] = []
    decision: Decision | None = None
    #: The plan being carried out, and those that were rejected before it.
    iteration: int = 1
    plan: Changes = Changes()
    iterations: list[Iteration] = []
    commit: str = ""
    tag: str = ""
    model: str = ""
    exports: list[str] = []
    error: str = ""


class TrainingState(BaseModel):
    """The TrainingAgent's graph state."""

    model_config = ConfigDict(extra="forbid")
    corpus: str
    attempts: list[Attempt] = []
    adjustments: Adjustments = Adjustments()
    checkpoint: str = ""
    gave_up: bool = False


class CorpusState(BaseModel):
    """The DataAgent's graph state."""

    model_config = ConfigDict(extra="forbid")
    corpus: str = ""
    remarks: list[str] = []


class ReviewState(BaseModel):
    """The ReviewerAgent's graph state."""

    model_config = ConfigDict(extra="forbid")
    checkpoint: str
    #: Of the checkpoint's manifest: a path may come to hold another model.
    checkpoint_sha256: str = ""
    corpus: str
    benchmark: str = ""
    accepted: bool = False
    gates: list[Gate] = []
    reasons: list[str] = []
