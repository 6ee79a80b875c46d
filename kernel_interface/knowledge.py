"""What is known for certain: the device tables, made from pci.ids, usb.ids and the kernel's own module aliases.

The tables are one SQLite file, opened read-only and immutable. A driver is found as the kernel finds it: by matching
the device's *modalias* against the patterns that each module declares
(Linux, ``scripts/mod/file2alias.c``), the most specific pattern first.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from kernel_interface.devices import Device
from slm.errors import ArtefactError

#: Stands for a field that the asker does not know: only ``*`` matches it, for no pattern contains it.
_UNKNOWN = "~"

#: Programming interfaces that a summary without one implies, since the subclass has no other in use:
#: serial ATA speaks AHCI, non-volatile memory speaks NVMe (PCI Code and ID Assignment Specification, section 1.2).
_USUAL_INTERFACE = {0x0106: 0x01, 0x0108: 0x02}

VIRTIO_VENDOR = 0x1AF4
#: Transitional PCI device ids and the virtio device types behind them (Virtual I/O Device specification 1.2, 4.1.2.1).
_TRANSITIONAL = {0x1000: 1, 0x1001: 2, 0x1002: 5, 0x1003: 3, 0x1004: 8, 0x1005: 4, 0x1009: 9}


@dataclass(frozen=True)
class Candidate:
    """A driver that claims a device; ``exact`` when it names the very id, not only its maker or class."""

    driver: str
    pattern: str
    exact: bool


class Knowledge:
    """The device tables.

    :raises ArtefactError: when the file is missing or not such a database.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ArtefactError(f"There are no device tables at {path}.", "Name the file with --knowledge FILE.")
        # One thread at a time uses the connection, though not always the same one.
        address = path.resolve().as_uri() + "?mode=ro&immutable=1"
        self._tables = sqlite3.connect(address, uri=True, check_same_thread=False)
        try:
            counts = [
                self._tables.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                for table in ("vendor", "device", "class", "alias", "module", "meta")
            ]
        except sqlite3.DatabaseError as error:
            self._tables.close()
            raise ArtefactError(f"{path} does not hold device tables: {error}.", "Export the model again.") from error
        self.devices, self.aliases = counts[1], counts[3]

    def close(self) -> None:
        """Close the file."""
        self._tables.close()

    def vendor_name(self, device: Device) -> str | None:
        """Return the name of the device's maker."""
        return self._name("SELECT name FROM vendor WHERE bus=? AND vendor=?", device.bus, device.vendor)

    def device_name(self, device: Device) -> str | None:
        """Return the device's own name, without its maker's."""
        query = "SELECT name FROM device WHERE bus=? AND vendor=? AND device=?"
        return self._name(query, device.bus, device.vendor, device.device)

    def class_name(self, device: Device) -> str | None:
        """Describe the device's class as closely as the tables can: by interface, else subclass, else class."""
        if device.class_code is None:
            return None
        major, minor = divmod(device.class_code, 256)
        interface = -1 if device.interface is None else device.interface
        query = "SELECT name FROM class WHERE bus=? AND class=? AND subclass=? AND interface=?"
        # A name of the interface alone ("AHCI 1.0") says too little without its subclass's.
        names = [
            name
            for levels in ((minor, -1), (minor, interface))
            if (name := self._name(query, device.bus, major, *levels)) is not None
        ]
        return ", ".join(dict.fromkeys(names)) or self._name(query, device.bus, major, -1, -1)

    def module_description(self, driver: str) -> str | None:
        """Return what a kernel module says of itself."""
        return self._name("SELECT description FROM module WHERE name=?", driver)

    def drivers(self, bus: str) -> list[str]:
        """Return every driver that claims some device of ``bus``, sorted."""
        rows = self._tables.execute("SELECT DISTINCT driver FROM alias WHERE bus=? ORDER BY driver", (bus,))
        return [row[0] for row in rows]

    def candidates(self, device: Device) -> list[Candidate]:
        """Return the drivers that claim ``device``, most specific claim first, each once.

        A virtio device on PCI needs two: the transport's driver, then its function's on the virtio bus.
        """
        found = self._claims(device)
        if function := virtio_function(device):
            found.sort(key=lambda candidate: candidate.driver != "virtio_pci")
            found[1:1] = self._claims(function)
        unique: dict[str, Candidate] = {}
        for candidate in found:
            unique.setdefault(candidate.driver, candidate)
        return list(unique.values())

    def named_in(self, text: str) -> list[Device]:
        """Return the devices whose full name stands in ``text``: the longest, and its maker's too if it is there."""
        query = """
            SELECT d.bus, d.vendor, d.device, length(d.name) AS size, instr(:text, lower(v.name)) > 0 AS made
            FROM device AS d LEFT JOIN vendor AS v ON v.bus = d.bus AND v.vendor = d.vendor
            WHERE length(d.name) > 3 AND instr(:text, lower(d.name)) > 0
            ORDER BY size DESC, made DESC"""
        rows = self._tables.execute(query, {"text": text.lower()}).fetchall()
        return [Device(*row[:3]) for row in rows if row[3:] == rows[0][3:]]

    def _claims(self, device: Device) -> list[Candidate]:
        rows = self._tables.execute(
            "SELECT pattern, driver, vendor, device FROM alias WHERE bus=?1 AND "
            "vendor IN (?2, -1) AND device IN (?3, -1) ORDER BY rowid",
            (device.bus, device.vendor, device.device),
        )
        name = modalias(device)
        found = [Candidate(row[1], row[0], row[3] >= 0) for row in rows if fnmatchcase(name, row[0])]
        return sorted(found, key=lambda candidate: -specificity(candidate.pattern))

    def _name(self, query: str, *values: object) -> str | None:
        row = self._tables.execute(query, values).fetchone()
        return str(row[0]) if row and row[0] else None


def modalias(device: Device) -> str:
    """Write a device's modalias, with a sign that only ``*`` matches wherever a field is not known."""
    if device.bus == "virtio":
        return f"virtio:d{device.device:08X}v{device.vendor:08X}"
    parts = None if device.class_code is None else divmod(device.class_code, 256)
    major, minor = (f"{parts[0]:02X}", f"{parts[1]:02X}") if parts else (_UNKNOWN, _UNKNOWN)
    known = device.interface
    if known is None and device.bus == "pci":
        known = _USUAL_INTERFACE.get(device.class_code or 0)
    interface = _UNKNOWN if known is None else f"{known:02X}"
    if device.bus == "usb":
        ids = f"usb:v{device.vendor:04X}p{device.device:04X}d{_UNKNOWN}"
        return ids + f"dc{_UNKNOWN}dsc{_UNKNOWN}dp{_UNKNOWN}ic{major}isc{minor}ip{interface}in{_UNKNOWN}"
    ids = f"pci:v{device.vendor:08X}d{device.device:08X}sv{_UNKNOWN}sd{_UNKNOWN}"
    return ids + f"bc{major}sc{minor}i{interface}"


def specificity(pattern: str) -> int:
    """Count the characters that a pattern fixes; a bracketed choice counts as one."""
    fixed, inside = 0, False
    for character in pattern:
        fixed += not inside and character not in "*?"
        inside = character == "[" or (inside and character != "]")
    return fixed


def virtio_function(device: Device) -> Device | None:
    """Return what a virtio PCI device is on the virtio bus, None for any other device.

    Ids up to 0x103f are transitional; from 0x1040 on, the rest is the device type itself.
    """
    if device.bus != "pci" or device.vendor != VIRTIO_VENDOR:
        return None
    kind = _TRANSITIONAL.get(device.device)
    if kind is None and 0x1040 < device.device <= 0x107F:
        kind = device.device - 0x1040
    return None if kind is None else Device("virtio", VIRTIO_VENDOR, kind)
