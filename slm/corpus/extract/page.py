"""A rendered man page as it grows."""

from __future__ import annotations

#: Sections without knowledge in them, or about people; they end at the next section.
DROPPED_SECTIONS = {
    "AUTHOR", "AUTHORS", "COPYRIGHT", "COLOPHON", "REPORTING BUGS", "LICENSE", "LICENCE", "AVAILABILITY", "CREDITS",
    "RESOURCES", "ACKNOWLEDGEMENTS", "ACKNOWLEDGMENTS", "MAINTAINER", "MAINTAINERS",
}  # fmt: skip


class Page:
    """The text of a page as it grows: paragraphs, headings and lines kept as they stand."""

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self.words: list[str] = []  # of the paragraph, each but the first with what parts it from the one before
        self.kept: list[str] = []
        self.verbatim = False
        self.dropping = False
        self.glue = False
        self.bare = -1  # the number of blocks when the last of them is a section's bare heading

    def text(self, text: str) -> None:
        """Add text to the paragraph, or a line where lines are kept."""
        if self.verbatim:
            self.kept.append(text.rstrip())
        elif text.strip():
            self.words.append(("" if self.glue or not self.words else " ") + text.strip())
        self.glue = False

    def line(self, text: str) -> None:
        """Add a line of its own, close to what stands before it."""
        self.end_line()
        self.kept.append(text.rstrip())

    def end_line(self) -> None:
        """End the line of the paragraph, as ``.br`` does."""
        if self.words:
            self.kept.append("".join(self.words))
            self.words = []

    def paragraph(self) -> None:
        """End the paragraph."""
        self.end_line()
        while self.kept and not self.kept[-1].strip():
            self.kept.pop()
        if self.kept and not self.dropping:
            first = next(number for number, line in enumerate(self.kept) if line.strip())
            self.blocks.append("\n".join(self.kept[first:]))
        self.kept = []

    def heading(self, text: str, section: bool) -> None:
        """Start a section or subsection; a section with nothing in it leaves no heading."""
        self.verbatim = False
        self.paragraph()
        if section and len(self.blocks) == self.bare:
            self.blocks.pop()
        self.bare = -1
        if section:
            self.dropping = text.strip().upper() in DROPPED_SECTIONS
        if text.strip() and not self.dropping:
            self.blocks.append(text.strip())
            self.bare = len(self.blocks) if section else -1

    def tag(self, text: str) -> None:
        """Start a list entry whose tag stands on the line above its text."""
        self.paragraph()
        if text.strip():
            self.kept.append(text.strip())

    def result(self) -> str:
        """Return the whole text."""
        self.heading("", section=True)
        return "\n\n".join(block.replace("\u00a0", " ") for block in self.blocks if block.strip())
