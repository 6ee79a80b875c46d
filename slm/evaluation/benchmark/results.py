"""What a benchmark's run found, as it is stored and reported; nothing here measures, so reading it is quick."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

from pydantic import BaseModel, ConfigDict

from slm.serving.confidence import Calibration
from slm.spec import Task

#: The name of :func:`os_average`, and the tasks that it is of.
OS_AVERAGE = "os_average"
AVERAGED: frozenset[Task] = frozenset({"identify", "driver_select", "command_completion", "install_steps"})
#: The figures of tasks that a gate can ask for.
FIGURES = ("top1", "top3", "vendor", "type", "name_f1", "tau", "exact")


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Bin(_Result):
    """The answers of one bin of confidence: how many, their mean confidence, and the share that was right."""

    n: int
    confidence: float
    right: float


class Group(_Result):
    """Scores over some items of a task. Shares are of all ``n``: an item without an answer counts as wrong.

    A figure that the task does not have, or that nothing was measured for, is None.
    """

    n: int
    #: Shares whose first answer, or one of the first three, was right.
    top1: float | None = None
    top3: float | None = None
    #: 95 % bootstrap intervals.
    top1_interval: tuple[float, float] | None = None
    top3_interval: tuple[float, float] | None = None
    #: The share answered with "unknown"; and of the items without a right first answer, the share that said so.
    unknown: float | None = None
    honest: float | None = None
    #: ``identify``: shares of right makers and kinds (of those items that have them), and the name's token F1.
    vendor: float | None = None
    type: float | None = None
    name_f1: float | None = None
    name_f1_interval: tuple[float, float] | None = None
    #: ``install_steps``: Kendall's tau, and the share of orders that are right throughout.
    tau: float | None = None
    tau_interval: tuple[float, float] | None = None
    exact: float | None = None
    #: Expected calibration error of the answers given, as they came and calibrated.
    ece: float | None = None
    ece_calibrated: float | None = None


class TaskScore(Group):
    """A task's scores: over all items, each set apart, and each right answer apart where there are few."""

    sets: dict[str, Group] = {}
    answers: dict[str, Group] = {}
    bins: list[Bin] = []
    bins_calibrated: list[Bin] = []
    calibration: Calibration | None = None


def os_average(scores: Mapping[Task, TaskScore]) -> float | None:
    """Return the mean of what running a system takes: identities, drivers, commands, and the order of steps.

    Of identities that is the mean of maker, kind and name's F1; of drivers and commands top-3; of steps the share of
    their pairs that are in order, which Kendall's tau counts from -1 to 1. None where one was not measured.
    """
    named, driver, word, steps = (
        scores.get(task) for task in ("identify", "driver_select", "command_completion", "install_steps")
    )
    if named is None or driver is None or word is None or steps is None or steps.tau is None:
        return None
    known = [share for share in (named.vendor, named.type, named.name_f1) if share is not None]
    parts = (fmean(known) if known else None, driver.top3, word.top3, (1 + steps.tau) / 2)
    return None if None in parts else fmean(part for part in parts if part is not None)


class Results(_Result):
    """One predictor's scores by task, and those of the baselines that it is measured against.

    Without a predictor, ``tasks`` says how many items each task has.
    """

    #: The benchmark's file and its SHA-256.
    benchmark: str
    sha256: str
    predictor: str | None = None
    tasks: dict[Task, TaskScore]
    baselines: dict[str, dict[Task, TaskScore]]
    #: What a reader of the figures must know.
    notes: list[str] = []

    @property
    def everyone(self) -> dict[str, dict[Task, TaskScore]]:
        """The scores by name, the predictor's first."""
        return {**({self.predictor: self.tasks} if self.predictor else {}), **self.baselines}

    def figures(self) -> dict[str, float]:
        """Return the predictor's scores by task, set and figure, such as ``driver_select/pci random/top1``.

        ``os_average`` is among them where there is one.
        """
        average = os_average(self.tasks)
        found: dict[str, float] = {} if average is None else {OS_AVERAGE: average}
        for task, score in self.tasks.items():
            for name, group in {"": score, **score.sets}.items():
                for figure in FIGURES:
                    if (value := getattr(group, figure)) is not None:
                        found["/".join(part for part in (task, name, figure) if part)] = value
        return found

    def to_json(self) -> str:
        """Write the results without what was not measured."""
        return self.model_dump_json(indent=1, exclude_none=True) + "\n"
