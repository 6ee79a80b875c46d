"""What a build knows. Nothing else passes between agents, and each piece survives in a file or a graph checkpoint."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from slm.evaluation.gates import Gate
from slm.training.guards import Diagnosis
from slm.training.outcome import Adjustments

Stage = Literal["specify", "prepare", "train", "teach", "evaluate", "review", "commit", "export", "done"]
Status = Literal["running", "interrupted", "waiting", "accepted", "rejected", "failed"]


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
    corpus: str
    benchmark: str = ""
    accepted: bool = False
    gates: list[Gate] = []
    reasons: list[str] = []
