"""What is known for certain: the device tables, made from pci.ids, usb.ids and the kernel's own module aliases.

A driver is found as the kernel finds it: by matching the device's *modalias* against the patterns that each module
declares, the most specific pattern first. The tables are one file, compiled for look-up (:mod:`.dictionary`):

    python -m kernel_interface.knowledge build OUT --tables devices.sqlite
    python -m kernel_interface.knowledge build OUT --pci-ids FILE --usb-ids FILE --kernel PACKAGE_OR_FOLDER
    python -m kernel_interface.knowledge resolve OUT MODALIAS...

Nobody has to compile: a build's exports carry compiled tables, and a corpus's ``devices.sqlite``, which every export
carries, is compiled in memory when it is opened. That takes about a second, where a compiled file is open at once; and
it knows the buses of the kernel's questions alone.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from kernel_interface.claims import Candidate, Claims
from kernel_interface.devices import Device
from kernel_interface.dictionary import Dictionary, encode
from kernel_interface.facts import (
    NAME_HEAD,
    SQLITE_MAGIC,
    class_key,
    device_key,
    drivers_key,
    from_database,
    from_sources,
    module_key,
    name_key,
    vendor_key,
)
from kernel_interface.modalias import modalias, virtio_function
from slm.errors import ArtefactError, AutonError
from slm.files import atomic_folder
from slm.lineage import MANIFEST, InputEntry, manifest_path, read_manifest, write_manifest
from slm.progress import silent

#: The compiled tables within their folder.
COMPILED = "devices.tables"


class Knowledge:
    """The device tables.

    :param path: compiled tables, the folder that holds them, or a corpus's ``devices.sqlite``.
    :raises ArtefactError: when they are missing, damaged or something else.
    """

    def __init__(self, path: Path) -> None:
        path = path / COMPILED if path.is_dir() else path
        if not path.is_file():
            raise ArtefactError(f"There are no device tables at {path}.", "Name the file with --knowledge FILE.")
        with open(path, "rb") as file:
            is_database = file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC
        if is_database:
            self._tables = Dictionary(encode(from_database(path).entries()), str(path))
        else:
            self._tables = Dictionary.open(path)
        self._claims = Claims(self._tables)
        counts = json.loads(self._tables.get(b"counts") or b"{}")
        self.devices, self.aliases = counts.get("devices", 0), counts.get("aliases", 0)

    def close(self) -> None:
        """Let the tables go."""
        self._tables = Dictionary(encode({}), "closed tables")
        self._claims = Claims(self._tables)

    def vendor_name(self, device: Device) -> str | None:
        """Return the name of the device's maker."""
        return self._text(vendor_key(device.bus, device.vendor))

    def device_name(self, device: Device) -> str | None:
        """Return the device's own name, without its maker's."""
        return self._text(device_key(device.bus, device.vendor, device.device))

    def class_name(self, device: Device) -> str | None:
        """Describe the device's class as closely as the tables can: by interface, else subclass, else class."""
        if device.class_code is None:
            return None
        major, minor = divmod(device.class_code, 256)
        interface = -1 if device.interface is None else device.interface
        # A name of the interface alone ("AHCI 1.0") says too little without its subclass's.
        names = [
            name
            for levels in ((minor, -1), (minor, interface))
            if (name := self._text(class_key(device.bus, major, *levels))) is not None
        ]
        return ", ".join(dict.fromkeys(names)) or self._text(class_key(device.bus, major, -1, -1))

    def module_description(self, driver: str) -> str | None:
        """Return what a kernel module says of itself."""
        return self._text(module_key(driver))

    def drivers(self, bus: str) -> list[str]:
        """Return every driver that claims some device of ``bus``, sorted."""
        return (self._text(drivers_key(bus)) or "").split()

    def candidates(self, device: Device) -> list[Candidate]:
        """Return the drivers that claim ``device``, most specific claim first, each once.

        A virtio device on PCI needs two: the transport's driver, then its function's on the virtio bus.
        """
        found = self._claims.find(modalias(device))
        if function := virtio_function(device):
            found.sort(key=lambda candidate: candidate.driver != "virtio_pci")
            found[1:1] = self._claims.find(modalias(function))
        return _each_once(found)

    def resolve(self, name: str) -> list[Candidate]:
        """Return the modules that ``modprobe`` would take ``name`` for, most specific claim first, each once.

        A module's own name comes before every alias. What a system's configuration says, and aliases of what is built
        into a kernel, are not in the tables.
        """
        module = name.replace("-", "_")
        if self._tables.get(module_key(module)) is not None:
            return [Candidate(module, module, True)]
        return _each_once(self._claims.find(name))

    def named_in(self, text: str) -> list[Device]:
        """Return the devices whose full name stands in ``text``: the longest, and its maker's too if it is there.

        A name that is a plain word (usb.ids has "Device") is one only beside its maker's.
        """
        text = text.lower()
        found: list[tuple[int, bool, Device]] = []
        for head in sorted({text[at : at + NAME_HEAD] for at in range(len(text) - NAME_HEAD + 1)}):
            for line in (self._text(name_key(head)) or "").split("\n"):
                bus, vendor, code, name = line.split(" ", 3) if line else ("", "", "", "")
                # Expressions are slow to compile; nearly all names are not in the text at all.
                if name and name in text and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text):
                    device = Device(bus, int(vendor, 16), int(code, 16))
                    with_maker = (self.vendor_name(device) or "\0").lower() in text
                    if with_maker or not name.isalpha():
                        found.append((len(name), with_maker, device))
        best = max((row[:2] for row in found), default=None)
        return sorted(
            (row[2] for row in found if row[:2] == best), key=lambda item: (item.bus, item.vendor, item.device)
        )

    def _text(self, key: bytes) -> str | None:
        value = self._tables.get(key)
        return value.decode() if value else None


def _each_once(found: list[Candidate]) -> list[Candidate]:
    unique: dict[str, Candidate] = {}
    for candidate in found:
        unique.setdefault(candidate.driver, candidate)
    return list(unique.values())


def build(out: Path, tables: Path | None, sources: tuple[Path, Path, Path] | None) -> Path:
    """Compile tables into the folder ``out``, with a manifest; return their file.

    :param tables: a corpus's ``devices.sqlite``; or ``sources``: a ``pci.ids``, a ``usb.ids`` and a kernel.
    :raises AutonError: when a source is missing or not what it should be.
    """
    if tables is not None:
        facts, inputs = from_database(tables), _made_from(tables)
    else:
        assert sources is not None
        facts, inputs = from_sources(*sources, silent)
    with atomic_folder(out) as part:
        (part / COMPILED).write_bytes(encode(facts.entries()))
        info = {"devices": len(facts.devices), "aliases": len(facts.aliases), "modules": len(facts.descriptions)}
        write_manifest(part / MANIFEST, "knowledge", out.name, [COMPILED], inputs, info, final=out)
    return out / COMPILED


def _made_from(tables: Path) -> list[InputEntry]:
    """Return the inputs of the tables' own manifest, so that compiled ones name what they were made from."""
    try:
        return [item for item in read_manifest(manifest_path(tables)).inputs if item.path is None]
    except ArtefactError:  # a file alone
        return []


def main(argv: Sequence[str] | None = None) -> int:
    """Compile tables, or say what they resolve names to; exit 0 when all went well and every name was found."""
    parser = argparse.ArgumentParser(prog="python -m kernel_interface.knowledge", description="Compiled device tables.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    making = verbs.add_parser("build", help="compile tables", description="Compile device tables into a folder.")
    making.add_argument("out", type=Path, help="the folder to make")
    making.add_argument("--tables", type=Path, help="a corpus's or an export's devices.sqlite")
    making.add_argument("--pci-ids", type=Path, help="a pci.ids, or a Debian package with one")
    making.add_argument("--usb-ids", type=Path, help="a usb.ids, or a Debian package with one")
    making.add_argument("--kernel", type=Path, help="a kernel's Debian package, or a folder with its modules")
    asking = verbs.add_parser("resolve", help="list the modules that claim a name", description="Resolve modaliases.")
    asking.add_argument("tables", type=Path, help="compiled tables, or a devices.sqlite")
    asking.add_argument("names", nargs="+", help="such as pci:v00008086d0000100Esv00000000sd00000000bc02sc00i00")
    arguments = parser.parse_args(argv)
    try:
        if arguments.verb == "resolve":
            return _resolve(Knowledge(arguments.tables), arguments.names)
        given = (arguments.pci_ids, arguments.usb_ids, arguments.kernel)
        if (arguments.tables is None) == (None in given) or (arguments.tables and any(given)):
            making.error("give either --tables, or all of --pci-ids, --usb-ids and --kernel")
        path = build(arguments.out, arguments.tables, None if arguments.tables else given)
        knowledge = Knowledge(path)
        size = path.stat().st_size
        print(f"{path}: {knowledge.devices} devices, {knowledge.aliases} aliases, {size / 1e6:.1f} MB")
    except AutonError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _resolve(knowledge: Knowledge, names: Sequence[str]) -> int:
    missing = 0
    for name in names:
        found = knowledge.resolve(name)
        missing += not found
        for candidate in found:
            print(f"{candidate.driver:<24} {candidate.pattern}")
        if not found:
            print(f"no module claims {name}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
