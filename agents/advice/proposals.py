"""What may be proposed: one change of the plan, or to stop. A hosted model's answer must be one of these, too."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from agents.plan import Changes
from slm.spec import Bucket

Why = Annotated[str, Field(min_length=1, max_length=600, description="The reason, from the evidence, in a sentence.")]


class Proposal(BaseModel):
    """One change; :meth:`onto` applies it to the changes that the plan has already."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    why: Why

    def onto(self, changes: Changes) -> Changes:
        """Return the changes of the new plan."""
        raise NotImplementedError


class MoreTokens(Proposal):
    """Train on more tokens."""

    tokens: Annotated[int, Field(gt=0, description="train.tokens of the next plan")]

    def onto(self, changes: Changes) -> Changes:
        """Set ``train.tokens``."""
        return changes.model_copy(update={"tokens": self.tokens})


class LearningRate(Proposal):
    """Train with another learning rate."""

    factor: Annotated[
        float, Field(gt=0, allow_inf_nan=False, description="times both learning rates of the spec, or of its search")
    ]

    def onto(self, changes: Changes) -> Changes:
        """Set the factor."""
        return changes.model_copy(update={"learning_rate": self.factor})


class Mix(Proposal):
    """Train on another mix of the buckets: more instructions, or less of what is short and repeated."""

    shares: Annotated[
        dict[Bucket, Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]],
        Field(description="every bucket's share of the training tokens; they add up to 1"),
    ]

    def onto(self, changes: Changes) -> Changes:
        """Set the shares."""
        return changes.model_copy(update={"shares": self.shares})


class MoreText(Proposal):
    """Prepare a larger corpus from the same sources, so that less is read twice."""

    tokens: Annotated[int, Field(gt=0, description="corpus.tokens of the next plan")]

    def onto(self, changes: Changes) -> Changes:
        """Set ``corpus.tokens``."""
        return changes.model_copy(update={"text": self.tokens})


class Larger(Proposal):
    """Train a model of more layers."""

    layers: Annotated[int, Field(gt=0, description="model.layers of the next plan")]

    def onto(self, changes: Changes) -> Changes:
        """Set ``model.layers``."""
        return changes.model_copy(update={"layers": self.layers})


class Stop(Proposal):
    """Try no further: nothing that is allowed would help."""

    def onto(self, changes: Changes) -> Changes:
        """Change nothing."""
        return changes


KINDS: tuple[type[Proposal], ...] = (MoreTokens, LearningRate, Mix, MoreText, Larger, Stop)
