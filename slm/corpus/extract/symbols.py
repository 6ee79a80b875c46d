"""KiCad's symbol libraries: what an electronic part is called, what it does, and in which package it comes.

Format: S-expressions, a property a line, as KiCad 6 and later write them (dev-docs.kicad.org, "Symbol Library File
Format"). Pins and drawings are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from slm.corpus.members import decode_text

_PROPERTY = re.compile(r'\s*\(property "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\([ntr])|\\(.)")


def extract_symbols(path: str, data: bytes) -> Iterator[tuple[str, str]]:
    """Yield a ``.kicad_sym`` file as one text, a line for every part that has a description."""
    parts: list[dict[str, str]] = []
    for line in decode_text(data).split("\n"):
        if match := _PROPERTY.match(line):
            name, value = (_ESCAPED.sub(lambda found: found[2] or " ", text) for text in match.groups())
            if name == "Reference" or not parts:  # a part's first
                parts.append({})
            parts[-1][name] = value
    lines = [line for part in parts if (line := _line(part))]
    if lines:
        yield path, "\n".join([f"Electronic parts: {PurePosixPath(path).stem.replace('_', ' ')}", "", *lines])


def _line(part: dict[str, str]) -> str:
    name = part.get("Value", "")
    description = part.get("Description") or part.get("ki_description", "")
    if not name or not description:
        return ""
    further = {
        "keywords": part.get("ki_keywords", ""),
        "package": part.get("Footprint", "").rpartition(":")[2],
    }
    said = "; ".join(f"{key}: {value}" for key, value in further.items() if value)
    return f"{name}: {description}" + (f" ({said})" if said else "")
