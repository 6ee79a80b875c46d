"""What there is to choose from: the lists that a model's answers come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from slm.corpus.devices import DATABASE
from slm.errors import ArtefactError
from slm.evaluation.benchmark.devices import drivers_by_bus
from slm.evaluation.benchmark.items import CommandCompletion, DeviceTree, DriverSelect, Item
from slm.files import read_json
from slm.model.files import ANSWERS

#: Answers by the name of their list: a bus (drivers), or a task.
Lists = Mapping[str, Sequence[str]]

_LISTS: TypeAdapter[dict[str, list[str]]] = TypeAdapter(dict[str, list[str]])


def list_of(item: Item) -> str | None:
    """Return the name of the list that an item's answer comes from; None where none is needed."""
    match item:
        case DriverSelect():
            return item.device.bus
        case DeviceTree() | CommandCompletion():
            return item.task
        case _:
            return None


def known_answers(items: Iterable[Item]) -> dict[str, list[str]]:
    """Collect the answers of items: drivers by bus and for device trees, and words of commands."""
    found: dict[str, set[str]] = {}
    for item in items:
        name = list_of(item)
        if name is not None and isinstance(item, DriverSelect | DeviceTree | CommandCompletion):
            found.setdefault(name, set()).update(item.answer)
    return {name: sorted(answers) for name, answers in sorted(found.items())}


def answers_for(model: Path, training: Sequence[Item], asked: Iterable[Item]) -> tuple[Lists, str]:
    """Return what a model has to choose from, and where that is from.

    From the lists beside it; else from training items; else the names of drivers, without the ids that they are for,
    from the device tables beside it.

    :param asked: what it will be asked.
    :raises ArtefactError: when a question needs a list and there is none, or the file beside the model is none.
    """
    beside = (model if model.is_dir() else model.parent) / ANSWERS
    if beside.is_file():
        try:
            return _LISTS.validate_python(read_json(beside)), str(beside)
        except ValidationError as error:
            raise ArtefactError(
                f"{beside} holds no lists of answers.", "Train the model on questions again."
            ) from error
    found, source = known_answers(training), "the training items"
    tables = beside.with_name(DATABASE)
    if not found and tables.is_file():
        found, source = drivers_by_bus(tables), str(tables)
    if not found and any(list_of(item) for item in asked):
        raise ArtefactError(
            f"Nothing says which answers there are: {beside} is missing, and there are no training items.",
            "Train the model on questions (python -m slm.adapt), or put a training.jsonl beside the benchmark.",
        )
    return found, source
