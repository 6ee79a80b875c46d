"""From a source's files to texts: one module a format, one function each.

Every extractor takes a file's path and bytes and yields (path, text) pairs, most often one; the paths of several texts
from one file are made distinct by a ``#`` and what they are about. Whatever the bytes, an extractor ends, in time about
proportional to their number, and raises nothing but :class:`slm.corpus.members.Unreadable`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from slm.corpus.extract.c_comments import extract_comments
from slm.corpus.extract.device_tree import extract_device_tree
from slm.corpus.extract.docbook import extract_docbook
from slm.corpus.extract.hardware import extract_ids, extract_module
from slm.corpus.extract.html import extract_html
from slm.corpus.extract.hwdb import extract_hwdb
from slm.corpus.extract.info import extract_info
from slm.corpus.extract.kconfig import extract_kconfig
from slm.corpus.extract.log_messages import extract_messages
from slm.corpus.extract.osinfo import extract_osinfo
from slm.corpus.extract.plain import extract_text
from slm.corpus.extract.roff import render_man
from slm.corpus.extract.rst import extract_rst
from slm.corpus.extract.symbols import extract_symbols
from slm.spec import Extractor

EXTRACTORS: dict[Extractor, Callable[[str, bytes], Iterator[tuple[str, str]]]] = {
    "text": extract_text,
    "man": render_man,
    "rst": extract_rst,
    "html": extract_html,
    "docbook": extract_docbook,
    "info": extract_info,
    "c_comments": extract_comments,
    "log_messages": extract_messages,
    "kconfig": extract_kconfig,
    "device_tree": extract_device_tree,
    "kernel_modules": extract_module,
    "ids": extract_ids,
    "hwdb": extract_hwdb,
    "osinfo": extract_osinfo,
    "symbols": extract_symbols,
}
