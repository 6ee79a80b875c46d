"""Items from the device tables: which driver, and what is it, for ids that no training text names.

Of the devices that a corpus' tables know, those that :func:`slm.corpus.devices.held_out` keeps out of its text are the
benchmark; the others are to learn from and to remember. Ids that only a newer kernel knows are a set of their
own: there, ids near them do not give the answer away.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from slm.corpus.apt import Apt
from slm.corpus.devices import Kernel, held_out, split_alias
from slm.corpus.documents import text_key
from slm.corpus.fetch import Fetched, hash_folder
from slm.corpus.members import decode_text, members
from slm.corpus.mix import Split, split_of
from slm.corpus.modinfo import SUFFIXES, module_name, read_modinfo
from slm.errors import ArtefactError, SourceError
from slm.evaluation.benchmark.device import Device
from slm.evaluation.benchmark.items import DeviceTree, DriverSelect, Identify, Identity, Item
from slm.progress import Progress, Reporter
from slm.spec import CorpusSpec

DeviceKey = tuple[str, int, int]

#: The sets: held out by chance; known to the newer kernel alone, with a driver that the older one has, and without.
RANDOM, NEWER, NEWER_DRIVER = "random", "newer", "newer-driver"

_COMPATIBLE = re.compile(r"of:N\*T\*C([^*]+?)(?:C\*)?")


class Facts:
    """What a corpus' device tables say of devices with ids of their own, on PCI and USB."""

    def __init__(self, database: Path) -> None:
        with _tables(database) as base:
            self.vendors = {row[:2]: str(row[2]) for row in base.execute("SELECT bus, vendor, name FROM vendor")}
            self.names = {row[:3]: str(row[3]) for row in base.execute("SELECT bus, vendor, device, name FROM device")}
            self.kinds = {
                (row[0], (row[1] << 8) + row[2]): str(row[3])
                for row in base.execute("SELECT bus, class, subclass, name FROM class WHERE interface < 0")
                if row[2] >= 0
            }
            self.classes: dict[str, int] = dict(base.execute("SELECT driver, class FROM driver_class"))
            aliases = list(base.execute("SELECT pattern, driver FROM alias"))
        self.drivers = exact_drivers(aliases)

    def device(self, key: DeviceKey, drivers: set[str], classes: Mapping[str, int], named: bool) -> Device:
        """Describe a device as a kernel would when it asks.

        A device's class stands in no table; it is taken from its drivers', where these agree.

        :param named: whether maker and name are given, as far as the lists know them.
        """
        bus, vendor, device = key
        codes = {classes[driver] for driver in drivers if driver in classes} if bus == "pci" else set()
        return Device(
            bus=bus,
            vendor=f"{vendor:04x}",
            device=f"{device:04x}",
            class_code=f"{codes.pop():04x}" if len(codes) == 1 else None,
            vendor_name=self.vendors.get(key[:2]) if named else None,
            name=self.names.get(key) if named else None,
        )

    def identify(self, key: DeviceKey, label: str | None) -> Identify | None:
        """Ask what a device is; None where no list names it."""
        if key not in self.names:
            return None
        device = self.device(key, self.drivers.get(key, set()), self.classes, named=False)
        kind = self.kinds.get((key[0], device.subclass)) if device.subclass is not None else None
        identity = Identity(vendor=self.vendors.get(key[:2]), name=self.names[key], type=kind)
        return Identify(label=label, device=device, answer=identity)

    def select(self, key: DeviceKey, label: str | None) -> DriverSelect:
        """Ask which driver a device needs."""
        drivers = self.drivers[key]
        device = self.device(key, drivers, self.classes, named=True)
        return DriverSelect(label=label, device=device, answer=tuple(sorted(drivers)))


@contextlib.contextmanager
def _tables(database: Path) -> Iterator[sqlite3.Connection]:
    """Open device tables for reading.

    :raises ArtefactError: when there are none, or something else.
    """
    try:
        with contextlib.closing(sqlite3.connect(database.resolve().as_uri() + "?mode=ro", uri=True)) as base:
            yield base
    except sqlite3.Error as error:
        raise ArtefactError(f"{database} does not hold device tables: {error}.", "Name a devices.sqlite.") from error


def drivers_by_bus(database: Path) -> dict[str, list[str]]:
    """Return the names of the drivers that some device of a bus has, by bus.

    :raises ArtefactError: when there are no device tables.
    """
    found: dict[str, list[str]] = {}
    with _tables(database) as base:
        for bus, driver in base.execute("SELECT DISTINCT bus, driver FROM alias ORDER BY bus, driver"):
            found.setdefault(bus, []).append(driver)
    return found


def drivers_told(database: Path) -> dict[str, dict[str, str]]:
    """Return what the drivers that some device of a bus has say of themselves, by bus and driver.

    That is their modules' descriptions; which devices they have is not among it.

    :raises ArtefactError: when there are no device tables.
    """
    with _tables(database) as base:
        said: dict[str, str] = dict(base.execute("SELECT name, description FROM module"))
    return {
        bus: {driver: said.get(driver, "") for driver in drivers} for bus, drivers in drivers_by_bus(database).items()
    }


def exact_drivers(aliases: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> dict[DeviceKey, set[str]]:
    """Return the drivers of every PCI and USB device that an alias names by both of its numbers."""
    found: dict[DeviceKey, set[str]] = {}
    for pattern, driver in aliases:
        parts = split_alias(pattern)
        if parts and parts[0] != "virtio" and min(parts[1:]) >= 0:
            found.setdefault(parts, set()).add(driver)
    return found


def random_items(facts: Facts) -> Iterator[Item]:
    """Yield the benchmark's items on devices that the corpus holds out."""
    for key in sorted(facts.drivers):
        if held_out(*key):
            yield facts.select(key, RANDOM)
    for key in sorted(facts.drivers):
        if held_out(*key) and (item := facts.identify(key, RANDOM)):
            yield item


def known_items(facts: Facts, spec: CorpusSpec) -> Iterator[tuple[Literal["train", "val"], Item]]:
    """Yield the items on all other devices, each with what it is for by the split of its exchanges in the corpus.

    Those of the test split are for validation, too: a model's perplexity is measured there, so none is trained on them.
    """
    for key in sorted(facts.drivers.keys() | facts.names.keys()):
        if held_out(*key):
            continue
        kept = split_of(text_key(f"{key[0]}:{key[1]:04x}:{key[2]:04x}"), spec.seed, spec.split)
        split: Literal["train", "val"] = "train" if kept == "train" else "val"
        if key in facts.drivers:
            yield split, facts.select(key, None)
        # Devices without a driver are asked about in training alone: names are learnt from all of them.
        if (key in facts.drivers or split == "train") and (item := facts.identify(key, None)):
            yield split, item


def newer_items(facts: Facts, newer: Kernel) -> Iterator[Item]:
    """Yield items on the devices that ``newer`` knows and the corpus' kernel does not."""
    older = {driver for drivers in facts.drivers.values() for driver in drivers}
    for key, drivers in sorted(exact_drivers(list(newer.aliases)).items()):
        if key not in facts.drivers:
            device = facts.device(key, drivers, newer.classes, named=True)
            label = NEWER if drivers & older else NEWER_DRIVER
            yield DriverSelect(label=label, device=device, answer=tuple(sorted(drivers)))


def tree_items(compatibles: Mapping[str, set[str]], spec: CorpusSpec) -> Iterator[tuple[Split, Item]]:
    """Yield items on ``compatible`` strings with their splits: a tenth, by a hash, is test.

    Others that the corpus' own test split would have are for validation.
    """
    for compatible, drivers in sorted(compatibles.items()):
        digest = hashlib.sha256(f"of:{compatible}".encode()).digest()
        held = int.from_bytes(digest[:8], "big") % 10 == 0
        kept = split_of(text_key(f"of:{compatible}"), spec.seed, spec.split)
        split: Split = "test" if held else "train" if kept == "train" else "val"
        label = RANDOM if held else None
        yield split, DeviceTree(label=label, compatible=(compatible,), answer=tuple(sorted(drivers)))


def fetch_kernel(wanted: str, raw: Path, report: Reporter) -> Fetched:
    """Bring a kernel here: a folder with ``modules.alias`` or modules, or else a Debian package's name or glob.

    :raises SourceError: when there is neither.
    """
    folder = Path(wanted)
    if folder.is_dir():
        return Fetched(kind="folder", name=str(folder), sha256=hash_folder(folder), path=folder.resolve())
    apt = Apt(raw / "apt")
    found = apt.find(wanted)
    if found is None:
        raise SourceError(
            f"There is neither a folder nor a package {wanted} to take a kernel from.",
            "Name a package, such as 'linux-image-6.12.*-amd64-unsigned', or a folder with a modules.alias.",
        )

    def step(size: int) -> None:
        report(Progress("fetch", size, found.size, "bytes", found.name))

    path = apt.download(found, raw / "packages", step)
    return Fetched(kind="package", name=found.name, sha256=found.sha256, path=path.resolve(), version=found.version)


def read_compatibles(kernel: Fetched) -> dict[str, set[str]]:
    """Return ``compatible`` string → kernel modules, from ``modules.alias`` or the modules of a kernel.

    :raises SourceError: when none has any: kernels for machines without a device tree have few or none.
    """
    found: dict[str, set[str]] = {}
    for member in members(kernel, lambda path: path.endswith(SUFFIXES) or path.endswith("modules.alias")):
        if member.path.endswith("modules.alias"):
            lines = (line.split() for line in decode_text(member.data).splitlines())
            pairs = [(line[1], line[2].replace("-", "_")) for line in lines if len(line) == 3 and line[0] == "alias"]
        else:
            aliases = read_modinfo(member.path, member.data).get("alias", [])
            pairs = [(alias, module_name(member.path)) for alias in aliases]
        for alias, driver in pairs:
            if match := _COMPATIBLE.fullmatch(alias):
                found.setdefault(match[1], set()).add(driver)
    if not found:
        raise SourceError(f"{kernel.label} names no compatible string.", "Name a kernel for aarch64 or riscv64.")
    return found
