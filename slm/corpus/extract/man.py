"""The ``man`` macros (groff_man(7)): titles, sections, tagged paragraphs and fonts."""

from __future__ import annotations

from slm.corpus.extract.page import Page
from slm.corpus.extract.roff_language import plain

_JOINED = {"BI", "IB", "BR", "RB", "IR", "RI", "SB"}
_SPACED = {"B", "I", "R", "SM", "CW"}
_PARAGRAPHS = {"PP", "P", "LP", "HP", "RS", "RE", "SY", "YS", "PD", "DT"}


class Man:
    """Turns man macros into text on a page.

    The *next* line is a tag after ``.TP``, a heading after a bare ``.SH``.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.tag_next = False
        self.heading_next = ""
        self.link = ""

    def text_line(self, line: str) -> None:
        """Take a line without a macro."""
        if not line.strip() and not self.page.verbatim:
            self.page.paragraph()
            return
        self._emit(plain(line))

    def macro(self, name: str, arguments: list[str]) -> None:
        """Take one macro with its arguments."""
        page = self.page
        words = [plain(word) for word in arguments]
        if name == "TH":
            page.blocks.append(f"{words[0].lower()}({words[1]})" if len(words) > 1 else " ".join(words).lower())
        elif name in ("SH", "SS"):
            self.tag_next = False
            if words:
                page.heading(" ".join(words), name == "SH")
            else:
                self.heading_next = name
        elif name in ("TP", "TQ"):
            if name == "TP":
                page.paragraph()
            else:
                page.end_line()
            self.tag_next = True
        elif name == "IP":
            page.tag(words[0] if words else "")
        elif name in _PARAGRAPHS:
            if name in ("RS", "RE") and page.verbatim:
                return
            if name != "PD":
                page.paragraph()
            if name == "SY" and words:
                page.text(words[0])
        elif name in _JOINED:
            self._emit("".join(words))
        elif name in _SPACED:
            if words:
                self._emit(" ".join(words))
        elif name == "OP":
            self._emit(f"[{' '.join(words)}]")
        elif name in ("UR", "MT"):
            self.link = words[0] if words and name == "UR" else "<email>"
        elif name in ("UE", "ME"):
            self._emit((f"<{self.link}>" if name == "UE" else self.link) + "".join(words))
            self.link = ""

    def _emit(self, text: str) -> None:
        if self.heading_next:
            self.page.heading(text, self.heading_next == "SH")
            self.heading_next = ""
        elif self.tag_next:
            self.tag_next = False
            if text.strip():
                self.page.kept.append(text.strip())
        else:
            self.page.text(text)
