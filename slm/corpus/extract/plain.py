"""Plain text, and the mending of hard line breaks that all prose shares."""

from __future__ import annotations

import re
from collections.abc import Iterator

from slm.corpus.members import decode_text

#: A line at least this long was broken by the margin rather than by its writer.
_FULL_LINE = 48
_STARTS_ITEM = re.compile(r"\s*(?:[-*+•o#|>@.:=~_$%&\\/{}\[(]|\d+[.):]|[A-Za-z][.)]\s|[\w<>/-]+:(?:\s|$)|\w+\()")


def extract_text(path: str, data: bytes) -> Iterator[tuple[str, str]]:
    """Yield a text file as it is, its broken lines joined."""
    if b"\0" not in data[:4096]:
        yield path, unwrap(strip_licence_lines(decode_text(data)))


def unwrap(text: str) -> str:
    """Join lines that the margin broke: equal indentation, the first one long, the second no item of a list.

    Code, tables and lists keep their lines, since theirs are short, indented differently or start with a mark.
    """
    lines: list[str] = []
    last = ""  # the source line that the current line ends with
    for line in text.expandtabs(8).split("\n"):
        line = line.rstrip()
        hanging = bool(lines) and bool(re.match(r"\s*(?:[-*+•]|\d+[.)])\s", lines[-1]))
        if (
            lines
            and line
            and len(last) >= _FULL_LINE
            and (_indent(line) == _indent(last) or (hanging and _indent(line) > _indent(lines[-1])))
            and not _STARTS_ITEM.match(line)
            and not re.search(r"[;{}|\\]$|\s{3,}\S", last.strip())
            and not re.search(r"\S\s{3,}\S", line)
        ):
            lines[-1] += " " + line.strip()
        else:
            lines.append(line)
        last = line
    return "\n".join(lines)


def strip_licence_lines(text: str) -> str:
    """Remove SPDX tags and copyright lines, which every file repeats."""
    return re.sub(
        r"(?mi)^.*(?:SPDX-License-Identifier|SPDX-FileCopyrightText|copyright\s*(?:\(c\)|©|\d{4})).*\n?", "", text
    )


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
