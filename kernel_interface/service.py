"""Answers to the kernel's questions: from the device tables, else from the model, else from rules.

A plain wish for something else than a device is answered by the rules at once, with its action. Each answer says which
of the three gave it and how sure that is. The service does no input or output beyond the tables and the model, and
keeps no memory between questions: the device that was spoken of last, and how far a plan has come, are told by who
asks. One thread at a time may use it; another may use a copy (:meth:`Service.tables_alone`, :meth:`Service.until`).
"""

from __future__ import annotations

import copy
import logging
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self, TypeVar

from kernel_interface.actions import Action, ActionError, read_action
from kernel_interface.debian import names_something, told
from kernel_interface.devices import Device, malformed_id, parse_device
from kernel_interface.extract import action_for, action_meant, ends_all
from kernel_interface.goals import (
    GOAL_CONFIDENCE,
    GOALS,
    Progress,
    UnknownGoalError,
    gives_up,
    plan_for,
    wants_next,
)
from kernel_interface.intents import ACTION_THRESHOLD, Intent, SubCommand, classify
from kernel_interface.knowledge import Knowledge
from kernel_interface.model.supervisor import Status, Supervisor
from kernel_interface.mood import CHANGES, refused, wants, wish_behind, wish_in, wonders
from kernel_interface.rules import CLASS_DRIVERS, GUIDANCE, NOT_WANTED, UNCLEAR
from kernel_interface.sessions import refers_back
from kernel_interface.wire import Result, fit_result
from slm.errors import ServingError
from slm.evaluation.benchmark import device as benchmark
from slm.evaluation.benchmark.asked import question_about
from slm.prompts import SPECIAL_TOKENS, driver_question, identify_question, prompt
from slm.serving.completion import (
    LEAST_SUGGESTION,
    SUGGESTIONS,
    AbandonedError,
    Completion,
    Model,
    Ranking,
    UnavailableError,
)
from slm.serving.confidence import FIRST, HELPED, Calibration

log = logging.getLogger(__name__)

T = TypeVar("T")

Source = Literal["knowledge", "model", "rules"]

#: How long the model may take over one question, its parts together. The kernel gives up after 5 s; what is left of
#: them is for the rules' answer and its way.
MODEL_SECONDS = 4.75
#: The probability from which on the model's driver is an action; below it is a suggestion. The model is measured over
#: all that it could have written, not over the allowed drivers, so half is a clear majority.
DRIVER_THRESHOLD = 0.5
#: The mean probability of a token from which on free text of the model is worth more than a rule's advice.
TEXT_THRESHOLD = 0.5
#: Longest texts in tokens: a device's name, an explanation.
NAME_TOKENS, TEXT_TOKENS = 48, 96

#: How sure a driver is that claims a device by its maker or class only, and advice that fits every case somewhat.
BY_CLASS_CONFIDENCE = 0.9
ADVICE_CONFIDENCE = 0.3

_ABOUT_DEVICES = (Intent.HARDWARE_IDENTIFY, Intent.DRIVER_SELECT)

#: How a question about a thing begins, where no other word says what is asked.
_ASKS = re.compile(r"\W*(?:(?:and|so|then|ok)\b\W*)*(?:what|which|who|tell|describe|show)\b", re.IGNORECASE)
_FAILED = re.compile(r"\b(?:driver|failed)[\"']?\s*[=:]\s*[\"']?([A-Za-z0-9_-]+)")


@dataclass(frozen=True)
class Answer:
    """An answer. ``action_data`` is what the kernel is to do (:mod:`kernel_interface.actions`), or empty.

    ``device`` is what the answer is about, if it is about one; it is not sent. ``plan`` is the plan of which it is a
    step. ``broken`` is whether it stands in for one whose action broke its schema.
    """

    sub_command: SubCommand
    response: str
    action_data: str
    requires_followup: bool
    source: Source
    confidence: float
    status: int = 0
    device: Device | None = None
    plan: Progress | None = None
    broken: bool = False

    @property
    def intent(self) -> Intent:
        """What was answered."""
        return self.sub_command.intent

    def result(self) -> Result:
        """Write the answer as the payload of SLM_RESULT."""
        fields: dict[str, object] = {
            "requires_followup": self.requires_followup,
            "source": self.source,
            "confidence": round(self.confidence, 4),
        }
        if self.plan is not None:
            steps = len(self.plan.plan.steps)
            fields["plan"] = {"goal": self.plan.plan.goal, "step": min(self.plan.at + 1, steps), "of": steps}
        return Result(self.intent, self.status, fit_result(self.response, self.action_data, fields))


class ModelNeededError(Exception):
    """Only the model can tell, and it was not to be asked."""


@dataclass(frozen=True)
class _Guess:
    """What came of asking the model: a completion, or the reason why there is none."""

    completion: Completion | None
    excuse: str = ""


class Service:
    """Answers questions about devices, and free text.

    :param engine: the model; without one the tables and rules answer alone.
    :param seconds: how long the model may take over one question.
    :param sure_of_drivers: what a driver's probability means, by who ranks (:mod:`slm.serving.confidence`): the model,
        or the model with what it remembers. A model that was taught devices has at least the first, and is told a
        device's maker, too. Without the first its probability is taken as it comes; without the second, what is
        remembered has no part.
    """

    def __init__(
        self,
        knowledge: Knowledge,
        engine: Model | None,
        seconds: float = MODEL_SECONDS,
        sure_of_drivers: Mapping[str, Calibration] | None = None,
    ) -> None:
        self._knowledge = knowledge
        self._engine = engine
        self._seconds = seconds
        self._sure_of_drivers = sure_of_drivers or {}
        self._may_ask = True
        self._latest = math.inf
        self._deadline = 0.0
        self._drivers: dict[str, list[str]] = {}
        if engine is None:
            log.warning("There is no model: the device tables and rules answer alone.")

    @property
    def seconds(self) -> float:
        """How long the model may take over one question."""
        return self._seconds

    def model_status(self) -> Status:
        """Return how the model is; one in this very process is ready."""
        if isinstance(self._engine, Supervisor):
            return self._engine.status()
        return Status("none" if self._engine is None else "ready", 0)

    def close(self) -> None:
        """Let nobody wait for the model's process any more: a question that it has ends at once."""
        if isinstance(self._engine, Supervisor):
            self._engine.close()

    def tables_alone(self) -> Self:
        """Return a service that answers what needs no model, and raises :class:`ModelNeededError` for the rest."""
        service = copy.copy(self)
        service._may_ask = False
        return service

    def until(self, latest: float) -> Self:
        """Return a service that gives the model up when it is ``latest`` on the monotonic clock."""
        service = copy.copy(self)
        service._latest = latest
        return service

    def query(self, text: str, about: Device | None = None, plan: Progress | None = None) -> Answer:
        """Answer a free text; where it names no device but points back at one, that is ``about``.

        :param plan: how far the asker's plan has come; "next" asks for its next step.
        """
        if (planned := self._planned(text, about, plan)) is not None:
            return _checked(planned)
        kind = classify(text)
        device = parse_device(text)
        if device is None and (kind.intent in _ABOUT_DEVICES or (not kind.evidence and _ASKS.match(text))):
            device = _pointed_at(text, about)
        if device is None:
            return self._answered(kind.sub_command, text, None, kind.confidence if kind.evidence else 0.0)
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

    def _planned(self, text: str, about: Device | None, under_way: Progress | None) -> Answer | None:
        """Answer a text that wants a plan, its next step or its end; None for any other."""
        if under_way is not None and not under_way.is_over and gives_up(text):
            over = Progress(under_way.plan, len(under_way.plan.steps))
            said = f"The plan '{under_way.plan.goal}' is given up."
            return Answer(SubCommand.DIAG_GENERAL, said, "", False, "rules", 1.0, plan=over)
        if wants_next(text):
            if under_way is not None and not under_way.is_over:
                return self._step(under_way.next(), about)
            said = f"No plan is under way. Name a goal: {', '.join(GOALS)}."
            return Answer(SubCommand.DIAG_GENERAL, said, "", True, "rules", 1.0)
        if end := ends_all(wish_in(text) or ""):
            return Answer(SubCommand.SVC_START, told(end), end.data(), False, "rules", GOAL_CONFIDENCE)
        if end := ends_all(wish_behind(text) or ""):
            return Answer(SubCommand.SVC_START, told(end), "", False, "rules", GOAL_CONFIDENCE)
        try:
            plan = plan_for(text)
        except UnknownGoalError:
            said = f"Nobody here knows the steps to that goal. Known are: {', '.join(GOALS)}. "
            return Answer(
                SubCommand.PKG_SEARCH, said + GUIDANCE[SubCommand.PKG_SEARCH], "", True, "rules", ADVICE_CONFIDENCE
            )
        if plan is None:
            return None
        overview = " ".join(
            f"{number}. {step.does or told(step.action) if step.action else step.does}"
            for number, step in enumerate(plan.steps, 1)
        )
        if not wants(text):
            return Answer(plan.steps[0].sub_command, overview, "", False, "rules", plan.confidence)
        first = self._step(Progress(plan), about)
        return replace(first, response=f"{first.response} The whole plan: {overview}")

    def _step(self, progress: Progress, about: Device | None) -> Answer:
        """Answer with a step of a plan; without an action where it is about a device that nobody has named yet."""
        plan = progress.plan
        step = progress.step
        head = f"Step {progress.at + 1} of {len(plan.steps)}: {step.does}".rstrip()
        if step.action is not None:
            said = f"{head} {told(step.action)}"
            more = not progress.is_over
            return Answer(step.sub_command, said, step.action.data(), more, "rules", plan.confidence, plan=progress)
        if about is not None and progress.suits(about):
            found = self._answered(step.sub_command, "", about)
            more = found.requires_followup or not progress.is_over
            done = replace(progress, waits=False)
            return replace(found, response=f"{head} {found.response}", requires_followup=more, plan=done)
        said = f"{head} Name the device first, for example 'PCI 8086:10D3 class=02:00', and ask for the next step."
        waiting = replace(progress, waits=True, unlike=about)
        return Answer(step.sub_command, said, "", True, "rules", plan.confidence, plan=waiting)

    def _answered(self, sub_command: SubCommand, text: str, device: Device | None, sure: float = 1.0) -> Answer:
        """Answer what is asked for; ``sure`` is the chance that it is asked for at all."""
        self._deadline = min(time.monotonic() + self._seconds, self._latest)
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
            answer = self._advise(sub_command, text, sure)
        return _checked(replace(answer, device=device))

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
        (ranked, weighed), excuse = self._ask_drivers(device, allowed, whole=not failed)
        usual = CLASS_DRIVERS.get(device.class_code or 0) if device.bus == "pci" else None
        if ranked:
            driver, sure = ranked[0]
            # It was fitted on rankings of all drivers, and says nothing about those from which some were taken out.
            calibration = self._sure_of_drivers.get(HELPED if weighed else FIRST)
            if calibration is not None and not failed:
                sure = calibration.confidence([chance for _, chance in (ranked if weighed else ranked[:1])])
            if sure >= DRIVER_THRESHOLD:
                return Answer(sub_command, self._described(driver), driver, False, "model", sure)
            if usual is None or usual in failed:
                response = (
                    f"No driver is known for [{device.id}]. The model suggests {driver}, but is only {sure:.0%} sure."
                )
                likely = [each.text for each in ranked if each.probability >= LEAST_SUGGESTION and each.text in allowed]
                if others := likely[1:SUGGESTIONS]:
                    response += f" Next it would try {' and '.join(others)}."
                return Answer(sub_command, response, "", True, "model", sure)
        if usual is not None and usual not in failed:
            response = f"{self._described(usual)} Every device of class {device.class_code:04x} speaks its interface."
            return Answer(sub_command, response, usual, False, "rules", BY_CLASS_CONFIDENCE)
        response = f"No driver is known for [{device.id}]. {excuse}".rstrip()
        return Answer(sub_command, response, "", True, "rules", ADVICE_CONFIDENCE)

    def _advise(self, sub_command: SubCommand, text: str, sure: float) -> Answer:
        """Answer with the action that is asked for, else in words."""
        action = action_for(sub_command, text)
        asks = wonders(text) and sub_command not in CHANGES
        if action is None and sure and refused(sub_command, text):
            return Answer(sub_command, NOT_WANTED, "", False, "rules", sure)
        if action is None and (meant := action_meant(sub_command, text)):
            if sure >= ACTION_THRESHOLD and not wants(text):
                return Answer(sub_command, told(meant), "", False, "rules", sure)
            return self._in_words(sub_command, text, sure, meant)
        if action is None or sure < ACTION_THRESHOLD:
            return self._in_words(sub_command, text, sure, action)
        if sub_command.intent != Intent.TROUBLESHOOT:
            return Answer(sub_command, told(action), "" if asks else action.data(), False, "rules", sure)
        # Checks go well with an explanation, and are no surer than it.
        answer = self._in_words(sub_command, text, sure, action)
        sure = sure if answer.source == "rules" else min(sure, answer.confidence)
        data = action.data() if sure >= ACTION_THRESHOLD and not asks else ""
        return replace(answer, action_data=data, confidence=sure)

    def _in_words(self, sub_command: SubCommand, text: str, sure: float, action: Action | None) -> Answer:
        """Answer by the model's words, else by advice; with what was perhaps meant as a suggestion."""
        trouble = sub_command.intent == Intent.TROUBLESHOOT
        advice = GUIDANCE[sub_command] if sure else UNCLEAR
        if action is not None and not trouble:
            advice = f"Perhaps this is meant: {told(action)}"
        elif action is not None and names_something(action):
            advice = told(action)
        question = _plain(text)
        guess = self._ask_text(question, TEXT_TOKENS) if question else _Guess(None, "The question is empty.")
        # What is wanted but cannot be done yet has to be asked for in other words.
        followup = not trouble and not wonders(text)
        of_device = sub_command.intent in _ABOUT_DEVICES
        if guess.completion is not None and not of_device and self._is_driver(guess.completion.text):
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

    def _ask(self, question: str, tokens: int) -> _Guess:
        return _Guess(*self._asked(lambda model, left: model.complete(prompt(question), tokens, left)))

    def _ask_drivers(self, device: Device, allowed: Sequence[str], whole: bool) -> tuple[Ranking, str]:
        """Let the model choose among what is allowed; return its ranking, or an empty one and the reason.

        :param whole: whether it is all that the tables name. What is remembered may be surest of a driver that was
            taken out, so it has a part in no other choice.
        """
        nothing = Ranking((), weighed=False)
        if not allowed:
            return nothing, "The tables name no driver."
        name = self._knowledge.device_name(device)
        question = driver_question(device.bus, device.vendor, device.device, device.class_code, name or "")
        about = None
        if self._sure_of_drivers and device.bus != "virtio":
            taught = benchmark.Device(
                bus=device.bus,
                vendor=f"{device.vendor:04x}",
                device=f"{device.device:04x}",
                class_code=None if device.class_code is None else f"{device.class_code:04x}",
                vendor_name=self._knowledge.vendor_name(device),
                name=name,
            )
            question = question_about(taught)
            about = taught if HELPED in self._sure_of_drivers and whole else None
        ranking, excuse = self._asked(lambda model, left: model.drivers(prompt(question), allowed, about, left))
        return ranking or nothing, excuse

    def _asked(self, ask: Callable[[Model, float], T]) -> tuple[T | None, str]:
        """Ask the model; return what it says, or the reason why it says nothing."""
        if self._engine is None:
            return None, "There is no model to ask."
        if not self._may_ask:
            raise ModelNeededError
        try:
            return ask(self._engine, max(0.0, self._deadline - time.monotonic())), ""
        except AbandonedError:
            log.warning("The model took more than %g s over a question.", self._seconds)
            return None, f"The model took more than {self._seconds:g} s and was abandoned."
        except UnavailableError as error:
            return None, error.what
        except ServingError as error:
            log.warning("The model could not answer: %s", error.what)
            return None, f"The model could not answer: {error.what}"

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


def _checked(answer: Answer) -> Answer:
    """Return the answer; where its action breaks its schema, which is our fault, advice without an action instead."""
    try:
        read_action(answer.sub_command, answer.action_data)
    except ActionError as error:
        log.error("An answer was not sent: %s", error)
        said = GUIDANCE[answer.sub_command]
        return replace(
            answer,
            response=f"{said} (The action that was found for this is not a valid one; the server's log says why.)",
            action_data="",
            requires_followup=True,
            source="rules",
            confidence=ADVICE_CONFIDENCE,
            broken=True,
        )
    return answer


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
