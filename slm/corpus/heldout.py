"""Device ids kept for the benchmark, wherever a text names them, in whatever form.

A tenth of all ids (:func:`slm.corpus.devices.held_out`) must not stand in any training text. People write an id as
``8086:10d3``, ``0x8086, 0x10d3``, ``pci8086,10d3``, ``VEN_8086&DEV_10D3``, ``chip=0x10d38086``, ``vendor 8086, device
10d3`` and many ways more, so no list of forms is kept: two numbers of four hexadecimal digits within :data:`NEAR`
characters of each other name the device that they make in either order, whatever stands between them. A pair that
the device tables do not know is no device.
"""

from __future__ import annotations

import re
import sqlite3
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from slm.corpus.devices import held_out

#: The most characters between the two numbers of an id.
NEAR = 64

_HEX = "[0-9A-Fa-f]"
_NUMBER = re.compile(
    # Numbers without a mark between them: modaliases (v00008086d000010D3 of PCI, v0BDAp8153 of USB) and 0x10d38086;
    # then single ones, perhaps padded to eight digits.
    rf"[vV](?:0000)?({_HEX}{{4}})(?:[dD]0000|[pP])({_HEX}{{4}})"
    rf"|(?<!{_HEX})(?!0000)({_HEX}{{4}})({_HEX}{{4}})(?!{_HEX})"
    rf"|(?<!{_HEX})(?:0000)?({_HEX}{{4}})(?!{_HEX})"
)


class _Number(NamedTuple):
    """A number that is half of some id looked for, and where it stands."""

    start: int
    end: int
    value: int


class IdFinder:
    """Finds certain ids in text.

    :param ids: (vendor, device) of each.
    """

    def __init__(self, ids: Iterable[tuple[int, int]]) -> None:
        self._ids = frozenset(ids)
        self._halves = {number for pair in self._ids for number in pair}

    def named(self, text: str) -> list[tuple[int, int]]:
        """Return the (vendor, device) of every such id in ``text``, once for each time that it stands there."""
        return self._pairs(self._numbers(text))

    def without(self, text: str) -> tuple[str, int]:
        """Return ``text`` without the lines that name such an id, and how many those were.

        Where an id is spread over lines, all from the one number's to the other's go.
        """
        if not self.named(text):
            return text, 0
        lines = text.splitlines(keepends=True)
        kept: list[str] = []
        length = 0
        recent: list[tuple[int, _Number]] = []  # with its line's place among the kept, placed in the text that is left
        for line in lines:
            numbers = [_Number(length + n.start, length + n.end, n.value) for n in self._numbers(line)]
            clash = self._clash(recent, numbers, len(kept))
            if clash is None:
                recent += ((len(kept), number) for number in numbers)
                kept.append(line)
                length += len(line)
                continue
            length -= sum(map(len, kept[clash:]))
            del kept[clash:]
            while recent and recent[-1][0] >= clash:
                recent.pop()
        return "".join(kept), len(lines) - len(kept)

    def _clash(self, recent: list[tuple[int, _Number]], numbers: list[_Number], here: int) -> int | None:
        """Return the first of the kept lines that goes with a new one (``here``: none does); None if that stays."""
        first = here if self._pairs(numbers) else None
        for place, other in reversed(recent):
            if not numbers or numbers[0].start - other.end > NEAR:
                break
            if any(number.start - other.end <= NEAR and self._pair(other.value, number.value) for number in numbers):
                first = place
        return first

    def _pairs(self, numbers: Iterable[_Number]) -> list[tuple[int, int]]:
        """Return the ids that are made by numbers near each other."""
        found: list[tuple[int, int]] = []
        recent: deque[_Number] = deque()
        for number in numbers:
            while recent and number.start - recent[0].end > NEAR:
                recent.popleft()
            found += (pair for other in recent if (pair := self._pair(other.value, number.value)))
            recent.append(number)
        return found

    def _numbers(self, text: str) -> Iterator[_Number]:
        """Yield the numbers in ``text`` that may be half of an id; one written without a mark, as two."""
        for match in _NUMBER.finditer(text):
            for group in range(1, 6):
                if match[group] and (value := int(match[group], 16)) in self._halves:
                    yield _Number(match.start(group), match.end(group), value)

    def _pair(self, one: int, other: int) -> tuple[int, int] | None:
        if (one, other) in self._ids:
            return one, other
        return (other, one) if (other, one) in self._ids else None


class HeldOut(IdFinder):
    """Finds held-out ids in text."""

    def __init__(self, database: Path) -> None:
        """Read from the device tables at ``database`` which devices there are."""
        base = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        try:
            super().__init__(
                (row[1], row[2])
                for query in (
                    "SELECT bus, vendor, device FROM device",
                    "SELECT bus, vendor, device FROM alias WHERE vendor >= 0 AND device >= 0",
                )
                for row in base.execute(query)
                if held_out(*row)
            )
        finally:
            base.close()
