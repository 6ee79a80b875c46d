"""What the device tables are made from, and how it becomes the entries of their file.

The facts come from a corpus's ``devices.sqlite``, which every export carries, or straight from id lists and a kernel.
A ``devices.sqlite`` knows the aliases of the buses that the kernel asks about (PCI, USB, virtio); a kernel's own
modules have those of every bus, from ACPI and device trees to cryptography.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kernel_interface.claims import compile_claims
from slm.corpus.devices import read_ids, read_kernel, split_alias
from slm.corpus.fetch import Fetched, hash_folder
from slm.corpus.idlist import IdList, parse_ids
from slm.corpus.members import decode_text
from slm.errors import ArtefactError, SourceError
from slm.files import sha256_file
from slm.lineage import InputEntry
from slm.progress import Reporter

SQLITE_MAGIC = b"SQLite format 3\0"
#: A device's name is found in a text by its first characters; shorter names would be found everywhere.
NAME_HEAD = 4


@dataclass(frozen=True)
class Facts:
    """Names by bus and id, -1 for a level of a class that is not given; aliases; and what modules say of themselves."""

    vendors: Mapping[tuple[str, int], str]
    devices: Mapping[tuple[str, int, int], str]
    classes: Mapping[tuple[str, int, int, int], str]
    aliases: set[tuple[str, str]]
    descriptions: Mapping[str, str]

    def entries(self) -> dict[bytes, bytes]:
        """Write the facts as a dictionary's entries: a letter for the kind, then what is asked for."""
        drivers: dict[str, set[str]] = defaultdict(set)
        for pattern, driver in self.aliases:
            if ids := split_alias(pattern):
                drivers[ids[0]].add(driver)
        names: dict[bytes, list[str]] = defaultdict(list)
        for (bus, vendor, device), name in sorted(self.devices.items()):
            if len(name) >= NAME_HEAD:
                names[name_key(name.lower())].append(f"{bus} {vendor:x} {device:x} {name.lower()}")
        counts = {"devices": len(self.devices), "aliases": len(self.aliases)}
        return {
            b"counts": json.dumps(counts).encode(),
            **{vendor_key(*key): name.encode() for key, name in self.vendors.items()},
            **{device_key(*key): name.encode() for key, name in self.devices.items()},
            **{class_key(*key): name.encode() for key, name in self.classes.items()},
            **{module_key(name): text.encode() for name, text in self.descriptions.items()},
            **{drivers_key(bus): "\n".join(sorted(found)).encode() for bus, found in drivers.items()},
            **{key: "\n".join(lines).encode() for key, lines in names.items()},
            **compile_claims(self.aliases),
        }


def vendor_key(bus: str, vendor: int) -> bytes:
    """Write the key of a maker's name."""
    return b"V%s %x" % (bus.encode(), vendor)


def device_key(bus: str, vendor: int, device: int) -> bytes:
    """Write the key of a device's name."""
    return b"D%s %x %x" % (bus.encode(), vendor, device)


def class_key(bus: str, major: int, minor: int, interface: int) -> bytes:
    """Write the key of a class's name; -1 for a level that is not given."""
    return b"C%s %d %d %d" % (bus.encode(), major, minor, interface)


def module_key(name: str) -> bytes:
    """Write the key of a module's description."""
    return b"M" + name.encode(errors="replace")


def drivers_key(bus: str) -> bytes:
    """Write the key of the list of a bus's drivers."""
    return b"L" + bus.encode()


def name_key(text: str) -> bytes:
    """Write the key of the devices whose names, in small letters, begin like ``text``."""
    return b"N" + text[:NAME_HEAD].encode(errors="replace")


def from_database(path: Path) -> Facts:
    """Read a corpus's ``devices.sqlite``.

    :raises ArtefactError: when it is missing or damaged, or is another database.
    """
    if not path.is_file():
        raise ArtefactError(f"There is no {path}.", "Name a corpus's or an export's devices.sqlite.")
    base = sqlite3.connect(path.resolve().as_uri() + "?mode=ro&immutable=1", uri=True)
    try:
        return Facts(
            {(bus, vendor): name for bus, vendor, name in base.execute("SELECT bus, vendor, name FROM vendor")},
            {tuple(row[:3]): row[3] for row in base.execute("SELECT bus, vendor, device, name FROM device")},
            {tuple(row[:4]): row[4] for row in base.execute("SELECT bus, class, subclass, interface, name FROM class")},
            {(pattern, driver) for pattern, driver in base.execute("SELECT pattern, driver FROM alias")},
            {name: text or "" for name, text in base.execute("SELECT name, description FROM module")},
        )
    except sqlite3.DatabaseError as error:
        raise ArtefactError(f"{path} does not hold device tables: {error}.", "Export the model again.") from error
    finally:
        base.close()


def from_sources(pci_ids: Path, usb_ids: Path, kernel: Path, report: Reporter) -> tuple[Facts, list[InputEntry]]:
    """Read id lists and the aliases of every bus.

    :param pci_ids: a ``pci.ids``, or a Debian package or a folder with one in it; ``usb_ids`` likewise.
    :param kernel: a kernel's Debian package, or a folder with its modules or with a ``modules.alias``.
    :return: the facts, and what they were made from.
    :raises SourceError: when one of them is not there, or does not hold what it should.
    """
    lists = {bus: _id_list(path, f"{bus}.ids") for bus, path in (("pci", pci_ids), ("usb", usb_ids))}
    read = read_kernel(_origin(kernel), report, every_bus=True)
    facts = Facts(
        {(bus, vendor): name for bus, ids in lists.items() for vendor, name in ids.vendors.items()},
        {(bus, *key): name for bus, ids in lists.items() for key, name in ids.devices.items()},
        {(bus, *key): name for bus, ids in lists.items() for key, name in ids.classes.items()},
        read.aliases,
        read.descriptions,
    )
    return facts, [_input(path) for path in (pci_ids, usb_ids, kernel)]


def _id_list(path: Path, name: str) -> IdList:
    if path.is_file() and path.suffix != ".deb":
        return parse_ids(decode_text(path.read_bytes()))
    return read_ids(_origin(path), name)


def _origin(path: Path) -> Fetched:
    """Describe a source for its readers, who do not look at its digest."""
    if not path.exists():
        raise SourceError(f"There is no {path}.", "Name a file or a folder that is there.")
    if path.is_file() and path.suffix != ".deb":
        raise SourceError(f"{path} is neither a folder nor a Debian package.", "Name one of these.")
    return Fetched(kind="folder" if path.is_dir() else "package", name=path.name, sha256="", path=path)


def _input(path: Path) -> InputEntry:
    kind = "folder" if path.is_dir() else "package" if path.suffix == ".deb" else "file"
    return InputEntry(kind=kind, name=path.name, sha256=hash_folder(path) if path.is_dir() else sha256_file(path))
