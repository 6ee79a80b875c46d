"""What a handbook answers: its headings are questions, or say how something is done; what stands below them answers.

A page is as the ``html`` and ``docbook`` extractors leave it: headings, paragraphs and listings between empty lines.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from slm.corpus.documents import Document
from slm.corpus.instructions.exchange import MAX_WORDS
from slm.corpus.instructions.question import Question
from slm.corpus.instructions.topics import words_topic
from slm.corpus.instructions.wording import announces, base_verb, deed, is_prose, opening

_PATH = re.compile(r"\.(?:x?html?|xml|docbook|dbk|page)(?:\.gz)?(?:#part\d+)?$")
_NUMBER = re.compile(r"(?:(?:Chapter|Appendix|Section) )?(?:[A-Z]|\d{1,2})(?:\.\d{1,2})*\. +(?=\S)")
_NOT_PROSE = re.compile(r"[-*#$|/]|(?:Note|Tip|Caution|Warning|Important|Figure|Table|Example)\b")
_PROMPT = re.compile(r"(?m)^(?:[\w~:/@.-]*[#$]) +(?=\S)")

#: Verbs that are never nouns.
_NO_NOUNS = frozenset(
    """
    add allow avoid become choose compile configure connect create define delete detect determine disable enable ensure
    find get identify install keep make obtain prepare prevent recover remove replace restore resize select set verify
    """.split()  # noqa: SIM905
)

_ENDED = re.compile(r"[.!?][\"')\u2019\u201d]*\s*$|\)\s*$")

_MARKS = ".,;:()\"'"

_ANSWER = 55
_LINES = 4


def handbook_questions(document: Document) -> Iterator[Question]:
    """Yield what the headings of an HTML or DocBook page ask or promise; nothing for any other document."""
    if document.bucket not in ("instructions", "sysadmin") or not _PATH.search(document.path):
        return
    words: set[str] = set()
    blocks = [block for block in document.text.split("\n\n") if block.strip()]
    for place, block in enumerate(blocks):
        numbered = _NUMBER.match(block)
        title = block[numbered.end() if numbered else 0 :].strip()
        if "\n" in title or len(title) > 200 or len(title.split()) > 20 or not title[:1].isalpha():
            continue
        if _asked(title, numbered is not None) and (answer := _answer(blocks[place + 1 : place + 5])):
            words = words or {word.strip(_MARKS) for word in document.text.split()}
            kind = "handbook question" if title.endswith("?") else "handbook how-to"
            asked = _asked(_without_capitals(title, words), numbered is not None)
            yield Question(kind, title, words_topic(title), tuple((wording, answer) for wording in asked))


def _asked(title: str, numbered: bool) -> tuple[str, ...]:
    """Word a heading as a question; nothing when it is no heading, or a mere topic."""
    if title.endswith("?"):
        return (title,) if len(title.split()) >= 3 and ": " not in title else ()
    if title.endswith((".", ":", ",", ";", "!")) or ": " in title or len(title.split()) > 12:
        return ()
    if match := re.match(r"how[ -]to:? (?=\w)", title, re.IGNORECASE):
        does = title[match.end() :]
        does = does[0].lower() + does[1:]
    # Without a number only a gerund is sure to be a heading, and many a verb is a noun as well: "Backup policy".
    elif (first := title.split()[0].lower()).endswith("ing") or (numbered and first in _NO_NOUNS):
        does = deed(title)
    else:
        does = ""
    if not does or not base_verb(does.split()[0]):
        return ()
    return f"How do I {does}?", f"How to {does}?", f"Explain how to {does}.", f"I want to {does}. What do I do?"


def _without_capitals(title: str, words: set[str]) -> str:
    """Write a title's words as its text does: ``a New Kernel`` becomes ``a new kernel``, ``Debian`` stays."""
    if title.endswith("?"):
        return title
    first, *rest = title.split(" ")
    return " ".join(
        (first, *(word.lower() if word.istitle() and word.strip(_MARKS).lower() in words else word for word in rest))
    )


def _answer(blocks: Sequence[str]) -> str:
    """Quote the first paragraph below a heading, with the commands that it announces; nothing without one."""
    for block, following in itertools.pairwise([*blocks, ""]):
        if _NUMBER.match(block):
            return ""
        if _NOT_PROSE.match(block) or "\n" in block.strip() or not is_prose(block):
            continue
        quoted = opening(block, _ANSWER)
        if announces(block) or not _ENDED.search(block):
            last, listing = re.split(r"(?<=[.!?]) ", block.strip())[-1], _listing(following)
            quoted = f"{last}\n{listing}" if listing else ""
        return quoted if 0 < len(quoted.split()) <= MAX_WORDS else ""
    return ""


def _listing(block: str) -> str:
    """Return a short listing of commands without their prompts; empty when it is long, or text."""
    lines = [line.rstrip() for line in _PROMPT.sub("", block).strip().split("\n")]
    if not 1 <= len(lines) <= _LINES or any(len(line) > 100 or line.startswith("- ") for line in lines):
        return ""
    return "" if any(line.endswith(".") and is_prose(line) for line in lines) else "\n".join(lines)
