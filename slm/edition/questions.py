"""What an edition is asked when it is measured: ids of the device tables, and lines in people's own words."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from slm.edition.facts import Device, read_devices
from slm.edition.words import ID, is_answered_by_kernel, words_of
from slm.errors import ArtefactError

PHRASINGS = Path(__file__).with_name("phrasings.tsv")

#: Ids that are asked about, and the seed that they are drawn with.
IDS, SEED = 500, 0

#: How an id is asked about, and in which case it is written: these in turn, one for its name and one for its driver.
_FORMS = (
    ("what is pci {}", str), ("driver for {}", str), ("What is PCI {}?", str.upper), ("Driver for {}?", str),
    ("what is {}?", str), ("which driver for pci {}", str.upper), ("What is {}", str),
    ("Which driver for PCI {}?", str.upper),
)  # fmt: skip


def pattern(words: Sequence[str]) -> tuple[str, ...]:
    """Return a line's canonical words with every id's place in place of the id: how it is asked, whatever about."""
    return tuple("{}" if ID.fullmatch(word) else word for word in words)


#: The plain ways to ask about an id, which are what training is for.
PLAIN = frozenset(pattern(words_of(form.format("0000:0000"))) for form, _ in _FORMS)


@dataclass(frozen=True)
class Question:
    """A line, and what is right: one of ``right``, exactly or (``within``) as whole words of the answer."""

    line: str
    right: tuple[str, ...]
    within: bool

    def is_right(self, answer: str) -> bool:
        """Say whether ``answer`` is right."""
        if not self.within:
            return answer in self.right
        return any(re.search(rf"(?<!\w){re.escape(text)}(?!\w)", answer, re.IGNORECASE) for text in self.right)


def id_questions(devices: Sequence[Device], count: int = IDS, seed: int = SEED) -> list[Question]:
    """Ask about ``count`` ids drawn from all that have a driver in the tables, each in one of several forms.

    A driver is right when it is one that claims the device. What a device is, is right when it is the maker and the
    name of the lists; a device that they do not name is asked for its driver.
    """
    known = sorted((device for device in devices if device.drivers), key=lambda device: device.id)
    found = []
    for number, device in enumerate(random.Random(seed).sample(known, min(count, len(known)))):
        turn = number % len(_FORMS)
        wants_name = turn % 2 == 0 and device.name is not None
        form, case = _FORMS[turn if wants_name else turn | 1]
        right = (" ".join(device.identity),) if wants_name else device.drivers
        found.append(Question(form.format(case(device.id)), right, within=False))
    return found


def phrasing_questions(split: Literal["held", "tuned"] = "held", path: Path = PHRASINGS) -> list[Question]:
    """Read lines in people's own words with their right answers.

    :param split: ``held`` are measured alone; ``tuned`` were looked at while the templates were made.
    :raises ArtefactError: when a line is none, or is one that the kernel answers by itself.
    """
    found = []
    for number, row in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if row.startswith("#"):
            continue
        fields = row.split("\t")
        if len(fields) != 3 or fields[0] not in ("held", "tuned") or is_answered_by_kernel(fields[2]):
            raise ArtefactError(f"{path}, line {number}: no line with its split and right answer.")
        if fields[0] == split:
            found.append(Question(fields[2], tuple(fields[1].split("|")), within=True))
    return found


def some_lines(tables: Path) -> list[str]:
    """Return the lines of the evaluation: about ids of the device tables, and in people's own words."""
    asked = [*id_questions(read_devices(tables)), *phrasing_questions()]
    return [question.line for question in asked]
