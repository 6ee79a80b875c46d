"""The hardware database of udev: which devices need which properties (hwdb(7)), without the devices held out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from slm.corpus.devices import held_out
from slm.corpus.extract.plain import strip_licence_lines
from slm.corpus.members import decode_text

_USB_ID = re.compile(r"usb:v([0-9A-Fa-f]{4})p([0-9A-Fa-f]{4})")
_PCI_ID = re.compile(r"pci:v0000([0-9A-Fa-f]{4})d0000([0-9A-Fa-f]{4})")
#: Input devices: bus 0003 is USB.
_INPUT_ID = re.compile(r"(?:b0003|usb:|bluetooth:)v([0-9A-Fa-f]{4})p([0-9A-Fa-f]{4})")
#: How many times a record's own length its properties may take, repeated for each of its matches.
_REPEATED = 4


def extract_hwdb(path: str, data: bytes) -> Iterator[tuple[str, str]]:
    """Yield a ``.hwdb`` file as one text: the comments, and for each record what it matches and what that gets."""
    lines: list[str] = []
    matches: list[str] = []
    properties: list[str] = []
    for line in [*strip_licence_lines(decode_text(data)).split("\n"), ""]:
        if line.startswith(" ") and line.strip():
            properties.append(line.partition("#")[0].strip())
            continue
        if properties:
            lines += _record(matches, properties)
        if properties or not line.strip():
            matches, properties = [], []
        if line.startswith("#"):
            lines.append(line.strip("# \t"))
        elif line.strip():
            matches.append(line.strip())
        elif lines and lines[-1]:
            lines.append("")
    text = "\n".join(lines).strip()
    if text:
        yield path, text


def _record(matches: list[str], properties: list[str]) -> Iterator[str]:
    """Write a record: one line a match, with all properties; one line in all where that would repeat too much."""
    what = ", ".join(text.replace("=", " = ", 1) for text in properties if text)
    named = [match for match in matches if what and not _is_held_out(match)]
    if len(named) * len(what) <= _REPEATED * (sum(map(len, named)) + len(what)):
        yield from (f"{match}: {what}" for match in named)
    else:
        yield f"{', '.join(named)}: {what}"


def _is_held_out(match: str) -> bool:
    for bus, pattern in (("usb", _USB_ID), ("pci", _PCI_ID), ("usb", _INPUT_ID)):
        if (found := pattern.search(match)) and held_out(bus, int(found[1], 16), int(found[2], 16)):
            return True
    return False
