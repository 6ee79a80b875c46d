"""What simple methods make of the questions: a model that does not beat them has learnt little.

All are fitted on training items alone (:mod:`slm.evaluation.benchmark.generate`).
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from slm.evaluation.benchmark.device import Device
from slm.evaluation.benchmark.items import (
    CommandCompletion,
    DeviceTree,
    DriverSelect,
    Identify,
    Identity,
    IntentPhrase,
    Item,
    SubCommandPhrase,
)
from slm.evaluation.benchmark.predictor import Abstaining, Identified, Predictor, Ranked
from slm.progress import Progress, Reporter, silent
from slm.spec import Task

_Kind = TypeVar("_Kind", DriverSelect, Identify)

#: A ranking goes so deep.
_DEPTH = 50

#: The regression: its commonest n-grams, the inverse of its L2 penalty, and the steps after which it is stopped.
_FEATURES, _LOOSENESS, _STEPS = 20_000, 100.0, 500


def fitted(training: Sequence[Item], wanted: Collection[Task], report: Reporter = silent) -> list[Predictor]:
    """Fit every baseline on the training items of the ``wanted`` tasks."""
    used = [item for item in training if item.task in wanted]
    return [Commonest(used), NearestNeighbour(used), Regression(used, report)]


class Commonest(Abstaining):
    """The commonest answer of those in the same place: the vendor's driver, the word after this word.

    Where the place is new, that of all of its kind. Steps are left as they are shown.
    """

    name = "majority"

    def __init__(self, training: Iterable[Item]) -> None:
        self._counts: dict[tuple[str, ...], Counter[str]] = {}
        tasks: set[Task] = {"install_steps"}
        for item in training:
            match item:
                case DriverSelect():
                    self._add(_places("driver", item.device), item.answer)
                case Identify():
                    for field in ("vendor", "type"):
                        if value := getattr(item.answer, field):
                            self._add(_places(field, item.device), (value,))
                case DeviceTree():
                    self._add(_tree_places(item.compatible), item.answer)
                case IntentPhrase() | SubCommandPhrase():
                    self._add([(item.task,)], (item.answer,))
                case CommandCompletion():
                    self._add(_word_places(item.command), item.answer)
            tasks.add(item.task)
        self.tasks = frozenset(tasks)

    def drivers(self, device: Device) -> Ranked:
        """Return the maker's commonest drivers."""
        return self._ranked(_places("driver", device))

    def identify(self, device: Device) -> Identified | None:
        """Return the id's maker, and the kind that the class says; nothing for the name."""
        makers, kinds = self._counts.get(_places("vendor", device)[0]), self._ranked(_places("type", device)[1:2])
        if not makers and not kinds:
            return None
        vendor, confidence = (makers.most_common(1)[0][0], 1.0) if makers else (None, 0.0)
        return Identified(Identity(vendor=vendor, type=kinds[0][0] if kinds else None), confidence)

    def compatible(self, compatible: Sequence[str]) -> Ranked:
        """Return the commonest drivers of the maker before the comma."""
        return self._ranked(_tree_places(compatible))

    def intents(self, text: str) -> Ranked:
        """Return the commonest intents."""
        return self._ranked([("intent",)])

    def sub_commands(self, text: str) -> Ranked:
        """Return the commonest sub-commands."""
        return self._ranked([("sub_command",)])

    def complete(self, command: str, text: str) -> Ranked:
        """Return the words that follow the last one most often, with the same program if it is known."""
        return self._ranked(_word_places(command))

    def order(self, steps: Sequence[str], text: str) -> Sequence[int]:
        """Leave the steps as they are."""
        return range(len(steps))

    def _add(self, places: Iterable[tuple[str, ...]], answers: Iterable[str]) -> None:
        for place in places:
            self._counts.setdefault(place, Counter()).update(answers)

    def _ranked(self, places: Iterable[tuple[str, ...]]) -> Ranked:
        counts = next((found for place in places if (found := self._counts.get(place))), Counter[str]())
        ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:_DEPTH]
        return [(answer, number / counts.total()) for answer, number in ordered]


def _places(what: str, device: Device) -> list[tuple[str, ...]]:
    return [
        (what, device.bus, "vendor", device.vendor),
        (what, device.bus, "class", device.class_code or ""),
        (what, device.bus),
    ]


def _tree_places(compatible: Sequence[str]) -> list[tuple[str, ...]]:
    return [("tree", compatible[0].partition(",")[0]), ("tree",)]


def _word_places(command: str) -> list[tuple[str, ...]]:
    words = command.split()
    return [("word", words[0], words[-1]), ("word", words[0]), ("next", words[-1]), ("next",)]


class NearestNeighbour(Abstaining):
    """The device of the same maker with the nearest number, of the same class if there is one.

    A maker without any is unknown. The confidence falls with the distance.
    """

    name = "nearest neighbour"
    tasks: Collection[Task] = ("driver_select", "identify")

    def __init__(self, training: Iterable[Item]) -> None:
        self._drivers: dict[tuple[str, int], list[tuple[int, str | None, DriverSelect]]] = {}
        self._names: dict[tuple[str, int], list[tuple[int, str | None, Identify]]] = {}
        for item in training:
            if isinstance(item, DriverSelect | Identify):
                bus, vendor, device = item.device.key
                row = (device, item.device.class_code)
                if isinstance(item, DriverSelect):
                    self._drivers.setdefault((bus, vendor), []).append((*row, item))
                else:
                    self._names.setdefault((bus, vendor), []).append((*row, item))

    def drivers(self, device: Device) -> Ranked:
        """Rank drivers by the distance of the nearest device that has them."""
        near = _nearest(self._drivers, device)
        weights: dict[str, float] = {}
        for distance, item in near:
            for driver in item.answer:
                weights.setdefault(driver, 1 / (1 + distance))
        total = sum(weights.values())
        return [(driver, weight / total) for driver, weight in weights.items()]

    def identify(self, device: Device) -> Identified | None:
        """Say that it is what the nearest device is."""
        near = _nearest(self._names, device)
        return Identified(near[0][1].answer, 1 / (1 + near[0][0])) if near else None


def _nearest(
    rows: dict[tuple[str, int], list[tuple[int, str | None, _Kind]]], device: Device
) -> list[tuple[int, _Kind]]:
    """Return the ten nearest rows with their distances, those of the same class first."""
    bus, vendor, number = device.key
    found = rows.get((bus, vendor), [])
    ordered = sorted(
        found, key=lambda row: (device.class_code is not None and row[1] != device.class_code, abs(row[0] - number))
    )
    return [(abs(row[0] - number), row[2]) for row in ordered[:10]]


class Regression(Abstaining):
    """Multinomial logistic regression on the TF-IDF of 2- to 5-grams of characters, one for each task and bus.

    On some thousand devices it takes a minute or two and about 2 GB. ``remarks`` says so where it did not converge.
    """

    name = "logistic regression"

    def __init__(self, training: Sequence[Item], report: Reporter = silent) -> None:
        self.remarks: list[str] = []
        texts: dict[tuple[Task, str], list[tuple[str, Sequence[str]]]] = {}
        for item in training:
            match item:
                case DriverSelect():
                    texts.setdefault((item.task, item.device.bus), []).append((item.device.line.strip(), item.answer))
                case DeviceTree():
                    texts.setdefault((item.task, ""), []).append((" ".join(item.compatible), item.answer))
                case IntentPhrase() | SubCommandPhrase():
                    texts.setdefault((item.task, ""), []).append((item.text, (item.answer,)))
        self._models: dict[tuple[Task, str], Callable[[str], Ranked]] = {}
        for number, ((task, bus), rows) in enumerate(sorted(texts.items())):
            report(Progress("fit", number, len(texts), "regressions", f"{task} {bus}".strip()))
            self._models[task, bus] = self._fit(f"{task} {bus}".strip(), rows)
        if texts:
            report(Progress("fit", len(texts), len(texts), "regressions"))
        self.tasks = frozenset(task for task, _ in self._models)

    def drivers(self, device: Device) -> Ranked:
        """Rank the drivers of the device's bus."""
        return self._asked("driver_select", device.bus, device.line.strip())

    def compatible(self, compatible: Sequence[str]) -> Ranked:
        """Rank the drivers that some compatible string has."""
        return self._asked("device_tree", "", " ".join(compatible))

    def intents(self, text: str) -> Ranked:
        """Rank the intents."""
        return self._asked("intent", "", text)

    def sub_commands(self, text: str) -> Ranked:
        """Rank the sub-commands."""
        return self._asked("sub_command", "", text)

    def _asked(self, task: Task, bus: str, text: str) -> Ranked:
        model = self._models.get((task, bus))
        return model(text) if model else ()

    def _fit(self, what: str, rows: Sequence[tuple[str, Sequence[str]]]) -> Callable[[str], Ranked]:
        pairs = [(_padded(text), answer, 1 / len(answers)) for text, answers in rows for answer in answers]
        classes = sorted({answer for _, answer, _ in pairs})
        if len(classes) < 2:
            return lambda text: [(classes[0], 1.0)]
        vectorizer = TfidfVectorizer(
            analyzer="char", ngram_range=(2, 5), max_features=_FEATURES, sublinear_tf=True, dtype=np.float32
        )
        features = vectorizer.fit_transform([text for text, _, _ in pairs])
        model = LogisticRegression(C=_LOOSENESS, max_iter=_STEPS, tol=1e-3)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", ConvergenceWarning)
            model.fit(features, [answer for _, answer, _ in pairs], sample_weight=[weight for _, _, weight in pairs])
        if any(issubclass(warning.category, ConvergenceWarning) for warning in said):
            self.remarks.append(f"The regression for {what} was stopped after {_STEPS} steps, before it converged.")

        def ranked(text: str) -> Ranked:
            chances = model.predict_proba(vectorizer.transform([_padded(text)]))[0]
            best = np.argsort(-chances, kind="stable")[:_DEPTH]
            return [(str(model.classes_[place]), float(chances[place])) for place in best]

        return ranked


def _padded(text: str) -> str:
    """Mark a text's ends, so that even one of a single letter has an n-gram."""
    return f" {text.lower()} "
