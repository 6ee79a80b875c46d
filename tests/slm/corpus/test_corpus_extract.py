"""Extractors: the text that people wrote comes out whole, markup and navigation do not."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from slm.corpus.extract import EXTRACTORS
from slm.corpus.extract.c_comments import extract_comments
from slm.corpus.extract.hardware import extract_ids
from slm.corpus.extract.html import extract_html
from slm.corpus.extract.plain import unwrap
from slm.corpus.extract.roff import render_man
from slm.corpus.extract.roff_language import arguments, plain
from slm.corpus.extract.rst import extract_rst
from slm.spec import Extractor


def man(source: str) -> str:
    return "".join(text for _, text in render_man("x.1", textwrap.dedent(source).encode()))


def test_man_pages_are_rendered() -> None:
    text = man(r"""
        .\" a comment
        .TH LS 1 2024 x
        .SH NAME
        ls \- list files
        .SH OPTIONS
        .TP
        .BR \-a ", " \-\-all
        do not ignore
        entries starting with \(lq.\(rq
        .TP
        \fB\-l\fR
        use a long format
        .nf
          ls  \-l
        .fi
        .SH AUTHOR
        Somebody
        """)
    assert text == (
        "ls(1)\n\nNAME\n\nls - list files\n\nOPTIONS\n\n-a, --all\ndo not ignore entries starting with “.”\n\n"
        "-l\nuse a long format\n  ls  -l"
    )


def test_mdoc_pages_are_rendered() -> None:
    text = man(r"""
        .Dd May 1, 2020
        .Dt CAT 1
        .Os
        .Sh NAME
        .Nm cat
        .Nd concatenate files
        .Sh SYNOPSIS
        .Nm
        .Op Fl benu
        .Op Ar
        .Sh DESCRIPTION
        The
        .Nm
        utility reads files
        .Pq see Xr read 2 ,
        like
        .Fn open "const char *path" "int flags" .
        .Bl -tag -width x
        .It Fl b Ns Ar n
        Number lines.
        .El
        """)
    assert "cat - concatenate files" in text
    assert "cat [-benu] [file ...]" in text
    assert "The cat utility reads files (see read(2)), like open(const char *path, int flags)." in text
    assert "-bn\nNumber lines." in text


def test_roff_conditions_strings_and_macros() -> None:
    text = man(r"""
        .ds Nx one\ two
        .de Say
        \\$1 says \\$2
        ..
        .de Sp \" a comment
        .if n .sp
        ..
        .ie n \{\
        for terminals
        .\}
        .el \{\
        for paper
        .\}
        .if t never
        .Say "a man" hello
        .Sp
        \*(Nx
        .ig
        ignored
        ..
        end
        """)
    assert text == "for terminals a man says hello\n\none two end"


def test_roff_that_calls_itself_ends() -> None:
    assert "start" in man(".TH X 1\n.de A\n.A\n.A\n..\nstart\n.A\nmore\nend\n")
    assert "start" in man(".ds A \\*A\\*A\nstart\n\\*A\nmore\nend\n")


def test_tables_become_rows() -> None:
    text = man(".TH X 1\n.SH A\ntext\n.TS\nallbox;\nl l.\n\\fBName\\fP\tValue\n_\na\tT{\nlong\ntext\nT}\n.TE\nend\n")
    assert "Name | Value\na | long text" in text


@given(st.text(alphabet=".\\\"{}()[]*$fBnSHTPiel \n'-ab", max_size=200))
@settings(max_examples=300)
@example(".ie n \\{\\\n.el")
def test_no_page_breaks_the_renderer(source: str) -> None:
    man(".TH X 1\n.SH NAME\n" + source)
    man(".Dd x\n.Dt X 1\n.Sh NAME\n" + source)


@given(st.lists(st.text(alphabet="ab c-", max_size=6), max_size=5))
def test_quoted_arguments_come_back(words: list[str]) -> None:
    assert arguments(" ".join(f'"{word}"' for word in words)) == words


@given(st.text(alphabet="abc .,-", max_size=30))
def test_text_without_escapes_stays(text: str) -> None:
    assert plain(text) == text


@given(st.binary(max_size=400), st.sampled_from([name for name in EXTRACTORS if name != "kernel_modules"]))
@settings(max_examples=300)
def test_no_bytes_break_an_extractor(data: bytes, name: Extractor) -> None:
    for path, text in EXTRACTORS[name]("folder/file", data):
        assert path and isinstance(text, str)


def test_html_loses_navigation_and_keeps_structure() -> None:
    page = b"""<html><head><title>x</title><style>p {}</style></head><body>
      <div class="navheader"><a href="x">Prev</a> Next page</div>
      <h1>Title</h1><p>One <b>bold</b>
        word &amp; more.<p>Two<ul><li>a</li><li><p>b</p></li></ul>
      <pre>  keep
    this</pre><table class="x"><tr><th>k</th><th>v</th></tr><tr><td>1<td>2</tr></table>
      <div class="toc"><dl><dt>Contents</dt></dl></div><div class="navfooter">Next</div></body></html>"""
    text = next(extract_html("x", page))[1]
    assert "Title\n\nOne bold word & more.\n\nTwo" in text
    assert "- a" in text and "- b" in text and "  keep\n    this" in text and "k | v\n1 | 2" in text
    assert "Next" not in text and "Prev" not in text and "Contents" not in text and "{}" not in text


def test_rst_loses_markup_and_keeps_words() -> None:
    source = """.. SPDX-License-Identifier: GPL-2.0
.. _label:

=====
Title
=====

See :c:func:`kmalloc` and :ref:`the guide <guide>`, ``literal`` and *stress*::

    code *here*

.. note:: Be careful.

.. toctree::
   :maxdepth: 2

   hidden

.. kernel-doc:: file.c
   :internal:
"""
    text = next(extract_rst("x", source.encode()))[1]
    assert text == ("Title\n\nSee kmalloc and the guide, literal and stress:\n\n    code *here*\n\nNote: Be careful.")


def test_comments_come_without_code_strings_and_licences() -> None:
    source = rb"""// SPDX-License-Identifier: GPL-2.0
/* This program is free software; you can redistribute it under the GNU General Public License. */
char *url = "http://example.org/* not a comment */";
/**
 * read_block - read one block from the device and wait for it
 * @number: which block, counted from the start of the device
 */
int read_block(int number); /* short */
// Neighbouring lines belong together, because a writer who uses
// this form of comment writes paragraphs with it.
"""
    ((_, text),) = extract_comments("usr/include/block.h", source)
    assert text.startswith("block.h\n\nread_block - read one block from the device and wait for it\n@number: which")
    assert text.endswith("who uses this form of comment writes paragraphs with it.")
    assert "free software" not in text and "not a comment" not in text and "short" not in text


def test_broken_lines_are_joined_and_code_is_not() -> None:
    long = "This line goes on for as long as a margin lets it go on"
    assert unwrap(f"{long}\nand is continued here.") == f"{long} and is continued here."
    code = "        first_function(with, several, arguments, and_more);\n        second_function(with, arguments);"
    assert unwrap(code) == code


def test_id_lists_name_no_device_that_is_held_out() -> None:
    from slm.corpus.devices import held_out

    lines = ["8086  Intel"] + [f"\t{device:04x}  Device {device}" for device in range(200)]
    text = "\n".join(text for _, text in extract_ids("pci.ids", "\n".join(lines).encode()))
    for device in range(200):
        assert (f"8086:{device:04x} " in text) is not held_out("pci", 0x8086, device)


@pytest.mark.parametrize("name", sorted(EXTRACTORS))
def test_extractors_yield_nothing_or_text_for_an_empty_file(name: Extractor) -> None:
    if name != "kernel_modules":
        assert all(not text.strip() for _, text in EXTRACTORS[name]("x", b""))
