"""Device trees and their bindings: nodes, properties and comments as they stand, without the licence in front."""

from __future__ import annotations

import re
from collections.abc import Iterator

from slm.corpus.extract.plain import is_licence, project_path, strip_licence_lines, unwrap
from slm.corpus.members import decode_text

#: A block comment, or neighbouring comment lines of either language.
_COMMENT = re.compile(r"/\*[^*]*\*+(?:[^/*][^*]*\*+)*/|(?:^[ \t]*(?://|#(?!\w)).*\n?)+", re.MULTILINE)
#: What every binding says of itself, and who keeps it.
_BOILERPLATE = re.compile(r"^(?:\$id|\$schema):.*\n|^maintainers:\n(?:[ \t].*\n)+\n?", re.MULTILINE)
#: Licences stand here; a comment further down is about the hardware.
_HEAD = 4000


def extract_device_tree(path: str, data: bytes) -> Iterator[tuple[str, str]]:
    """Yield a device tree (``.dts``, ``.dtsi``) or a binding (``.yaml``, ``.txt``) under its name."""
    text = strip_licence_lines(decode_text(data))
    head = _COMMENT.sub(lambda match: match[0] if _speaks(match[0]) else "", text[:_HEAD])
    text = _BOILERPLATE.sub("", head + text[_HEAD:]).strip()
    if path.removesuffix(".gz").endswith(".txt"):
        text = unwrap(text)
    else:
        text = re.sub(r"\A(?:%YAML.*\n)?(?:---\n)?\s*", "", text)
    # Nodes are indented by tabs; eight blanks a level would be a third of the text.
    text = re.sub(r"^\t+", lambda match: "  " * len(match[0]), text, flags=re.MULTILINE)
    if text:
        yield path, f"{project_path(path)}\n\n{text}"


def _speaks(comment: str) -> bool:
    return not is_licence(comment) and any(char.isalnum() for char in comment)
