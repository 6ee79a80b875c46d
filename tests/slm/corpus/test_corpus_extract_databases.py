"""Libraries of electronic parts, and the database of operating systems."""

from __future__ import annotations

import pytest

from slm.corpus.devices import held_out
from slm.corpus.extract.osinfo import extract_osinfo
from slm.corpus.extract.symbols import extract_symbols
from slm.corpus.members import Unreadable


def test_a_part_says_its_name_what_it_does_and_its_package() -> None:
    source = r"""(kicad_symbol_lib (version 20211014) (generator kicad_symbol_editor)
  (symbol "74LS00" (pin_names (offset 1.016)) (in_bom yes) (on_board yes)
    (property "Reference" "U" (id 0) (at 0 1.27 0)
      (effects (font (size 1.27 1.27)))
    )
    (property "Value" "74LS00" (id 1) (at 0 -1.27 0))
    (property "Footprint" "Package_DIP:DIP-14_W7.62mm" (id 2) (at 0 0 0))
    (property "Datasheet" "http://example.org/sn74ls00" (id 3) (at 0 0 0))
    (property "ki_keywords" "TTL nand" (id 4) (at 0 0 0))
    (property "ki_description" "Quad 2-input \"NAND\"" (id 5) (at 0 0 0))
    (symbol "74LS00_1_1"
      (pin input line (at -7.62 2.54 0) (length 3.81) (name "~" (effects (font (size 1.27 1.27)))))
    )
  )
  (symbol "Nameless" (property "ki_description" "of no part"))
  (symbol "2N7002" (extends "BSS138")
    (property "Reference" "Q" (id 0))
    (property "Value" "2N7002" (id 1))
    (property "Description" "N-channel MOSFET" (id 5))
  )
)"""
    assert list(extract_symbols("usr/share/kicad/symbols/74x_IEEE.kicad_sym", source.encode())) == [
        (
            "usr/share/kicad/symbols/74x_IEEE.kicad_sym",
            "Electronic parts: 74x IEEE\n\n"
            '74LS00: Quad 2-input "NAND" (keywords: TTL nand; package: DIP-14_W7.62mm)\n'
            "2N7002: N-channel MOSFET",
        )
    ]
    assert list(extract_symbols("empty.kicad_sym", b"(kicad_symbol_lib)")) == []


def test_a_system_says_what_it_needs_and_drives_but_no_device_held_out() -> None:
    numbers = range(0x1000, 0x1060)
    hidden = {number for number in numbers if held_out("pci", 0x1AF4, number)}
    assert hidden, "no id of the range is held out: the test says nothing"
    devices = "".join(f'<device id="http://pcisig.com/pci/1af4/{number:04X}"/>' for number in numbers)
    source = f"""<?xml version="1.0"?>
<libosinfo version="0.0.1">
  <os id="http://example.org/one/2">
    <short-id>one2</short-id>
    <name xml:lang="de">Eins 2</name>
    <name>One 2</name>
    <vendor>One &amp; Co</vendor>
    <release-date>2024-01-02</release-date>
    <derives-from id="http://example.org/one/1"/>
    <resources arch="x86_64">
      <minimum><n-cpus>2</n-cpus><ram>1073741824</ram><storage>many</storage></minimum>
      <recommended><ram>1610612736</ram></recommended>
    </resources>
    <devices>{devices}<device id="http://usb.org/usb/80ee/0021"/></devices>
    <media arch="x86_64"><iso><volume-id>ONE2</volume-id></iso></media>
  </os>
  <device id="http://xen.org/xen/vkbd"><name>xen-vkbd</name><class>input</class><bus-type>xen</bus-type></device>
</libosinfo>"""
    ((path, text),) = extract_osinfo("os/example.org/one-2.xml", source.encode())
    assert path == "os/example.org/one-2.xml"
    first, _, device = text.partition("\n\n")
    lines = first.split("\n")
    assert lines[:5] == [
        "One 2 (operating system)",
        "short id one2; vendor One & Co; release date 2024-01-02",
        "Derives from one 1",
        "Minimum on x86_64: 2 processors, 1 GiB of memory",
        "Recommended on x86_64: 1.5 GiB of memory",
    ]
    shown = {number for number in numbers if f"PCI 1af4:{number:04x}" in lines[5]}
    assert shown == set(numbers) - hidden
    assert ("USB 80ee:0021" in lines[5]) is not held_out("usb", 0x80EE, 0x21)
    assert device == "xen-vkbd (xen vkbd): class input; bus type xen"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (b"<libosinfo><os></libosinfo>", "no XML"),
        (b"\xff\xfe<", "no XML"),
        ("<!DOCTYPE x><x/>".encode("utf-16"), "binary"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "document type"),
        (b'<?xml version="1.0" encoding="nonsense"?><x/>', "no XML"),
    ],
)
def test_what_is_no_plain_xml_is_refused(source: bytes, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        list(extract_osinfo("os/x.xml", source))
