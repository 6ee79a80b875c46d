"""What is like a device or a phrase among those remembered, as figures for every answer."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, hstack

from slm.evaluation.benchmark.device import Device
from slm.evaluation.benchmark.items import DriverSelect, Identify, Identity, Item
from slm.evaluation.benchmark.ridge import SCALES, DeviceRidge, Grams, PhraseRidge

Floats = npt.NDArray[np.float64]
Question = TypeVar("Question", bound=str)

#: So many figures a driver has for a device.
WAYS = 21
#: So far none of a maker's numbers is from another: all of a maker's devices are hidden.
MAKER = 1 << 16
#: What every figure has added before its logarithm is taken, so that never having been seen is no certainty.
_SOME = 0.02
#: What a driver's likeness to all others has added, so that one that is like none stays so.
_LONELY = 0.05

_WORD = re.compile(r"[a-z0-9]+")
#: What marks whole words: of a name or a phrase, of a maker, and two in a row; and classes.
_MARKS = "=@+#"


class Bus:
    """The devices of one bus, arranged for looking them up by number, class and words, and the drivers that it has."""

    def __init__(self, items: Sequence[DriverSelect], told: Mapping[str, str], hides: bool) -> None:
        """Arrange them.

        :param told: what drivers of the bus say of themselves, those without any remembered device among them.
        """
        self.items = items
        self.drivers = sorted({driver for item in items for driver in item.answer} | told.keys())
        places = {driver: place for place, driver in enumerate(self.drivers)}
        self._vendors, self._numbers = (np.array([item.device.key[n] for item in items]) for n in (1, 2))
        self._classes = np.array([_class(item.device) for item in items])
        owners = [row for row, item in enumerate(items) for _ in item.answer]
        held = [places[driver] for item in items for driver in item.answer]
        shares = np.array([1 / len(item.answer) for item in items for _ in item.answer])
        #: Which share of each device each driver has, ``[devices, drivers]``.
        self._held = csr_matrix((shares, (owners, held)), (len(items), len(self.drivers)))
        self._by_driver = self._held.T.tocsr()
        self._words = Words([_described(item.device) for item in items], self._held)
        self._ridge = DeviceRidge([item.device for item in items], self._held, hides)
        self._told = Told(self.drivers, told)
        #: What is the same for every device as long as none is hidden: each driver's share of all, and who has none.
        total = self._by_driver @ np.ones(len(items))
        self._everywhere, self._unseen = np.log((total + _SOME) / (len(items) + 1)), (total == 0).astype(np.float64)

    def right(self, answers: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Say which of the drivers are among ``answers``."""
        return np.isin(self.drivers, answers)

    def _distances(self, device: Device, own: int | None, hidden: int) -> tuple[Floats, Floats]:
        """Return how far each device's number is, and which are looked at (1, else 0).

        Another maker's is infinitely far.
        """
        _, vendor, number = device.key
        distance = np.where(self._vendors == vendor, np.abs(self._numbers - number), np.inf)
        seen = (distance >= hidden).astype(np.float64)
        if own is not None:
            seen[own] = 0
        return distance, seen

    def figures(self, device: Device, own: int | None, hidden: int) -> Floats:
        """Return what speaks for every driver of a device, ``[drivers, WAYS]``.

        That is how alike its devices are, in each way; what it says of itself; and, the same for all, how far the
        nearest number is.

        :param own: the device's own place, which is not looked at.
        :param hidden: neither are devices of the same maker with numbers nearer than this.
        """
        number, code = device.key[2], _class(device)
        distance, seen = self._distances(device, own, hidden)
        maker, kind = np.isfinite(distance), self._classes == code if code >= 0 else np.zeros(len(seen), bool)

        def held(weights: Floats) -> Floats:
            found: Floats = self._by_driver @ (weights * seen)
            return found

        def share(chosen: npt.NDArray[np.bool_]) -> Floats:
            return np.log((held(chosen.astype(np.float64)) + _SOME) / (float(seen[chosen].sum()) + 1))

        own_maker = np.flatnonzero(maker)  # few: of all others nothing is left over any scale
        closeness = np.zeros((len(SCALES), len(seen)))
        closeness[:, own_maker] = np.exp(-distance[own_maker] / np.array(SCALES)[:, None])
        ways = [np.log(_SOME + held(close)) for close in closeness]
        ways.append(np.log(_SOME + held(closeness[1] * kind)))
        whole = bool(seen.all())
        ways += [
            share(maker),
            self._everywhere if whole else share(np.ones(len(seen), bool)),
            share((self._numbers == number) & ~maker),
        ]
        nothing = np.zeros(len(self.drivers))
        ways += [share(kind), share(kind & maker)] if code >= 0 else [nothing, nothing]
        ways += self._words.ways(_described(device), seen)
        score = np.maximum(self._ridge.scores(device, np.flatnonzero(seen == 0)), 0)
        ways += [np.log(_SOME + score), score]
        ways += self._told.ways(device, score)
        ways.append(self._unseen if whole else (self._by_driver @ seen == 0).astype(np.float64))
        ways.append(np.full(len(self.drivers), _far(distance, seen)))
        return np.stack(ways, axis=1)


def _far(distance: Floats, seen: Floats) -> float:
    """Return how far the nearest device that is looked at is, as a logarithm: 0 to 1, which is none at all."""
    return math.log2(1 + float(distance.min(where=seen > 0, initial=MAKER))) / math.log2(1 + MAKER)


class Told:
    """What drivers say of themselves: their names and their modules' descriptions, which devices' names are like."""

    def __init__(self, drivers: Sequence[str], told: Mapping[str, str]) -> None:
        names = [driver.replace("_", " ") for driver in drivers]
        texts = [f"{name} {told.get(driver, '')}" for name, driver in zip(names, drivers, strict=True)]
        self._grams = Grams(texts, "char_wb", (3, 5))
        vectors = self._grams.vectors(texts)
        #: What drivers say, ``[grams, drivers]``, stored by gram.
        self._turned = vectors.T.tocsr()
        named: dict[str, list[int]] = {}
        for place, name in enumerate(names):
            for gram in _pieces(name):
                named.setdefault(gram, []).append(place)
        #: By letters in a row: whose name has them, and how rare that is.
        self._named = {
            gram: (np.array(places), math.log(len(names) / len(places))) for gram, places in sorted(named.items())
        }
        near = (vectors @ self._turned).toarray() ** 2
        np.fill_diagonal(near, 0)
        #: How much each driver is like each other, of all its likeness ``[drivers, drivers]``.
        self._near = near / (near.sum(axis=1, keepdims=True) + _LONELY)

    def ways(self, device: Device, scores: Floats) -> list[Floats]:
        """Return three ways in which drivers are called like a device, each ``[drivers]``.

        They are the letters that a driver's name has in common with the device's name and number; those that what it
        says has in common with maker and name; and how well the drivers do that say alike.

        :param scores: how well each driver does ``[drivers]``, 0 and above.
        """
        named = np.zeros(len(self._near))
        for gram in sorted(_pieces(" ".join(_WORD.findall(f"{device.name or ''} {device.device}".lower())))):
            if gram in self._named:
                places, rarity = self._named[gram]
                named[places] += rarity
        called = self._grams.vectors([f"{device.vendor_name or ''} {device.name or ''}"])
        alike = (called @ self._turned).toarray().ravel().astype(np.float64)
        return [np.log1p(named), alike, np.log(_SOME + (self._near @ scores.astype(np.float32)).astype(np.float64))]


class Words:
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


class Phrases:
    """Phrases with their answers to one question."""

    def __init__(self, known: Sequence[tuple[str, str]], regression: Callable[[str], Floats]) -> None:
        """Arrange them.

        :param regression: returns what it says of every answer, in their order ``[answers]``.
        """
        self.known = list(known)
        self.answers = sorted({answer for _, answer in known})
        self._words = Words([_said(text) for text, _ in known], _held([answer for _, answer in known], self.answers))
        self._regression = regression

    def figures(self, text: str) -> Floats:
        """Return how alike the phrases of every answer are to a phrase, in each way, ``[answers, ways]``."""
        score = self._regression(text)
        ways = self._words.ways(_said(text), np.ones(len(self.known)))
        return np.stack([*ways, np.log(_SOME + np.maximum(score, 0)), score], axis=1)


def remember(pairs: Mapping[Question, Sequence[tuple[str, str]]]) -> dict[Question, Phrases]:
    """Remember phrases with their answers, by what is asked of them; one regression over all of them, some seconds.

    What is asked of no phrase is left out.
    """
    asked = {question: known for question, known in pairs.items() if known}
    texts = list(dict.fromkeys(text for known in asked.values() for text, _ in known))
    places = {text: place for place, text in enumerate(texts)}
    columns = []
    for known in asked.values():
        answers = sorted({answer for _, answer in known})
        owned = _held([answer for _, answer in known], answers)
        rows = csr_matrix(
            (np.ones(len(known)), ([places[text] for text, _ in known], range(len(known)))), (len(texts), len(known))
        )
        columns.append(rows @ owned)
    if not asked:
        return {}
    ridge = PhraseRidge(texts, hstack(columns))
    found: dict[Question, Phrases] = {}
    first = 0
    for (question, known), of in zip(asked.items(), columns, strict=True):
        part = slice(first, first := first + of.shape[1])
        found[question] = Phrases(known, partial(_said_by, ridge, part))
    return found


def _said_by(ridge: PhraseRidge, part: slice, text: str) -> Floats:
    return ridge.scores(text, np.array([], dtype=np.intp))[part]


def _held(answers: Sequence[str], among: Sequence[str]) -> csr_matrix:
    """Return which answer each has ``[answers, among]``."""
    places = {answer: place for place, answer in enumerate(among)}
    return csr_matrix(
        (np.ones(len(answers)), (range(len(answers)), [places[answer] for answer in answers])),
        (len(answers), len(among)),
    )


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


def _maker(device: Device) -> str:
    return f"{device.bus} {device.vendor}"


def _kind(device: Device) -> str:
    return f"{device.bus} {device.subclass:04x}" if device.subclass is not None else ""


def _class(device: Device) -> int:
    return -1 if device.subclass is None else device.subclass


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
