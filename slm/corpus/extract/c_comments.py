"""The comments of C files: what programmers wrote for each other, kernel-doc included, licences not."""

from __future__ import annotations

import re
from collections.abc import Iterator

from slm.corpus.extract.plain import strip_licence_lines, unwrap
from slm.corpus.members import decode_text

#: Comments, and string and character literals, inside which ``/*`` starts nothing.
_TOKENS = re.compile(r"""/\*(?P<block>.*?)\*/|//(?P<line>[^\n]*)|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL)

_LICENCE = re.compile(
    r"GNU General Public Licen[sc]e|Redistribution and use in source|Permission is hereby granted|"
    r"Permission to use, copy|Lesser General Public|WITHOUT WARRANTY|All rights reserved|Apache License|"
    r"This (?:file|program|software|code) is (?:free software|released|licensed|subject)|Mozilla Public",
    re.IGNORECASE,
)
#: A comment shorter than this says too little away from its code.
_SHORT = 60
#: A file with less than this in all its comments has no more than a title and a name.
_LITTLE = 200


def extract_comments(path: str, data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the comments of a C file as one text, under the file's name inside its project."""
    texts = [text for text in map(_clean, _comments(decode_text(data))) if text]
    if sum(map(len, texts)) >= _LITTLE:
        yield path, "\n\n".join([_shown(path), *texts])


def _comments(source: str) -> Iterator[str]:
    """Yield comments; neighbouring ``//`` lines belong together."""
    lines: list[str] = []
    end = -1
    for match in _TOKENS.finditer(source):
        if match["line"] is not None:
            if lines and source[end : match.start()].strip():
                yield "\n".join(lines)
                lines = []
            lines.append(match["line"])
            end = match.end()
        elif match["block"] is not None:
            if lines:
                yield "\n".join(lines)
                lines = []
            yield match["block"]
    if lines:
        yield "\n".join(lines)


def _clean(comment: str) -> str:
    """Remove the comment's frame; return nothing when it is a licence, code or too short."""
    if _LICENCE.search(comment):
        return ""
    lines = [re.sub(r"^\s*\*+ ?", "", line.expandtabs(8)).rstrip() for line in comment.split("\n")]
    lines = ["" if re.fullmatch(r"[\s*=\-_#/+~]*", line) else line for line in lines]
    text = strip_licence_lines("\n".join(lines)).strip("\n")
    margin = min((len(line) - len(line.lstrip()) for line in text.split("\n")[1:] if line.strip()), default=0)
    first, *rest = text.split("\n")
    text = "\n".join([first.strip(), *(line[margin:] for line in rest)]).strip()
    words = re.findall(r"[A-Za-z]{2,}", text)
    if len(text) < _SHORT or len(words) < 8 or text.count(";") > len(words) // 6:
        return ""
    return unwrap(text)


def _shown(path: str) -> str:
    """Return the path without the folders in which a package keeps its project (``usr/src/linux-…/``)."""
    return re.sub(r"^usr/(?:src|include|share)/(?:linux-[^/]*/)?", "", path)
