"""Plain text, and what all extractors share: the mending of hard line breaks, licence texts, paths inside a project."""

from __future__ import annotations

import re
from collections.abc import Iterator

from slm.corpus.extract.records import json_lines
from slm.corpus.members import decode_text

#: A line at least this long was broken by the margin rather than by its writer.
_FULL_LINE = 48
_STARTS_ITEM = re.compile(r"\s*(?:[-*+•o#|>@.:=~_$%&\\/{}\[(]|\d+[.):]|[A-Za-z][.)]\s|[\w<>/-]+:(?:\s|$)|\w+\()")
_HANGING_ITEM = re.compile(r"\s*(?:[-*+•]|\d+[.)])\s")
_NO_PROSE = re.compile(r"[;{}|\\]$|\s{3,}\S")
_COLUMNS = re.compile(r"\S\s{3,}\S")
#: A line of base64, as a certificate or a key has: no prose that a margin broke.
_DENSE = re.compile(r"\s*[A-Za-z0-9+/=]{40,}\s*")
_TAG_LINE = re.compile(r"SPDX-License-Identifier|SPDX-FileCopyrightText|copyright\s*(?:\(c\)|©|\d{4})", re.IGNORECASE)
#: What a licence cannot do without, in lower case: a quick look before the slow one.
_LICENCE_WORDS = ("licen", "permission", "redistribution", "warranty", "rights reserved", "mozilla")
_LICENCE = re.compile(
    r"gnu general public licen[sc]e|gpl-?v?2|redistribution and use in source|permission is hereby granted|"
    r"permission to use, copy|lesser general public|without\s+(?:any )?warranty|all rights reserved|apache licen[sc]e|"
    r"(?:file|program|software|code|library|driver|work) is (?:free software|released|licensed|dual|subject)|"
    r"is distributed under|mozilla public|licen[sc]e\w{0,9} under|terms of the gnu|see the file copying"
)


def extract_text(path: str, data: bytes) -> Iterator[tuple[str, str]]:
    """Yield a text file as it is, its broken lines joined; a table in JSON one line a record."""
    text = decode_text(data)
    if path.endswith((".json", ".json.gz")) and (lines := json_lines(text)) is not None:
        yield path, f"{project_path(path)}\n\n{lines}"
    else:
        yield path, unwrap(strip_licence_lines(text))


def unwrap(text: str) -> str:
    """Join lines that the margin broke: equal indentation, the first one long, the second no item of a list.

    Code, tables and lists keep their lines, since theirs are short, indented differently or start with a mark.
    """
    paragraphs: list[list[str]] = []
    last = ""  # the source line before this one
    start, hanging = 0, False  # the indentation of the paragraph's first line, and whether that is an item of a list
    for line in text.expandtabs(8).split("\n"):
        line = line.rstrip()
        if (
            line
            and len(last) >= _FULL_LINE
            and (_indent(line) == _indent(last) or (hanging and _indent(line) > start))
            and not _STARTS_ITEM.match(line)
            and not _NO_PROSE.search(last.strip())
            and not _COLUMNS.search(line)
            and not (_DENSE.fullmatch(line) or _DENSE.fullmatch(last))
        ):
            paragraphs[-1].append(line.strip())
        else:
            paragraphs.append([line])
            start, hanging = _indent(line), bool(_HANGING_ITEM.match(line))
        last = line
    return "\n".join(map(" ".join, paragraphs))


def strip_licence_lines(text: str) -> str:
    """Remove SPDX tags and copyright lines, which every file repeats."""
    if not _TAG_LINE.search(text):
        return text
    return "".join(line for line in text.splitlines(keepends=True) if not _TAG_LINE.search(line))


def is_licence(text: str) -> bool:
    """Say whether a comment grants or refuses rights; such texts stand in thousands of files."""
    lower = text.lower()
    return any(word in lower for word in _LICENCE_WORDS) and bool(_LICENCE.search(" ".join(lower.split())))


def project_path(path: str) -> str:
    """Return a path without the folders in which a package keeps its project (``usr/src/linux-…/``)."""
    return re.sub(r"^(?:usr/(?:src|include|share)/)?(?:doc/)?(?:linux-[^/]*/)?", "", path).removesuffix(".gz")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
