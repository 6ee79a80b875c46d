"""What takes part in a benchmark: a model, a baseline, the kernel's rules, all through one protocol."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from importlib.metadata import entry_points
from typing import NamedTuple, Protocol

from slm.evaluation.benchmark.device import Device
from slm.evaluation.benchmark.items import Identity
from slm.spec import TASKS, Task

#: Answers with their confidences (0 to 1), best first, each answer once. Empty: the predictor says that it does not
#: know. Confidences need not add up to 1; what is missing is the chance that none of the answers is right.
Ranked = Sequence[tuple[str, float]]


class Identified(NamedTuple):
    """What a device is taken for, and how sure that is (0 to 1)."""

    identity: Identity
    confidence: float


class Predictor(Protocol):
    """Answers questions; ``tasks`` are those that it takes part in, and only their methods are called.

    A method answers one question at a time and never sees the right answer. It may raise an
    :class:`~slm.errors.AutonError` to end the run; anything else that it raises is a defect.
    """

    @property
    def name(self) -> str:
        """How tables call it."""

    @property
    def tasks(self) -> Collection[Task]:
        """What it takes part in."""

    def drivers(self, device: Device) -> Ranked:
        """``driver_select``: rank kernel modules for a device; ``-`` and ``_`` are the same in their names."""

    def identify(self, device: Device) -> Identified | None:
        """``identify``: say what a device is; None: unknown."""

    def compatible(self, compatible: Sequence[str]) -> Ranked:
        """``device_tree``: rank kernel modules for a node's ``compatible`` strings, the most specific first."""

    def intents(self, text: str) -> Ranked:
        """``intent``: rank the kernel's intents, by their names in upper case."""

    def sub_commands(self, text: str) -> Ranked:
        """``sub_command``: rank the sub-commands, by their names in upper case."""

    def complete(self, command: str, text: str) -> Ranked:
        """``command_completion``: rank the next words of ``command``; ``text`` says what it shall do, or is empty."""

    def order(self, steps: Sequence[str], text: str) -> Sequence[int]:
        """``install_steps``: return the numbers of ``steps``, first step first; empty: unknown."""


class Abstaining:
    """Takes part in nothing and knows nothing; a predictor of a few tasks inherits the rest."""

    name = "abstaining"
    tasks: Collection[Task] = ()

    def drivers(self, device: Device) -> Ranked:
        """Know nothing."""
        return ()

    def identify(self, device: Device) -> Identified | None:
        """Know nothing."""
        return None

    def compatible(self, compatible: Sequence[str]) -> Ranked:
        """Know nothing."""
        return ()

    def intents(self, text: str) -> Ranked:
        """Know nothing."""
        return ()

    def sub_commands(self, text: str) -> Ranked:
        """Know nothing."""
        return ()

    def complete(self, command: str, text: str) -> Ranked:
        """Know nothing."""
        return ()

    def order(self, steps: Sequence[str], text: str) -> Sequence[int]:
        """Know nothing."""
        return ()


class Around:
    """Takes part as another predictor does, under a name of its own; who inherits it answers some questions itself."""

    def __init__(self, inner: Predictor, name: str) -> None:
        self.name = name
        self.tasks: Collection[Task] = inner.tasks
        self._inner = inner

    def drivers(self, device: Device) -> Ranked:
        """Ask the other."""
        return self._inner.drivers(device)

    def identify(self, device: Device) -> Identified | None:
        """Ask the other."""
        return self._inner.identify(device)

    def compatible(self, compatible: Sequence[str]) -> Ranked:
        """Ask the other."""
        return self._inner.compatible(compatible)

    def intents(self, text: str) -> Ranked:
        """Ask the other."""
        return self._inner.intents(text)

    def sub_commands(self, text: str) -> Ranked:
        """Ask the other."""
        return self._inner.sub_commands(text)

    def complete(self, command: str, text: str) -> Ranked:
        """Ask the other."""
        return self._inner.complete(command, text)

    def order(self, steps: Sequence[str], text: str) -> Sequence[int]:
        """Ask the other."""
        return self._inner.order(steps, text)


def installed() -> list[Predictor]:
    """Return the predictors that installed packages offer (entry points ``auton.benchmark``), such as the rules."""
    return [entry.load()() for entry in sorted(entry_points(group="auton.benchmark"))]


#: The tasks that are answered with a ranking.
RANKED: tuple[Task, ...] = tuple(task for task in TASKS if task not in ("identify", "install_steps"))
