"""The comments of C files: what programmers wrote for each other, kernel-doc included, licences not."""

from __future__ import annotations

import re
from collections.abc import Iterator

from slm.corpus.extract.plain import is_licence, project_path, strip_licence_lines, unwrap
from slm.corpus.members import decode_text

_OPENING = re.compile(r"/[*/]")
_LITERAL = re.compile(r'(?<!\\)(?:"(?:[^"\\]|\\.)*+"|' r"'(?:[^'\\]|\\.)*+')")
_REST_OF_STRING = re.compile(r'(?:[^"\\\n]|\\.)*+"?', re.DOTALL)
#: The left edge of a comment's lines, and lines that are nothing but frame.
_EDGE = re.compile(r"^[ \t]*\*+ ?", re.MULTILINE)
_FRAME = re.compile(r"^[ \t*=\-_#/+~]+$", re.MULTILINE)
_WORD = re.compile(r"[A-Za-z]{2,}")
#: A comment shorter than this says too little away from its code.
_SHORT = 40
_FEW_WORDS = 6
#: A file with less than this in all its comments has no more than a title and a name.
_LITTLE = 200


def extract_comments(path: str, data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the comments of a C file as one text, under the file's name inside its project."""
    texts = [text for text in map(_clean, comments(decode_text(data))) if text]
    if sum(map(len, texts)) >= _LITTLE:
        yield path, "\n\n".join([project_path(path), *texts])


def comments(source: str) -> Iterator[str]:
    """Yield what stands in C comments; neighbouring ``//`` lines belong together.

    Looks for what opens a comment and at nothing else; only where a quotation mark stands before it on its line is it
    found out whether that opened a string. Takes time in proportion to the length of ``source``, whatever is in it.
    """
    lines: list[str] = []
    end = 0  # of the last comment or string; a line's text before it is settled
    while opening := _OPENING.search(source, end):
        start = opening.start()
        before = source[max(end, source.rfind("\n", end, start) + 1) : start]
        if '"' in before and '"' in _LITERAL.sub("", before):
            string = _REST_OF_STRING.match(source, start)
            assert string is not None  # it matches nothing, too
            end = max(string.end(), start + 1)
            continue
        if lines and (source[start + 1] == "*" or source[end:start].strip()):
            yield "\n".join(lines)
            lines = []
        if source[start + 1] == "/":
            end = source.find("\n", start)
            end = len(source) if end < 0 else end
            lines.append(source[start + 2 : end])
        else:
            close = source.find("*/", start + 2)
            if close < 0:
                return
            end = close + 2
            yield source[start + 2 : close]
    if lines:
        yield "\n".join(lines)


def _clean(comment: str) -> str:
    """Remove the comment's frame; return nothing when it is a licence, code or too short."""
    if len(comment) < _SHORT or is_licence(comment):
        return ""
    text = _FRAME.sub("", _EDGE.sub("", strip_licence_lines(comment).expandtabs(8))).strip("\n")
    words = len(_WORD.findall(text))
    if words < _FEW_WORDS or text.count(";") > words // 6:
        return ""
    first, *rest = text.split("\n")
    margin = min((len(line) - len(line.lstrip()) for line in rest if line.strip()), default=0)
    text = "\n".join([first.strip(), *(line[margin:] for line in rest)]).strip()
    return "" if len(text) < _SHORT else unwrap(text)
