"""The device tables: which ids exist, what they are called, and which kernel module claims them.

One SQLite file, ``devices/devices.sqlite``, feeds the made exchanges, the hardware benchmark and the kernel's service.
Its schema is :data:`SCHEMA`. Drivers that are built into the kernel carry no aliases, so they are absent.
"""

from __future__ import annotations

import functools
import hashlib
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slm.corpus.fetch import Fetched, origin_key
from slm.corpus.idlist import IdList, parse_ids
from slm.corpus.members import decode_text, members
from slm.corpus.modinfo import SUFFIXES, module_name, read_modinfo
from slm.errors import SourceError
from slm.files import atomic_folder
from slm.lineage import MANIFEST, write_manifest
from slm.progress import Progress, Reporter
from slm.spec import CorpusSpec

#: In ``class``, -1 means that the level is not given (a class has subclass -1 and interface -1). In ``alias``, -1 is a
#: wildcard; ``pattern`` is the kernel's own alias, whose further fields (subsystem, class) decide a match.
#: ``driver_class`` gives a PCI driver's class and subclass as one 16-bit number, where its aliases or its folder in the
#: kernel tell it.
SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE vendor (bus TEXT, vendor INTEGER, name TEXT, PRIMARY KEY (bus, vendor)) WITHOUT ROWID;
CREATE TABLE device (bus TEXT, vendor INTEGER, device INTEGER, name TEXT,
                     PRIMARY KEY (bus, vendor, device)) WITHOUT ROWID;
CREATE TABLE class (bus TEXT, class INTEGER, subclass INTEGER, interface INTEGER, name TEXT,
                    PRIMARY KEY (bus, class, subclass, interface)) WITHOUT ROWID;
CREATE TABLE alias (bus TEXT, vendor INTEGER, device INTEGER, pattern TEXT, driver TEXT);
CREATE TABLE module (name TEXT PRIMARY KEY, description TEXT) WITHOUT ROWID;
CREATE TABLE driver_class (driver TEXT PRIMARY KEY, class INTEGER) WITHOUT ROWID;
"""

DATABASE = "devices.sqlite"

#: Where a kernel keeps the drivers of one PCI class; first match wins. Folders of mixed classes are absent.
CLASS_FOLDERS = {
    "kernel/drivers/net/ethernet/": 0x0200,
    "kernel/drivers/net/wireless/": 0x0280,
    "kernel/drivers/infiniband/hw/": 0x0207,
    "kernel/drivers/gpu/drm/": 0x0300,
    "kernel/drivers/nvme/host/": 0x0108,
    "kernel/drivers/usb/host/": 0x0C03,
    "kernel/drivers/i2c/busses/": 0x0C05,
    "kernel/drivers/firewire/": 0x0C00,
    "kernel/sound/pci/hda/": 0x0403,
    "kernel/sound/pci/": 0x0401,
}

_PCI = re.compile(r"pci:v([0-9A-F]{8}|\*)d([0-9A-F]{8}|\*)sv")
_USB = re.compile(r"usb:v([0-9A-F]{4}|\*)p([0-9A-F]{4}|\*)d")
_VIRTIO = re.compile(r"virtio:d([0-9A-F]{8}|\*)v([0-9A-F]{8}|\*)")
_PCI_CLASS = re.compile(r"bc([0-9A-F]{2})sc([0-9A-F]{2})i")


@dataclass
class Kernel:
    """What a kernel's modules say: alias → drivers, descriptions, and PCI classes."""

    aliases: set[tuple[str, str]] = field(default_factory=set)
    descriptions: dict[str, str] = field(default_factory=dict)
    classes: dict[str, int] = field(default_factory=dict)


def held_out(bus: str, vendor: int, device: int) -> bool:
    """Say whether a device belongs to the tenth that no training text may name: it is kept for the benchmark.

    Fixed for all time and the same in every build: the SHA-256 of ``bus:vvvv:dddd``, lower-case, modulo 10.
    """
    name = f"{bus}:{vendor:04x}:{device:04x}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % 10 == 0


def split_alias(pattern: str) -> tuple[str, int, int] | None:
    """Return bus, vendor and device of an alias, -1 for a wildcard; None for buses that we do not serve.

    Formats: ``scripts/mod/file2alias.c`` of the kernel.
    """
    if match := _PCI.match(pattern):
        return "pci", _number(match[1]), _number(match[2])
    if match := _USB.match(pattern):
        return "usb", _number(match[1]), _number(match[2])
    if match := _VIRTIO.match(pattern):
        return "virtio", _number(match[2]), _number(match[1])
    return None


def build_devices(spec: CorpusSpec, fetched: Mapping[str, Fetched], folder: Path, report: Reporter) -> Path:
    """Write the device tables to ``folder`` (with their manifest) and return the database's path.

    :raises SourceError: when an id list or the kernel's aliases are not where the spec says.
    """
    origins = [fetched[origin_key(origin)] for origin in (spec.devices.pci_ids, spec.devices.usb_ids)]
    kernel_origin = fetched[origin_key(spec.devices.kernel)]
    lists = {bus: read_ids(origin, f"{bus}.ids") for bus, origin in zip(("pci", "usb"), origins, strict=True)}
    kernel = read_kernel(kernel_origin, report)
    meta = {
        "kernel": kernel_origin.label,
        "kernel_version": kernel_origin.version or kernel_origin.sha256,
        "pci_ids_version": lists["pci"].version,
        "usb_ids_version": lists["usb"].version,
    }
    with atomic_folder(folder) as part:
        write_database(part / DATABASE, lists, kernel, meta)
        write_manifest(
            part / MANIFEST,
            "devices",
            spec.name,
            [DATABASE],
            [origin.entry for origin in (*origins, kernel_origin)],
            {
                "vendors": sum(len(ids.vendors) for ids in lists.values()),
                "devices": sum(len(ids.devices) for ids in lists.values()),
                "aliases": len(kernel.aliases),
                "modules": len(kernel.descriptions),
            },
            final=folder,
        )
    return folder / DATABASE


def read_ids(origin: Fetched, name: str) -> IdList:
    """Read the id list called ``name`` (``pci.ids``) from an origin; a link to it does not count.

    :raises SourceError: when it is not there.
    """
    found = next(members(origin, lambda path: path.rpartition("/")[2] in (name, f"{name}.gz")), None)
    if found is None:
        raise SourceError(f"{origin.label} holds no {name}.", "Name a source that does, such as the package " + name)
    return parse_ids(decode_text(found.data))


def read_kernel(origin: Fetched, report: Reporter, every_bus: bool = False) -> Kernel:
    """Read aliases, descriptions and classes from ``modules.alias``, or else from the modules themselves.

    :param every_bus: whether aliases of other buses than those that we serve are read too.
    :raises SourceError: when the origin holds neither.
    """
    kernel = Kernel()

    def wanted(path: str) -> bool:
        return path.endswith(SUFFIXES) or path.rpartition("/")[2] == "modules.alias"

    listed: set[tuple[str, str]] = set()
    count = 0
    for count, member in enumerate(members(origin, wanted), 1):
        if member.path.endswith("modules.alias"):
            listed.update(parse_alias_file(decode_text(member.data), every_bus))
            continue
        name = module_name(member.path)
        info = read_modinfo(member.path, member.data)
        kernel.aliases.update((alias, name) for alias in info.get("alias", []) if every_bus or split_alias(alias))
        kernel.descriptions[name] = " ".join(" ".join(info.get("description", [])).split())
        if (code := _class_by_folder(member.path)) is not None:
            kernel.classes[name] = code
        if count % 200 == 0:
            report(Progress("devices", count, max(count, 4000), "modules", name))
    if count == 0:
        raise SourceError(
            f"{origin.label} holds neither kernel modules nor a modules.alias.", "Name a linux-image package."
        )
    if listed:
        kernel.aliases = listed
    for name in {driver for _, driver in kernel.aliases}:
        kernel.descriptions.setdefault(name, "")
    kernel.classes.update(_classes_by_alias(kernel.aliases))
    report(Progress("devices", count, count, "modules"))
    return kernel


def parse_alias_file(text: str, every_bus: bool = False) -> Iterator[tuple[str, str]]:
    """Yield (pattern, driver) from a ``modules.alias`` file (``alias PATTERN MODULE``), of the buses that we serve."""
    for line in text.splitlines():
        parts = line.split()
        if len(parts) == 3 and parts[0] == "alias" and (every_bus or split_alias(parts[1])):
            yield parts[1], parts[2].replace("-", "_")


def write_database(path: Path, lists: Mapping[str, IdList], kernel: Kernel, meta: Mapping[str, str]) -> None:
    """Write the tables in a fixed order, so that equal facts give equal bytes. ``path`` must be new."""
    base = sqlite3.connect(path, isolation_level=None)
    try:
        base.execute("PRAGMA journal_mode = OFF")
        base.execute("PRAGMA synchronous = OFF")  # the folder that holds it is synced before it is renamed
        base.executescript(SCHEMA)
        base.execute("BEGIN")
        base.executemany("INSERT INTO meta VALUES (?, ?)", sorted(meta.items()))
        for bus, ids in sorted(lists.items()):
            base.executemany(
                "INSERT INTO vendor VALUES (?, ?, ?)", ((bus, *row) for row in sorted(ids.vendors.items()))
            )
            base.executemany(
                "INSERT INTO device VALUES (?, ?, ?, ?)",
                ((bus, *key, name) for key, name in sorted(ids.devices.items())),
            )
            base.executemany(
                "INSERT INTO class VALUES (?, ?, ?, ?, ?)",
                ((bus, *key, name) for key, name in sorted(ids.classes.items())),
            )
        rows = sorted((*(split_alias(pattern) or ("", -1, -1)), pattern, driver) for pattern, driver in kernel.aliases)
        base.executemany("INSERT INTO alias VALUES (?, ?, ?, ?, ?)", rows)
        base.executemany("INSERT INTO module VALUES (?, ?)", sorted(kernel.descriptions.items()))
        base.executemany("INSERT INTO driver_class VALUES (?, ?)", sorted(kernel.classes.items()))
        base.execute("CREATE INDEX alias_by_id ON alias (bus, vendor, device)")
        base.execute("COMMIT")
        base.execute("VACUUM")
    finally:
        base.close()


def _class_by_folder(path: str) -> int | None:
    return next((code for folder, code in CLASS_FOLDERS.items() if folder in path), None)


def _classes_by_alias(aliases: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Find the drivers whose PCI aliases, where they name a class, all name the same."""
    named: dict[str, set[int]] = {}
    for pattern, driver in aliases:
        if pattern.startswith("pci:") and (match := _PCI_CLASS.search(pattern)):
            named.setdefault(driver, set()).add(int(match[1] + match[2], 16))
    return {driver: next(iter(codes)) for driver, codes in named.items() if len(codes) == 1}


@functools.cache
def _number(digits: str) -> int:
    return -1 if digits == "*" else int(digits, 16)
