"""What a benchmark's run found, as it is stored and reported; nothing here measures, so reading it is quick."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from slm.serving.confidence import Calibration
from slm.spec import Task

#: The figures that a gate can ask for.
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
        """Return the predictor's scores by task, set and figure, such as ``driver_select/pci random/top1``."""
        found: dict[str, float] = {}
        for task, score in self.tasks.items():
            for name, group in {"": score, **score.sets}.items():
                for figure in FIGURES:
                    if (value := getattr(group, figure)) is not None:
                        found["/".join(part for part in (task, name, figure) if part)] = value
        return found

    def to_json(self) -> str:
        """Write the results without what was not measured."""
        return self.model_dump_json(indent=1, exclude_none=True) + "\n"
