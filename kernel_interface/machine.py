"""Which devices a machine has, and which drivers serve them: from its sysfs, or from what lspci and lsusb print.

A sysfs tree may have been copied from elsewhere, and a text may be anything: what cannot be read is passed over, and no
name in it can harm a terminal.

Sources: Linux, ``Documentation/ABI/testing/sysfs-bus-{pci,usb}``; lspci(8), options ``-nn`` and ``-k``; lsusb(8).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from kernel_interface.devices import BUSES, Device
from slm.corpus.members import printable
from slm.errors import SourceError

#: A modalias is far shorter; the text of lspci -nnk for the largest servers has some hundred thousand bytes.
_MAX_MODALIAS, _MAX_TEXT = 4096, 16 << 20

_TWO, _FOUR = "[0-9A-F]{2}", "[0-9A-F]{4}"
_MODALIASES = {
    "pci": re.compile(
        f"pci:v0000(?P<vendor>{_FOUR})d0000(?P<device>{_FOUR})sv0000(?P<subvendor>{_FOUR})sd0000(?P<subdevice>{_FOUR})"
        f"bc(?P<class>{_TWO})sc(?P<subclass>{_TWO})i(?P<interface>{_TWO})"
    ),
    "usb": re.compile(
        f"usb:v(?P<vendor>{_FOUR})p(?P<device>{_FOUR})d{_FOUR}dc{_TWO}dsc{_TWO}dp{_TWO}"
        f"ic(?P<class>{_TWO})isc(?P<subclass>{_TWO})ip(?P<interface>{_TWO})in{_TWO}"
    ),
    "virtio": re.compile(f"virtio:d0000(?P<device>{_FOUR})v0000(?P<vendor>{_FOUR})"),
}
_SLOT = re.compile(
    r"((?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]) .*?\[([0-9a-f]{4})\]: .*\[([0-9a-f]{4}):([0-9a-f]{4})\]"
    r"(?: \(rev [0-9a-f]{2}\))?(?: \(prog-if ([0-9a-f]{2})\b.*\))?"
)
_SUBSYSTEM = re.compile(r"\s+Subsystem: .*\[([0-9a-f]{4}):([0-9a-f]{4})\]")
_IN_USE = re.compile(r"\s+Kernel driver in use: (\S+)")
_MODULES = re.compile(r"\s+Kernel modules: (\S.*)")
#: Drivers that hand a device to a guest or a program; no module that could serve it is theirs.
_BORROWERS = {"vfio_pci", "pci_stub", "xen_pciback", "uio_pci_generic"}
_USB_LINE = re.compile(r"Bus (\d{3}) Device (\d{3}): ID ([0-9a-f]{4}):([0-9a-f]{4})(?: .*)?")


@dataclass(frozen=True)
class Found:
    """A device and where it is.

    ``driver`` is the one that serves it, empty when none does and None when that is not known. ``modules`` are those
    that the driver may come from: one where sysfs tells it, none for a driver that is built into the kernel.
    """

    place: str
    device: Device
    driver: str | None = None
    modules: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """The device in one line, for example ``PCI 8086:100E class=02:00:00 subsystem=8086:001E``."""
        line = f"{self.device.bus.upper()} {self.device.id.upper()}"
        if self.device.class_code is not None:
            line += f" class={self.device.class_code >> 8:02X}:{self.device.class_code & 255:02X}"
            line += "" if self.device.interface is None else f":{self.device.interface:02X}"
        if self.device.subsystem is not None:
            line += " subsystem={:04X}:{:04X}".format(*self.device.subsystem)
        return line


def parse_modalias(text: str) -> Device | None:
    """Read a PCI, USB or virtio device out of its modalias; None when it is no such.

    Of a USB device class and interface are those of the interface that the modalias is of.
    """
    for bus, pattern in _MODALIASES.items():
        if found := pattern.fullmatch(text.strip()):
            part = {name: int(digits, 16) for name, digits in found.groupdict().items()}
            code = part["class"] << 8 | part["subclass"] if "class" in part else None
            subsystem = (part["subvendor"], part["subdevice"]) if bus == "pci" else None
            return Device(bus, part["vendor"], part["device"], code, part.get("interface"), subsystem)
    return None


def read_sysfs(root: Path) -> list[Found]:
    """Read the devices of the machine whose file system begins at ``root``: PCI, USB interfaces, virtio.

    :raises SourceError: when there are none.
    """
    found: list[Found] = []
    for bus in BUSES:
        folder = root / "sys/bus" / bus / "devices"
        try:
            names = sorted(os.listdir(folder))
        except OSError:  # a machine without this bus
            continue
        found += [item for name in names if (item := _from_sysfs(folder / name)) is not None]
    if not found:
        raise SourceError(
            f"There are no PCI, USB or virtio devices below {root / 'sys/bus'}.",
            "Name the folder that holds a machine's sys with --root, or what lspci printed with --lspci FILE.",
        )
    return found


def _from_sysfs(folder: Path) -> Found | None:
    device = parse_modalias(_first_bytes(folder / "modalias"))
    if device is None:
        return None
    driver = _link_name(folder / "driver")
    module = _link_name(folder / "driver/module") if driver else ""
    return Found(printable(folder.name), device, driver, (module,) if module else ())


def _first_bytes(path: Path) -> str:
    """Read the beginning of a small text; what is no file or cannot be read has none."""
    try:
        if not path.is_file():  # a pipe would never end
            return ""
        with open(path, "rb") as file:
            return file.read(_MAX_MODALIAS).decode("ascii", "replace")
    except (OSError, ValueError):
        return ""


def _link_name(path: Path) -> str:
    """Return the name of what a link points at, wherever that is; empty when it is no link."""
    try:
        return printable(os.path.basename(os.readlink(path)))
    except (OSError, ValueError):
        return ""


def read_lspci(path: Path) -> list[Found]:
    """Read the devices of a file that ``lspci -nn -k`` was written to. Without ``-k`` their drivers are not known.

    :raises SourceError: when there are none in it.
    """
    found = list(parse_lspci(_lines(path)))
    if not found:
        raise SourceError(f"{path} holds no device as lspci -nn writes it.", "Write it with: lspci -nn -k > FILE")
    return found


def read_lsusb(path: Path) -> list[Found]:
    """Read the devices of a file that ``lsusb`` was written to; it knows neither classes nor drivers.

    :raises SourceError: when there are none in it.
    """
    found = list(parse_lsusb(_lines(path)))
    if not found:
        raise SourceError(f"{path} holds no device as lsusb writes it.", "Write it with: lsusb > FILE")
    return found


def parse_lspci(lines: Iterable[str]) -> Iterator[Found]:
    """Yield the devices in the lines of ``lspci -nn -k``; other lines are passed over."""
    rows: list[tuple[str, Device]] = []
    drivers: list[str] = []
    modules: list[tuple[str, ...]] = []
    for line in lines:
        if slot := _SLOT.fullmatch(line):
            code, vendor, model = (int(digits, 16) for digits in slot.group(2, 3, 4))
            interface = int(slot[5], 16) if slot[5] else None
            rows.append((slot[1], Device("pci", vendor, model, code, interface)))
            drivers.append("")
            modules.append(())
        elif rows and (card := _SUBSYSTEM.fullmatch(line)):
            subsystem = (int(card[1], 16), int(card[2], 16))
            rows[-1] = (rows[-1][0], replace(rows[-1][1], subsystem=subsystem))
        elif rows and (in_use := _IN_USE.fullmatch(line)):
            drivers[-1] = printable(in_use[1])
        elif rows and (listed := _MODULES.fullmatch(line)):
            modules[-1] = tuple(printable(name) for name in listed[1].replace(",", " ").split())
    known = any(drivers) or any(modules)
    for (place, device), driver, names in zip(rows, drivers, modules, strict=True):
        # Of several modules the driver's is the one of its name; where none is, any may be, unless the driver is one
        # that takes a device for something else than its function.
        plain = driver.replace("-", "_")
        named = tuple(name for name in names if name.replace("-", "_") == plain)
        came_from = (driver,) if plain in _BORROWERS else named or names
        yield Found(place, device, driver if known else None, came_from)


def parse_lsusb(lines: Iterable[str]) -> Iterator[Found]:
    """Yield the devices in the lines of ``lsusb``; other lines are passed over."""
    for line in lines:
        if row := _USB_LINE.fullmatch(line):
            yield Found(f"{row[1]}:{row[2]}", Device("usb", int(row[3], 16), int(row[4], 16)))


def _lines(path: Path) -> list[str]:
    try:
        with open(path, "rb") as file:
            return [line.rstrip("\r") for line in file.read(_MAX_TEXT).decode("utf-8", "replace").split("\n")]
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}).", "Name another file.") from error
