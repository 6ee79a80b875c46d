from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel_interface.devices import Device, parse_device
from kernel_interface.machine import Found, parse_lspci, parse_lsusb, parse_modalias, read_lspci, read_lsusb, read_sysfs
from kernel_interface.modalias import modalias
from slm.errors import SourceError
from tests.machines import MACHINES, Machine, Place

u8, u16 = st.integers(0, 0xFF), st.integers(0, 0xFFFF)
names = st.from_regex(r"[a-z][a-z0-9_-]{0,12}", fullmatch=True)
places = st.builds(
    Place,
    st.sampled_from(["pci", "usb", "virtio"]),
    st.just("somewhere"),
    u16,
    u16,
    st.integers(0, 0xFFFFFF).map("{:06x}".format),
    card=st.builds("{:04x}:{:04x}".format, u16, u16),
)


def device(place: Place) -> Device:
    if place.bus == "virtio":
        return Device("virtio", place.vendor, place.device)
    code = int(place.code, 16)
    maker, model = (int(digits, 16) for digits in place.card.split(":"))
    card = (maker, model) if place.bus == "pci" else None
    return Device(place.bus, place.vendor, place.device, code >> 8, code & 0xFF, card)


@given(places)
def test_modaliases_are_read_back(place: Place) -> None:
    assert parse_modalias(place.modalias() + "\n") == device(place)
    assert parse_device(Found("x", device(place)).summary) == device(place)


@given(st.text(max_size=90) | places.map(Place.modalias), st.integers(0, 60), st.text(max_size=3))
def test_any_modalias_is_a_device_or_none(text: str, at: int, change: str) -> None:
    found = parse_modalias(text[:at] + change + text[at + len(change) :])
    assert found is None or (0 <= found.vendor <= 0xFFFF and 0 <= found.device <= 0xFFFF)


def test_what_is_not_known_in_our_own_modalias_is_no_machines() -> None:
    assert parse_modalias(modalias(Device("pci", 0x8086, 0x100E))) is None


slots = st.from_regex(r"([0-9a-f]{4}:)?[0-9a-f]{2}:[0-1][0-9a-f]\.[0-7]", fullmatch=True)
#: What stands between class and id may hold brackets and colons itself.
titles = st.text(st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" []:"), max_size=30)
rows = st.tuples(slots, u16, titles, u16, u16, st.none() | u8, st.none() | names, st.lists(names, max_size=3))


@given(st.lists(rows, max_size=6), st.booleans())
def test_lspci_is_read_back(
    written: list[tuple[str, int, str, int, int, int | None, str | None, list[str]]], revised: bool
) -> None:
    lines, expected = [], []
    for slot, code, title, vendor, product, interface, driver, modules in written:
        more = (" (rev 0f)" if revised else "") + ("" if interface is None else f" (prog-if {interface:02x} [{title}])")
        lines += [f"{slot} Class [{code:04x}]: {title} [{vendor:04x}:{product:04x}]{more}", "\tSubsystem: X [1:2]"]
        lines += [f"\tKernel driver in use: {driver}"] if driver else []
        lines += [f"\tKernel modules: {', '.join(modules)}"] if modules else []
        expected.append((slot, Device("pci", vendor, product, code, interface), driver or ""))
    found = list(parse_lspci(lines))
    assert [(item.place, item.device, item.driver or "") for item in found] == expected
    for item, row in zip(found, written, strict=True):
        same = [name for name in row[7] if row[6] and name.replace("-", "_") == row[6].replace("-", "_")]
        assert list(item.modules) == (same or row[7])


@given(st.lists(st.tuples(st.integers(0, 999), st.integers(0, 999), u16, u16, titles), max_size=6))
def test_lsusb_is_read_back(written: list[tuple[int, int, int, int, str]]) -> None:
    lines = [f"Bus {bus:03d} Device {at:03d}: ID {v:04x}:{p:04x} {title}" for bus, at, v, p, title in written]
    expected = [Found(f"{bus:03d}:{at:03d}", Device("usb", v, p)) for bus, at, v, p, _ in written]
    assert list(parse_lsusb(lines)) == expected


@given(st.lists(st.text(max_size=80) | st.from_regex(r"00:1f\.[0-9] .*\[[0-9a-f:]{4,9}\]", fullmatch=True)))
def test_any_text_is_survived(lines: list[str]) -> None:
    assert len(list(parse_lspci(lines))) <= len(lines)
    assert len(list(parse_lsusb(lines))) <= len(lines)


def test_lspci_as_it_is_printed() -> None:
    text = """00:14.0 USB controller [0c03]: Intel Corporation xHCI [8086:9d2f] (rev 21) (prog-if 30 [XHCI])
\tSubsystem: Lenovo Sunrise Point-LP USB 3.0 xHCI Controller [17aa:225d]
\tKernel driver in use: xhci_hcd
\tKernel modules: xhci_pci
00:1f.3 Audio device [0403]: Intel Corporation Sunrise Point-LP HD Audio [8086:9d71] (rev 21)
\tKernel driver in use: snd_hda_intel
\tKernel modules: snd_hda_intel, snd_soc_skl
10000:01:00.0 Non-Volatile memory controller [0108]: Intel [Optane] [8086:0a54]
"""
    usb, audio, disk = parse_lspci(text.splitlines())
    assert usb.device == Device("pci", 0x8086, 0x9D2F, 0x0C03, 0x30, (0x17AA, 0x225D))
    assert (usb.place, usb.driver, usb.modules) == ("00:14.0", "xhci_hcd", ("xhci_pci",))
    assert (audio.driver, audio.modules) == ("snd_hda_intel", ("snd_hda_intel",))
    assert (disk.place, disk.driver, disk.modules) == ("10000:01:00.0", "", ())
    (alone,) = parse_lspci(["00:02.0 VGA [0300]: Intel [8086:5916]"])
    assert alone.driver is None  # written without -k


@pytest.mark.parametrize("name", MACHINES)
def test_a_machines_sysfs_and_its_texts_say_the_same(name: str, tmp_path: Path) -> None:
    machine = Machine.load(name)
    by_tree = read_sysfs(machine.sysfs(tmp_path / "root"))
    expected = [
        Found(place.name, device(place), place.driver, (place.module,) if place.module else ())
        for place in sorted(machine.places, key=lambda place: (["pci", "usb", "virtio"].index(place.bus), place.name))
    ]
    assert by_tree == expected
    (tmp_path / "lspci").write_text(machine.lspci())
    (tmp_path / "lsusb").write_text(machine.lsusb())
    by_lspci = {item.place: item for item in read_lspci(tmp_path / "lspci")}
    for item in by_tree:
        if item.device.bus == "pci":
            assert (by_lspci[item.place].driver, by_lspci[item.place].modules) == (item.driver, item.modules)
            assert by_lspci[item.place].device == item.device
    ids = [item.device.id for item in by_tree if item.device.bus == "usb"]
    assert [item.device.id for item in read_lsusb(tmp_path / "lsusb")] == ids


def test_a_spoilt_tree_is_survived(tmp_path: Path) -> None:
    sound = Place("pci", "0000:00:1f.6", 0x8086, 0x15D8, "020000", "e1000e", "e1000e")
    Machine("one", (sound,), {}).sysfs(tmp_path)
    listing = tmp_path / "sys/bus/pci/devices"
    (listing / "loop").symlink_to("loop")
    (listing / "gone").symlink_to("../nowhere")
    (listing / "file").write_text("no folder")
    for number, content in enumerate([b"", b"\xff\xfe\0", b"pci:v0000", b"x" * 100_000]):
        (listing / f"odd{number}").mkdir()
        (listing / f"odd{number}/modalias").write_bytes(content)
    (listing / "folder/modalias").mkdir(parents=True)
    (listing / "pipe").mkdir()
    os.mkfifo(listing / "pipe/modalias")
    (listing / "hidden").mkdir()
    (listing / "hidden/modalias").write_text(sound.modalias())
    (listing / "hidden/modalias").chmod(0)
    (listing / "red\x1b[31m\n").mkdir()
    (listing / "red\x1b[31m\n/modalias").write_text(sound.modalias())
    (listing / "red\x1b[31m\n/driver").symlink_to("driver")
    for bus in ("usb", "virtio"):
        (tmp_path / "sys/bus" / bus).mkdir(parents=True)
    (tmp_path / "sys/bus/usb/devices").symlink_to("devices")
    (tmp_path / "sys/bus/virtio/devices").write_text("no folder")
    found = {item.place: item for item in read_sysfs(tmp_path)}
    assert found.keys() - {"hidden"} == {"0000:00:1f.6", "red\\x1b[31m\\n"}  # root reads the hidden one
    assert found["0000:00:1f.6"].modules == ("e1000e",)
    assert found["red\\x1b[31m\\n"].driver == "driver"


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from(["modalias", "driver"]), st.binary(max_size=60)), st.binary(max_size=60))
def test_any_content_is_survived(files: dict[str, bytes], target: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "sys/bus/pci/devices/0000:00:00.0"
        home.mkdir(parents=True)
        for name, content in files.items():
            (home / name).write_bytes(content)
        if "driver" not in files and target.strip(b"\0") and b"\0" not in target:
            os.symlink(target, os.fsencode(home / "driver"))
        with pytest.raises(SourceError, match="no PCI, USB or virtio"):
            read_sysfs(Path(folder))
        (home / "modalias").write_text(modalias(Device("virtio", 0x1AF4, 1)))
        assert [item.device.id for item in read_sysfs(Path(folder))] == ["1af4:0001"]


def test_files_without_devices_are_called_so(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"\xff hello\n\0")
    for read in (read_lspci, read_lsusb):
        with pytest.raises(SourceError, match="holds no device"):
            read(tmp_path / "text")
        with pytest.raises(SourceError, match="cannot be read"):
            read(tmp_path)


def test_a_driver_that_hands_a_device_on_comes_from_no_module_that_could_serve_it() -> None:
    lines = [
        "00:03.0 Ethernet controller [0200]: Intel Corporation 82540EM [8086:100e] (rev 02)",
        "\tKernel driver in use: vfio-pci",
        "\tKernel modules: e1000",
    ]
    assert [(found.driver, found.modules) for found in parse_lspci(lines)] == [("vfio-pci", ("vfio-pci",))]
