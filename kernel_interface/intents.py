"""What the kernel can ask for, and how a free text is sorted into it.

A text's words are sorted into kinds, and each sub-command is worth what the evidence for it weighs, once each
(:mod:`kernel_interface.evidence`). These sums become chances as in a multinomial logistic regression. An intent is as
likely as its sub-commands together, and the likeliest sub-command of the likeliest intent is taken. A text without any
evidence is a problem to look into (TROUBLESHOOT), and nobody is sure of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import product

from kernel_interface.evidence import DEFINITION, EVIDENCE, NAMES, POLITENESS, SHAPES, WORDS


class Intent(IntEnum):
    """The six things that the kernel asks for."""

    HARDWARE_IDENTIFY = 0
    DRIVER_SELECT = 1
    INSTALL_CONFIGURE = 2
    APP_INSTALL = 3
    SYSTEM_MANAGE = 4
    TROUBLESHOOT = 5


class SubCommand(IntEnum):
    """What precisely is asked for; the high byte is the intent."""

    IDENTIFY_PCI = 0x0000
    IDENTIFY_PLATFORM = 0x0001
    IDENTIFY_USB = 0x0002
    DRV_SELECT = 0x0100
    DRV_CONFIGURE = 0x0101
    DRV_FALLBACK = 0x0102
    PARTITION_DISK = 0x0200
    FORMAT_FS = 0x0201
    MOUNT_FS = 0x0202
    NETWORK_CONFIG = 0x0203
    HOSTNAME_SET = 0x0204
    PKG_SEARCH = 0x0300
    PKG_INSTALL = 0x0301
    PKG_REMOVE = 0x0302
    PKG_UPDATE = 0x0303
    SVC_START = 0x0400
    SVC_STOP = 0x0401
    SVC_STATUS = 0x0402
    RESOURCE_QUERY = 0x0403
    LOG_QUERY = 0x0404
    DIAG_NETWORK = 0x0500
    DIAG_STORAGE = 0x0501
    DIAG_MEMORY = 0x0502
    DIAG_GENERAL = 0x0503

    @property
    def intent(self) -> Intent:
        """The intent that the sub-command belongs to."""
        return _INTENTS[self >> 8]


_INTENTS = tuple(Intent)


@dataclass(frozen=True)
class Classification:
    """What a text asks for. ``confidence`` is the chance of the sub-command among all, between 0 and 1.

    ``evidence`` is whether anything in the text spoke for it.
    """

    sub_command: SubCommand
    confidence: float
    evidence: bool = True

    @property
    def intent(self) -> Intent:
        """The sub-command's intent."""
        return self.sub_command.intent


#: The confidence from which on an action may follow from it; below, a suggestion.
ACTION_THRESHOLD = 0.5
#: What weighs less is no evidence.
_LEAST = 1.0
#: A longer text is sorted by its beginning; who asks for something says it early.
_MOST_WORDS = 60
#: What a word can end with, and what stands there in its base form.
_ENDINGS = (("s", ""), ("es", ""), ("'s", ""), ("ed", ""), ("d", ""), ("ing", ""), ("ing", "e"), ("ies", "y"))
_WORD = re.compile(r"[^\s,;!?\"()\[\]{}<>|&=]+")


@dataclass(frozen=True)
class _Line:
    """One line of evidence: a text must have one of each of ``needed``, and nothing that is ``barred``."""

    weight: float
    needed: tuple[frozenset[str], ...]
    barred: frozenset[str]

    @classmethod
    def read(cls, line: str) -> _Line:
        weight, *atoms = line.split()
        needed = tuple(frozenset(atom.split("|")) for atom in atoms if not atom.startswith("!"))
        barred = frozenset(part for atom in atoms if atom.startswith("!") for part in atom[1:].split("|"))
        return cls(float(weight), needed, barred)

    def holds(self, seen: set[str]) -> bool:
        return not any(one.isdisjoint(seen) for one in self.needed) and self.barred.isdisjoint(seen)


_LINES = {
    SubCommand[name]: [_Line.read(line) for line in lines.strip().splitlines()] for name, lines in EVIDENCE.items()
}
_SHAPES = [(kinds.split(), re.compile(pattern)) for kinds, pattern in SHAPES]


def _lexicon() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for kind, words in WORDS.items():
        for word in words.split("|"):
            found.setdefault(word, set()).add(kind)
    return found


_LEXICON = _lexicon()
#: For the first word of a phrase, how many words the longest has.
_LONGEST: dict[str, int] = {}
for _phrase_words in map(str.split, _LEXICON):
    _LONGEST[_phrase_words[0]] = max(len(_phrase_words), _LONGEST.get(_phrase_words[0], 0))


def classify(text: str) -> Classification:
    """Sort a free text into an intent and a sub-command."""
    worth = _worth(text)
    chances = _chances(worth)
    by_intent = chances_of_intents(chances)
    best = max(Intent, key=by_intent.__getitem__)
    sub = max((sub for sub in SubCommand if sub.intent == best), key=chances.__getitem__)
    if worth[sub] < _LEAST:
        sub = SubCommand.DIAG_GENERAL
    return Classification(sub, chances[sub], worth[sub] >= _LEAST)


def chances_of(text: str) -> dict[SubCommand, float]:
    """Return how likely a text asks for each sub-command; the chances add up to 1."""
    return _chances(_worth(text))


def chances_of_intents(chances: dict[SubCommand, float]) -> dict[Intent, float]:
    """Return how likely each intent is: its sub-commands together."""
    return {intent: sum(chances[sub] for sub in SubCommand if sub.intent == intent) for intent in Intent}


def _worth(text: str) -> dict[SubCommand, float]:
    seen = kinds_of(text)
    return {sub: sum(line.weight for line in lines if line.holds(seen)) for sub, lines in _LINES.items()}


def _chances(worth: dict[SubCommand, float]) -> dict[SubCommand, float]:
    weights = {sub: math.exp(value) for sub, value in worth.items()}
    total = sum(weights.values())
    return {sub: weight / total for sub, weight in weights.items()}


def kinds_of(text: str) -> set[str]:
    """Return what evidence can ask of a text: its words in all their base forms, its phrases, and the kinds of both."""
    text = without_politeness(text).lower()
    words = [word for found in _WORD.findall(text) if (word := found.strip(".:'`"))][:_MOST_WORDS]
    forms = [_forms(word) for word in words]
    seen = set().union(*forms)
    if "?" in text:
        seen.add("?")
    if DEFINITION.fullmatch(text):
        seen.add("DEFINE")
    if words:
        seen.update(f"^{form}" for form in (*forms[0], *_LEXICON.get(words[0], ())))
    at = 0
    while at < len(words):
        length, found = _phrase(forms, at)
        seen |= found
        at += length
    for word in words:
        seen.update(_named(word))
    return seen


def without_politeness(text: str) -> str:
    """Take off what stands before a wish and says nothing about it."""
    text = text.replace("\u2019", "'")
    polite = POLITENESS.match(text)
    return text[polite.end() :] if polite else text


def _forms(word: str) -> set[str]:
    """Return a word and what it may be a form of: ``stopped`` is itself, ``stopp``, ``stop``; some are no words."""
    found = {word}
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 2:
            stem = word.removesuffix(ending) + instead
            found.add(stem)
            if len(stem) > 3 and ending in ("ed", "ing") and stem[-1] == stem[-2]:
                found.add(stem[:-1])
    return found


def _phrase(forms: list[set[str]], at: int) -> tuple[int, set[str]]:
    """Find the longest phrase of the lexicon that begins at a word; return its length, and itself with its kinds."""
    longest = max(_LONGEST.get(form, 0) for form in forms[at])
    for length in range(min(longest, len(forms) - at), 0, -1):
        phrases = (" ".join(words) for words in product(*forms[at : at + length]))
        if known := [phrase for phrase in phrases if phrase in _LEXICON]:
            return length, {*known, *(kind for phrase in known for kind in _LEXICON[phrase])}
    return 1, set()


def _named(word: str) -> Iterator[str]:
    """Yield the kinds of name that a word is, or has the shape of."""
    yield from next((kinds for kinds, shape in _SHAPES if shape.fullmatch(word)), ())
    yield from (kind for kind, names in NAMES.items() if word in names)
    if word.endswith("n't"):
        yield from ("NOT", "n't")


def is_word(word: str) -> bool:
    """Whether a word, in small letters, means something here, and so is nobody's name."""
    return any(form in _LEXICON for form in _forms(word))
