"""Extractors for manuals in Info and XML, and for udev's hardware database."""

from __future__ import annotations

import gzip

from hypothesis import given
from hypothesis import strategies as st

from slm.corpus.devices import held_out
from slm.corpus.extract.docbook import extract_docbook
from slm.corpus.extract.html import extract_html
from slm.corpus.extract.hwdb import extract_hwdb
from slm.corpus.extract.info import extract_info
from slm.corpus.extract.plain import extract_text


def test_info_loses_menus_indices_and_headers() -> None:
    source = (
        b"This is x.info, produced by makeinfo version 6.8 from x.texi.\n\n"
        b"\x1f\nFile: x.info,  Node: Top,  Next: Using,  Up: (dir)\n\nTop of it.\n\n* Menu:\n\n* Using::  How.\n"
        b"\x1f\nFile: x.info,  Node: Using,  Next: Index,  Prev: Top,  Up: Top\n\n1 Using it\n**********\n\n"
        b"Call it with a name, which it then prints to the terminal as often as\nyou wish (*note Limits: All "
        b"limits.).\n\n"
        b"* Menu:\n\n* Limits::     How much it can bear\n                of it.\n* Other: Limits.\n\n"
        b"After the menu *note Limits::.\n"
        b"\x1f\nFile: x.info,  Node: Index,  Prev: Using,  Up: Top\n\n"
        b"\0\x08[index\0\x08]\n* Menu:\n\n* a: Using. (line 3)\n"
        b"\x1f\nTag Table:\nNode: Top\x7f99\n\x1f\nEnd Tag Table\n"
    )
    ((_, text),) = extract_info("x.info", source)
    assert text == (
        "1 Using it\n\nCall it with a name, which it then prints to the terminal as often as you wish (see Limits).\n\n"
        "After the menu see Limits."
    )


@given(st.text(alphabet=st.sampled_from("\x1f\x0c\n*:, aFile: x,  Node: bMenu")))
def test_no_info_breaks_the_reader(source: str) -> None:
    for _, text in extract_info("x.info", source.encode()):
        assert "\x1f\n" not in text


def test_docbook_keeps_text_and_its_own_entities() -> None:
    source = b"""<?xml version="1.0"?>
<!-- a comment -->
<!DOCTYPE chapter PUBLIC "-//OASIS//DTD DocBook XML V4.5//EN" "http://example.org/docbook.dtd" [
  <!ENTITY product "Thing">
  <!ENTITY secret SYSTEM "file:///etc/passwd">
  <!ENTITY bomb "&product;&product;">
]>
<chapter><chapterinfo><author><firstname>A</firstname></author></chapterinfo><title>Using &product;</title>
<indexterm><primary>x</primary></indexterm>
<para>Run <command>thing</command>, not
   &secret;<xref linkend="y"/>.</para>
<itemizedlist><listitem><para>one</para></listitem><listitem><para>two</para></listitem></itemizedlist>
<screen><![CDATA[$ thing <file>
  done]]></screen>
<informaltable><tgroup><tbody><row><entry>a</entry><entry>b</entry></row></tbody></tgroup></informaltable>
</chapter>"""
    ((_, text),) = extract_docbook("x.xml", source)
    assert text == ("Using Thing\n\nRun thing, not &secret;.\n\n- one\n\n- two\n\n$ thing <file>\n  done\n\na | b")


def test_mallard_pages_are_read() -> None:
    source = b"""<page xmlns="http://projectmallard.org/1.0/" type="topic" id="x">
<info><link type="guide" xref="y"/><credit><name>A</name></credit><desc>About</desc></info>
<title>Change the background</title><p>Press <gui>Settings</gui>.</p>
<steps><item><p>First.</p></item><item><p>Then.</p></item></steps></page>"""
    ((_, text),) = extract_docbook("x.page", source)
    assert text == "Change the background\n\nPress Settings.\n\n- First.\n\n- Then."


def test_broken_markup_takes_linear_time() -> None:
    # Each of these makes the standard library's parser read to the end again and again.
    for piece in (
        b"<!--",
        b"<![CDATA[",
        b"<a ",
        b"<",
        b"<b>",
        b"</b>",
        b"<b></i>",
        b"<![x[",
        b"<!x",
        b"<?",
        b"&#",
        b"<p a='",
    ):
        for extract in (extract_html, extract_docbook):
            for _, text in extract("x", piece * 50_000):
                assert isinstance(text, str)


def test_the_hardware_database_is_readable_and_keeps_silent_about_devices_held_out() -> None:
    ids = [number for number in range(40)]
    records = "".join(f"usb:v8086p{number:04X}*\n ID_AUTOSUSPEND=1\n\n" for number in ids)
    source = (
        "# Keyboards\n#\n\n# Acer\nevdev:atkbd:dmi:bvn*:svnAcer*:pn*:*\nevdev:input:b0019*\n"
        " KEYBOARD_KEY_86=wlan      # wireless\n KEYBOARD_KEY_a5=help\n\n" + records
    )
    ((_, text),) = extract_hwdb("60-x.hwdb", source.encode())
    assert text.startswith(
        "Keyboards\n\nAcer\n"
        "evdev:atkbd:dmi:bvn*:svnAcer*:pn*:*: KEYBOARD_KEY_86 = wlan, KEYBOARD_KEY_a5 = help\n"
        "evdev:input:b0019*: KEYBOARD_KEY_86 = wlan, KEYBOARD_KEY_a5 = help\n"
    )
    for number in ids:
        assert (f"usb:v8086p{number:04X}*: ID_AUTOSUSPEND = 1" in text) is not held_out("usb", 0x8086, number)


def test_an_extractor_takes_what_a_reader_unpacks() -> None:
    page = b"\x1f\nFile: x,  Node: A\n\nThe text of the node.\n"
    assert list(extract_info("x.info.gz", gzip.decompress(gzip.compress(page)))) == [
        ("x.info.gz", "The text of the node.")
    ]


def test_json_tables_become_lines_and_other_json_stays() -> None:
    source = b"""[
    {"EventCode": "0x8", "EventName": "TLB.MISS", "BriefDescription": "A miss.", "SampleAfterValue": "20000",
     "PublicDescription": "A miss of the TLB, and a walk"},
    {"ArchStdEvent": "BR_PRED", "BriefDescription": "A miss of the\\n  cache"},
    {"MetricExpr": ["nested"], "Counter": "0,1"}]"""
    ((_, text),) = extract_text("linux-source-6.1/tools/events/cache.json", source)
    assert text == (
        "tools/events/cache.json\n\nTLB.MISS: A miss of the TLB, and a walk (EventCode 0x8)\n"
        "A miss of the cache (ArchStdEvent BR_PRED)"
    )
    assert next(extract_text("x.json", b'{"a": [1, 2]}'))[1] == '{"a": [1, 2]}'
    assert next(extract_text("x.json", b"[" * 200_000))[1].startswith("[[")
