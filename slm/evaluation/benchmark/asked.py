"""How the items of a benchmark are put to a model, in training and when it is scored: as a question with an answer."""

from __future__ import annotations

import random

from slm import prompts
from slm.evaluation.benchmark.device import Device
from slm.evaluation.benchmark.items import (
    CommandCompletion,
    DeviceTree,
    DriverSelect,
    Identify,
    Identity,
    InstallSteps,
    IntentPhrase,
    Item,
    SubCommandPhrase,
)

#: A longer name says no more, and costs context.
_NAME = 90


def question_about(device: Device) -> str:
    """Ask which driver a device needs."""
    bus, vendor, number = device.key
    return prompts.driver_question(bus, vendor, number, device.subclass, device.full_name[:_NAME])


def identify_question(device: Device) -> str:
    """Ask what a device is."""
    bus, vendor, number = device.key
    return prompts.identity_question(bus, vendor, number, device.subclass)


def asked(item: Item) -> tuple[str, tuple[str, ...]]:
    """Return an item's question and its right answers; of steps, the last is asked for after the others."""
    match item:
        case DriverSelect():
            return question_about(item.device), item.answer
        case DeviceTree():
            return prompts.compatible_question(item.compatible), item.answer
        case Identify():
            return identify_question(item.device), (spoken(item.answer),)
        case IntentPhrase():
            return prompts.intent_question(item.text), (item.answer,)
        case SubCommandPhrase():
            return prompts.sub_command_question(item.text), (item.answer,)
        case CommandCompletion():
            return prompts.completion_question(item.command, item.text), item.answer
        case InstallSteps():
            return prompts.step_question(item.text, item.answer[:-1]), item.answer[-1:]


def spoken(identity: Identity) -> str:
    """Write an identity as an answer: maker, kind and name, a dash for what is not known."""
    return "; ".join(part or "-" for part in (identity.vendor, identity.type, identity.name))


def understood(text: str) -> Identity | None:
    """Read what :func:`spoken` wrote; None for anything else."""
    parts = [None if part.strip() in ("", "-") else part.strip() for part in text.split("; ", 2)]
    if len(parts) != 3 or not any(parts):
        return None
    return Identity(vendor=parts[0], type=parts[1], name=parts[2])


def with_gaps(item: Item, rng: random.Random, share: float) -> Item:
    """Return an item on a device without some of what is known of it: each field is gone with chance ``share``.

    Of steps the last few are left out, so that any of them may be the one that is asked for.
    """
    if isinstance(item, InstallSteps):
        return item.model_copy(update={"answer": item.answer[: rng.randint(1, len(item.answer))]})
    if not isinstance(item, DriverSelect | Identify):
        return item
    gone = {name: None for name in ("class_code", "vendor_name", "name") if rng.random() < share}
    return item.model_copy(update={"device": item.device.model_copy(update=gone)})
