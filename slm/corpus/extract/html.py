"""HTML documentation as text: headings, paragraphs, lists, tables and listings, without navigation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from slm.corpus.members import decode_text

_BLOCKS = {
    "p", "div", "section", "article", "blockquote", "dl", "ul", "ol", "table", "h1", "h2", "h3", "h4", "h5", "h6",
    "figure", "center", "body", "main", "form", "address", "details", "summary",
}  # fmt: skip
_LINES = {"br", "li", "dt", "dd", "tr"}
_DROPPED = {
    "script", "style", "head", "nav", "header", "footer", "button", "select", "svg", "iframe", "noscript", "template",
}  # fmt: skip
_VOID = {
    "br", "hr", "img", "input", "link", "meta", "col", "area", "base", "embed", "source", "track", "wbr", "param",
}  # fmt: skip
#: Classes and ids that mark navigation in DocBook, Sphinx, Publican, texinfo and the like.
_NAVIGATION = re.compile(
    r"(?:^|\s)(?:nav\w*|toc|toctree\S*|contents|menu|sidebar\w*|breadcrumbs?|docnav|header|footer|related|headerlink|submenu|"
    r"sphinxsidebar\w*|index|indexterm|legalnotice|copyright|pubdate|author\w*|revhistory|list-of-\w+|skip\w*|prev(?:ious)?|"
    r"next|mini-toc)(?:$|\s)",
    re.IGNORECASE,
)


class _Reader(HTMLParser):
    """Collects blocks of text; a dropped element is dropped with all it holds."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[str] = []
        self.text = ""
        self.open: list[tuple[str, bool]] = []
        self.dropping = 0
        self.listing = 0
        self.cells = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _VOID:
            if tag == "br" and not self.dropping:
                self.text += "\n"
            return
        if tag in ("p", "li", "dt", "dd", "tr", "td", "th", "option"):
            self._close_implied(tag)
        marks = " ".join(value or "" for name, value in attrs if name in ("class", "id", "role"))
        drop = tag in _DROPPED or (tag not in ("body", "html", "main") and bool(_NAVIGATION.search(marks)))
        self.open.append((tag, drop))
        self.dropping += drop
        if self.dropping:
            return
        if tag == "pre":
            self._end_block()
            self.listing += 1
        elif tag in _BLOCKS:
            self._end_block()
        elif tag in _LINES:
            self.text = self.text.rstrip(" ")
            self.text += "" if self.text.endswith("\n") or not self.text else "\n"
            self.text += "- " if tag == "li" else ""
            self.cells = 0
        elif tag in ("td", "th"):
            self.text += " | " if self.cells else ""
            self.cells += 1

    def handle_endtag(self, tag: str) -> None:
        if not any(name == tag for name, _ in self.open):
            return
        while self.open:
            name, drop = self.open.pop()
            self.dropping -= drop
            if not self.dropping and not drop:
                if name == "pre":
                    self._end_block()
                    self.listing -= 1
                elif name in _BLOCKS:
                    self._end_block()
            if name == tag:
                return

    def handle_data(self, data: str) -> None:
        if self.dropping:
            return
        if self.listing:
            self.text += data
            return
        data = re.sub(r"\s+", " ", data)
        if data.startswith(" ") and (not self.text or self.text[-1] in " \n"):
            data = data[1:]
        self.text += data

    def _close_implied(self, tag: str) -> None:
        """Close what HTML lets a writer leave open: ``<p>`` before ``<p>``, a cell before the next."""
        closes = {"p": {"p"}, "tr": {"td", "th", "tr"}, "dt": {"dd", "dt", "p"}, "dd": {"dd", "dt", "p"}, "li": {"li"},
                  "option": {"option"}}.get(tag, {"td", "th"})  # fmt: skip
        while self.open and self.open[-1][0] in closes:
            if (self.open[-1][0] == "li" and tag == "li") or self.open[-1][0] != "li":
                name, drop = self.open.pop()
                self.dropping -= drop
                if name == "p" and not self.dropping:
                    self._end_block()

    def _end_block(self) -> None:
        text = self.text if self.listing else "\n".join(map(_row, self.text.split("\n")))
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
        self.text = ""


def _row(line: str) -> str:
    """Tidy a line; cells that hold nothing, such as icons, leave nothing."""
    return re.sub(r"(?:\s*\|)+\s+", " | ", line.strip(" |\t")) if "|" in line else line.strip()


def extract_html(path: str, data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the text of an HTML page."""
    reader = _Reader()
    reader.feed(decode_text(data))
    reader.close()
    reader._end_block()
    blocks = [
        block
        for block in reader.blocks
        if block != "-" and not re.fullmatch(r"[\W\d]*|(?:Prev|Next|Up|Home|Contents|Download the ebook)\W*", block)
    ]
    if blocks:
        yield path, re.sub(r"[ \u00a0]+\n", "\n", "\n\n".join(blocks)).replace("\u00a0", " ")
