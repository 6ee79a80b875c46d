"""Held-out device ids are found however a text writes them, and nothing else is."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm.corpus.devices import SCHEMA, held_out
from slm.corpus.heldout import HeldOut

HELD = [(0x8086, device) for device in range(0x1000, 0x1100) if held_out("pci", 0x8086, device)]
FREE = [(0x8086, device) for device in range(0x1000, 0x1100) if not held_out("pci", 0x8086, device)]
FORMS = (
    "{0:04x}:{1:04x}",
    "{0:04X}:{1:04X}",
    "0000:{0:04x}:{1:04x}",
    "0x{0:04x}, 0x{1:04x}",
    "PCI_DEVICE(0x{0:04X}, 0x{1:04x})",
    "pci{0:04x},{1:04x}",
    "{0:04x} {1:04x}",
    "{0:04x}\t{1:04x}",
    "{0:04x}/{1:04x}",
    "{0:04x}\n{1:04x}",
    "pci:v0000{0:04X}d0000{1:04X}sv*sd*bc*sc*i*",
    "usb:v{0:04X}p{1:04X}*",
    "idVendor={0:04x}, idProduct={1:04x}",
    'ATTR{{idVendor}}=="{0:04x}", ATTR{{idProduct}}=="{1:04x}"',
    ".idVendor = 0x{0:04x},\n.idProduct = 0x{1:04x}",
    "chip=0x{1:04x}{0:04x}",
    "0x{0:04x}{1:04x}",
    "USB\\VID_{0:04X}&PID_{1:04X}",
    "PCI\\VEN_{0:04X}&DEV_{1:04X}",
    "Vendor: {0:04x}\nDevice: {1:04x}",
    "vendor ID: 0x{0:04X}, device ID: 0x{1:04X}",
    "[{0:04x}] [{1:04x}]",
    "{0:04x}|{1:04x}",
    "{0:04x} | Some Corporation | {1:04x}",
    "vendor-id = <0x{0:04x}>; device-id = <0x{1:04x}>",
    "0x0000{0:04x} 0x0000{1:04x}",
    "0x{0:04x}u, 0x{1:04x}u",
    "device `{1:04x}` of vendor `{0:04x}`",
    "{0:04x}: 0001 {1:04x} 0002",
)


@pytest.fixture(scope="module")
def finder(tmp_path_factory: pytest.TempPathFactory) -> HeldOut:
    path = tmp_path_factory.mktemp("tables") / "devices.sqlite"
    base = sqlite3.connect(path)
    base.executescript(SCHEMA)
    base.executemany("INSERT INTO device VALUES ('pci', ?, ?, 'a device')", HELD + FREE)
    base.commit()
    base.close()
    return HeldOut(path)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_found(finder: HeldOut, form: str) -> None:
    for pair in HELD:
        assert pair in finder.named(f"see {form.format(*pair)} there")
    for pair in FREE:
        assert not finder.named(f"see {form.format(*pair)} there")


@given(st.lists(st.tuples(st.sampled_from(HELD + FREE), st.sampled_from(FORMS), st.text(max_size=20)), max_size=8))
def test_what_is_left_names_none_and_lines_without_one_stay(
    finder: HeldOut, pieces: list[tuple[tuple[int, int], str, str]]
) -> None:
    text = "\n".join(f"{before} {form.format(*pair)}" for pair, form, before in pieces)
    left, lines = finder.without(text)
    assert not finder.named(left)
    if not lines:
        assert left == text
    assert set(left.splitlines()) <= set(text.splitlines())


def test_a_clean_text_is_left_as_it_is(finder: HeldOut) -> None:
    text = "In 2005 2006 dead beef came: 10:20, 0x1234, 0x5678."
    assert finder.without(text) == (text, 0)


def test_layers_of_ids_are_peeled_in_one_pass(finder: HeldOut) -> None:
    vendor, device = HELD[0]
    text = "top\n" + f"{vendor:04x}\n" * 20_000 + f"{device:04x}\n" * 20_000 + "bottom\n"
    left, lines = finder.without(text)
    assert lines > 20_000 and left.startswith("top\n") and left.endswith("bottom\n")
    assert not finder.named(left)
