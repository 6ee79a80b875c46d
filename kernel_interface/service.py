"""Answers to the kernel's questions: from the device tables, else from the model, else from rules.

Each answer says which of the three gave it and how sure that is. The service does no input or output beyond the tables
and the model, and keeps no memory between questions: the device that was spoken of last is told by who asks. One thread
at a time may use it.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from kernel_interface.devices import Device, malformed_id, parse_device
from kernel_interface.intents import NO_CUE, Intent, SubCommand, classify
from kernel_interface.knowledge import Knowledge
from kernel_interface.rules import CLASS_DRIVERS, GUIDANCE
from kernel_interface.sessions import refers_back
from kernel_interface.wire import Result, fit_result
from slm.errors import ServingError
from slm.prompts import SPECIAL_TOKENS, driver_question, identify_question, prompt
from slm.serving.confidence import Calibration
from slm.serving.engine import AbandonedError, Completion, Engine

log = logging.getLogger(__name__)

Source = Literal["knowledge", "model", "rules"]

#: How long the model may take over one question, its parts together; the kernel gives up after the same time.
MODEL_SECONDS = 5.0
#: The probability from which on the model's driver is an action; below it is a suggestion. The model is measured over
#: all that it could have written, not over the allowed drivers, so half is a clear majority.
DRIVER_THRESHOLD = 0.5
#: The mean probability of a token from which on free text of the model is worth more than a rule's advice.
TEXT_THRESHOLD = 0.3
#: Longest texts in tokens: a module's name, a device's name, an explanation.
DRIVER_TOKENS, NAME_TOKENS, TEXT_TOKENS = 48, 48, 96

#: How sure a driver is that claims a device by its maker or class only, and advice that fits every case somewhat.
BY_CLASS_CONFIDENCE = 0.9
ADVICE_CONFIDENCE = 0.3

_ABOUT_DEVICES = (Intent.HARDWARE_IDENTIFY, Intent.DRIVER_SELECT)

#: How a question about a thing begins, where no other word says what is asked.
_ASKS = re.compile(r"\W*(?:(?:and|so|then|ok)\b\W*)*(?:what|which|who|tell|describe|show)\b", re.IGNORECASE)
_FAILED = re.compile(r"\b(?:driver|failed)[\"']?\s*[=:]\s*[\"']?([A-Za-z0-9_-]+)")


@dataclass(frozen=True)
class Answer:
    """An answer. ``action_data`` is a bare driver name, or empty where there is nothing to do without asking on.

    ``device`` is what the answer is about, if it is about one; it is not sent.
    """

    sub_command: SubCommand
    response: str
    action_data: str
    requires_followup: bool
    source: Source
    confidence: float
    status: int = 0
    device: Device | None = None

    @property
    def intent(self) -> Intent:
        """What was answered."""
        return self.sub_command.intent

    def result(self) -> Result:
        """Write the answer as the payload of SLM_RESULT."""
        fields = {
            "requires_followup": self.requires_followup,
            "source": self.source,
            "confidence": round(self.confidence, 4),
        }
        return Result(self.intent, self.status, fit_result(self.response, self.action_data, fields))


@dataclass(frozen=True)
class _Guess:
    """What came of asking the model: a completion, or the reason why there is none."""

    completion: Completion | None
    excuse: str = ""


class Service:
    """Answers questions about devices, and free text.

    :param engine: the model; without one the tables and rules answer alone.
    :param seconds: how long the model may take over one question.
    :param sure_of_drivers: what the probability of the model's driver means; without it, it is taken as it comes.
    """

    def __init__(
        self,
        knowledge: Knowledge,
        engine: Engine | None,
        seconds: float = MODEL_SECONDS,
        sure_of_drivers: Calibration | None = None,
    ) -> None:
        self._knowledge = knowledge
        self._engine = engine
        self._seconds = seconds
        self._sure_of_drivers = sure_of_drivers
        self._deadline = 0.0
        self._drivers: dict[str, list[str]] = {}
        if engine is None:
            log.warning("There is no model: the device tables and rules answer alone.")

    def query(self, text: str, about: Device | None = None) -> Answer:
        """Answer a free text; where it names no device but points back at one, that is ``about``."""
        kind = classify(text)
        device = parse_device(text)
        if device is None and (kind.intent in _ABOUT_DEVICES or (kind.confidence == NO_CUE and _ASKS.match(text))):
            device = _pointed_at(text, about)
        if device is None:
            return self._answered(kind.sub_command, text, None)
        if kind.intent != Intent.DRIVER_SELECT:
            usb = device.bus == "usb"
            return self._answered(SubCommand.IDENTIFY_USB if usb else SubCommand.IDENTIFY_PCI, text, device)
        return self._answered(kind.sub_command, text, device)

    def command(self, sub_command: SubCommand, args: str, about: Device | None = None) -> Answer:
        """Answer a command of the kernel; ``about`` as in :meth:`query`."""
        device = parse_device(args)
        if device is None and sub_command.intent in _ABOUT_DEVICES:
            device = _pointed_at(args, about)
        return self._answered(sub_command, args, device)

    def discovered(self, device: Device) -> tuple[Answer, Answer]:
        """Answer for a device that has just appeared: what it is, then which driver it needs."""
        identify = SubCommand.IDENTIFY_USB if device.bus == "usb" else SubCommand.IDENTIFY_PCI
        return self._answered(identify, "", device), self._answered(SubCommand.DRV_SELECT, "", device)

    def _answered(self, sub_command: SubCommand, text: str, device: Device | None) -> Answer:
        self._deadline = time.monotonic() + self._seconds
        selecting = sub_command in (SubCommand.DRV_SELECT, SubCommand.DRV_FALLBACK)
        if selecting and device is None:
            device = self._device_by_name(text)
        if device is not None and selecting:
            failed = (
                {name.replace("-", "_") for name in _FAILED.findall(text)}
                if sub_command == SubCommand.DRV_FALLBACK
                else set()
            )
            answer = self._select(sub_command, device, failed)
        elif device is not None and sub_command.intent == Intent.HARDWARE_IDENTIFY:
            answer = self._identify(sub_command, device)
        elif device is None and sub_command.intent in _ABOUT_DEVICES and (written := malformed_id(text)):
            response = f"{written} is no device id; one is vendor:device, four hexadecimal digits each: 8086:10d3."
            answer = Answer(sub_command, response, "", True, "rules", 1.0)
        else:
            answer = self._advise(sub_command, text)
        return replace(answer, device=device)

    def _identify(self, sub_command: SubCommand, device: Device) -> Answer:
        known = self._knowledge.device_name(device)
        maker = self._knowledge.vendor_name(device)
        candidates = self._knowledge.candidates(device)
        driver = candidates[0].driver if candidates else ""
        if known is not None:
            name = f"{maker} {known}" if maker else known
            return Answer(sub_command, name, driver, not driver, "knowledge", 1.0)
        kind = self._knowledge.class_name(device)
        if kind is None and device.class_code is not None:
            kind = f"class {device.class_code:04x}"
        facts = ", ".join(filter(None, (maker, kind)))
        response = f"Unknown device [{device.id}]" + (f": {facts}" if facts else "") + "."
        if driver:
            confidence = 1.0 if candidates[0].exact else BY_CLASS_CONFIDENCE
            return Answer(sub_command, response, driver, False, "knowledge", confidence)
        question = identify_question(device.bus, device.vendor, device.device, device.class_code)
        guess = self._ask_text(question, NAME_TOKENS)
        if guess.completion is None:
            return Answer(sub_command, f"{response} {guess.excuse}", "", True, "rules", ADVICE_CONFIDENCE)
        said = f"{response} The model takes it for: {_one_line(guess.completion.text)}."
        return Answer(sub_command, said, "", True, "model", guess.completion.mean_probability)

    def _select(self, sub_command: SubCommand, device: Device, failed: set[str]) -> Answer:
        candidates = [item for item in self._knowledge.candidates(device) if item.driver not in failed]
        if candidates:
            best = candidates[0]
            confidence = 1.0 if best.exact else BY_CLASS_CONFIDENCE
            response = self._described(best.driver)
            if others := [item.driver for item in candidates[1:]]:
                response += f" Further candidates: {', '.join(others)}."
            return Answer(sub_command, response, best.driver, False, "knowledge", confidence)
        allowed = [driver for driver in self._choices(device.bus) if driver not in failed]
        name = self._knowledge.device_name(device) or ""
        question = driver_question(device.bus, device.vendor, device.device, device.class_code, name)
        guess = self._ask(question, DRIVER_TOKENS, allowed) if allowed else _Guess(None, "The tables name no driver.")
        usual = CLASS_DRIVERS.get(device.class_code or 0) if device.bus == "pci" else None
        if guess.completion is not None and guess.completion.text in allowed:
            driver, sure = guess.completion.text, guess.completion.probability
            if self._sure_of_drivers is not None:
                sure = self._sure_of_drivers.confidence([sure])
            if sure >= DRIVER_THRESHOLD:
                return Answer(sub_command, self._described(driver), driver, False, "model", sure)
            if usual is None or usual in failed:
                response = (
                    f"No driver is known for [{device.id}]. The model suggests {driver}, but is only {sure:.0%} sure."
                )
                return Answer(sub_command, response, "", True, "model", sure)
        if usual is not None and usual not in failed:
            response = f"{self._described(usual)} Every device of class {device.class_code:04x} speaks its interface."
            return Answer(sub_command, response, usual, False, "rules", BY_CLASS_CONFIDENCE)
        response = f"No driver is known for [{device.id}]. {guess.excuse}".rstrip()
        return Answer(sub_command, response, "", True, "rules", ADVICE_CONFIDENCE)

    def _advise(self, sub_command: SubCommand, text: str) -> Answer:
        advice = GUIDANCE[sub_command]
        question = _plain(text)
        guess = self._ask_text(question, TEXT_TOKENS) if question else _Guess(None, "The question is empty.")
        followup = sub_command.intent in _ABOUT_DEVICES
        if guess.completion is not None and not followup and self._is_driver(guess.completion.text):
            # A small model that has read many driver answers gives one to anything, and is sure of it.
            guess = _Guess(None, "The model's own answer was only a driver's name.")
        if guess.completion is None:
            return Answer(sub_command, f"{advice} ({guess.excuse})", "", followup, "rules", ADVICE_CONFIDENCE)
        words, sure = _one_line(guess.completion.text), guess.completion.mean_probability
        return Answer(sub_command, words, "", followup, "model", sure)

    def _ask_text(self, question: str, tokens: int) -> _Guess:
        """Ask for free text, and take it only if it is worth saying.

        Text without an end is not: a small model that falls into a loop is very sure of each next turn of it.
        """
        guess = self._ask(question, tokens)
        if guess.completion is None:
            return guess
        sure = guess.completion.mean_probability
        if not guess.completion.finished or not guess.completion.text.strip():
            return _Guess(None, "The model's own answer is not a whole one.")
        if sure < TEXT_THRESHOLD:
            return _Guess(None, f"The model's own answer is only {sure:.0%} sure.")
        return guess

    def _ask(self, question: str, tokens: int, choices: Sequence[str] | None = None) -> _Guess:
        if self._engine is None:
            return _Guess(None, "There is no model to ask.")
        left = max(0.0, self._deadline - time.monotonic())
        try:
            return _Guess(self._engine.complete(prompt(question), tokens, choices, left))
        except AbandonedError:
            log.warning("The model took more than %g s over a question.", self._seconds)
            return _Guess(None, f"The model took more than {self._seconds:g} s and was abandoned.")
        except ServingError as error:
            log.warning("The model could not answer: %s", error.what)
            return _Guess(None, f"The model could not answer: {error.what}")

    def _is_driver(self, text: str) -> bool:
        return any(text.strip() in self._choices(bus) for bus in ("pci", "usb"))

    def _choices(self, bus: str) -> list[str]:
        if bus not in self._drivers:
            self._drivers[bus] = self._knowledge.drivers(bus)
        return self._drivers[bus]

    def _device_by_name(self, text: str) -> Device | None:
        """Find a device by its full name, as a dialogue's second step gives it, where its driver is beyond doubt.

        Several ids can share a name, and some of them have no driver; the others must agree.
        """
        claimed = [(device, self._knowledge.candidates(device)) for device in self._knowledge.named_in(text)]
        drivers = {device: candidates[0].driver for device, candidates in claimed if candidates}
        return next(iter(drivers)) if len(set(drivers.values())) == 1 else None

    def _described(self, driver: str) -> str:
        description = self._knowledge.module_description(driver)
        return f"{driver}: {description.rstrip('.')}." if description else f"{driver}."


def _pointed_at(text: str, about: Device | None) -> Device | None:
    """Return ``about`` where a text without a device's id means it."""
    return about if about is not None and refers_back(text) and not malformed_id(text) else None


def _plain(text: str) -> str:
    """Take the markers out of a caller's text, which could otherwise end its own question and write the answer."""
    for token in SPECIAL_TOKENS:
        text = text.replace(token, " ")
    return _one_line(text)


def _one_line(text: str) -> str:
    return " ".join(text.split())
