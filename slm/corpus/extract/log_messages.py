"""What a kernel can say: the format strings of its messages, each with its level."""

from __future__ import annotations

import re
from collections.abc import Iterator

from slm.corpus.extract.plain import project_path
from slm.corpus.members import decode_text

#: Calls that write to the kernel's log: the printk family (``Documentation/core-api/printk-basics.rst`` of the kernel),
#: its relatives with a device in front, and what stops a machine. The end of a name says its level.
_CALL = re.compile(
    r"\b(?:(?:pr|dev|netdev|netif|pci|hid|drm|wiphy|sdev|ata_(?:dev|port|link)|btrfs|xfs|ext4|ubi|hw|ibdev|snd)_"
    r"(?P<level>emerg|alert|crit|error|err|warning|warn|notice|info|debug|dbg)(?:_\w+)?|"
    r"printk(?:_\w+)?|(?P<warn>WARN(?:_ONCE|_RATELIMIT)?)|(?P<panic>panic))\s?\("
)
#: From a call's opening parenthesis: what stands before the format, and the literals that it is made of.
_FORMAT = re.compile(r'([^";{}]{0,300}?)((?:(?<!\\)"(?:[^"\\\n]|\\.)*+"\s*(?:[A-Z][A-Z_0-9]*\s*)?)+)')
_LITERAL = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
_KERN = re.compile(r"KERN_([A-Z]+)")
_ESCAPES = {r"\n": " ", r"\t": " ", r"\r": " ", r"\"": '"', r"\\": "\\", r"\'": "'"}
_LEVELS = {
    "emerg": "emergency", "alert": "alert", "crit": "critical", "err": "error", "error": "error", "warn": "warning",
    "warning": "warning", "notice": "notice", "info": "info", "debug": "debug", "dbg": "debug",
}  # fmt: skip
#: A message shorter than this names nothing.
_SHORT = 16


def extract_messages(path: str, data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the messages in a C file as one text, one a line, each once, under the file's name."""
    source = decode_text(data)
    lines: dict[str, None] = {}
    for call in _CALL.finditer(source):
        found = _FORMAT.match(source, call.end())
        if found and (text := _message(found[2])):
            lines[f"{_level(call, found[1])}: {text}"] = None
    if lines:
        yield path, "\n".join([f"Kernel messages of {project_path(path)}:", "", *lines])


def _level(call: re.Match[str], before: str) -> str:
    if call["level"]:
        return _LEVELS[call["level"]]
    if call["warn"]:
        return "warning"
    if call["panic"]:
        return "panic"
    named = _KERN.search(before)
    return _LEVELS.get(named[1].lower(), "message") if named else "message"


def _message(literals: str) -> str:
    """Join a format's literals and undo their escapes; nothing for what holds too few words to mean something."""
    joined = "".join(_LITERAL.findall(literals))
    text = " ".join(re.sub(r"\\[ntr\"\\']", lambda match: _ESCAPES[match[0]], joined).split())
    return text if len(text) >= _SHORT and len(re.findall(r"(?<!%)\b[A-Za-z]{2,}", text)) >= 3 else ""
