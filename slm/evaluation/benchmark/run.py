"""Running a benchmark: every predictor answers every item of its tasks, once, and the answers are scored."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from slm.evaluation.benchmark.calibration import Judged, fit
from slm.evaluation.benchmark.items import (
    CommandCompletion,
    DeviceTree,
    DriverSelect,
    Identify,
    InstallSteps,
    IntentPhrase,
    Item,
    SubCommandPhrase,
)
from slm.evaluation.benchmark.predictor import RANKED, Predictor, Ranked
from slm.evaluation.benchmark.results import Bin, Group, Results, TaskScore
from slm.evaluation.benchmark.score import (
    BINS,
    Floats,
    bin_of,
    expected_calibration_error,
    interval,
    is_order,
    kendall_tau,
    plain,
    rank,
    same_words,
    token_f1,
)
from slm.progress import Progress, Reporter, silent
from slm.serving.confidence import Calibration, Calibrations
from slm.spec import TASKS, Task

#: With at most so many right answers in all, each is scored apart.
_FEW_ANSWERS = 32


class Outcome(NamedTuple):
    """How one item was answered: figures by their names in :class:`Group`, NaN where an item does not have one.

    ``judged`` has the confidences and the place of the right answer; None where the task has no confidence.
    """

    groups: tuple[str, ...]
    answer: str
    known: bool
    right: bool
    figures: dict[str, float]
    judged: Judged | None


def run(
    items: Sequence[Item],
    predictor: Predictor | None,
    baselines: Sequence[Predictor] = (),
    validation: Sequence[Item] = (),
    *,
    stored: Calibrations | None = None,
    benchmark: str = "",
    sha256: str = "",
    notes: Sequence[str] = (),
    report: Reporter = silent,
) -> Results:
    """Score a predictor, and baselines beside it, on ``items``.

    :param validation: other items, on which confidences are calibrated; without them the figures are as they come.
    :param stored: calibrations by a taker's name, which come before those that ``validation`` would give.
    :param benchmark: the file that the items are from, with its ``sha256``; both stand in the results.
    """
    scored = {
        taker.name: {
            task: _task_score(taker, task, items, validation, (stored or {}).get(taker.name, {}).get(task), report)
            for task in TASKS
            if task in taker.tasks and any(item.task == task for item in items)
        }
        for taker in ([predictor] if predictor else []) + list(baselines)
    }
    counted = {task: TaskScore(n=n) for task in TASKS if (n := sum(item.task == task for item in items))}
    return Results(
        benchmark=benchmark,
        sha256=sha256,
        predictor=predictor.name if predictor else None,
        tasks=scored[predictor.name] if predictor else counted,
        baselines={taker.name: scored[taker.name] for taker in baselines},
        notes=list(notes),
    )


def without(known: Sequence[Item], asked: Sequence[Item]) -> tuple[list[Item], list[str]]:
    """Return the items of ``known`` that ask nothing that ``asked`` does, and a sentence if some did."""
    questions = {_question(item) for item in asked}
    kept = [item for item in known if _question(item) not in questions]
    same = len(questions & {_question(item) for item in known})
    said = f"{same:,} questions stand among the items to fit on, too; baselines were fitted without them"
    return kept, [f"{said}, but a model trained on that corpus may have read the answers."] if same else []


def _question(item: Item) -> tuple[object, ...]:
    """Return what an item asks; of a device only its id, for nothing else makes it another."""
    if isinstance(item, DriverSelect | Identify):
        return item.task, *item.device.key
    if isinstance(item, InstallSteps):
        return item.task, *sorted(item.answer)
    return item.task, *item.model_dump(exclude={"task", "label", "answer"}).values()


def calibrated(taker: Predictor, task: Task, validation: Sequence[Item], report: Reporter) -> Calibration | None:
    """Fit a taker's calibration for a task on validation items; None where they do not suffice for one."""
    return fit(judged_on(taker, task, validation, report))


def judged_on(taker: Predictor, task: Task, items: Sequence[Item], report: Reporter) -> list[Judged]:
    """Return the confidences of a taker's answers, and which were right; nothing for a task without any."""
    if task not in RANKED and task != "identify":
        return []
    return [outcome.judged for outcome in _outcomes(taker, task, items, report) if outcome.judged]


def _task_score(
    taker: Predictor,
    task: Task,
    items: Sequence[Item],
    validation: Sequence[Item],
    calibration: Calibration | None,
    report: Reporter,
) -> TaskScore:
    outcomes = _outcomes(taker, task, items, report)
    calibration = calibration or calibrated(taker, task, validation, report)
    groups = sorted({name for outcome in outcomes for name in outcome.groups})
    answers = sorted({outcome.answer for outcome in outcomes if outcome.answer})
    raw = _bins(outcomes, None)
    return TaskScore(
        **_group(outcomes, calibration).model_dump(),
        sets={
            name: _group([outcome for outcome in outcomes if name in outcome.groups], calibration) for name in groups
        },
        answers={
            name: _group([outcome for outcome in outcomes if outcome.answer == name], None)
            for name in (answers if len(answers) <= _FEW_ANSWERS else ())
        },
        bins=raw,
        bins_calibrated=_bins(outcomes, calibration) if calibration else [],
        calibration=calibration,
    )


def _outcomes(taker: Predictor, task: Task, items: Sequence[Item], report: Reporter) -> list[Outcome]:
    found: list[Outcome] = []
    asked = [item for item in items if item.task == task]
    for number, item in enumerate(asked, 1):
        found.append(_answered(taker, item))
        if number % 50 == 0 or number == len(asked):
            report(Progress(f"{taker.name}: {task}", number, len(asked), "items"))
    return found


def _answered(taker: Predictor, item: Item) -> Outcome:
    """Put one item to a predictor, without its answer."""
    match item:
        case DriverSelect():
            return _ranking(item, taker.drivers(item.device), item.answer)
        case DeviceTree():
            return _ranking(item, taker.compatible(item.compatible), item.answer)
        case IntentPhrase():
            return _ranking(item, taker.intents(item.text), (item.answer,), item.answer)
        case SubCommandPhrase():
            return _ranking(item, taker.sub_commands(item.text), (item.answer,), item.answer)
        case CommandCompletion():
            return _ranking(item, taker.complete(item.command, item.text), item.answer)
        case Identify():
            return _identified(taker, item)
        case InstallSteps():
            return _ordered(taker, item)


def _ranking(item: Item, ranked: Ranked, right: Sequence[str], answer: str = "") -> Outcome:
    place = rank(ranked, right, exact=item.task == "command_completion")
    figures = {"top1": float(place == 0), "top3": float(place is not None and place < 3)}
    judged = Judged([confidence for _, confidence in ranked], place)
    return Outcome(item.groups, answer, bool(ranked), place == 0, figures, judged)


def _identified(taker: Predictor, item: Identify) -> Outcome:
    said, right = taker.identify(item.device), item.answer
    identity = said.identity if said else None
    figures = {
        field: float(same_words(getattr(identity, field) or "", value)) if identity else 0.0
        for field in ("vendor", "type")
        if (value := getattr(right, field)) is not None
    }
    if right.name is not None:
        figures["name_f1"] = token_f1((identity.name or "") if identity else "", right.name)
    # What is right throughout is a matter of the name; without one, of the maker and kind.
    exact = identity is not None and (
        plain(identity.name or "") == plain(right.name) if right.name is not None else all(figures.values())
    )
    judged = Judged([said.confidence], 0 if exact else None) if said else Judged([], None)
    return Outcome(item.groups, "", said is not None, exact, {**figures, "top1": float(exact)}, judged)


def _ordered(taker: Predictor, item: InstallSteps) -> Outcome:
    steps = item.steps or _mixed(item.answer)
    order = list(taker.order(steps, item.text))
    valid = is_order(order, len(steps))
    tau = kendall_tau([item.answer.index(steps[number]) for number in order]) if valid else 0.0
    return Outcome(item.groups, "", valid, tau == 1, {"tau": tau, "exact": float(tau == 1)}, None)


def _mixed(steps: Sequence[str]) -> tuple[str, ...]:
    """Mix steps, always the same way."""
    seed = int.from_bytes(hashlib.sha256("\0".join(steps).encode()).digest()[:8], "big")
    return tuple(random.Random(seed).sample(steps, len(steps)))


def _group(outcomes: Sequence[Outcome], calibration: Calibration | None) -> Group:
    n = len(outcomes)
    means: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    for name in sorted({name for outcome in outcomes for name in outcome.figures}):
        values = np.array([outcome.figures[name] for outcome in outcomes if name in outcome.figures])
        means[name] = float(values.mean())
        if f"{name}_interval" in Group.model_fields:
            intervals[f"{name}_interval"] = interval(values)
    unknown = sum(not outcome.known for outcome in outcomes)
    wrong = sum(not outcome.right for outcome in outcomes)
    return Group.model_validate(
        {
            "n": n,
            **means,
            **intervals,
            "unknown": unknown / n,
            "honest": unknown / wrong if wrong else None,
            "ece": _error(outcomes, None),
            "ece_calibrated": _error(outcomes, calibration) if calibration else None,
        }
    )


def _confidences(outcomes: Iterable[Outcome], calibration: Calibration | None) -> tuple[Floats, Floats]:
    """Return the first answers' confidences and whether they were right, both ``[answers given]``."""
    given = [(outcome.judged, outcome.right) for outcome in outcomes if outcome.judged and outcome.judged.confidences]
    said: Callable[[Sequence[float]], float] = calibration.confidence if calibration else lambda found: found[0]
    confidence = np.array([min(max(said(judged.confidences), 0.0), 1.0) for judged, _ in given])
    return confidence, np.array([right for _, right in given], dtype=np.float64)


def _error(outcomes: Iterable[Outcome], calibration: Calibration | None) -> float | None:
    confidence, right = _confidences(outcomes, calibration)
    return expected_calibration_error(confidence, right) if len(confidence) else None


def _bins(outcomes: Iterable[Outcome], calibration: Calibration | None) -> list[Bin]:
    confidence, right = _confidences(outcomes, calibration)
    which = bin_of(confidence) if len(confidence) else np.zeros(0, np.int64)
    return [
        Bin(n=int(inside.sum()), confidence=float(confidence[inside].mean()), right=float(right[inside].mean()))
        for number in range(BINS)
        if (inside := which == number).any()
    ]
