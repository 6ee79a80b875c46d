"""Extractors: the text that people wrote comes out whole, markup and navigation do not."""

from __future__ import annotations

import contextlib
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
from slm.corpus.members import Unreadable
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


#: What each reader looks for, so that chance finds its way into it.
FRAGMENTS = [
    b"\n", b"\t", b" ", b"/*", b"*/", b"//", b'"', b"config A\n", b"\thelp\n", b'\tbool "x"\n', b"pr_err(", b"\x1f\n",
    b"File: a,  Node: b\n", b"* Menu:\n", b"<p>", b"</", b"<![CDATA[", b"<!", b"&#x110000;", b"&a;",
    b"<!ENTITY a 'b'>", b"<pre", b".TH X 1\n", b".de A\n", b".A\n", b"..\n", b"\\*A", b"\\N'", b"99999999", b".Dd x\n",
    b".. x::", b"=====\n", b"usb:v8086p1000", b" A=1\n", b"---\n", b"$id: x\n", b"maintainers:\n",
    b"Copyright (c) 1999", b"word " * 12, b"\xff", b"\0", b"\x7fELF\x02\x01",
]  # fmt: skip


@given(
    st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=9)), max_size=30).map(b"".join),
    st.sampled_from(sorted(EXTRACTORS)),
)
@settings(max_examples=600, deadline=None)
def test_no_bytes_break_an_extractor(data: bytes, name: Extractor) -> None:
    with contextlib.suppress(Unreadable):
        for path, text in EXTRACTORS[name]("folder/file", data):
            assert path and isinstance(text, str)


@pytest.mark.parametrize("name", sorted(EXTRACTORS))
def test_binary_files_and_endless_lines_come_to_an_end(name: Extractor) -> None:
    for data in (b"\x7fELF\x02\x01\0\0" * 1000, bytes(range(128, 256)) * 100):
        with pytest.raises(Unreadable):
            list(EXTRACTORS[name]("folder/file", data))
    for data in (b"word " * 400_000, b"a" * 2_000_000, b" " * 2_000_000, b"(" * 200_000):
        with contextlib.suppress(Unreadable):
            assert all(isinstance(text, str) for _, text in EXTRACTORS[name]("folder/file", data))


def test_macros_that_double_their_arguments_end() -> None:
    double = ".de A\n.A \\$1\\$1 \\$1\n\\$1\n..\n"
    assert len(man(".TH X 1\n" + double + "start\n.A aaaaaaaaaa\nmore\nend\n")) < 10_000_000


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


@given(st.lists(st.text(alphabet="ab -;*.", max_size=70), max_size=8))
def test_joining_lines_changes_nothing_but_white_space(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert unwrap(text).split() == text.split()


def test_a_paragraph_of_many_lines_is_joined_in_linear_time() -> None:
    assert unwrap("\n".join(["a line that is as long as most lines of a paragraph are"] * 100_000)).count("\n") == 0


def test_id_lists_name_no_device_that_is_held_out() -> None:
    from slm.corpus.devices import held_out

    lines = ["8086  Intel"] + [f"\t{device:04x}  Device {device}" for device in range(200)]
    text = "\n".join(text for _, text in extract_ids("pci.ids", "\n".join(lines).encode()))
    for device in range(200):
        assert (f"8086:{device:04x} " in text) is not held_out("pci", 0x8086, device)


@pytest.mark.parametrize("name", sorted(EXTRACTORS))
def test_extractors_yield_nothing_or_no_text_for_an_empty_file(name: Extractor) -> None:
    with contextlib.suppress(Unreadable):
        assert all(not text.strip() for _, text in EXTRACTORS[name]("x", b""))
