from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slm.corpus.instructions.exchange import INTENT_OF, SUB_COMMANDS
from slm.errors import BenchmarkError
from slm.evaluation.benchmark.device import Device
from slm.evaluation.benchmark.items import (
    CommandCompletion,
    DeviceTree,
    DriverSelect,
    Identify,
    Identity,
    InstallSteps,
    IntentPhrase,
    Item,
    SubCommandPhrase,
    dump,
    read_items,
    write_items,
)

WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).map(str.strip).filter(bool)
MAYBE = st.none() | WORDS
ANSWERS = st.lists(WORDS, min_size=1, max_size=3).map(tuple)
HEX = st.integers(0, 0xFFFF).map("{:04x}".format)
DEVICES = st.builds(
    Device,
    bus=st.sampled_from(["pci", "usb"]),
    vendor=HEX,
    device=HEX,
    class_code=st.none() | HEX,
    vendor_name=MAYBE,
    name=MAYBE,
)
IDENTITIES = st.builds(Identity, vendor=MAYBE, name=WORDS, type=MAYBE)
STEPS = st.lists(WORDS, min_size=2, max_size=5, unique=True).map(tuple)
ITEMS: st.SearchStrategy[Item] = st.one_of(
    st.builds(DriverSelect, label=MAYBE, device=DEVICES, answer=ANSWERS),
    st.builds(Identify, label=MAYBE, device=DEVICES, answer=IDENTITIES),
    st.builds(DeviceTree, label=MAYBE, compatible=ANSWERS, answer=ANSWERS),
    st.builds(IntentPhrase, label=MAYBE, text=WORDS, answer=st.sampled_from(list(SUB_COMMANDS))),
    st.builds(SubCommandPhrase, label=MAYBE, text=WORDS, answer=st.sampled_from(list(INTENT_OF))),
    st.builds(CommandCompletion, label=MAYBE, text=st.just("") | WORDS, command=WORDS, answer=ANSWERS),
    STEPS.flatmap(
        lambda steps: st.builds(InstallSteps, steps=st.permutations(steps).map(tuple), answer=st.just(steps))
    ),
)
IN_A_FIXTURE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

#: What the format's description shows, with no more fields than it must have.
SHOWN = [
    '{"task": "driver_select", "device": {"bus": "pci", "vendor": "8086", "device": "100e", "class": "020000",'
    ' "vendor_name": "Intel Corporation", "name": "82540EM"}, "answer": ["e1000"]}',
    '{"task": "intent", "text": "Which driver do I need?", "answer": "DRIVER_SELECT"}',
    '{"task": "driver_select", "device": {"bus": "USB", "vendor": "0x0BDA", "device": "8153"}, "answer": "r8152"}',
    '{"task": "identify", "device": {"bus": "pci", "vendor": "8086", "device": "100e", "name": null},'
    ' "answer": "82540EM Gigabit Ethernet Controller"}',
    '{"task": "identify", "device": {"bus": "pci", "vendor": "8086", "device": "100e"},'
    ' "answer": {"vendor": "Intel Corporation", "type": "Ethernet controller"}, "split": "newer"}',
    '{"task": "device_tree", "compatible": "ti,wl1837-st", "answer": "hci_uart", "set": "random"}',
    '{"task": "sub_command", "text": "ping it", "answer": "diag_network"}',
    '{"task": "command_completion", "command": "mount -t", "answer": ["ext4", "xfs"]}',
    '{"task": "install_steps", "answer": ["apt-get update", "apt-get install vim"]}',
]


@IN_A_FIXTURE_FOLDER
@given(st.lists(ITEMS, min_size=1, max_size=8))
def test_items_are_read_back(tmp_path: Path, items: list[Item]) -> None:
    assert write_items(tmp_path / "items.jsonl", items) == len(items)
    assert read_items(tmp_path / "items.jsonl") == items


def test_a_strangers_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "theirs.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(["", *SHOWN, ""]).encode())
    items = read_items(path)
    assert len(items) == len(SHOWN)
    assert [item.label for item in items].count(None) == 7
    assert isinstance(items[2], DriverSelect) and items[2].device.key == ("usb", 0x0BDA, 0x8153)
    assert isinstance(items[0], DriverSelect) and items[0].device.subclass == 0x0200
    assert items[4].groups == ("pci newer",) and items[5].groups == ("random",)
    assert json.loads(SHOWN[0])["device"] == dump(items[0])["device"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 1: is not JSON"),
        ("[1]", "line 1: is not a JSON object"),
        ("7", "line 1: is not a JSON object"),
        ('{"text": "x"}', "task: missing"),
        ('{"task": "sing"}', "task: 'sing' is none of driver_select"),
        ('{"task": "intent", "text": "x"}', "answer: missing"),
        ('{"task": "intent", "text": "x", "answer": "DANCE"}', "answer: must be one of HARDWARE_IDENTIFY"),
        ('{"task": "intent", "text": " ", "answer": "TROUBLESHOOT"}', "text: "),
        ('{"task": "intent", "txt": "x", "answer": "TROUBLESHOOT"}', "unknown key; did you mean text?"),
        ('{"task": "driver_select", "device": {"bus": "pci", "vendor": 32902, "device": "100e"}, "answer": "x"}',
         "device.vendor: must be a text of four hexadecimal digits"),
        ('{"task": "driver_select", "device": {"bus": "isa", "vendor": "8086", "device": "100e"}, "answer": "x"}',
         "device.bus: Input should be 'pci' or 'usb'"),
        ('{"task": "driver_select", "device": {"bus": "pci", "vendor": "8086", "device": "1", "clas": "02"},'
         ' "answer": []}', "device.clas: unknown key; did you mean class?"),
        ('{"task": "install_steps", "steps": ["a", "b"], "answer": ["a", "c"]}', "must hold the same steps"),
        ('{"task": "install_steps", "answer": ["a", "a"]}', "the same step twice"),
        ('{"task": "intent", "text": "\\ud800", "answer": "TROUBLESHOOT"}', "text: "),
        ("[" * 100_000, "line 1: "),
        ('{"task": ' + "1" * 5000 + "}", "line 1: "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "items.jsonl").write_text(line)
    with pytest.raises(BenchmarkError) as caught:
        read_items(tmp_path / "items.jsonl")
    assert said in str(caught.value)


def test_all_problems_are_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_bytes(SHOWN[1].encode() + b"\n{}\n\xff\n" + b"{}\n" * 60)
    with pytest.raises(BenchmarkError) as caught:
        read_items(path)
    text = str(caught.value)
    assert "62 problems" in text and "line 2: task: missing" in text and "line 3: is not UTF-8" in text
    assert "and 22 more" in text and "line 1:" not in text


def test_an_empty_file_and_none_are_errors(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n\n")
    for name in ("empty.jsonl", "missing.jsonl"):
        with pytest.raises(BenchmarkError, match=name):
            read_items(tmp_path / name)


@IN_A_FIXTURE_FOLDER
@given(st.data())
def test_a_damaged_file_is_read_or_refused_in_words(tmp_path: Path, data: st.DataObject) -> None:
    sound = "\n".join(SHOWN).encode()
    start = data.draw(st.integers(0, len(sound)))
    end = data.draw(st.integers(start, min(len(sound), start + 30)))
    path = tmp_path / "items.jsonl"
    path.write_bytes(sound[:start] + data.draw(st.binary(max_size=30)) + sound[end:])
    try:
        assert read_items(path)
    except BenchmarkError as error:
        assert "line " in str(error)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@IN_A_FIXTURE_FOLDER
@given(st.sampled_from(SHOWN), st.data())
def test_any_value_in_any_place_is_taken_or_refused_in_words(tmp_path: Path, line: str, data: st.DataObject) -> None:
    item = json.loads(line)
    place = item
    if isinstance(item.get("device"), dict) and data.draw(st.booleans()):
        place = item["device"]
    place[data.draw(st.sampled_from([*place, "more"]))] = data.draw(JSON)
    path = tmp_path / "items.jsonl"
    path.write_text(json.dumps(item))
    try:
        assert len(read_items(path)) == 1
    except BenchmarkError as error:
        assert "line 1: " in str(error)
