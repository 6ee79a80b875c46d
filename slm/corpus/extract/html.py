"""HTML documentation as text: headings, paragraphs, lists, tables and listings, without navigation."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import ClassVar

from slm.corpus.members import decode_text


class Reader(HTMLParser):
    """Collects blocks of text; a dropped element is dropped with all it holds.

    What the elements of a language mean stands in the attributes of the class; those of this one are HTML's.
    """

    blocks_of: ClassVar[frozenset[str]] = frozenset({
        "p", "div", "section", "article", "blockquote", "dl", "ul", "ol", "table", "h1", "h2", "h3", "h4", "h5", "h6",
        "figure", "center", "body", "main", "form", "address", "details", "summary",
    })  # fmt: skip
    lines_of: ClassVar[frozenset[str]] = frozenset({"br", "li", "dt", "dd", "tr"})
    items: ClassVar[frozenset[str]] = frozenset({"li"})
    cells: ClassVar[frozenset[str]] = frozenset({"td", "th"})
    listings: ClassVar[frozenset[str]] = frozenset({"pre"})
    dropped: ClassVar[frozenset[str]] = frozenset({
        "script", "style", "head", "nav", "header", "footer", "button", "select", "svg", "iframe", "noscript",
        "template",
    })  # fmt: skip
    void: ClassVar[frozenset[str]] = frozenset({
        "br", "hr", "img", "input", "link", "meta", "col", "area", "base", "embed", "source", "track", "wbr", "param",
    })  # fmt: skip
    #: Whether a writer may leave elements open, as HTML allows for some.
    implied: ClassVar[bool] = True
    #: Classes and ids that mark navigation in DocBook, Sphinx, Publican, texinfo and the like.
    navigation: ClassVar[re.Pattern[str] | None] = re.compile(
        r"(?:^|\s)(?:nav\w*|toc(?:-\S+)?|toctree\S*|contents|menu|sidebar\w*|breadcrumbs?|docnav|header|footer|related|headerlink|"
        r"submenu|sphinxsidebar\w*|index|indexterm|legalnotice|copyright|pubdate|author\w*|revhistory|list-of-\w+|skip\w*|"
        r"prev(?:ious)?|next|mini-toc)(?:$|\s)",
        re.IGNORECASE,
    )

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[str] = []
        self.pieces: list[str] = []  # of the block that grows
        self.open: list[tuple[str, bool]] = []
        self.opened: Counter[str] = Counter()
        self.dropping = 0
        self.listing = 0
        self.cell = 0

    def read(self, source: str) -> str:
        """Return the text of a page, whatever is wrong with its markup."""
        self.feed(_closed(source))
        self.close()
        self._end_block()
        blocks = [
            block
            for block in self.blocks
            if block != "-" and not re.fullmatch(r"[\W\d]*|(?:Prev|Next|Up|Home|Contents|Download the ebook)\W*", block)
        ]
        return re.sub(r"(?<![ \u00a0])[ \u00a0]++\n", "\n", "\n\n".join(blocks)).replace("\u00a0", " ")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Start a block, a line, a cell, or what is dropped."""
        if tag in self.void:
            if tag == "br" and not self.dropping:
                self.pieces.append("\n")
            return
        if self.implied and tag in ("p", "li", "dt", "dd", "tr", "td", "th", "option"):
            self._close_implied(tag)
        drop = tag in self.dropped
        if not drop and self.navigation and tag not in ("body", "html", "main"):
            marks = " ".join(value or "" for name, value in attrs if name in ("class", "id", "role"))
            drop = bool(marks) and bool(self.navigation.search(marks))
        self.open.append((tag, drop))
        self.opened[tag] += 1
        self.dropping += drop
        if self.dropping:
            return
        if tag in self.listings:
            self._end_block()
            self.listing += 1
        elif tag in self.blocks_of:
            self._end_block()
        elif tag in self.lines_of:
            self._trim()
            if self.pieces and not self.pieces[-1].endswith("\n"):
                self.pieces.append("\n")
            if tag in self.items:
                self.pieces.append("- ")
            self.cell = 0
        elif tag in self.cells:
            if self.cell:
                self.pieces.append(" | ")
            self.cell += 1

    def handle_endtag(self, tag: str) -> None:
        """End the innermost element of that name and all that is open inside it."""
        while self.opened[tag]:
            name = self._pop()
            if name == tag:
                return

    def handle_data(self, data: str) -> None:
        """Take text: as it is in listings, with single blanks elsewhere."""
        if self.dropping or not data:
            return
        if not self.listing:
            data = re.sub(r"\s+", " ", data)
            if data.startswith(" ") and (not self.pieces or self.pieces[-1][-1] in " \n"):
                data = data[1:]
        if data:
            self.pieces.append(data)

    def unknown_decl(self, data: str) -> None:
        """Take what stands in a CDATA section."""
        if data.startswith("CDATA["):
            self.handle_data(data[len("CDATA[") :])

    def _pop(self) -> str:
        name, drop = self.open.pop()
        self.opened[name] -= 1
        self.dropping -= drop
        if not self.dropping and not drop:
            if name in self.listings:
                self._end_block()
                self.listing -= 1
            elif name in self.blocks_of:
                self._end_block()
        return name

    def _close_implied(self, tag: str) -> None:
        """Close what HTML lets a writer leave open: ``<p>`` before ``<p>``, a cell before the next."""
        closes = {"p": {"p"}, "tr": {"td", "th", "tr"}, "dt": {"dd", "dt", "p"}, "dd": {"dd", "dt", "p"}, "li": {"li"},
                  "option": {"option"}}.get(tag, {"td", "th"})  # fmt: skip
        while self.open and self.open[-1][0] in closes:
            self._pop()

    def _trim(self) -> None:
        """Take blanks from the end of what was read."""
        while self.pieces:
            self.pieces[-1] = self.pieces[-1].rstrip(" ")
            if self.pieces[-1]:
                return
            self.pieces.pop()

    def _end_block(self) -> None:
        text = "".join(self.pieces)
        self.pieces = []
        text = text if self.listing else "\n".join(map(_row, text.split("\n")))
        text = text.strip("\n").rstrip()
        if text.strip(" -|\n"):
            if self.blocks and self.blocks[-1] == "-":
                self.blocks[-1] = f"- {text.strip()}"
            else:
                self.blocks.append(text)
            if text.endswith("\n-"):  # an item whose text is a block of its own
                self.blocks[-1:] = [text[:-2], "-"]
        elif text.strip() == "-":
            self.blocks.append("-")


class _Doxygen(Reader):
    """Pages of doxygen, which calls its text what others call their table of contents."""

    navigation = re.compile(
        r"(?:^|\s)(?:nav\w*|tabs\d?|summary|footer|MSearch\w*|titlearea|projectalign|directory|toc|copyright|author|"
        r"dynheader|dyncontent|center|permalink|lineno|SelectionType|separator\S*)(?:$|\s)"
    )


def _row(line: str) -> str:
    """Tidy a line; cells that hold nothing, such as icons, leave nothing."""
    return " | ".join(cell for part in line.split("|") if (cell := part.strip())) if " | " in line else line.strip()


def _closed(source: str) -> str:
    """Write as text what opens and never closes: for each the parser would read to the end, and start again."""
    for opening, closing in (("<!--", "-->"), ("<![CDATA[", "]]>"), ("<", ">")):
        end = source.rfind(closing) + 1
        if opening in source[end:]:
            source = source[:end] + source[end:].replace(opening, "&lt;" + opening[1:])
    return re.sub(r"<!\[(?!CDATA\[)", "&lt;![", source)


def extract_html(path: str, data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the text of an HTML page."""
    page = decode_text(data)
    reader = _Doxygen() if 'content="Doxygen' in page[:2000] else Reader()
    text = reader.read(page)
    if text:
        yield path, text
