"""Info pages as text: the nodes of a manual in their order, without menus, indices and node headers.

Format: the chapter "Info Format" of the Texinfo manual. Nodes start with a line that holds a unit separator (0x1f),
followed by a line ``File: …,  Node: …,  Up: …``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from slm.corpus.extract.plain import is_licence, unwrap
from slm.corpus.members import decode_text

#: Marks for programs: ``^@^H[index^@^H]``, ``^@^H[image …^@^H]``.
_PROGRAM_MARK = re.compile(rb"\0\x08\[[^\0]*\0\x08\]")
_NODE = re.compile(r"File: [^\n,]*,\s+Node: ([^\n,]*)[^\n]*\n?(.*)", re.DOTALL)
_NO_TEXT = re.compile(r"\b(?:Index|Contents|License|Licence|Copying|GPL|FDL|Top)\b", re.IGNORECASE)
_MENU_ITEM = re.compile(r"\* [^\n]+::|\* [^\n:]+:\s")
_UNDERLINE = re.compile(r"^([*=\-.])\1{2,}$\n?", re.MULTILINE)
_NOTE = re.compile(r"\*[Nn]ote\s+(?:([^:\n]{1,200})::|([^:]{1,80}):\s+(?:\([^)]{0,200}\))?[^.,]*(?:\.(?=\)))?)")


def extract_info(path: str, data: bytes) -> Iterator[tuple[str, str]]:
    """Yield an info file's nodes as one text."""
    source = decode_text(_PROGRAM_MARK.sub(b"", data))
    nodes = []
    for part in re.split(r"\n?\x1f\x0c?\n", source):
        if (match := _NODE.match(part)) and not _NO_TEXT.search(match[1]):
            text = _body(match[2])
            if text and not (is_licence(text) and len(text) < 3000):
                nodes.append(text)
    if nodes:
        yield path, "\n\n".join(nodes)


def _body(text: str) -> str:
    """Return what a node says, without its menu and with its references as words."""
    lines: list[str] = []
    menu = False
    for line in _UNDERLINE.sub("", text).split("\n"):
        if line.startswith("* Menu:"):
            menu = True
        elif not menu:
            lines.append(line)
        elif line and not line[0].isspace() and not _MENU_ITEM.match(line):
            menu = False
            lines.append(line)
    text = unwrap("\n".join(lines)).strip("\n")
    return _NOTE.sub(lambda match: f"see {' '.join((match[1] or match[2]).split())}", text)
