"""The kernel's configuration options: symbol, prompt, conditions and help.

Language: ``Documentation/kbuild/kconfig-language.rst`` of the kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from slm.corpus.extract.plain import project_path, unwrap
from slm.corpus.members import decode_text

_ENTRY = re.compile(r"(?:menu)?config\s+(\w+)\s*$")
_TYPE = re.compile(r'\s+(bool|tristate|string|hex|int)\b(?:\s*(["\'])(.*?)\2)?(?:\s+if\s+(.*))?\s*$')
_PROMPT = re.compile(r'\s+prompt\s+(["\'])(.*?)\1')
_CLAUSE = re.compile(r"\s+(depends on|select|imply|default)\s+(.+)$")
_HELP = re.compile(r"\s*(?:---help---|help)\s*$")
_TITLE = re.compile(r'(?:mainmenu|menu|comment)\s+(["\'])(.*?)\1')


@dataclass
class _Option:
    symbol: str
    kind: str = ""
    prompt: str = ""
    clauses: dict[str, list[str]] = field(default_factory=dict)
    help: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Write the option as a person would read it; nothing for one that nobody is asked about."""
        if not self.prompt:
            return ""
        lines = [f"CONFIG_{self.symbol}: {self.prompt}" + (f" ({self.kind})" if self.kind else "")]
        for name, title in (("depends on", "Depends on"), ("select", "Selects"), ("default", "Default")):
            if name in self.clauses:
                lines.append(f"{title}: {', '.join(self.clauses[name])}")
        margin = min((len(line) - len(line.lstrip()) for line in self.help if line.strip()), default=0)
        return "\n".join([*lines, unwrap("\n".join(line[margin:] for line in self.help)).strip()]).strip()


def extract_kconfig(path: str, data: bytes) -> Iterator[tuple[str, str]]:
    """Yield a ``Kconfig`` file as one text: its menus' titles, and every option that has a prompt."""
    blocks = [block for block in _blocks(decode_text(data)) if block]
    if blocks:
        yield path, "\n\n".join([f"Kernel configuration: {project_path(path)}", *blocks])


def _blocks(source: str) -> Iterator[str]:
    option: _Option | None = None
    lines = iter(source.replace("\\\n", " ").expandtabs(8).split("\n"))
    waiting: str | None = None  # the line after a help text, which was read to see where that ends
    while True:
        line = waiting if waiting is not None else next(lines, None)
        waiting = None
        if line is None:
            break
        entry, title = _ENTRY.match(line), _TITLE.match(line)
        if entry or title or (line and not line[0].isspace() and not line.startswith("#")):
            if option:
                yield option.text()
            option = _Option(entry[1]) if entry else None
            if title:
                yield title[2]
        elif option and _HELP.match(line):
            option.help, waiting = _help(lines)
        elif option:
            _take(option, line)
    if option:
        yield option.text()


def _take(option: _Option, line: str) -> None:
    """Take one attribute of an option; others than those that we show are passed over."""
    if match := _TYPE.match(line):
        option.kind = match[1]
        option.prompt = match[3] or option.prompt
        if match[4]:
            option.clauses.setdefault("depends on", []).append(match[4].strip())
    elif match := _PROMPT.match(line):
        option.prompt = match[2]
    elif match := _CLAUSE.match(line):
        option.clauses.setdefault(match[1], []).append(" ".join(match[2].partition("#")[0].split()))


def _help(lines: Iterator[str]) -> tuple[list[str], str | None]:
    """Read a help text: it ends before the first line indented less than its first. Return the line after it, too."""
    text: list[str] = []
    indent: int | None = None
    for line in lines:
        if line.strip():
            depth = len(line) - len(line.lstrip())
            if depth == 0 or (indent is not None and depth < indent):
                return text, line
            indent = depth if indent is None else indent
        text.append(line)
    return text, None
