from __future__ import annotations

import re
import sqlite3
import tempfile
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel_interface.devices import Device
from kernel_interface.knowledge import COMPILED, Knowledge, build, main
from kernel_interface.modalias import modalias, specificity, virtio_function
from slm.errors import ArtefactError
from slm.lineage import verify
from tests.data.corpus.make import write_corpus


def drivers(knowledge: Knowledge, device: Device) -> list[str]:
    return [candidate.driver for candidate in knowledge.candidates(device)]


def test_names(knowledge: Knowledge) -> None:
    device = Device("pci", 0x8086, 0x100E, 0x0200)
    assert knowledge.vendor_name(device) == "Intel Corporation"
    assert knowledge.device_name(device) == "82540EM Gigabit Ethernet Controller"
    assert knowledge.class_name(device) == "Ethernet controller"
    assert knowledge.module_description("e1000") == "Intel(R) PRO/1000 Network Driver"
    other = Device("usb", 0x8086, 0x100E)
    assert (knowledge.vendor_name(other), knowledge.device_name(other), knowledge.class_name(other)) == (None,) * 3


@pytest.mark.parametrize(
    ("code", "interface", "name"),
    [
        (0x0106, None, "SATA controller"),
        (0x0106, 0x01, "SATA controller, AHCI 1.0"),
        (0x0106, 0x77, "SATA controller"),
        (0x01AA, None, "Mass storage controller"),
        (0xEE00, None, None),
    ],
)
def test_class_as_closely_as_known(knowledge: Knowledge, code: int, interface: int | None, name: str | None) -> None:
    assert knowledge.class_name(Device("pci", 1, 1, code, interface)) == name


def test_exact_ids(knowledge: Knowledge) -> None:
    assert drivers(knowledge, Device("pci", 0x8086, 0x100E)) == ["e1000"]
    assert drivers(knowledge, Device("pci", 0x8086, 0x10D3, 0x0200)) == ["e1000e"]
    assert knowledge.candidates(Device("pci", 0x8086, 0x100E))[0].exact
    assert drivers(knowledge, Device("pci", 0x8086, 0x9999, 0x0200)) == []


def test_ahci_by_class_most_specific_first(knowledge: Knowledge) -> None:
    assert drivers(knowledge, Device("pci", 0x1234, 0x5678, 0x0106)) == ["ahci"]
    assert drivers(knowledge, Device("pci", 0x1234, 0x5678, 0x0106, 0x00)) == []  # vendor specific, not AHCI
    assert drivers(knowledge, Device("pci", 0x8086, 0x5678, 0x0106)) == ["intel_sata", "ahci"]
    assert drivers(knowledge, Device("pci", 0x8086, 0x2922, 0x0106)) == ["ahci", "intel_sata"]
    assert not knowledge.candidates(Device("pci", 0x1234, 0x5678, 0x0106))[0].exact


def test_virtio_needs_transport_and_function(knowledge: Knowledge) -> None:
    assert drivers(knowledge, Device("pci", 0x1AF4, 0x1000, 0x0200)) == ["virtio_pci", "virtio_net"]
    assert drivers(knowledge, Device("pci", 0x1AF4, 0x1001)) == ["virtio_pci", "virtio_blk"]
    assert drivers(knowledge, Device("pci", 0x1AF4, 0x1041)) == ["virtio_pci", "virtio_net"]
    assert drivers(knowledge, Device("pci", 0x1AF4, 0x1110)) == ["virtio_pci"]
    assert drivers(knowledge, Device("virtio", 0x1AF4, 1)) == ["virtio_net"]
    assert virtio_function(Device("pci", 0x8086, 0x1000)) is None


def test_usb_unknown_fields_match_only_stars(knowledge: Knowledge) -> None:
    assert drivers(knowledge, Device("usb", 0x0BDA, 0x8153)) == []
    assert drivers(knowledge, Device("usb", 0x0BDA, 0x8153, 0xFFFF)) == ["r8152"]
    assert drivers(knowledge, Device("usb", 0x1111, 0x2222, 0x0806, 0x50)) == ["usb_storage"]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("82540EM Gigabit Ethernet Controller, network", ["8086:100e"]),
        ("intel corporation 82574L gigabit network connection", ["8086:10d2", "8086:10d3"]),
        ("something else", []),
    ],
)
def test_devices_named_in_a_text(knowledge: Knowledge, text: str, ids: list[str]) -> None:
    assert [device.id for device in knowledge.named_in(text)] == ids


def test_a_name_that_is_a_plain_word_needs_its_maker() -> None:
    real = Knowledge(Path("checkpoints/released/nano/devices.sqlite"))  # with usb.ids' "Device" and "Drive"
    try:
        assert real.named_in("which driver for this device?") == []
        found = real.named_in("which driver for the Intel Corporation 82574L Gigabit Network Connection of my drive?")
        assert {device.id for device in found} == {"8086:10d3", "8086:10f6"}
    finally:
        real.close()


ids16 = st.sampled_from([0x8086, 0x1AF4, 0x100E, 0x0001])
codes = st.sampled_from([0x0106, 0x0200, 0x0C03])
interfaces = st.sampled_from([0x00, 0x01, 0x30])
pci_devices = st.builds(Device, st.just("pci"), ids16, ids16, st.none() | codes, st.none() | interfaces)


def field(form: str, values: st.SearchStrategy[int]) -> st.SearchStrategy[str]:
    return st.just("*") | values.map(lambda value: form.format(value))


pci_patterns = st.builds(
    "pci:v{}d{}sv{}sd{}bc{}sc{}i{}".format,
    field("{:08X}", ids16),
    field("{:08X}", ids16),
    field("{:08X}", ids16),
    st.just("*"),
    field("{:02X}", st.sampled_from([1, 2, 0x0C])),
    field("{:02X}", st.sampled_from([0, 3, 6])),
    field("{:02X}", interfaces) | st.just("3[0-9]*"),
)


def with_ids(pattern: str, driver: str) -> tuple[str, int, int, str, str]:
    ids = re.match(r"pci:v([0-9A-F]+|\*)d([0-9A-F]+|\*)sv", pattern)
    assert ids
    vendor, device = (-1 if part == "*" else int(part, 16) for part in ids.groups())
    return "pci", vendor, device, pattern, driver


@settings(max_examples=60, deadline=None)
@given(pci_devices.filter(lambda device: device.vendor != 0x1AF4), st.lists(pci_patterns, max_size=12))
def test_finds_what_brute_force_finds(make_tables: Callable[..., Path], device: Device, patterns: list[str]) -> None:
    aliases = [with_ids(pattern, f"driver{number}") for number, pattern in enumerate(patterns)]
    with tempfile.TemporaryDirectory() as folder:
        knowledge = Knowledge(make_tables(Path(folder) / "devices.sqlite", aliases))
        found = knowledge.candidates(device)
        knowledge.close()
    name = modalias(device)
    assert {item.driver for item in found} == {row[4] for row in aliases if fnmatchcase(name, row[3])}
    ranks = [specificity(item.pattern) for item in found]
    assert ranks == sorted(ranks, reverse=True)


@given(pci_devices, pci_patterns, st.integers(0, 2**32 - 1), st.integers(0, 0xFFFF), st.integers(0, 0xFF))
def test_a_match_holds_whatever_the_unknown_fields_are(
    device: Device, pattern: str, sub: int, code: int, interface: int
) -> None:
    if fnmatchcase(modalias(device), pattern):
        known = device.class_code if device.class_code is not None else code
        usual = {0x0106: 0x01, 0x0108: 0x02}.get(device.class_code or 0, interface)
        last = usual if device.interface is None else device.interface
        ids = f"pci:v{device.vendor:08X}d{device.device:08X}sv{sub:08X}sd{sub:08X}"
        whole = f"{ids}bc{known >> 8:02X}sc{known & 255:02X}i{last:02X}"
        assert fnmatchcase(whole, pattern)


def test_specificity_counts_what_is_fixed() -> None:
    assert specificity("pci:v*d*sv*sd*bc01sc06i01*") == len("pci:vdsvsdbc01sc06i01")
    assert specificity("usb:v0BDAp8153d30[0-9]*") == len("usb:v0BDAp8153d30") + 1


def test_a_database_is_not_written_nor_kept_open(tables: Path) -> None:
    before = tables.read_bytes()
    knowledge = Knowledge(tables)
    assert drivers(knowledge, Device("pci", 0x8086, 0x100E)) == ["e1000"]
    knowledge.close()
    assert drivers(knowledge, Device("pci", 0x8086, 0x100E)) == []
    assert tables.read_bytes() == before
    assert list(tables.parent.iterdir()) == [tables]


def test_missing_and_broken_tables(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="no device tables"):
        Knowledge(tmp_path / "none.sqlite")
    (tmp_path / "text.sqlite").write_text("hello" * 100)
    with pytest.raises(ArtefactError, match="does not hold"):
        Knowledge(tmp_path / "text.sqlite")
    sqlite3.connect(tmp_path / "empty.sqlite").close()
    with pytest.raises(ArtefactError, match="does not hold"):
        Knowledge(tmp_path / "empty.sqlite")


def test_odd_paths(make_tables: Callable[..., Path], tmp_path: Path) -> None:
    path = make_tables(tmp_path / "a b?mode=rwc#c%20.sqlite")
    knowledge = Knowledge(path)
    assert knowledge.devices == 6
    knowledge.close()


def test_compiled_tables_answer_as_their_database_does(tables: Path, tmp_path: Path) -> None:
    assert main(["build", str(tmp_path / "out"), "--tables", str(tables)]) == 0
    by_file, by_folder, by_database = (
        Knowledge(tmp_path / "out" / COMPILED),
        Knowledge(tmp_path / "out"),
        Knowledge(tables),
    )
    assert [link.kind for link in verify(tmp_path / "out")] == ["knowledge"]
    for bus in ("pci", "usb", "virtio"):
        assert by_file.drivers(bus) == by_folder.drivers(bus) == by_database.drivers(bus)
    for device in (Device("pci", 0x8086, 0x2922, 0x0106), Device("usb", 0x0BDA, 0x8153, 0xFFFF)):
        assert by_file.candidates(device) == by_folder.candidates(device) == by_database.candidates(device) != []


def test_damaged_compiled_tables_are_refused(tables: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = build(tmp_path / "out", tables, None)
    sound = path.read_bytes()
    for damaged in (sound[:-1], sound[:1000] + b"x" + sound[1001:], sound[:20]):
        path.write_bytes(damaged)
        assert main(["resolve", str(path), "pci:x"]) == 1
        assert re.search(r"error: .*devices.tables (has|was|does not)[^\n]*\n  → ", capsys.readouterr().err)


def test_the_command_resolves_names(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "pci:v00008086d00002922sv0000152Dsd00000000bc01sc06i01"
    assert main(["resolve", str(tables), name]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["special", "ahci", "intel_sata"]
    assert main(["resolve", str(tables), "nothing:x"]) == 1
    assert "no module claims nothing:x" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["build", "out", "--kernel", "x"])


def test_sources_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_corpus(tmp_path, 0)
    ids = tmp_path / "devices"
    lists = ["--pci-ids", str(ids / "pci.ids"), "--usb-ids", str(ids / "usb.ids")]
    assert main(["build", str(tmp_path / "out"), *lists, "--kernel", str(tmp_path / "none")]) == 1
    assert main(["build", str(tmp_path / "out"), *lists, "--kernel", str(ids / "pci.ids")]) == 1
    assert "neither a folder nor a Debian package" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_tables_that_are_not_there_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", str(tmp_path / "out"), "--tables", str(tmp_path / "none.sqlite")]) == 1
    assert "There is no" in capsys.readouterr().err
