"""A model judged by a benchmark's file: the model, with the device tables or without, and the baselines beside it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from slm.errors import BenchmarkError
from slm.evaluation.benchmark.answers import answers_for
from slm.evaluation.benchmark.baselines import Regression, fitted
from slm.evaluation.benchmark.devices import Facts
from slm.evaluation.benchmark.generate import TRAINING, VALIDATION
from slm.evaluation.benchmark.gguf import GgufModel
from slm.evaluation.benchmark.items import Device, Item, Task, read_items
from slm.evaluation.benchmark.model import CheckpointModel, Model
from slm.evaluation.benchmark.predictor import Identified, Predictor, Ranked
from slm.evaluation.benchmark.results import Results
from slm.evaluation.benchmark.run import run, without
from slm.files import sha256_file
from slm.progress import Reporter, silent


class WithTables:
    """A model behind the device tables: what they know by its very id they answer, the model the rest.

    The kernel interface knows more: its tables have the rules for makers and classes, too.
    """

    def __init__(self, model: Model, database: Path) -> None:
        """Read the tables from a ``devices.sqlite``."""
        self.name = f"{model.name} with tables"
        self.tasks: Collection[Task] = {*model.tasks, "driver_select"}
        self._model, self._facts = model, Facts(database)

    def drivers(self, device: Device) -> Ranked:
        """Return the drivers that claim the very id, in the order that the model gives them; or else its ranking."""
        ranked = self._model.drivers(device)
        places = {driver: place for place, (driver, _) in enumerate(ranked)}
        known = sorted(self._facts.drivers.get(device.key, ()), key=lambda name: (places.get(name, len(places)), name))
        return [(driver, 1 / len(known)) for driver in known] or ranked

    def identify(self, device: Device) -> Identified | None:
        """Return what the lists say of the very id."""
        known = self._facts.identify(device.key, None)
        return Identified(known.answer, 1.0) if known else self._model.identify(device)

    def compatible(self, compatible: Sequence[str]) -> Ranked:
        """Ask the model."""
        return self._model.compatible(compatible)

    def intents(self, text: str) -> Ranked:
        """Ask the model."""
        return self._model.intents(text)

    def sub_commands(self, text: str) -> Ranked:
        """Ask the model."""
        return self._model.sub_commands(text)

    def complete(self, command: str, text: str) -> Ranked:
        """Ask the model."""
        return self._model.complete(command, text)

    def order(self, steps: Sequence[str], text: str) -> Sequence[int]:
        """Ask the model."""
        return self._model.order(steps, text)


def judge(
    model: Path, benchmark: Path, tables: Path | None = None, baselines: bool = True, report: Reporter = silent
) -> Results:
    """Score a checkpoint's folder or a GGUF file on a file of items.

    What lies beside the file (``training.jsonl``, ``validation.jsonl``) fits the baselines and the calibration; a
    file alone is scored without them.

    :param tables: a ``devices.sqlite`` to answer from first; nothing is calibrated then, since validation devices
        stand in the tables and say nothing of those that do not.
    :raises BenchmarkError: when the file holds no items.
    :raises AutonError: when the model does not load.
    """
    items = read_items(benchmark)
    known, held = _beside(benchmark, TRAINING), _beside(benchmark, VALIDATION)
    training, notes = without(known, items)
    validation, more = without([] if tables else held, items)
    if tables is not None and not tables.is_file():
        raise BenchmarkError(f"There are no device tables at {tables}.", "Name a devices.sqlite with --tables.")
    lists, source = answers_for(model, known, items)
    beside = fitted(training, {item.task for item in items}, report) if training and baselines else []
    notes += [*more, f"The model chooses from what {source} list."]
    notes += [remark for taker in beside if isinstance(taker, Regression) for remark in taker.remarks]
    loaded = (CheckpointModel if model.is_dir() else GgufModel)(model, lists)
    taker: Predictor = WithTables(loaded, tables) if tables else loaded
    try:
        return run(
            items,
            taker,
            beside,
            validation,
            benchmark=str(benchmark),
            sha256=sha256_file(benchmark),
            notes=notes,
            report=report,
        )
    finally:
        loaded.close()


def _beside(file: Path, name: str) -> list[Item]:
    beside = file.with_name(name)
    return read_items(beside) if beside.is_file() and beside != file else []
