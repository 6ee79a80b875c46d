"""Benchmark items whose answers stand in training text: whoever scores on them has read them.

What counts, by task:

- a device that the corpus promises to hold out: its id, in whatever form, anywhere;
- any other device, and a ``compatible`` string: it together with a right driver's name in one document;
- a phrase: its words in a row; if they are fewer than four, in a made exchange only, for then they say little;
- a command with the word asked for; two steps in a row of a procedure.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from slm.corpus.devices import held_out
from slm.corpus.documents import MADE
from slm.corpus.heldout import IdFinder
from slm.corpus.near import word_grams
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

#: Words in a row that are looked for by their hash, before a text is read word by word.
_GRAM = 4
_BATCH = 256
#: As :func:`slm.corpus.near.word_grams` tells words apart.
_WORD = re.compile(r"[a-z0-9_\u0080-\U0010ffff]+")


class Text(NamedTuple):
    """A training text, where it is from, and whether it is an exchange that we made."""

    text: str
    path: str
    made: bool


class Leak(NamedTuple):
    """An item's number, counted from 0, and the training text that gives it away."""

    item: int
    path: str


class _Needle(NamedTuple):
    """Words in a row, whose item they are, one of the words that must stand in the same text, and where they count."""

    words: tuple[str, ...]
    item: int
    beside: frozenset[str]
    made_only: bool


def text_of(row: dict[str, str]) -> Text:
    """Return a corpus row as a text to be searched."""
    return Text(row["text"], f"{row['source']}: {row['path']}", row["source"] == MADE)


class LeakFinder:
    """Finds the items of a benchmark in texts."""

    def __init__(self, items: Sequence[Item]) -> None:
        needles = [needle for number, item in enumerate(items) for needle in _needles(number, item)]
        self._devices: dict[tuple[int, int], list[tuple[int, frozenset[str]]]] = {}
        for number, item in enumerate(items):
            if isinstance(item, DriverSelect | Identify):
                bus, vendor, device = item.device.key
                beside = frozenset() if held_out(bus, vendor, device) else _besides(item)
                self._devices.setdefault((vendor, device), []).append((number, beside))
        self._ids = IdFinder(self._devices)
        #: Needles by the number of their first words that are hashed, then by that hash.
        self._needles: dict[int, dict[int, list[_Needle]]] = {}
        for needle in needles:
            gram = min(len(needle.words), _GRAM)
            mark = int(word_grams([" ".join(needle.words[:gram])], gram)[0][0])
            self._needles.setdefault(gram, {}).setdefault(mark, []).append(needle)
        self._marks = {gram: np.array(sorted(found), dtype=np.uint64) for gram, found in self._needles.items()}

    def search(self, texts: Iterable[Text]) -> Iterator[Leak]:
        """Yield a leak for every text that gives an item away; an item may come more than once."""
        stream = iter(texts)
        while batch := list(itertools.islice(stream, _BATCH)):
            candidates: list[dict[int, _Needle]] = [{} for _ in batch]
            for gram, marks in self._marks.items():
                hashes, offsets = word_grams([text.text for text in batch], gram)
                hits = np.flatnonzero(np.isin(hashes, marks))
                owners = np.searchsorted(offsets, hits, side="right") - 1
                for owner, value in zip(owners.tolist(), hashes[hits].tolist(), strict=True):
                    candidates[owner].update({id(needle): needle for needle in self._needles[gram][value]})
            for text, found in zip(batch, candidates, strict=True):
                yield from self._in_text(text, found.values())

    def _in_text(self, text: Text, needles: Iterable[_Needle]) -> Iterator[Leak]:
        named = {pair for pair in self._ids.named(text.text) if pair in self._devices}
        needles = [needle for needle in needles if text.made or not needle.made_only]
        if not named and not needles:
            return
        row = f" {' '.join(_words(text.text))} "

        def beside(words: frozenset[str]) -> bool:
            return not words or any(f" {word} " in row for word in words)

        found = {number for pair in named for number, words in self._devices[pair] if beside(words)}
        found |= {needle.item for needle in needles if f" {' '.join(needle.words)} " in row and beside(needle.beside)}
        yield from (Leak(number, text.path) for number in sorted(found))


def _needles(number: int, item: Item) -> Iterator[_Needle]:
    nothing = frozenset[str]()
    match item:
        case DeviceTree():
            for compatible in item.compatible:
                yield from _needle(_words(compatible), number, _drivers(item.answer), False)
        case IntentPhrase() | SubCommandPhrase():
            words = _words(item.text)
            yield from _needle(words, number, nothing, len(words) < _GRAM)
        case CommandCompletion():
            for answer in item.answer:
                words = _words(f"{item.command} {answer}")
                yield from _needle(words, number, nothing, len(words) < _GRAM - 1)
        case InstallSteps():
            for one, other in itertools.pairwise(item.answer):
                words = _words(f"{one} {other}")
                yield from _needle(words, number, nothing, len(words) < _GRAM)
        case _:
            return


def _needle(words: tuple[str, ...], number: int, beside: frozenset[str], made_only: bool) -> Iterator[_Needle]:
    if words:
        yield _Needle(words, number, beside, made_only)


def _besides(item: DriverSelect | Identify) -> frozenset[str]:
    """Return the words of which one must stand beside a device's id; for a name that is asked for, none."""
    return _drivers(item.answer) if isinstance(item, DriverSelect) else frozenset()


def _drivers(answers: Sequence[str]) -> frozenset[str]:
    """Return drivers' names as words in a row: with the underscore that modprobe writes, and with a dash."""
    return frozenset(" ".join(_words(name)) for answer in answers for name in (answer, answer.replace("_", "-")))


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.casefold()))
