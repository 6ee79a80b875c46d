"""Handbooks in XML, DocBook and Mallard, as text: what stands in them, without indices and facts about the book.

The reader for HTML does the work. It takes markup as it comes, fetches nothing, and expands no entity but those that
the file itself defines, once and up to a size, so a file can neither reach outside nor blow up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from slm.corpus.extract.html import Reader
from slm.corpus.members import MAX_BYTES, Unreadable, decode_text

_ENTITY = re.compile(r"""<!ENTITY\s+([\w.-]+)\s+(?:"([^"<&]{0,200})"|'([^'<&]{0,200})')\s*>""")
_SUBSET_END = re.compile(r"\]\s*>")


class _Book(Reader):
    """DocBook 4 and 5 (docbook.org/schemas) and Mallard 1.0 (projectmallard.org)."""

    blocks_of = frozenset({
        "para", "simpara", "formalpara", "title", "subtitle", "section", "sect1", "sect2", "sect3", "sect4", "chapter",
        "article", "appendix", "preface", "refsect1", "refsect2", "refnamediv", "refsynopsisdiv", "itemizedlist",
        "orderedlist", "variablelist", "simplelist", "procedure", "note", "warning", "tip", "caution", "important",
        "example", "figure", "table", "informaltable", "blockquote", "glosslist", "qandaset", "question", "answer",
        "page", "p", "list", "steps", "terms", "tree", "synopsis", "cmdsynopsis", "funcsynopsis", "footnote",
    })  # fmt: skip
    lines_of = frozenset({"listitem", "step", "item", "term", "member", "row", "tr", "varlistentry", "glossterm"})
    items = frozenset({"listitem", "step", "item", "member"})
    cells = frozenset({"entry", "td", "th"})
    listings = frozenset({"programlisting", "screen", "literallayout", "code-block", "synopsis"})
    dropped = frozenset({
        "info", "bookinfo", "articleinfo", "chapterinfo", "sectioninfo", "refentryinfo", "indexterm", "index", "toc",
        "graphic", "mediaobject", "inlinemediaobject", "legalnotice", "copyright", "authorgroup", "revhistory", "links",
        "comment", "remark", "refmeta", "bibliography", "colophon", "media", "style", "script",
    })  # fmt: skip
    void = frozenset({"xref", "anchor", "co", "area", "include", "sbr", "colspec", "spanspec", "imagedata"})
    implied = False
    navigation = None


def extract_docbook(path: str, data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the text of an XML file."""
    source = decode_text(data)
    entities = {name: one or other for name, one, other in _ENTITY.findall(source[: 1 << 16])}
    source = _without_doctype(source)
    text = _Book().read(_expanded(source, entities))
    if text:
        yield path, text


def _expanded(source: str, entities: Mapping[str, str]) -> str:
    """Put entities in their places.

    :raises Unreadable: when the text grows beyond what a file may have.
    """
    room = MAX_BYTES - len(source)

    def value(match: re.Match[str]) -> str:
        nonlocal room
        text = entities.get(match[1], match[0])
        room -= len(text) - len(match[0])
        if room < 0:
            raise Unreadable("entities that make it too large")
        return text

    return re.sub(r"&([\w.-]+);", value, source)


def _without_doctype(source: str) -> str:
    start = source.find("<!DOCTYPE")
    if start < 0:
        return source
    end = source.find(">", start)
    if "[" in source[start:end] and (found := _SUBSET_END.search(source, start)):
        end = found.end() - 1
    return source[:start] + source[end + 1 :] if end >= 0 else source
