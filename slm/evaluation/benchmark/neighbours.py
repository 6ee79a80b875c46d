"""Training items, remembered beside a model: what is like a device or a phrase, and which answers that has.

Alike are phrases with words in common, and devices of one maker with near numbers, of one class, with one number under
different makers, or with words in common; and what a regression over all of them says (:mod:`.ridge`). Each kind of
likeness is a figure for every driver; the figures are weighed as a conditional logit (McFadden, 1974), fitted on the
training items themselves, each without itself; for every other one its near numbers are hidden, as if those devices
were not there, since a newer device often has no near ones. What this says and what the model says is then weighed in
the same way, fitted on validation items, the model the more the farther the nearest number is; of phrases both steps
are one. Nothing here has seen device tables or anything that a benchmark asks.
"""

from __future__ import annotations

import itertools
import math
import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeGuard, get_args

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from slm.corpus.instructions.exchange import INTENT_OF
from slm.errors import ArtefactError
from slm.evaluation.benchmark.items import (
    Device,
    DriverSelect,
    Identify,
    Identity,
    IntentPhrase,
    Item,
    SubCommandPhrase,
)
from slm.evaluation.benchmark.predictor import Abstaining, Around, Identified, Predictor, Ranked
from slm.evaluation.benchmark.ridge import Ridge
from slm.files import read_json, write_json
from slm.spec import Task

Floats = npt.NDArray[np.float64]


#: A ranking goes so deep, and the weights are fitted on so many devices of a bus.
_DEPTH, _FITTED_ON = 10, 1_500
#: Numbers of one maker that differ by less are near; devices are hidden from each other within this.
NEAR = 64
#: So far none of a maker's numbers is from another: all of a maker's devices are hidden.
MAKER = 1 << 16
#: Scales over which the likeness of two numbers falls.
_SCALES = (2.0, 16.0, 256.0)
#: What every figure has added before its logarithm is taken, so that never having been seen is no certainty.
_SOME = 0.02
#: The weight of the squared weights beside the mean log-likelihood.
_SMALL = 1e-3

_WORD = re.compile(r"[a-z0-9]+")
#: What marks whole words: of a name or a phrase, of a maker, and two in a row; and classes.
_MARKS = "=@+#"


#: The tasks that phrases are remembered for.
Phrased = Literal["intent", "sub_command"]
PHRASED: tuple[Phrased, ...] = get_args(Phrased)


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    devices: list[DriverSelect]
    weights: dict[str, list[float]]
    blend: dict[str, list[float]]
    phrases: dict[Phrased, list[tuple[str, str]]]
    #: Makers by bus and number (``pci 8086``), kinds by bus and class (``pci 0200``).
    makers: dict[str, str]
    kinds: dict[str, str]


class Names:
    """What makers and kinds of devices are called: the commonest name that training items have for a number."""

    def __init__(self, makers: Mapping[str, str], kinds: Mapping[str, str]) -> None:
        self.makers, self.kinds = dict(makers), dict(kinds)

    @classmethod
    def learnt(cls, training: Iterable[Item]) -> Names:
        """Remember them."""
        makers: dict[str, Counter[str]] = {}
        kinds: dict[str, Counter[str]] = {}
        for item in training:
            if isinstance(item, Identify):
                device, answer = item.device, item.answer
                if answer.vendor:
                    makers.setdefault(_maker(device), Counter())[answer.vendor] += 1
                if answer.type and device.subclass is not None:
                    kinds.setdefault(_kind(device), Counter())[answer.type] += 1
        return cls(
            *({key: found.most_common(1)[0][0] for key, found in sorted(each.items())} for each in (makers, kinds))
        )

    def identity(self, device: Device) -> Identity | None:
        """Say whose a device is and of which kind; None where neither is remembered."""
        maker, kind = self.makers.get(_maker(device)), self.kinds.get(_kind(device))
        return Identity(vendor=maker, type=kind) if maker or kind else None


class Neighbours(Abstaining):
    """What the training devices that are like a device have for drivers."""

    name = "neighbours alone"
    tasks: tuple[Task, ...] = ("driver_select",)

    def __init__(
        self, devices: Iterable[DriverSelect], weights: Mapping[str, Sequence[float]], hides: bool = False
    ) -> None:
        """Arrange the devices of each bus.

        :param hides: whether :meth:`logs` will be asked to hide some.
        """
        self.devices = list(devices)
        self.weights = {bus: list(each) for bus, each in weights.items()}
        self._buses = {
            bus: _Bus([item for item in self.devices if item.device.bus == bus], hides)
            for bus in sorted({item.device.bus for item in self.devices})
        }

    @classmethod
    def learnt(cls, training: Iterable[Item], seed: int = 0) -> Neighbours:
        """Remember the devices of training items, and fit the weights on them."""
        made = cls((item for item in training if isinstance(item, DriverSelect)), {}, hides=True)
        for name, bus in made._buses.items():
            rng = random.Random(seed)
            chosen = rng.sample(range(len(bus.items)), min(_FITTED_ON, len(bus.items)))
            figures = [bus.figures(bus.items[own].device, own, NEAR * (own % 2)) for own in chosen]
            right = [bus.right(bus.items[own].answer) for own in chosen]
            made.weights[name] = fitted(figures, right).tolist()
        return made

    def drivers(self, device: Device) -> Ranked:
        """Rank the drivers of the bus by how alike the devices are that have them."""
        found = self.logs(device)
        return _ranked(found)

    def weighs(self) -> bool:
        """Whether there is a weight for each figure of every bus."""
        return self._buses.keys() == self.weights.keys() and all(
            bus.figures(bus.items[0].device, None, 0).shape[1] == len(self.weights[name])
            for name, bus in self._buses.items()
        )

    def logs(self, device: Device, hidden: int = 0) -> dict[str, float]:
        """Return the log-probability of every driver of the bus; empty for a bus that nothing is known of.

        :param hidden: devices of the same maker with numbers nearer than this are not looked at.
        """
        bus = self._buses.get(device.bus)
        if bus is None:
            return {}
        scores = bus.figures(device, None, hidden) @ np.array(self.weights[device.bus])
        logs = scores - np.logaddexp.reduce(scores)
        return dict(zip(bus.drivers, logs.tolist(), strict=True))

    def far(self, device: Device, hidden: int = 0) -> float:
        """Return how far the nearest number of the same maker is, as a logarithm: 0 to 1, which is none at all."""
        bus = self._buses.get(device.bus)
        return 1.0 if bus is None else math.log2(1 + bus.nearest(device, hidden)) / math.log2(1 + MAKER)


class Phrases:
    """Phrases with their answers."""

    def __init__(self, known: Sequence[tuple[str, str]]) -> None:
        self.known = list(known)
        self.answers = sorted({answer for _, answer in known})
        places = {answer: place for place, answer in enumerate(self.answers)}
        held = csr_matrix(
            (np.ones(len(known)), (range(len(known)), [places[answer] for _, answer in known])),
            (len(known), len(self.answers)),
        )
        self._words = _Words([_said(text) for text, _ in known], held)

    def figures(self, text: str) -> Floats:
        """Return how alike the phrases of every answer are to a phrase, in each way, ``[answers, ways]``."""
        return np.stack(self._words.ways(_said(text), np.ones(len(self.known))), axis=1)


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
    def learnt(cls, model: Predictor, training: Iterable[Item], validation: Iterable[Item]) -> WithNeighbours:
        """Remember training items beside a model, and fit on validation items how much each is worth."""
        known = list(training)
        phrases: dict[Phrased, Phrases] = {}
        for task in PHRASED:
            if pairs := [(item.text, item.answer) for item in known if _is(item, task)]:
                phrases[task] = Phrases(pairs)
        return cls(model, Neighbours.learnt(known), phrases, Names.learnt(known), {}).blended(validation)

    def blended(self, validation: Iterable[Item]) -> WithNeighbours:
        """Return the same with what each is worth fitted on other items."""
        figures: dict[str, list[Floats]] = {}
        right: dict[str, list[npt.NDArray[np.bool_]]] = {}
        name: str
        answer: tuple[str, ...]
        for item in validation:
            match item:
                case DriverSelect() if item.device.bus in self.neighbours.weights:
                    name, answer = item.device.bus, item.answer
                    found = [self._of_device(item.device, hidden) for hidden in (0, NEAR)]
                case IntentPhrase() | SubCommandPhrase() if item.task in self.phrases:
                    name, answer = item.task, (item.answer,)
                    found = [self._of_phrase(item.task, item.text)]
                case _:
                    continue
            figures.setdefault(name, []).extend(each for _, each in found)
            right.setdefault(name, []).extend(np.isin(answers, answer) for answers, _ in found)
        blend = {name: fitted(each, right[name]).tolist() for name, each in figures.items()}
        return WithNeighbours(self._inner, self.neighbours, self.phrases, self.names, blend)

    def remembered(self) -> list[Item]:
        """Return what is remembered as the items that it was."""
        found: list[Item] = list(self.neighbours.devices)
        for task, memory in self.phrases.items():
            kind = IntentPhrase if task == "intent" else SubCommandPhrase
            found += [kind(text=text, answer=answer) for text, answer in memory.known]
        return found

    @classmethod
    def read(cls, model: Predictor, file: Path) -> WithNeighbours:
        """Read what :meth:`write` wrote.

        :raises ArtefactError: when it is something else.
        """
        try:
            found = _Stored.model_validate(read_json(file))
        except ValidationError as error:
            raise ArtefactError(f"{file} holds no neighbours.", "Train the model on questions again.") from error
        phrases = {task: Phrases(known) for task, known in found.phrases.items()}
        names = Names(found.makers, found.kinds)
        neighbours = Neighbours(found.devices, found.weights)
        if not neighbours.weighs():
            raise ArtefactError(f"{file} has other figures than this version weighs.", "Teach the model again.")
        return cls(model, neighbours, phrases, names, found.blend)

    def write(self, file: Path) -> None:
        """Write the devices, the phrases, and all weights."""
        devices = [
            item.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"label"})
            for item in self.neighbours.devices
        ]
        phrases = {task: memory.known for task, memory in self.phrases.items()}
        weights = {"weights": self.neighbours.weights, "blend": self.blend}
        names = {"makers": self.names.makers, "kinds": self.names.kinds}
        write_json(file, {"devices": devices, "phrases": phrases, **weights, **names})

    def drivers(self, device: Device) -> Ranked:
        """Rank the drivers by both; where one of the two knows nothing, by the other alone."""
        if device.bus not in self.blend:
            return super().drivers(device)
        return self._weighed(device.bus, *self._of_device(device, 0))

    def identify(self, device: Device) -> Identified | None:
        """Say whose it is and of which kind as it is remembered, and the rest as the model writes it."""
        said, known = super().identify(device), self.names.identity(device)
        if known is None:
            return said
        if said is None:
            return Identified(known, 0.0)  # what is asked for is the name, too, and of that nothing is known
        parts = said.identity.model_dump() | known.model_dump(exclude_none=True)
        return Identified(Identity(**parts), said.confidence)

    def intents(self, text: str) -> Ranked:
        """Rank the intents by both."""
        return (
            self._weighed("intent", *self._of_phrase("intent", text))
            if "intent" in self.blend
            else super().intents(text)
        )

    def sub_commands(self, text: str) -> Ranked:
        """Rank the sub-commands by both."""
        if "sub_command" not in self.blend:
            return super().sub_commands(text)
        return self._weighed("sub_command", *self._of_phrase("sub_command", text))

    def _weighed(self, name: str, answers: Sequence[str], figures: Floats) -> Ranked:
        scores = figures @ np.array(self.blend[name])
        logs = scores - np.logaddexp.reduce(scores)
        return _ranked(dict(zip(answers, logs.tolist(), strict=True)))

    def _of_phrase(self, task: Phrased, text: str) -> tuple[list[str], Floats]:
        """Return the answers that phrases are remembered of, with every likeness and what the model says."""
        memory = self.phrases[task]
        said = super().intents(text) if task == "intent" else super().sub_commands(text)
        columns = [memory.figures(text), _logs(said, memory.answers)[:, None]]
        if task == "intent":
            # What is asked more closely says the same once more: an intent is as likely as its sub-commands together.
            closer = _logs(super().sub_commands(text), list(INTENT_OF))
            sums = dict.fromkeys(memory.answers, -math.inf)
            for sub_command, log in zip(INTENT_OF, closer.tolist(), strict=True):
                intent = INTENT_OF[sub_command]
                sums[intent] = float(np.logaddexp(sums.get(intent, -math.inf), log))
            columns.append(np.array([[max(sums[answer], _log(0.0))] for answer in memory.answers]))
        return memory.answers, np.concatenate(columns, axis=1)

    def _of_device(self, device: Device, hidden: int) -> tuple[list[str], Floats]:
        """Return the drivers that either names, and what both say of each ``[drivers, 3]``."""
        near = self.neighbours.logs(device, hidden)
        said = super().drivers(device)
        drivers = sorted({*near, *(driver for driver, _ in said)})
        model = _logs(said, drivers)
        lowest = min(near.values())
        alike = np.array([near.get(driver, lowest) for driver in drivers])
        return drivers, np.stack([alike, model, model * self.neighbours.far(device, hidden)], axis=1)


def fitted(figures: Sequence[Floats], right: Sequence[npt.NDArray[np.bool_]]) -> Floats:
    """Return the weights under which the right answers are likeliest; any of several right ones will do.

    :param figures: for each question ``[answers, figures]``; the numbers of answers may differ.
    :param right: for each question which of the answers are right ``[answers]``; questions without one are passed over.
    """
    kept = [(each, these) for each, these in zip(figures, right, strict=True) if these.any()]
    width = figures[0].shape[1]
    first = np.full(width, 0.2)
    if not kept:
        return first
    rows = np.concatenate([each for each, _ in kept])
    hits = np.concatenate([these for _, these in kept])
    starts = np.cumsum([0, *(len(each) for each, _ in kept[:-1])])
    owner = np.repeat(np.arange(len(kept)), [len(each) for each, _ in kept])

    def loss(weights: Floats) -> tuple[float, Floats]:
        scores = rows @ weights
        scores -= np.maximum.reduceat(scores, starts)[owner]
        chances = np.exp(scores)
        chances /= np.add.reduceat(chances, starts)[owner]
        of_right = np.add.reduceat(chances * hits, starts)
        pulled = chances * hits / np.maximum(of_right, 1e-12)[owner]
        value = -np.log(np.maximum(of_right, 1e-12)).mean() + _SMALL * weights @ weights
        return float(value), (chances - pulled) @ rows / len(kept) + 2 * _SMALL * weights

    found: Floats = minimize(loss, first, jac=True, method="L-BFGS-B", options={"maxiter": 100}).x
    return found


class _Bus:
    """The devices of one bus, arranged for looking them up by number, class and words."""

    def __init__(self, items: Sequence[DriverSelect], hides: bool) -> None:
        self.items = items
        self.drivers = sorted({driver for item in items for driver in item.answer})
        places = {driver: place for place, driver in enumerate(self.drivers)}
        self._vendors, self._numbers = (np.array([item.device.key[n] for item in items]) for n in (1, 2))
        self._classes = np.array([_class(item.device) for item in items])
        owners = [row for row, item in enumerate(items) for _ in item.answer]
        held = [places[driver] for item in items for driver in item.answer]
        shares = np.array([1 / len(item.answer) for item in items for _ in item.answer])
        #: Which share of each device each driver has, ``[devices, drivers]``.
        self._held = csr_matrix((shares, (owners, held)), (len(items), len(self.drivers)))
        self._by_driver = self._held.T.tocsr()
        self._words = _Words([_described(item.device) for item in items], self._held)
        self._ridge = Ridge([item.device for item in items], self._held, hides)
        self._driver_grams: dict[str, list[int]] = {}
        for place, driver in enumerate(self.drivers):
            for gram in _pieces(driver.replace("_", " ")):
                self._driver_grams.setdefault(gram, []).append(place)

    def right(self, answers: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Say which of the drivers are among ``answers``."""
        return np.isin(self.drivers, answers)

    def nearest(self, device: Device, hidden: int) -> int:
        """Return how far the nearest number of the same maker is that is no nearer than ``hidden``."""
        _, vendor, number = device.key
        distances = np.abs(self._numbers[self._vendors == vendor] - number)
        return int(min(distances[distances >= hidden], default=MAKER))

    def figures(self, device: Device, own: int | None, hidden: int) -> Floats:
        """Return how alike the devices of every driver are to a device, in each way, ``[drivers, ways]``.

        :param own: the device's own place, which is not looked at.
        :param hidden: neither are devices of the same maker with numbers nearer than this.
        """
        _, vendor, number = device.key
        code = _class(device)
        distance = np.where(self._vendors == vendor, np.abs(self._numbers - number), np.inf)
        seen = (distance >= hidden).astype(np.float64)
        if own is not None:
            seen[own] = 0
        maker, kind = np.isfinite(distance), self._classes == code if code >= 0 else np.zeros(len(seen), bool)

        def held(weights: Floats) -> Floats:
            found: Floats = self._by_driver @ (weights * seen)
            return found

        def share(chosen: npt.NDArray[np.bool_]) -> Floats:
            return np.log((held(chosen.astype(np.float64)) + _SOME) / (float(seen[chosen].sum()) + 1))

        ways = [np.log(_SOME + held(np.exp(-distance / scale))) for scale in _SCALES]
        ways.append(np.log(_SOME + held(np.exp(-distance / _SCALES[1]) * kind)))
        ways += [share(maker), share(np.ones(len(seen), bool)), share((self._numbers == number) & ~maker)]
        nothing = np.zeros(len(self.drivers))
        ways += [share(kind), share(kind & maker)] if code >= 0 else [nothing, nothing]
        ways += [*self._words.ways(_described(device), seen), self._named(device)]
        score = self._ridge.scores(device, np.flatnonzero(seen == 0))
        ways += [np.log(_SOME + np.maximum(score, 0)), score]
        return np.stack(ways, axis=1)

    def _named(self, device: Device) -> Floats:
        """Return how much of each driver's own name is in a device's name or number."""
        named = np.zeros(len(self.drivers))
        for gram in sorted(_pieces(" ".join(_WORD.findall(f"{device.name or ''} {device.device}".lower())))):
            for place in self._driver_grams.get(gram, ()):
                named[place] += math.log(len(self.drivers) / len(self._driver_grams[gram]))
        return np.log1p(named)


class _Words:
    """Texts as sets of marked words and their pieces, with the share of each text that every answer has."""

    def __init__(self, texts: Sequence[set[str]], held: csr_matrix) -> None:
        """Count.

        :param held: ``[texts, answers]``.
        """
        counts = Counter(gram for grams in texts for gram in grams)
        self._grams = {gram: place for place, gram in enumerate(sorted(counts))}
        self._rarity = np.array([math.log(1 + len(texts) / counts[gram]) for gram in self._grams])
        self._unknown = math.log(1 + len(texts)) ** 2
        self._is_word = np.array([gram[0] in _MARKS for gram in self._grams])
        rows = np.array([self._grams[gram] for grams in texts for gram in sorted(grams)], dtype=np.int64)
        columns = np.array([row for row, grams in enumerate(texts) for _ in grams], dtype=np.int64)
        shape = (len(self._grams), len(texts))
        has = csr_matrix((np.ones(len(rows)), (rows, columns)), shape)
        self._has = has.T.tocsr()
        self._held, self._by_answer = held, held.T.tocsr()
        self._texts, self._answers = held.nonzero()
        #: How often each answer has each gram, ``[grams, answers]``, and how often there is one at all.
        self._counts = (has @ held).tocsr()
        self._owned = np.asarray(has.sum(axis=1)).ravel()
        lengths = np.sqrt(np.asarray(has.T @ self._rarity**2).ravel())
        #: Each text as a vector of length 1, by gram.
        self._vectors = csr_matrix((self._rarity[rows] / np.maximum(lengths[columns], 1e-9), (rows, columns)), shape)

    def ways(self, grams: set[str], seen: Floats) -> list[Floats]:
        """Return five ways in which the texts of every answer are like one, each ``[answers]``.

        They are the nearest text; the near ones together; the piece, the word that most speaks for the answer; and
        all pieces together.

        :param seen: which texts are looked at: 1, or 0 for one that counts as if it were not there ``[texts]``. Only
            how rare a word is, which weighs the first two, is counted in all.
        """
        known = [self._grams[gram] for gram in sorted(grams) if gram in self._grams]
        nearest = np.zeros(self._held.shape[1])
        near = piece = word = total = nearest
        if known:
            length = math.sqrt(float((self._rarity[known] ** 2).sum()) + (len(grams) - len(known)) * self._unknown)
            cosines = np.asarray(self._vectors[known].T @ self._rarity[known]).ravel() / length * seen
            nearest = np.zeros(self._held.shape[1])
            np.maximum.at(nearest, self._answers, cosines[self._texts])
            near = np.asarray(self._by_answer @ cosines**4).ravel()
            counts, owned = self._counts[known].toarray(), self._owned[known]
            hidden = np.flatnonzero(seen == 0)
            if len(hidden):
                gone = self._has[hidden][:, known].T
                counts = np.maximum(counts - (gone @ self._held[hidden]).toarray(), 0)
                owned = owned - np.asarray(gone.sum(axis=1)).ravel()
            shares = counts / (owned + 1)[:, None]
            piece = shares.max(0)
            word = (shares * self._is_word[known][:, None]).max(0)
            total = -np.log1p(-np.minimum(shares, 0.99)).sum(0)
        return [nearest, *(np.log(_SOME + each) for each in (near, piece, word)), np.log(0.5 + total)]


def _commonest(counted: Mapping[str, Counter[str]]) -> dict[str, str]:
    return {key: names.most_common(1)[0][0] for key, names in sorted(counted.items())}


def _maker(device: Device) -> str:
    return f"{device.bus} {device.vendor}"


def _kind(device: Device) -> str:
    return f"{device.bus} {device.subclass:04x}" if device.subclass is not None else ""


def _ranked(logs: Mapping[str, float]) -> Ranked:
    ordered = sorted(logs.items(), key=lambda pair: (-pair[1], pair[0]))
    return [(driver, math.exp(log)) for driver, log in ordered[:_DEPTH]]


def _logs(said: Ranked, answers: Sequence[str]) -> Floats:
    """Return the logarithm of what a model's ranking gives each answer ``[answers]``.

    What it did not rank shares what is left, and is worth less than what it did.
    """
    chances = dict(said)
    unranked = sum(answer not in chances for answer in answers)
    left = max(1 - sum(chances.values()), 1e-6) / max(unranked, 1)
    least = min([left, *chances.values()])
    return np.array([_log(chances.get(answer, least)) for answer in answers])


def _class(device: Device) -> int:
    return -1 if device.subclass is None else device.subclass


def _log(chance: float) -> float:
    return math.log(max(chance, 1e-9))


def _is(item: Item, task: Phrased) -> TypeGuard[IntentPhrase | SubCommandPhrase]:
    return item.task == task


def _said(text: str) -> set[str]:
    """Return a phrase's words, its pairs of words and their pieces, each marked as what it is."""
    words = _WORD.findall(text.lower())
    pairs = {f"+{one} {other}" for one, other in itertools.pairwise(words)}
    return {f"={word}" for word in words} | pairs | _pieces(" ".join(words))


def _described(device: Device) -> set[str]:
    """Return what a device has in common with others, each marked as what it is.

    That is its class, the words of its name, their pieces, and its maker's words. Not the beginning of its number: a
    block of numbers speaks for its old drivers, and it is in new blocks that newer devices are.
    """
    words = _WORD.findall((device.name or "").lower())
    makers = _WORD.findall((device.vendor_name or "").lower())
    kind = {f"#{device.subclass}", f"#{device.vendor}/{device.subclass}"} if device.subclass is not None else set()
    named = {f"={word}" for word in words} | {f"@{word}" for word in makers} | _pieces(" ".join(words))
    return kind | named


def _pieces(words: str) -> set[str]:
    """Return three and four letters in a row of each word, its ends marked."""
    marked = [f" {word} " for word in words.lower().split()]
    return {word[at : at + size] for word in marked for size in (3, 4) for at in range(len(word) - size + 1)}
