"""Man pages as plain text: the part of roff that the ``man`` and ``mdoc`` macro sets share.

A renderer for reading, not for paper: one paragraph a line, no hyphenation, no fonts, examples as they stand. It
follows groff_man(7), mdoc(7) and groff(7) as far as pages use them; requests it does not know are passed over.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator

from slm.corpus.extract.man import Man
from slm.corpus.extract.mdoc import Mdoc
from slm.corpus.extract.page import Page
from slm.corpus.extract.roff_language import Preprocessor, arguments, plain
from slm.corpus.members import decode_text


def render_man(path: str, data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the page at ``path`` as (path, text); nothing for a page that only names another (``.so``)."""
    source = decode_text(data)
    lines = Preprocessor().run(source)
    if sum(bool(line.strip()) for line in lines) < 3:
        return
    page = Page()
    macros = Mdoc(page) if any(line.startswith(".Dd") for line in lines[:200]) else Man(page)
    _render(lines, page, macros)
    text = page.result()
    if text:
        yield path, text


def _render(lines: list[str], page: Page, macros: Man | Mdoc) -> None:
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        if not line.startswith((".", "'")):
            macros.text_line(line)
            continue
        name, _, rest = line[1:].strip().partition(" ")
        if name == "TS":
            end = next((i for i in range(position, len(lines)) if lines[i].startswith(".TE")), len(lines))
            table(lines[position:end], page)
            position = end + 1
        elif name == "EQ":
            position = next((i for i in range(position, len(lines)) if lines[i].startswith(".EN")), len(lines)) + 1
        elif name in ("nf", "EX"):
            page.end_line()
            page.verbatim = True
        elif name in ("fi", "EE"):
            page.verbatim = False
        elif name in ("br", "sp"):
            _break(name, page)
        else:
            macros.macro(name, arguments(rest))


def _break(name: str, page: Page) -> None:
    if page.verbatim:
        page.kept += [""] * (name == "sp")
    elif name == "sp":
        page.paragraph()
    else:
        page.end_line()


def table(lines: list[str], page: Page) -> None:
    """Render a tbl(1) table: one row a line, cells separated by `` | ``."""
    separator = "\t"
    body = deque(lines)
    if body and body[0].rstrip().endswith(";") and (match := re.search(r"tab\s*\((.)\)|$", body.popleft())):
        separator = match[1] or separator
    while body and not body.popleft().rstrip().endswith("."):
        pass
    page.paragraph()
    cell: list[str] | None = None
    row: list[str] = []
    for line in body:
        if cell is None and line.startswith("."):
            if line.startswith(".T&"):
                cell = None
            continue
        if cell is not None:
            if line.startswith("T}"):
                row.append(" ".join(cell) + line[2:])
                cell = None
            else:
                cell += (
                    []
                    if line.startswith(".") and not re.match(r"\.[BIR]+ ", line)
                    else [plain(re.sub(r"^\.[BIR]+ ", "", line))]
                )
                continue
        else:
            row.append(plain(line))
        if row[-1].endswith("T{"):
            row[-1], cell = row[-1][:-2], []
            continue
        cells = [part.strip() for part in "".join(row).split(separator)]
        row = []
        if any(part.strip("_=-") for part in cells):
            page.kept.append(" | ".join(cells).strip(" |"))
    page.paragraph()
