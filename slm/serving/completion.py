"""What a model's completion is; apart from the engine, so that who only asks one need not load llama.cpp."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from slm.errors import ServingError
from slm.evaluation.benchmark.device import Device

#: A server asks for so many drivers of a device, and only for those that are so probable: finding the others takes a
#: model longer than all of these.
SUGGESTIONS, LEAST_SUGGESTION = 3, 0.03


@dataclass(frozen=True)
class Completion:
    """What the model wrote, and how sure it was.

    ``logprobs`` are the natural logarithms of each generated token's probability, its end token's included, before
    any grammar or temperature bent them: a model that is only sure because it had no choice does not look sure.
    """

    text: str
    logprobs: tuple[float, ...]
    finished: bool
    prompt_tokens: int

    @property
    def probability(self) -> float:
        """The probability of exactly this text: the product over its tokens."""
        return math.exp(sum(self.logprobs)) if self.logprobs else 0.0

    @property
    def mean_probability(self) -> float:
        """The geometric mean of the tokens' probabilities."""
        return math.exp(sum(self.logprobs) / len(self.logprobs)) if self.logprobs else 0.0


class Ranked(NamedTuple):
    """One of several listed answers, and the probability that the model gives to exactly it among all texts."""

    text: str
    probability: float


class Ranking(NamedTuple):
    """Drivers for a device, best first, and whether what is remembered beside the model has been weighed in.

    Then others than the best may be none of the choices: what its probability means depends on all of them.
    """

    answers: Sequence[Ranked]
    weighed: bool


class TooLongError(ServingError):
    """The question, with room for its answer, does not fit the model's context."""


class AbandonedError(ServingError):
    """A completion that took longer than it was given."""


class UnavailableError(ServingError):
    """There is no model to ask just now; who keeps it has said so already."""


class Model(Protocol):
    """Whatever answers prompts: :class:`slm.serving.engine.Engine`, or something that stands before one."""

    def complete(self, prompt: str, max_tokens: int, seconds: float | None = None) -> Completion:
        """Continue ``prompt``; see :meth:`slm.serving.engine.Engine.complete`."""
        ...

    def drivers(
        self, prompt: str, choices: Sequence[str], about: Device | None = None, seconds: float | None = None
    ) -> Ranking:
        """Rank drivers; see :meth:`slm.serving.engine.Engine.drivers`."""
        ...


class Memory(Protocol):
    """What lies beside a model's weights; see :class:`slm.evaluation.benchmark.neighbours.RememberedDrivers`."""

    def weighed(self, device: Device, said: Sequence[tuple[str, float]]) -> Sequence[tuple[str, float]] | None:
        """Return what it and the model's ranking ``said`` together say of a device; None where it knows nothing."""
        ...
