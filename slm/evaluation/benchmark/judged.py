"""A model judged by a benchmark's file: the model, with the device tables or without, and the baselines beside it."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from pathlib import Path

from slm.errors import BenchmarkError
from slm.evaluation.benchmark.answers import answers_for
from slm.evaluation.benchmark.baselines import Regression, fitted
from slm.evaluation.benchmark.device import Device
from slm.evaluation.benchmark.devices import Facts
from slm.evaluation.benchmark.generate import TRAINING, VALIDATION
from slm.evaluation.benchmark.gguf import GgufModel
from slm.evaluation.benchmark.items import Item, read_items
from slm.evaluation.benchmark.model import CheckpointModel
from slm.evaluation.benchmark.neighbours import PHRASED, WithNeighbours
from slm.evaluation.benchmark.predictor import Around, Identified, Predictor, Ranked, installed
from slm.evaluation.benchmark.results import Results
from slm.evaluation.benchmark.run import run, without
from slm.files import sha256_file
from slm.model.files import NEIGHBOURS
from slm.progress import Reporter, silent
from slm.serving.confidence import ALONE, HELPED, REMEMBERED, read_calibrations
from slm.spec import Task


class WithTables(Around):
    """A model behind the device tables: what they know by its very id they answer, the model the rest.

    The kernel interface knows more: its tables have the rules for makers and classes, too.
    """

    def __init__(self, model: Predictor, database: Path) -> None:
        """Read the tables from a ``devices.sqlite``."""
        super().__init__(model, f"{model.name} with tables")
        self.tasks = {*model.tasks, "driver_select"}
        self._facts = Facts(database)

    def drivers(self, device: Device) -> Ranked:
        """Return the drivers that claim the very id, in the order that the model gives them; or else its ranking."""
        ranked = super().drivers(device)
        places = {driver: place for place, (driver, _) in enumerate(ranked)}
        known = sorted(self._facts.drivers.get(device.key, ()), key=lambda name: (places.get(name, len(places)), name))
        return [(driver, 1 / len(known)) for driver in known] or ranked

    def identify(self, device: Device) -> Identified | None:
        """Return what the lists say of the very id."""
        known = self._facts.identify(device.key, None)
        return Identified(known.answer, 1.0) if known else super().identify(device)


def judge(
    model: Path,
    benchmark: Path,
    tables: Path | None = None,
    baselines: bool = True,
    report: Reporter = silent,
    most: int | None = None,
) -> Results:
    """Score a checkpoint's folder or a GGUF file on a file of items.

    What lies beside the file (``training.jsonl``, ``validation.jsonl``) fits the baselines and the calibration; a
    file alone is scored without them.

    :param tables: a ``devices.sqlite`` to answer from first; nothing is calibrated then, since validation devices
        stand in the tables and say nothing of those that do not.
    :param most: of each set at most so many questions are asked, always the same; without it, all.
    :raises BenchmarkError: when the file holds no items.
    :raises AutonError: when the model does not load.
    """
    if not model.exists():
        raise BenchmarkError(f"There is no model at {model}.", "Name a checkpoint's folder or a GGUF file.")
    items = some_of_each(read_items(benchmark), most) if most else read_items(benchmark)
    known, held = _beside(benchmark, TRAINING), _beside(benchmark, VALIDATION)
    training, notes = without(known, items)
    validation, more = without([] if tables else held, items)
    if tables is not None and not tables.is_file():
        raise BenchmarkError(f"There are no device tables at {tables}.", "Name a devices.sqlite with --tables.")
    lists, source = answers_for(model, known, items)
    beside: list[Predictor] = installed() if baselines else []
    beside += fitted(training, {item.task for item in items}, report) if training and baselines else []
    if baselines and not training:
        notes.append(f"No baseline was fitted: {TRAINING} beside {benchmark} would have what they learn from.")
    notes += [*more, f"The model chooses from what {source} list."]
    notes += [remark for taker in beside if isinstance(taker, Regression) for remark in taker.remarks]
    loaded = (CheckpointModel if model.is_dir() else GgufModel)(model, lists)
    taker: Predictor = loaded
    calibrations = read_calibrations(model)
    stored = {loaded.name: calibrations.get(ALONE, {})}
    remembered = (model if model.is_dir() else model.parent) / NEIGHBOURS
    if remembered.is_file():
        helped = WithNeighbours.read(loaded, remembered)
        taker = helped
        stored[helped.name] = calibrations.get(HELPED, {})
        stored[helped.neighbours.name] = calibrations.get(REMEMBERED, {})
        beside = [Only(loaded, ("driver_select", *PHRASED)), helped.neighbours, *beside]
        notes.append(f"Drivers and intents are chosen by the model with what {remembered} has of what it was taught.")
        if shown := len(items) - len(without(items, helped.remembered())[0]):
            notes.append(
                f"{shown:,} of the {len(items):,} questions stand in {remembered} with an answer: what is right there "
                "is remembered, not found out."
            )
    if tables:
        taker, stored = WithTables(taker, tables), {}
    try:
        return run(
            items,
            taker,
            beside,
            validation,
            stored=stored,
            benchmark=str(benchmark),
            sha256=sha256_file(benchmark),
            notes=notes,
            report=report,
        )
    finally:
        loaded.close()


def some_of_each(items: Sequence[Item], most: int) -> list[Item]:
    """Draw at most so many items of each task's every set, always the same, and leave them in their order."""
    sets: dict[tuple[str, ...], list[int]] = {}
    for place, item in enumerate(items):
        sets.setdefault((item.task, *item.groups), []).append(place)
    rng = random.Random(0)
    chosen = [place for _, places in sorted(sets.items()) for place in rng.sample(places, min(most, len(places)))]
    return [items[place] for place in sorted(chosen)]


class Only(Around):
    """A predictor in some of its tasks alone."""

    def __init__(self, inner: Predictor, tasks: Collection[Task]) -> None:
        super().__init__(inner, inner.name)
        self.tasks = [task for task in tasks if task in inner.tasks]


def _beside(file: Path, name: str) -> list[Item]:
    beside = file.with_name(name)
    return read_items(beside) if beside.is_file() and beside != file else []
