"""HTML from foreign text: whatever is not known to be markup is escaped, and the page around it obeys nothing."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

#: Control characters but tab and newline, marks that turn the direction of writing, and halves of surrogate pairs.
_UNSHOWN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
:root { color-scheme: light dark; --line: #8885; --soft: #8881; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
nav { columns: 14rem; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
table { border-collapse: collapse; } .wide { overflow-x: auto; }
th, td { padding: .15rem .7rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--soft); padding: .6rem; margin: .2rem 0 1rem; }
svg { width: 100%; max-width: 54rem; height: auto; } svg * { stroke-linejoin: round; stroke-linecap: butt; }
svg text { font-family: system-ui, sans-serif !important; }
"""


class Html(str):
    """Text that is markup already."""


def printable(text: str) -> str:
    """Replace what a terminal or a browser would obey instead of show."""
    return _UNSHOWN.sub("\ufffd", text)


def safe(value: object) -> Html:
    """Return ``value`` as markup: itself when it is :class:`Html`, else its text, escaped; numbers are grouped."""
    if isinstance(value, Html):
        return value
    return Html(html.escape(printable(f"{value:,}" if isinstance(value, int) else str(value))))


def joined(parts: Iterable[object]) -> Html:
    """Join parts, each made safe."""
    return Html("\n".join(map(safe, parts)))


def element(tag: str, content: object) -> Html:
    """Put ``content`` into an element without attributes."""
    return Html(f"<{tag}>{safe(content)}</{tag}>")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Html:
    """Make a table; cells that are numbers stand to the right. Without rows, it says that there are none."""
    body = [
        "".join(f"<td{' class=n' if isinstance(cell, int | float) else ''}>{safe(cell)}</td>" for cell in row)
        for row in rows
    ]
    if not body:
        return element("p", "None.")
    head = "".join(f'<th scope="col">{safe(column)}</th>' for column in columns)
    lines = "\n".join(f"<tr>{line}</tr>" for line in body)
    return Html(f'<div class="wide"><table>\n<tr>{head}</tr>\n{lines}\n</table></div>')


def facts(rows: Iterable[tuple[str, object]]) -> Html:
    """Make a table of names, each with what it stands for."""
    lines = "\n".join(f'<tr><th scope="row">{safe(name)}</th><td>{safe(value)}</td></tr>' for name, value in rows)
    return Html(f'<div class="wide"><table>\n{lines}\n</table></div>')


def bullets(items: Iterable[object]) -> Html:
    """Make a list; without items, it says that there are none."""
    lines = [element("li", item) for item in items]
    return Html(f"<ul>\n{joined(lines)}\n</ul>") if lines else element("p", "None.")


def document(title: str, body: Html) -> Html:
    """Make a whole page that loads nothing and runs nothing."""
    return Html(
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{safe(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<h1>{safe(title)}</h1>\n{body}\n</body>\n</html>\n"
    )
