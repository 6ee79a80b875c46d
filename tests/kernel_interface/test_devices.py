from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_interface.devices import Device, malformed_id, parse_device

u16 = st.integers(0, 0xFFFF)
devices = st.builds(Device, st.sampled_from(["pci", "usb", "virtio"]), u16, u16, st.none() | u16)


@given(devices, st.booleans())
def test_summary_lines(device: Device, upper: bool) -> None:
    text = f"{device.bus.upper()} {device.id.upper() if upper else device.id}"
    if device.class_code is not None:
        text += f" class={device.class_code >> 8:02X}:{device.class_code & 255:02X}"
    assert parse_device(text) == device
    assert parse_device(text + " [MMIO=0xFEBC0000/128KB IRQ=11]") == device


@given(devices, st.sampled_from(["0x{:04x}", "{:04x}", "0x{:04X}"]))
def test_key_value_pairs(device: Device, form: str) -> None:
    ids = form.format(device.vendor), form.format(device.device)
    text = f"bus={device.bus} vendor={ids[0]} device={ids[1]}"
    if device.class_code is not None:
        text += f" class={form.format(device.class_code)}"
    assert parse_device(text) == device


@given(devices, st.booleans())
def test_json(device: Device, numbers: bool) -> None:
    content: dict[str, object] = {"bus": device.bus}
    fields = {"vendor": device.vendor, "device": device.device, "class": device.class_code}
    content |= {key: value if numbers else f"0x{value:04x}" for key, value in fields.items() if value is not None}
    assert parse_device(json.dumps(content)) == device


@given(
    devices.filter(lambda device: device.class_code is None),
    st.sampled_from(["what is {}", "which driver does {} need?", "({})"]),
)
def test_sentences(device: Device, form: str) -> None:
    assert parse_device(form.format(f"{device.bus} {device.id}")) == device


@given(st.text(max_size=200) | st.from_regex(r"\{.*[0-9a-f:]+.*\}", fullmatch=True))
def test_anything_else_is_a_device_or_none(text: str) -> None:
    found = parse_device(text)
    assert found is None or (0 <= found.vendor <= 0xFFFF and 0 <= found.device <= 0xFFFF)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "what is the time, 12:30?",
        "slot 0000:00:1f.2",
        "my address is fe80:0000:1234:5678::1",
        "52:54:00:12:34:56",
        "bus=pci vendor=0x8086",
        '{"vendor": 99999999, "device": 1}',
        '{"vendor": true, "device": 1}',
        '{"vendor": "8086", "device": "100e", "bus": "isa"}',
        "bus=isa vendor=0x8086 device=0x100e",
        "[" * 100_000,
        '{"a":' * 100_000,
    ],
)
def test_no_device(text: str) -> None:
    assert parse_device(text) is None


def test_class_with_interface() -> None:
    expected = Device("pci", 0x8086, 0x2922, 0x0106, 0x01)
    assert parse_device("PCI 8086:2922 class=01:06:01") == expected
    assert parse_device("bus=pci vendor=0x8086 device=0x2922 class=0x010601") == expected
    assert parse_device('{"bus": "pci", "vendor": 32902, "device": 10530, "class": 67073}') == expected


def test_pci_is_the_usual_bus() -> None:
    assert parse_device("what is 8086:100E?") == Device("pci", 0x8086, 0x100E)
    assert parse_device("the PCIe card 8086:100E") == Device("pci", 0x8086, 0x100E)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("pci 8086:10g3", "8086:10g3"),
        ("usb 0bda:81534 is dead", "0bda:81534"),
        ("bus=usb:zzzz:zzzz", "zzzz:zzzz"),
        # A slot's address, a class, a message, prose.
        ("pci 0000:00:1f.2", None),
        ("pci 02:00.0: error", None),
        ("pci class 02:00", None),
        ("usb 1-1: device not accepting address", None),
        ("usb keyboard: not working", None),
        ("zzzz:10d3", None),
        ("pci zzzz:10d3", "zzzz:10d3"),
        ("pci device 8086:1", "8086:1"),
        ("What is pci class:0200?", None),
        ("usb class:ff", None),
        ("pci device:0200", None),
        ("usb port2:30", None),
        ("pci 8086:nothing", None),
    ],
)
def test_what_was_meant_for_an_id_is_found_after_its_bus(text: str, written: str | None) -> None:
    assert parse_device(text) is None
    assert malformed_id(text) == written


#: Every English word is one; that a letter stands four times in a row in none is all that is left out.
ENGLISH = st.from_regex(r"[a-zA-Z]{1,14}", fullmatch=True).filter(lambda word: not re.search(r"(.)\1{3}", word.lower()))


@given(
    st.sampled_from(["pci", "usb", "what is PCI", "usb device", "bus=pci"]),
    st.sampled_from(["class", "speed", "port", "vendor", "device", "bus", "slot", "face", "added"]) | ENGLISH,
    st.sampled_from(["", "2", "10"]),
    st.from_regex(r"[0-9a-f]{1,8}", fullmatch=True),
)
def test_no_word_before_a_colon_is_taken_for_an_id(bus: str, word: str, number: str, value: str) -> None:
    if len(word) == 1:
        number = ""  # a letter with a number may well be half of an id
    assert malformed_id(f"{bus} {word}{number}:{value}") is None


@given(devices.filter(lambda device: device.bus == "pci"), u16, u16)
def test_a_cards_subsystem(device: Device, maker: int, model: int) -> None:
    card = f"{maker:04x}:{model:04x}"
    expected = Device("pci", device.vendor, device.device, None, None, (maker, model))
    for text in (f"PCI {device.id} subsystem={card}", f"subsystem {card}, PCI {device.id}"):
        assert parse_device(text) == expected
    assert parse_device(json.dumps({"vendor": device.vendor, "device": device.device, "subsystem": card})) == expected
    assert parse_device(f"USB {device.id} subsystem={card}") == Device("usb", device.vendor, device.device)
    assert parse_device('{"vendor": 1, "device": 2, "subsystem": [3]}') == Device("pci", 1, 2)
