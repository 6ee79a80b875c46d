"""What a taught model has beside its weights: the devices that it remembers, and how sure it may be of an answer."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from slm.evaluation.benchmark.answers import answers_for
from slm.evaluation.benchmark.calibration import Judged, fit
from slm.evaluation.benchmark.items import DriverSelect, Item
from slm.evaluation.benchmark.model import CheckpointModel
from slm.evaluation.benchmark.neighbours import PHRASED, WithNeighbours
from slm.evaluation.benchmark.predictor import RANKED
from slm.evaluation.benchmark.run import judged_on
from slm.model.files import CALIBRATION, NEIGHBOURS
from slm.progress import Reporter
from slm.serving.confidence import ALONE, FIRST, HELPED, REMEMBERED, Calibration, write_calibrations
from slm.spec import Task

#: So many validation items of a task say enough: a thousand phrases would take longer than they are worth.
_MOST = 400


def write_confidence(
    checkpoint: Path,
    training: Sequence[Item],
    validation: Sequence[Item],
    told: Mapping[str, Mapping[str, str]],
    report: Reporter,
) -> None:
    """Write ``neighbours.json`` and ``calibration.json`` into a checkpoint's folder that has its lists of answers.

    Devices are remembered from ``training``; everything is fitted on ``validation``. What it does not suffice for is
    left out, and without any device to remember or to fit on there are no neighbours. What the model and its neighbours
    are worth is fitted on all of it; what they may be believed then, on each half by what was fitted on the other. Once
    that is done ``validation`` is remembered, too.

    :param told: by bus, what drivers say of themselves.
    """
    held = _some(validation)
    model = CheckpointModel(checkpoint, answers_for(checkpoint, training, held)[0])
    model.name = "taught"  # the folder has not got its own name yet
    alone: dict[str, Calibration] = {}
    first: dict[str, Calibration] = {}
    for task in RANKED:
        if task in model.tasks:
            judged = judged_on(model, task, held, report)
            if fitted := fit(judged):
                alone[task] = fitted
            # Who writes an answer by a grammar knows its own probability and no other's.
            if fitted := fit([Judged(item.confidences[:1], 0 if item.place == 0 else None) for item in judged]):
                first[task] = fitted
    calibrations = {ALONE: alone, FIRST: first}
    if all(any(isinstance(item, DriverSelect) for item in items) for items in (training, held)):
        helped = WithNeighbours.learnt(model, training, held, told)
        tasks: tuple[Task, ...] = ("driver_select", *PHRASED)
        calibrations[HELPED] = {task: one for task, one in alone.items() if task not in tasks}
        halves = _halves(helped, held)
        for task in tasks:
            if fitted := fit([judged for taker, asked in halves for judged in judged_on(taker, task, asked, report)]):
                calibrations[HELPED][task] = fitted
        if fitted := fit(judged_on(helped.neighbours, "driver_select", held, report)):
            calibrations[REMEMBERED] = {"driver_select": fitted}
        helped.remembering(validation).write(checkpoint / NEIGHBOURS)
    write_calibrations(checkpoint / CALIBRATION, calibrations)


def _halves(helped: WithNeighbours, held: Sequence[Item]) -> list[tuple[WithNeighbours, Sequence[Item]]]:
    """Return each half of the items with weights that were fitted on the other.

    On the items that they were fitted on themselves, the weights would look surer than they are.
    """
    one, other = held[::2], held[1::2]
    return [(helped.blended(one), other), (helped.blended(other), one)]


def _some(validation: Sequence[Item]) -> list[Item]:
    """Draw at most so many items of each task."""
    rng = random.Random(0)
    found: list[Item] = []
    for task in RANKED:
        items = [item for item in validation if item.task == task]
        found += rng.sample(items, min(_MOST, len(items)))
    return found
