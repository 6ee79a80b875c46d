"""The lines that are typed: which can be, who will answer them, and how long that may take."""

from __future__ import annotations

from pathlib import Path

from slm.errors import SourceError
from slm.export.flat_limits import ANSWER_TOKENS, PROMPT_TOKENS

#: What the kernel's console takes of a line, in bytes.
MAX_LINE_BYTES = 255
_MAX_FILE = 1 << 20

#: The kernel answers a line from its own state when all words of one of these rows are in it, as parts of words too.
_OWN_STATE = (
    ("ip", "what"),
    ("ip", "address"),
    *((word,) for word in ("memory", "ram", "uptime", "hostname", "status", "web", "http", "dns", "dhcp")),
    *((word,) for word in ("file", "mail", "ssh", "sql", "database")),
)
#: And when one of these is in it and no colon, which a device's id has.
_OWN_LISTS = ("device", "hardware", "nic")

#: Multiplications a second that the kernel's arithmetic does under TCG, a parameter each: 10 M parameters answer a
#: line of 7 words in 2 s.
_TCG_PARAMETERS = 95e6
#: A busy machine may be so many times slower, and needs so long for anything, in seconds.
_SLACK, _LEAST_SECONDS = 10.0, 20.0
#: The kernel itself is there in some 4 s; loading takes what reading the file by the BIOS takes, in bytes a second.
_BOOT_SECONDS, _BIOS_RATE = 60.0, 1e6


def read_lines(path: Path) -> list[str]:
    """Read the lines to ask; empty ones are left out.

    :raises SourceError: when it cannot be read, holds none, or one that cannot be typed.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}).", "Name a file of lines.") from error
    if len(content) > _MAX_FILE:
        raise SourceError(f"{path} has more than {_MAX_FILE} bytes.", "Ask fewer lines at once.")
    lines, breaches = [], []
    for number, raw in enumerate(content.split(b"\n"), 1):
        raw = raw.removesuffix(b"\r")
        text = raw.decode("utf-8", "surrogateescape")
        if len(raw) > MAX_LINE_BYTES:
            breaches.append(f"line {number} has {len(raw)} bytes; the console takes {MAX_LINE_BYTES}")
        elif not text.isprintable():
            breaches.append(f"line {number} holds what cannot be typed: {text[:40]!a}")
        elif text.strip():
            lines.append(text)
    if breaches:
        raise SourceError(f"{path} cannot be asked:" + "".join(f"\n  - {breach}" for breach in breaches))
    if not lines:
        raise SourceError(f"{path} holds no line.", "Write a question on each line.")
    return lines


def own_state(line: str) -> str:
    """Return the words for which the kernel answers ``line`` from its own state, whatever model it has; or nothing."""
    low = line.lower()
    for words in _OWN_STATE:
        if all(word in low for word in words):
            return " + ".join(words)
    return next((word for word in _OWN_LISTS if word in low and ":" not in low), "")


def answer_seconds(line: str, parameters: int) -> float:
    """Return how long the answer to ``line`` of a model of so many parameters may take."""
    words = min(len(line.split()), PROMPT_TOKENS)
    return _LEAST_SECONDS + _SLACK * (words + ANSWER_TOKENS) * parameters / _TCG_PARAMETERS


def boot_seconds(model_bytes: int) -> float:
    """Return how long a machine may take to its prompt, with a module of so many bytes."""
    return _BOOT_SECONDS + model_bytes / _BIOS_RATE
