"""Items that are remembered beside a model: what is like a device or a phrase, and which answers that has.

Alike are phrases with words in common, and devices of one maker with near numbers, of one class, with one number under
different makers, or with words in common; and what a regression over all of them says (:mod:`.ridge`). Drivers, those
that no remembered device has among them, are known by what they say of themselves. Each of this is a figure for every
driver (:mod:`.alike`), and a small network scores them (:mod:`.scorer`), fitted on the training items themselves, each
without itself. What this says and what the model says is then weighed, the model the more the farther the nearest
number is; that is fitted on validation items, and on them once more with near numbers hidden, and with a whole block,
as if those devices were not there, since a newer device often has no near ones. Of phrases both steps are one. Which
driver any device has that a benchmark asks about is not known here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from slm.corpus.instructions.exchange import INTENT_OF
from slm.errors import ArtefactError
from slm.evaluation.benchmark.alike import WAYS, Bus, Floats, Names, Phrases, remember
from slm.evaluation.benchmark.device import Device
from slm.evaluation.benchmark.items import DeviceTree, DriverSelect, Identity, IntentPhrase, Item, SubCommandPhrase
from slm.evaluation.benchmark.predictor import Abstaining, Around, Identified, Predictor, Ranked
from slm.evaluation.benchmark.scorer import Scorer
from slm.evaluation.benchmark.weights import fitted
from slm.files import read_json, write_json
from slm.serving.completion import LEAST_SUGGESTION, SUGGESTIONS
from slm.spec import Task

#: A ranking goes so deep.
_DEPTH = 10
#: Figures of a driver: what the neighbours say, what the model says, and that times how far the neighbours are.
_SAID = 3
#: Numbers of one maker that differ by less are near; devices are hidden from each other within this.
NEAR = 64
#: Within these they are hidden in turn while it is fitted what they are worth: not at all, those near, a whole block.
_HIDDEN = (0, NEAR, 16 * NEAR)
#: The tasks that texts are remembered for: phrases, and the ``compatible`` strings of device trees.
Phrased = Literal["intent", "sub_command", "device_tree"]
PHRASED: tuple[Phrased, ...] = get_args(Phrased)


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    devices: list[DriverSelect]
    #: By bus: what its drivers say of themselves.
    told: dict[str, dict[str, str]]
    scorers: dict[str, Scorer]
    blend: dict[str, list[float]]
    phrases: dict[Phrased, list[tuple[str, str]]]
    #: Makers by bus and number (``pci 8086``), kinds by bus and class (``pci 0200``).
    makers: dict[str, str]
    kinds: dict[str, str]


class Neighbours(Abstaining):
    """What the remembered devices that are like a device have for drivers."""

    name = "neighbours alone"
    tasks: tuple[Task, ...] = ("driver_select",)

    def __init__(
        self,
        devices: Iterable[DriverSelect],
        told: Mapping[str, Mapping[str, str]],
        scorers: Mapping[str, Scorer],
        hides: bool = False,
    ) -> None:
        """Arrange the devices of each bus.

        :param told: by bus, what its drivers say of themselves.
        :param hides: whether :meth:`logs` will be asked to hide some.
        """
        self.devices = list(devices)
        self.told = {bus: dict(each) for bus, each in told.items()}
        self.scorers = dict(scorers)
        self._buses = {
            bus: Bus([item for item in self.devices if item.device.bus == bus], self.told.get(bus, {}), hides)
            for bus in sorted({item.device.bus for item in self.devices})
        }

    @classmethod
    def learnt(cls, training: Iterable[Item], told: Mapping[str, Mapping[str, str]]) -> Neighbours:
        """Remember the devices of training items, and fit the scorers on them."""
        made = cls((item for item in training if isinstance(item, DriverSelect)), told, {}, hides=True)
        for name, bus in made._buses.items():
            figures = [bus.figures(item.device, own, 0).astype(np.float32) for own, item in enumerate(bus.items)]
            made.scorers[name] = Scorer.fitted(figures, [bus.right(item.answer) for item in bus.items])
        return made

    def remembering(self, items: Iterable[Item]) -> Neighbours:
        """Return the same with the devices of other items remembered, too; it can hide none."""
        more = [item for item in items if isinstance(item, DriverSelect) and item.device.bus in self.scorers]
        return Neighbours([*self.devices, *more], self.told, self.scorers)

    def drivers(self, device: Device) -> Ranked:
        """Rank the drivers of the bus by how alike the devices are that have them."""
        if device.bus not in self._buses:
            return ()
        drivers, logs, _ = self.logs(device)
        return _ranked(drivers, logs)

    def logs(self, device: Device, hidden: int = 0) -> tuple[list[str], Floats, float]:
        """Return the drivers of a bus that something is known of, in alphabetical order, and their log-probabilities.

        And how far the nearest number of the same maker is, as a logarithm: 0 to 1, which is none at all.

        :param hidden: devices of the same maker with numbers nearer than this are not looked at.
        """
        bus = self._buses[device.bus]
        figures = bus.figures(device, None, hidden)
        scores = self.scorers[device.bus].scores(figures)
        return bus.drivers, scores - np.logaddexp.reduce(scores), float(figures[0, -1])


class WithNeighbours(Around):
    """A model with the neighbours of its training items: both rank the answers, and their logarithms are weighed."""

    def __init__(
        self,
        model: Predictor,
        neighbours: Neighbours,
        phrases: Mapping[Phrased, Phrases],
        names: Names,
        blend: Mapping[str, Sequence[float]],
    ) -> None:
        super().__init__(model, f"{model.name} with neighbours")
        self.neighbours = neighbours
        self.names = names
        self.phrases = dict(phrases)
        #: By bus: the weights of what the neighbours say, of what the model says, and of that by how far they are.
        #: By task of phrases: those of every likeness, and of what the model says.
        self.blend = {name: list(each) for name, each in blend.items()}

    @classmethod
    def learnt(
        cls,
        model: Predictor,
        training: Iterable[Item],
        validation: Iterable[Item],
        told: Mapping[str, Mapping[str, str]],
    ) -> WithNeighbours:
        """Remember training items beside a model, and fit on validation items how much each is worth.

        :param told: by bus, what its drivers say of themselves.
        """
        known = list(training)
        names = Names.learnt(known)
        return cls(model, Neighbours.learnt(known, told), _remembered(_pairs(known)), names, {}).blended(validation)

    def blended(self, validation: Iterable[Item]) -> WithNeighbours:
        """Return the same with what each is worth fitted on other items.

        Only what :meth:`learnt` returned can do that: it can hide devices, as if they were not there.
        """
        figures: dict[str, list[Floats]] = {}
        right: dict[str, list[npt.NDArray[np.bool_]]] = {}
        name: str
        answer: tuple[str, ...]
        for item in validation:
            match item:
                case DriverSelect() if item.device.bus in self.neighbours.scorers:
                    name, answer = item.device.bus, item.answer
                    said = super().drivers(item.device)
                    found = [_of_device(self.neighbours, item.device, said, hidden) for hidden in _HIDDEN]
                case _:
                    text = _asked(item)
                    if text is None or text.task not in self.phrases:
                        continue
                    name, answer = text.task, text.answers
                    found = [self._of_phrase(text.task, text.said)]
            figures.setdefault(name, []).extend(each for _, each in found)
            right.setdefault(name, []).extend(np.isin(answers, answer) for answers, _ in found)
        blend = {name: fitted(each, right[name]).tolist() for name, each in figures.items()}
        return WithNeighbours(self._inner, self.neighbours, self.phrases, self.names, blend)

    def remembering(self, items: Sequence[Item]) -> WithNeighbours:
        """Return the same with other items remembered, too, such as those of :meth:`blended` once that is done."""
        pairs = {task: list(memory.known) for task, memory in self.phrases.items()}
        for task, more in _pairs(items).items():
            if task in pairs:
                answers = set(self.phrases[task].answers)
                pairs[task] += [(said, answer) for said, answer in more if answer in answers]
        phrases = _remembered(pairs)
        return WithNeighbours(self._inner, self.neighbours.remembering(items), phrases, self.names, self.blend)

    def remembered(self) -> list[Item]:
        """Return what is remembered as the items that it was."""
        found: list[Item] = list(self.neighbours.devices)
        for task, memory in self.phrases.items():
            if task == "device_tree":
                trees: dict[str, list[str]] = {}
                for text, answer in memory.known:
                    trees.setdefault(text, []).append(answer)
                found += [
                    DeviceTree(compatible=tuple(text.split()), answer=tuple(each)) for text, each in trees.items()
                ]
            else:
                kind = IntentPhrase if task == "intent" else SubCommandPhrase
                found += [kind(text=text, answer=answer) for text, answer in memory.known]
        return found

    @classmethod
    def read(cls, model: Predictor, file: Path) -> WithNeighbours:
        """Read what :meth:`write` wrote.

        :raises ArtefactError: when it is something else.
        """
        found = _stored(file)
        if not _fits(found):
            raise _of_another_version(file)
        phrases = _remembered(found.phrases)
        names = Names(found.makers, found.kinds)
        neighbours = Neighbours(found.devices, found.told, found.scorers)
        made = cls(model, neighbours, phrases, names, found.blend)
        if any(
            made._of_phrase(task, "?")[1].shape[1] != len(made.blend[task]) for task in phrases if task in made.blend
        ):
            raise _of_another_version(file)
        return made

    def write(self, file: Path) -> None:
        """Write the devices, the phrases, and all weights."""
        devices = [
            item.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"label"})
            for item in self.neighbours.devices
        ]
        phrases = {task: memory.known for task, memory in self.phrases.items()}
        scorers = {bus: scorer.model_dump() for bus, scorer in self.neighbours.scorers.items()}
        weights = {"told": self.neighbours.told, "scorers": scorers, "blend": self.blend}
        names = {"makers": self.names.makers, "kinds": self.names.kinds}
        write_json(file, {"devices": devices, "phrases": phrases, **weights, **names})

    def drivers(self, device: Device) -> Ranked:
        """Rank the drivers by both; where one of the two knows nothing, by the other alone."""
        if device.bus not in self.blend:
            return super().drivers(device)
        return _weighed(self.blend[device.bus], *_of_device(self.neighbours, device, super().drivers(device), 0))

    def identify(self, device: Device) -> Identified | None:
        """Say whose it is and of which kind as it is remembered, and the rest as the model writes it."""
        said, known = super().identify(device), self.names.identity(device)
        if known is None:
            return said
        if said is None:
            return Identified(known, 0.0)  # what is asked for is the name, too, and of that nothing is known
        parts = said.identity.model_dump() | known.model_dump(exclude_none=True)
        return Identified(Identity(**parts), said.confidence)

    def compatible(self, compatible: Sequence[str]) -> Ranked:
        """Rank the drivers by both."""
        return self._by_both("device_tree", " ".join(compatible))

    def intents(self, text: str) -> Ranked:
        """Rank the intents by both."""
        return self._by_both("intent", text)

    def sub_commands(self, text: str) -> Ranked:
        """Rank the sub-commands by both."""
        return self._by_both("sub_command", text)

    def _by_both(self, task: Phrased, text: str) -> Ranked:
        if task not in self.blend:
            return self._said(task, text)
        return _weighed(self.blend[task], *self._of_phrase(task, text))

    def _said(self, task: Phrased, text: str) -> Ranked:
        """Return what the model says by itself."""
        match task:
            case "device_tree":
                return super().compatible(text.split())
            case "intent":
                return super().intents(text)
            case "sub_command":
                return super().sub_commands(text)

    def _of_phrase(self, task: Phrased, text: str) -> tuple[list[str], Floats]:
        """Return the answers that phrases are remembered of, with every likeness and what the model says."""
        memory = self.phrases[task]
        columns = [memory.figures(text), _logs(self._said(task, text), memory.answers)[:, None]]
        if task == "intent":
            # What is asked more closely says the same once more: an intent is as likely as its sub-commands together.
            closer = _logs(self._said("sub_command", text), list(INTENT_OF))
            sums = dict.fromkeys(memory.answers, -math.inf)
            for sub_command, log in zip(INTENT_OF, closer.tolist(), strict=True):
                intent = INTENT_OF[sub_command]
                sums[intent] = float(np.logaddexp(sums.get(intent, -math.inf), log))
            columns.append(np.array([[max(sums[answer], _log(0.0))] for answer in memory.answers]))
        return memory.answers, np.concatenate(columns, axis=1)


class RememberedDrivers:
    """The devices alone of what lies beside a model, for a server that asks the model itself."""

    def __init__(self, neighbours: Neighbours, blend: Mapping[str, Sequence[float]]) -> None:
        self._neighbours, self._blend = neighbours, blend

    @classmethod
    def read(cls, file: Path) -> RememberedDrivers:
        """Read what :meth:`WithNeighbours.write` wrote: some seconds.

        :raises ArtefactError: when it is something else.
        """
        found = _stored(file)
        if not _fits(found):  # before the seconds that it takes to arrange the devices
            raise _of_another_version(file)
        return cls(Neighbours(found.devices, found.told, found.scorers), found.blend)

    def weighed(self, device: Device, said: Ranked) -> Ranked | None:
        """Return what both say of a device, as :class:`WithNeighbours` does; None of a bus that nothing is known of.

        :param said: the model's ranking, the first :data:`~slm.serving.completion.SUGGESTIONS` likely ones at least.
        """
        if device.bus not in self._blend:
            return None
        return _weighed(self._blend[device.bus], *_of_device(self._neighbours, device, said, 0))


def _stored(file: Path) -> _Stored:
    try:
        return _Stored.model_validate(read_json(file))
    except ValidationError as error:
        if {each["loc"][:1] for each in error.errors()} <= {("told",), ("scorers",), ("weights",)}:
            raise _of_another_version(file) from error
        raise ArtefactError(f"{file} holds no neighbours.", "Teach the model again.") from error
    except OSError as error:
        raise ArtefactError(f"{file} cannot be read: {error.strerror}.") from error


def _fits(found: _Stored) -> bool:
    """Whether there is a weight for each figure of every bus, and nothing is blended that is not remembered."""
    return (
        {item.device.bus for item in found.devices} == found.scorers.keys()
        and all(scorer.figures == WAYS for scorer in found.scorers.values())
        and found.blend.keys() <= found.scorers.keys() | found.phrases.keys()
        and all(len(found.blend[bus]) == _SAID for bus in found.scorers if bus in found.blend)
    )


def _of_another_version(file: Path) -> ArtefactError:
    return ArtefactError(f"{file} has other figures than this version weighs.", "Teach the model again.")


def _of_device(neighbours: Neighbours, device: Device, said: Ranked, hidden: int) -> tuple[list[str], Floats]:
    """Return the drivers that either names, and what both say of each ``[drivers, 3]``."""
    drivers, alike, far = neighbours.logs(device, hidden)
    heard = _heard(said)
    if others := {driver for driver, _ in heard}.difference(drivers):
        alike = np.concatenate([alike, np.full(len(others), alike.min())])
        drivers = [*drivers, *others]
        order = sorted(range(len(drivers)), key=drivers.__getitem__)
        drivers, alike = [drivers[place] for place in order], alike[order]
    model = _logs(heard, drivers)
    return drivers, np.stack([alike, model, model * far], axis=1)


def _heard(said: Ranked) -> Ranked:
    """Return of a model's ranking what a server asks it for, so that what is fitted here holds there, too."""
    return [one for place, one in enumerate(said[:SUGGESTIONS]) if place == 0 or one[1] >= LEAST_SUGGESTION]


def _weighed(weights: Sequence[float], answers: Sequence[str], figures: Floats) -> Ranked:
    """Rank answers by the weighed sum of what is said of each ``[answers, figures]``."""
    return _ranked(answers, figures @ np.array(weights))


def _ranked(answers: Sequence[str], scores: Floats) -> Ranked:
    """Return the first few of ``answers``, in alphabetical order, by their ``scores``; of equal ones the first."""
    logs = scores - np.logaddexp.reduce(scores)
    return [(answers[place], math.exp(logs[place])) for place in np.argsort(-logs, kind="stable")[:_DEPTH]]


def _logs(said: Ranked, answers: Sequence[str]) -> Floats:
    """Return the logarithm of what a model's ranking gives each answer ``[answers]``.

    What it did not rank shares what is left, and is worth less than what it did.
    """
    chances = dict(said)
    ranked = [place for place, answer in enumerate(answers) if answer in chances]
    left = max(1 - sum(chances.values()), 1e-6) / max(len(answers) - len(ranked), 1)
    logs = np.full(len(answers), _log(min([left, *chances.values()])))
    for place in ranked:
        logs[place] = _log(chances[answers[place]])
    return logs


def _log(chance: float) -> float:
    return math.log(max(chance, 1e-9))


class _Text(NamedTuple):
    """An item as a text with its answers."""

    task: Phrased
    said: str
    answers: tuple[str, ...]


def _asked(item: Item) -> _Text | None:
    match item:
        case IntentPhrase() | SubCommandPhrase():
            return _Text(item.task, item.text, (item.answer,))
        case DeviceTree():
            return _Text(item.task, " ".join(item.compatible), item.answer)
        case _:
            return None


def _pairs(items: Iterable[Item]) -> dict[Phrased, list[tuple[str, str]]]:
    """Return texts with their answers, by what is asked of them."""
    pairs: dict[Phrased, list[tuple[str, str]]] = {}
    for item in items:
        if text := _asked(item):
            pairs.setdefault(text.task, []).extend((text.said, answer) for answer in text.answers)
    return pairs


def _remembered(pairs: Mapping[Phrased, Sequence[tuple[str, str]]]) -> dict[Phrased, Phrases]:
    """Remember texts; phrases, which are asked two things, have a regression of their own beside device trees."""
    found: dict[Phrased, Phrases] = {}
    for tasks in (("intent", "sub_command"), ("device_tree",)):
        of_tasks: dict[Phrased, Sequence[tuple[str, str]]] = {t: known for t, known in pairs.items() if t in tasks}
        found |= remember(of_tasks)
    return found
