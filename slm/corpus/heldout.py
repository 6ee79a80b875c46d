"""Device ids kept for the benchmark, wherever a text names them, in whatever form.

A tenth of all ids (:func:`slm.corpus.devices.held_out`) must not stand in any training text. People write an id as
``8086:10d3``, ``0x8086, 0x10d3``, ``pci8086,10d3``, ``v00008086d000010D3``, ``v0BDAp8153`` or ``8086 10d3``; each is
found here by its two numbers, as far as the tables know the device.
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

from slm.corpus.devices import held_out

BUSES = ("pci", "usb")

_HEX = "[0-9A-Fa-f]{4}"
_PAIR = re.compile(
    # Two numbers with a mark or space between them, each perhaps with 0x, the second perhaps with words of its own:
    # 8086:10d3, 0x8086, 0x10d3, pci8086,10d3, idVendor=0bda, idProduct=8153, ATTR{idVendor}=="0bda", ATTR{…}=="8153".
    # The second is only looked at, since it may be the first of another pair: 0000:8086:10d3.
    rf"(?<![0-9A-Za-z])(?:0[xX]|pci|usb)?({_HEX})(?=(?:\s*[:/;-]\s*|\s+|\"?\s*,\s*)"
    rf"(?:[A-Za-z_.{{}}()\"=\s]{{0,40}}[=\s({{\"])?(?:0[xX])?({_HEX})(?![0-9A-Za-z]))"
    # modalias: v0000vvvvd0000dddd of PCI, vvvvvpdddd of USB; hwdb writes the same.
    rf"|[vV](?:0000)?({_HEX})(?:[dD]0000|[pP])({_HEX})(?![0-9A-Fa-f])"
)


class HeldOut:
    """Finds held-out ids in text."""

    def __init__(self, database: Path) -> None:
        """Read from the device tables at ``database`` which devices there are."""
        base = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        try:
            self._devices = {
                (row[0], row[1], row[2])
                for query in (
                    "SELECT bus, vendor, device FROM device",
                    "SELECT bus, vendor, device FROM alias WHERE vendor >= 0 AND device >= 0",
                )
                for row in base.execute(query)
                if held_out(*row)
            }
        finally:
            base.close()
        self._known: dict[tuple[int, int], bool] = {}

    def named(self, text: str) -> list[tuple[int, int]]:
        """Return the (vendor, device) of every held-out id in ``text``, once for each time that it stands there."""
        return [pair for match in _PAIR.finditer(text) if self._held(pair := _numbers(match))]

    def without(self, text: str) -> tuple[str, int]:
        """Return ``text`` without the lines that name a held-out id, and how many those were.

        Where an id is spread over a line's end, both lines go.
        """
        bad: list[tuple[int, int]] = []
        for match in _PAIR.finditer(text):
            if self._held(_numbers(match)):
                end = text.find("\n", max(match.end(2), match.end()))
                bad.append((text.rfind("\n", 0, match.start()) + 1, len(text) if end < 0 else end + 1))
        if not bad:
            return text, 0
        parts, position, lines = [], 0, 0
        for start, end in bad:
            if end <= position:
                continue
            parts.append(text[position : max(start, position)])
            lines += text.count("\n", max(start, position), end - 1) + 1
            position = end
        parts.append(text[position:])
        left = "".join(parts)
        # What stood apart may now stand together.
        again, more = self.without(left)
        return again, lines + more

    def _held(self, pair: tuple[int, int]) -> bool:
        if pair not in self._known:
            self._known[pair] = any((bus, *pair) in self._devices for bus in BUSES)
        return self._known[pair]


def _numbers(match: re.Match[str]) -> tuple[int, int]:
    return int(match[1] or match[3], 16), int(match[2] or match[4], 16)
