"""What a rendered manual page answers: its name line, options, examples, files and relatives.

A page is as the ``man`` extractor leaves it: blocks between empty lines, headings in capitals, a tag above its text.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from slm.corpus.documents import Document
from slm.corpus.instructions.question import Question
from slm.corpus.instructions.topics import command_topic
from slm.corpus.instructions.wording import announces, deed, is_prose, opening, sentence

_PATH = re.compile(r"(?:^|/)man([1-8])/([^/#]+?)\.\1[a-z]*(?:\.gz)?(?:#part\d+)?$")
_HEADING = re.compile(r"[A-Z][A-Z0-9 ,/&()'-]{2,59}")
_NAME_LINE = re.compile(r"(\S[^\n]*?)\s+[-\u2013\u2014]+\s+(\S[^\n]*)")
_OPTION = re.compile(r"(?<![\w-])--?[A-Za-z0-9?][\w-]*")
_FILE = re.compile(r"[/~][\w./~*@<>-]+|[\w.-]+\.(?:conf|d|service|rules)")
_PAGE = re.compile(r"[\w.:+@-]{1,60}\([1-9]\w{0,4}\)")
_PROMPT = re.compile(r"(?:[#$%>]|[\w.-]*[#$]) +(?=(?:sudo )?[a-z./][\w./-]*(?: |$))")
_UNIT = re.compile(r"@|\.(?:service|socket|target|timer|mount|automount|path|slice|scope|device|swap)$")
_TITLE = re.compile(r"Example \d+[.:] (.+)")

#: Longest answers, in words: a name line is one phrase, an explanation two sentences or so.
_EXPLANATION = 45
_LINES = 3
#: How many characters of an option's text are looked at.
_LOOK = 2000

_KINDS = {
    "1": "command", "2": "system call", "3": "library function", "4": "device or driver", "5": "file", "6": "game",
    "7": "topic", "8": "command",
}  # fmt: skip


class Page(NamedTuple):
    """What a page is called, where it stands in the manual, and whose system it describes."""

    name: str
    section: str
    system: str

    @property
    def runs(self) -> bool:
        """Whether it is a program's, to be run by its name."""
        return self.section in ("1", "6", "8") and not _UNIT.search(self.name)

    def ask(self, kind: str, subject: str, *pairs: tuple[str, str]) -> Question:
        """Make a question; pages of another system than Linux say so."""
        if self.system:
            pairs = tuple((f"On {self.system}, {asked[0].lower()}{asked[1:]}", answer) for asked, answer in pairs)
        topic = command_topic(self.name, self.section)
        return Question(f"manual {kind}", f"{self.system} {self.name} {self.section} {subject}", topic, pairs)


def manual_questions(document: Document) -> Iterator[Question]:
    """Yield what a page of sections 1 to 8 answers; nothing for any other document."""
    match = _PATH.search(document.path)
    if match is None:
        return
    page = Page(match[2], match[1], "FreeBSD" if "freebsd" in document.source.lower() else "")
    for heading, blocks in _sections(document.text):
        if heading == "NAME":
            yield from _names(page, blocks)
        elif heading.startswith("EXAMPLE"):
            yield from _examples(page, blocks) if page.runs else ()
        elif heading == "FILES":
            yield from _files(page, blocks)
        elif heading == "SEE ALSO":
            yield from _relatives(page, blocks)
        elif page.runs:
            yield from _options(page, blocks)


def _sections(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield headings with the blocks below them; a part of a page may begin without one."""
    heading, blocks = "", list[str]()
    for block in text.split("\n\n"):
        if _HEADING.fullmatch(block):
            yield heading, blocks
            heading, blocks = block, []
        elif block.strip():
            blocks.append(block.strip("\n"))
    yield heading, blocks


def _names(page: Page, blocks: Sequence[str]) -> Iterator[Question]:
    match = _NAME_LINE.match(" ".join(blocks[0].split())) if blocks else None
    names = [name.strip() for name in match[1].split(",")] if match else []
    if match is None or page.name not in names or len(match[2].split()) < 2:
        return
    kind, name = _KINDS[page.section], page.name
    says = match[2] if match[2].startswith(name) else sentence(match[2])
    yield page.ask(
        "name",
        match[2],
        (f"What does the {kind} {name} do?" if page.section in "1238" else f"What is the {kind} {name}?", says),
        (f"What is {name} for?" if page.section != "7" else f"What is {name} about?", says),
        (f"Describe {name}({page.section}) in a sentence.", says),
    )
    if page.runs and (does := deed(match[2])):
        yield page.ask(
            "command",
            match[2],
            (f"Which command do I use to {does}?", name),
            (f"How do I {does}?", f"Use {name}."),
            (f"I want to {does}. What is the command called?", name),
        )


def _options(page: Page, blocks: Sequence[str]) -> Iterator[Question]:
    for block, following in itertools.pairwise([*blocks, ""]):
        tag, _, said = block[:_LOOK].partition("\n")
        names = _OPTION.findall(tag) if tag.startswith("-") and len(tag) <= 80 else []
        while said.startswith("-"):  # further names of the same option, a line each
            line, _, said = said.partition("\n")
            names += _OPTION.findall(line)
        said = said or ("" if following.startswith("-") else following)
        says = opening(said, _EXPLANATION)
        if (
            not names
            or not says
            or names[-1] in ("--help", "--version")
            or (_is_sentence(tag) and len(tag.split()) > 4)
        ):
            continue
        short, long = names[0], names[-1]
        explained = sentence(says)
        yield page.ask(
            "option",
            f"{tag} {says}",
            (f"What does the option {short} of {page.name} do?", explained),
            (f"What does {page.name} {long} do?", explained),
            (f"Explain the option {long} of {page.name}.", explained),
            (f"Which option of {page.name} does this: {sentence(opening(said, 20) or says)}", long),
        )


def _examples(page: Page, blocks: Sequence[str]) -> Iterator[Question]:
    """Find commands with what they do: on the line below, in the paragraph after, or announced before with a colon."""
    announced = ""
    for block, following in itertools.pairwise([*blocks, ""]):
        first, _, rest = block.partition("\n")
        if match := _TITLE.fullmatch(block):
            announced = match[1]
        elif not (command := _command(page, block)):
            said = opening(rest, _EXPLANATION) if (command := _command(page, first)) else ""
            if said:
                yield from _example(page, said, command)
            elif announces(block) and is_prose(block):
                announced = re.split(r"(?<=[.!?]) ", " ".join(block.split()))[-1]
        elif announced:
            yield from _example(page, announced, command)
            announced = ""
        elif not _command(page, following.partition("\n")[0]) and (said := opening(following, _EXPLANATION)):
            yield from _example(page, said, command)


def _example(page: Page, said: str, command: str) -> Iterator[Question]:
    said = said.strip(" *-\u2022.:")
    if not 2 <= len(said.split()) <= 30 or page.name.partition("-")[0] not in command:
        return
    wordings = [f"What do I type for this, with {page.name}: {said}?", f"Give an example of {page.name}: {said}."]
    if does := deed(re.split(r"(?<=\.) ", said)[0]):
        wordings = [f"How do I {does}?", f"How do I {does} with {page.name}?", f"Show me how to {does}."]
    yield page.ask("example", f"{said} {command}", *((wording, command) for wording in wordings))


def _command(page: Page, block: str) -> str:
    """Return the command lines of a block without their prompts and output; empty when it is something else."""
    lines = [line.strip() for line in block.split("\n") if line.strip()]
    prompted = [line[match.end() :] for line in lines if (match := _PROMPT.match(line))]
    if prompted:
        lines = prompted
    elif not all(re.match(rf"(?:sudo |\./)?{re.escape(page.name)}(?:\s|$)", line) for line in lines):
        return ""
    # A paragraph may begin with the command's name too: it ends like a sentence, or is as long as one.
    if not lines or len(lines) > _LINES or any(_no_command(line) for line in lines):
        return ""
    return "\n".join(lines)


def _files(page: Page, blocks: Sequence[str]) -> Iterator[Question]:
    for block, following in itertools.pairwise([*blocks, ""]):
        tag, _, said = block.partition("\n")
        path = tag.strip().split(",")[0]
        says = opening(said or following, _EXPLANATION)
        if _FILE.fullmatch(path) and says and not _FILE.match(says):
            yield page.ask(
                "reference",
                f"{path} {says}",
                (f"What is {path} for?", sentence(says)),
                (f"What does {page.name} keep in {path}?", sentence(says)),
            )


def _relatives(page: Page, blocks: Sequence[str]) -> Iterator[Question]:
    pages = list(dict.fromkeys(_PAGE.findall(" ".join(blocks))))[:8]
    if len(pages) >= 2:
        yield page.ask(
            "reference",
            " ".join(pages),
            (f"Which manual pages are related to {page.name}({page.section})?", ", ".join(pages)),
            (f"Where can I read more about {page.name}?", f"See {', '.join(pages)}."),
        )


def _no_command(line: str) -> bool:
    return _is_sentence(line) or line.endswith("\\") or len(line.split()) > 15


def _is_sentence(line: str) -> bool:
    return line.endswith((".", ":", ";")) and not line.endswith("...") and is_prose(line)
