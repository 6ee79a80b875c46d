"""The items of a benchmark, one JSON object a line; a file of anyone's in this format can be read.

An item has a ``task``, what is asked, the ``answer`` and perhaps a ``set`` (or ``split``), by which scores are told
apart. Whatever does not decide the answer may be missing: a device without name or class, a command without a wish.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from slm.corpus.instructions.exchange import INTENT_OF, SUB_COMMANDS, Intent
from slm.errors import BenchmarkError
from slm.evaluation.benchmark.device import Device, Strict
from slm.files import atomic_write
from slm.spec import TASKS, Task

#: So many problems of a file are shown; the rest are counted.
_SHOWN = 40


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _upper(value: object) -> object:
    return value.strip().upper() if isinstance(value, str) else value


def _sub_command(value: object) -> object:
    name = _upper(value)
    if not isinstance(name, str) or name not in INTENT_OF:
        raise ValueError(f"must be one of {', '.join(INTENT_OF)}")
    return name


def _intent(value: object) -> object:
    name = _upper(value)
    if not isinstance(name, str) or name not in SUB_COMMANDS:
        raise ValueError(f"must be one of {', '.join(SUB_COMMANDS)}")
    return name


Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
#: Right answers, any of which will do; one alone may be written without brackets.
Answers = Annotated[tuple[Words, ...], BeforeValidator(_listed), Field(min_length=1)]


class Identity(Strict):
    """What a device is: its maker, its own name, and its kind (the class's name); at least one of them."""

    vendor: Words | None = None
    name: Words | None = None
    type: Words | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.vendor is None and self.name is None and self.type is None:
            raise ValueError("must have a vendor, a name or a type")
        return self


class _Item(Strict):
    label: Words | None = Field(None, validation_alias=AliasChoices("set", "split"), serialization_alias="set")

    @property
    def groups(self) -> tuple[str, ...]:
        """The names under which the item is scored apart from the rest."""
        return (self.label,) if self.label else ()


class _DeviceItem(_Item):
    device: Device

    @property
    def groups(self) -> tuple[str, ...]:
        """The bus with the set."""
        return (f"{self.device.bus} {self.label}" if self.label else self.device.bus,)


class DriverSelect(_DeviceItem):
    """Which kernel module drives a device?"""

    task: Literal["driver_select"] = "driver_select"
    answer: Answers


class Identify(_DeviceItem):
    """What is this device?"""

    task: Literal["identify"] = "identify"
    answer: Identity


class DeviceTree(_Item):
    """Which kernel module drives a device-tree node, by its ``compatible`` strings, the most specific first?"""

    task: Literal["device_tree"] = "device_tree"
    compatible: Answers
    answer: Answers


class IntentPhrase(_Item):
    """Which of the kernel's intents does a phrase mean?"""

    task: Literal["intent"] = "intent"
    text: Words
    answer: Annotated[Intent, BeforeValidator(_intent)]


class SubCommandPhrase(_Item):
    """Which sub-command does a phrase mean?"""

    task: Literal["sub_command"] = "sub_command"
    text: Words
    answer: Annotated[str, BeforeValidator(_sub_command)]


class CommandCompletion(_Item):
    """What is the next word of a command, given what it shall do?"""

    task: Literal["command_completion"] = "command_completion"
    text: str = ""
    command: Words
    answer: Answers


class InstallSteps(_Item):
    """In which order are these steps done? ``steps`` is the order shown; without it, the runner mixes them."""

    task: Literal["install_steps"] = "install_steps"
    text: str = ""
    steps: tuple[Words, ...] | None = None
    answer: Annotated[tuple[Words, ...], Field(min_length=2)]

    @model_validator(mode="after")
    def _same_steps(self) -> Self:
        if len(set(self.answer)) != len(self.answer):
            raise ValueError("the answer has the same step twice")
        if self.steps is not None and sorted(self.steps) != sorted(self.answer):
            raise ValueError("steps and answer must hold the same steps")
        return self


Item = DriverSelect | Identify | DeviceTree | IntentPhrase | SubCommandPhrase | CommandCompletion | InstallSteps
_ITEM: TypeAdapter[Item] = TypeAdapter(Annotated[Item, Field(discriminator="task")])
_KINDS: Mapping[str, type[BaseModel]] = {kind.model_fields["task"].default: kind for kind in get_args(Item)}


def read_items(path: Path) -> list[Item]:
    """Read a file of items; empty lines are passed over.

    :raises BenchmarkError: naming every line that is no item and what is wrong with it.
    """
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise BenchmarkError(f"The benchmark {path} cannot be read: {error.strerror}.", "Name a JSONL file.") from error
    items: list[Item] = []
    problems: list[str] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                items.append(_ITEM.validate_python(_parsed(line)))
            except ValidationError as error:
                problems += (f"line {number}: {text}" for text in dict.fromkeys(map(_said, error.errors())))
            except ValueError as error:
                problems.append(f"line {number}: {error}")
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise BenchmarkError(
            f"{path} has {count}:\n" + "\n".join(f"  - {text}" for text in [*problems[:_SHOWN], *more]),
            'An item is one JSON object a line; specs/evaluation.md, "The hardware benchmark", shows one of each task.',
        )
    if not items:
        raise BenchmarkError(f"{path} holds no item.", "Build one: python -m slm.evaluation.benchmark build CORPUS OUT")
    return items


def write_items(path: Path, items: Iterable[Item]) -> int:
    """Write items, atomically; equal items give equal bytes. Return how many there were."""
    count = 0
    with atomic_write(path, "w") as file:
        for item in items:
            file.write(json.dumps(dump(item), ensure_ascii=False) + "\n")
            count += 1
    return count


def dump(item: Item) -> dict[str, Any]:
    """Return an item as its line has it: the task first, nothing that is not known."""
    fields = item.model_dump(by_alias=True, exclude_none=True, mode="json")
    return {"task": fields.pop("task"), **fields}


def of_task(items: Iterable[Item], task: Task) -> Iterator[Item]:
    """Yield the items of one task."""
    return (item for item in items if item.task == task)


def _parsed(line: bytes) -> Any:
    """Parse a line.

    :raises ValueError: saying why it cannot be.
    """
    try:
        return json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValueError:
        raise ValueError("holds a number too long to read") from None


def _said(error: Any) -> str:
    """Say one pydantic error as a person would."""
    if error["type"] == "union_tag_not_found":
        return "task: missing"
    if error["type"] == "union_tag_invalid":
        return f"task: {error['ctx']['tag']!r} is none of {', '.join(TASKS)}"
    task, *location = error["loc"] or ("",)
    path = ".".join(map(str, location))
    if error["type"] == "missing":
        return f"{path}: missing"
    if error["type"] == "extra_forbidden":
        known = _known_keys(str(task), location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        return f"{path}: unknown key; " + (f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}")
    if error["type"] in ("model_attributes_type", "model_type"):
        return f"{path}: must be an object" if path else "is not a JSON object"
    message = str(error["msg"]).removeprefix("Value error, ")
    found = error.get("input")
    shown = f" (found {_short(found)})" if isinstance(found, str | int | float | bool) or found is None else ""
    return f"{path}: {message}{shown}" if path else f"{message}{shown}"


def _short(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _known_keys(task: str, location: list[str | int]) -> list[str]:
    inside: dict[str, type[BaseModel]] = {"device": Device, "answer": Identity}
    kind = inside[str(location[0])] if location else _KINDS[task]
    written = {"class_code": "class", "label": "set"}
    return [written.get(name, name) for name in kind.model_fields]
