"""reStructuredText as reading text: roles and directives resolved, markup for machines removed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from slm.corpus.extract.plain import strip_licence_lines, unwrap
from slm.corpus.members import decode_text

_UNDERLINE = re.compile(r"([=\-~^\"'`#*+.:_<>])\1{2,}\s*")
_DIRECTIVE = re.compile(r"(\s*)\.\.\s+(?:\|[^|]*\|\s+)?([\w:.-]+)::\s*(.*)")
#: The rules of tables.
_FRAME = re.compile(r"\s*[+|][-=+|]+[+|]?\s*|\s*={2,}(?:\s+={2,})+\s*")
_OPTION = re.compile(r"\s+:[\w-]+:(?:\s.*)?")
#: Directives whose content is text to read. The others are for machines and go with all they hold.
_NAMED = {
    "note": "Note", "warning": "Warning", "important": "Important", "tip": "Tip", "caution": "Caution",
    "hint": "Hint", "attention": "Attention", "danger": "Danger", "seealso": "See also",
}  # fmt: skip
_KEPT = {
    "code-block", "code", "literalinclude", "parsed-literal", "topic", "sidebar", "admonition", "table", "list-table",
    "flat-table", "csv-table", "glossary", "c:function", "c:type", "c:macro", "c:struct", "option", "describe",
    "highlights", "epigraph", "rubric", "versionadded", "deprecated", "container", "sourcecode",
}  # fmt: skip

#: No paragraph is this long; in data, what looks like markup is none.
_LONG = 20_000


def extract_rst(path: str, data: bytes) -> Iterator[tuple[str, str]]:
    """Yield a reStructuredText file as text; plain ``.txt`` documentation passes unharmed."""
    lines = strip_licence_lines(decode_text(data)).expandtabs(8).split("\n")
    text = unwrap("\n".join(_blocks(lines)))
    lines = [inline(line) if len(line) < _LONG else line for line in text.split("\n")]
    yield path, re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


def _blocks(lines: list[str]) -> Iterator[str]:
    """Yield the lines that are text, directives resolved and headings without their underlines."""
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        if match := _DIRECTIVE.match(line):
            name, argument = match[2], match[3]
            while position < len(lines) and _OPTION.fullmatch(lines[position]):
                position += 1
            if name in _NAMED:
                yield f"{match[1]}{_NAMED[name]}: {argument}".rstrip()
            elif name in _KEPT:
                if argument and name not in ("code-block", "code", "sourcecode", "parsed-literal"):
                    yield match[1] + argument
            else:
                position = _end_of_block(lines, position, len(match[1]))
        elif re.match(r"\s*\.\.(?:\s|$)", line):
            position = _end_of_block(lines, position, len(line) - len(line.lstrip()))
        elif not (
            (_UNDERLINE.fullmatch(line.strip()) and not line.startswith(" "))
            or _FRAME.fullmatch(line)
            or (position < 20 and re.fullmatch(r":[\w -]+:.*", line))  # facts about the file, not in it
        ):
            yield re.sub(r"^(\s*)\|\s(.*)", _row, line)


def _row(match: re.Match[str]) -> str:
    """Write a grid table's row, or a line of a line block, without its frame."""
    return match[1] + " | ".join(cell.strip() for cell in match[2].removesuffix("|").split("|"))


def _end_of_block(lines: list[str], position: int, indent: int) -> int:
    """Return where the block that started with ``indent`` ends: at the first line indented no deeper."""
    while position < len(lines):
        line = lines[position]
        if line.strip() and len(line) - len(line.lstrip()) <= indent:
            break
        position += 1
    return position


def inline(text: str) -> str:
    """Resolve a line's inline markup: roles, links, literals; emphasis only outside what is indented like code."""
    text = re.sub(r":[\w:+.-]{1,60}:`([^`<]*)(?:<[^`>]*>)?`", lambda match: match[1].rstrip(), text)
    text = re.sub(r":[\w:+.-]{1,60}:`<?([^`>]*)>?`", r"\1", text)
    text = re.sub(r"``([^`\n]+?)``", r"\1", text)
    text = re.sub(r"`([^`<>\n]+)<([^`>\n]+)>`__?", lambda match: f"{match[1].rstrip()} <{match[2]}>", text)
    text = re.sub(r"`([^`\n]+?)`__?", r"\1", text)
    text = re.sub(r"(?<![\w`])`([^`\n]+?)`(?![\w`])", r"\1", text)
    if not text.startswith("    "):
        text = re.sub(r"(?<![\w*/])\*\*(\S(?:[^*\n]*?\S)?)\*\*(?![\w*])", r"\1", text)
        text = re.sub(r"(?<![\w*/])\*([A-Za-z](?:[^*\n]*?\w)?)\*(?![\w*/])", r"\1", text)
    text = re.sub(r"\[(#?[\w-]*)\]_(?!\w)", "", text)
    text = re.sub(r"^\s*::$", "", text)
    text = re.sub(r"::$", ":", text)
    return text.replace(r"\*", "*").replace(r"\_", "_").replace(r"\ ", "")
