"""How the kernel reads a line, and how people spell its words.

The kernel splits a line at spaces and looks each word up as it stands. A model is trained over canonical words (lower
case, without the punctuation around them); the flat file then gives every spelling that people type the row of its
canonical word (:func:`spellings`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

#: What may stand around a word without being a part of it.
_BEFORE, _AFTER = "([{<\"'`", ")]}>\"'`?!.,;:"

#: ``8086:100e``, as a canonical word.
ID = re.compile(r"[0-9a-f]{4}:[0-9a-f]{4}")

#: Lines with one of these the kernel answers from its own state; "ip" together with "what" or "address" as well.
_OF_STATE = (
    "memory", "ram", "uptime", "hostname", "status", "web", "http", "dns", "dhcp", "file", "mail", "ssh", "sql",
    "database",
)  # fmt: skip
#: And those with one of these, unless they have a colon.
_OF_MACHINE = ("device", "hardware", "nic")

#: Words that stand in capitals often: abbreviations, and those of a line that is typed in capitals altogether.
_SHOUTED = frozenset(
    [
        "pci",
        "usb",
        "cpu",
        "gpu",
        "ssd",
        "nvme",
        "sata",
        "ide",
        "wifi",
        "vga",
        "id",
        "lan",
        "what",
        "which",
        "driver",
        "is",
        "for",
        "the",
        "module",
        "need",
        "i",
        "my",
        "card",
        "of",
        "does",
        "do",
        "please",
        "identify",
        "load",
        "device",
        "amd",
    ]
)


def canonical(word: str) -> str:
    """Return the word that a spelling stands for: lower case, without the punctuation around it.

    A word of nothing but punctuation stands for itself.
    """
    return (word.lstrip(_BEFORE).rstrip(_AFTER) or word).lower()


def words_of(line: str) -> list[str]:
    """Return the canonical words of a line, split as the kernel splits it."""
    return [canonical(word) for word in line.split(" ") if word]


def is_answered_by_kernel(line: str) -> bool:
    """Say whether the kernel answers a line by itself, so that it never reaches the model.

    The kernel looks for pieces, not for words, so "program" is about "ram". Capitals are taken to make no difference.
    """
    line = line.lower()
    if any(piece in line for piece in _OF_STATE):
        return True
    if "ip" in line and ("what" in line or "address" in line):
        return True
    return ":" not in line and any(piece in line for piece in _OF_MACHINE)


def spellings(word: str) -> Iterator[tuple[int, str]]:
    """Yield other spellings of a canonical word, none twice, each with its rank: 0 is typed most often.

    An id is written in either case; a word may begin a line; a name has capitals or none; a driver is written as it is.
    """
    upper, first = word.upper(), word[:1].upper() + word[1:]
    if ID.fullmatch(word):
        forms = [(0, upper), (0, f"{word}?"), (1, f"{upper}?"), (3, f"[{word}]"), (3, f"{word}:"), (4, f"[{upper}]")]
        forms += [(4, f"{word},"), (4, f"{word}."), (5, f"{upper},"), (5, f"[{word}]?"), (5, f"({word})")]
    elif "_" in word:
        forms = [(2, f"{word}?"), (4, first), (4, f"{word}.")]
    elif any(letter.isdigit() for letter in word):
        forms = [(1, upper), (1, f"{word}?"), (2, first), (2, f"{upper}?"), (3, f"{first}?"), (4, f"{word},")]
    else:
        forms = [
            (0, first),
            (0, f"{word}?"),
            (0 if word in _SHOUTED else 2, upper),
            (2, f"{word},"),
            (2, f"{word}."),
            (2, f"{upper}?"),
        ]
        forms += [
            (3, f"{first}?"),
            (3, f"{word}:"),
            (3, f"{word}!"),
            (3, f"{first},"),
            (4, f"{upper}:"),
            (4, f"{first}."),
        ]
    seen = {word}
    for rank, form in forms:
        if form not in seen and canonical(form) == word:
            seen.add(form)
            yield rank, form
