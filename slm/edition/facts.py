"""What the edition knows of devices: from the device tables, in the order of how common they are.

Every PCI device that a driver's alias names by both numbers is here, and those of emulated machines. Devices that are
held out of other corpora are not held out here: the edition is asked about the very ids of the tables, as the tables
themselves are, and nothing measures with it how well a model guesses.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from slm.edition.words import ID, canonical
from slm.evaluation.benchmark.devices import Facts

#: Devices of emulated machines that no alias names by number, with the driver that takes them by class, if any.
_EMULATED = {
    "8086:1237": None, "8086:7000": None, "8086:29c0": None, "8086:7020": "uhci_hcd", "8086:7112": "uhci_hcd",
    "8086:2934": "uhci_hcd", "8086:293a": "ehci_pci", "8086:24cd": "ehci_pci", "1b36:000d": "xhci_pci",
    "1033:0194": "xhci_pci", "106b:003f": "ohci_pci", "1b36:0001": None, "1b36:0008": None, "1b36:000c": None,
    "1b36:0100": "qxl", "144d:a808": "nvme", "144d:a80a": "nvme", "1b21:1142": "xhci_pci", "1022:1483": None,
}  # fmt: skip

#: Virtio's PCI numbers of before version 1.0 as its device types; newer ones are 0x1040 and the type
#: (Virtual I/O Device Version 1.2, section 4.1.2).
_TRANSITIONAL = {0x1000: 1, 0x1001: 2, 0x1002: 5, 0x1003: 3, 0x1004: 8, 0x1005: 4, 0x1009: 9}
_VIRTIO = 0x1AF4

#: A word of a name that may tell one device from another.
_TELLING = re.compile(r"[a-z0-9][a-z0-9.+-]*")

#: And one that only says how much of something there is.
_AMOUNT = re.compile(r"\d[\d.]*-?(?:[gmk]|gb|gbe|gt|gige|gigabit|giga|mbps|mbit|mhz|bit|port|base[a-z0-9-]*)|\d*base.*")

#: Makers whose devices people meet in machines of their own.
_COMMON_MAKERS = {
    "intel", "realtek", "broadcom", "qualcomm", "mellanox", "marvell", "mediatek", "ralink", "vmware", "qemu", "amd",
    "aquantia", "samsung", "via", "creative", "asmedia",
}  # fmt: skip


@dataclass(frozen=True)
class Device:
    """A device as people ask about it."""

    #: As a canonical word: ``8086:100e``.
    id: str
    maker: str | None
    name: str | None
    #: Any of them is right; the first, of which the tables have the most devices, is what is answered.
    drivers: tuple[str, ...]
    #: PCI class and subclass as one number, where the drivers tell it.
    class_code: int | None = None

    @property
    def identity(self) -> list[str]:
        """The tokens that answer what it is: the maker and name of the lists, or what can be said without a name."""
        maker = self.maker or "Unknown maker"
        if self.name is not None:
            return [f"{maker} {self.name}" if self.maker else self.name]
        return [f"{maker} device,", "driver", self.drivers[0]]


def read_devices(database: Path) -> list[Device]:
    """Read the devices that the edition may know, the commonest first.

    How common a device is stands in no table. One of an emulated machine comes first; then the makers with the most
    devices, and of each those that the lists name.

    :raises ArtefactError: when there are no device tables.
    """
    facts = Facts(database)
    drivers: dict[tuple[int, int], Iterable[str]] = {
        key[1:]: names for key, names in facts.drivers.items() if key[0] == "pci"
    }
    virtio = _virtio_drivers(database)
    emulated = {_numbers(text): [driver] if driver else [] for text, driver in _EMULATED.items()}
    for bus, vendor, device in facts.names:
        if bus == "pci" and vendor == _VIRTIO:
            kind = _TRANSITIONAL.get(device, device - 0x1040)
            emulated[vendor, device] = [virtio[kind]] if kind in virtio else []
    emulated = {key: names for key, names in emulated.items() if key not in drivers and ("pci", *key) in facts.names}
    size = Counter(driver for names in drivers.values() for driver in names)
    makers = Counter(vendor for vendor, _ in drivers)
    found = []
    for key in sorted({**drivers, **emulated}, key=lambda key: (key not in emulated, -makers[key[0]], key)):
        names = tuple(sorted(emulated.get(key) or drivers.get(key, ()), key=lambda name: (-size[name], name)))
        codes = {facts.classes[name] for name in names if name in facts.classes}
        found.append(
            Device(
                id=f"{key[0]:04x}:{key[1]:04x}",
                maker=facts.vendors.get(("pci", key[0])),
                name=facts.names.get(("pci", *key)),
                drivers=names,
                class_code=codes.pop() if len(codes) == 1 else None,
            )
        )
    return found


def read_classes(database: Path) -> dict[int, str]:
    """Return the name of every PCI class and subclass (one 16-bit number) in the tables."""
    return {code: name for (bus, code), name in Facts(database).kinds.items() if bus == "pci"}


def maker_words(maker: str) -> list[str]:
    """Return what people call a maker: the first word of its name, and what stands in brackets."""
    words = [canonical(word) for word in re.split(r"[\s/\[\]()]+", maker) if word]
    short = {"advanced": "amd", "red": "qemu", "hewlett-packard": "hp", "texas": "ti", "silicon": "sis", "3com": "3com"}
    first = [short.get(words[0], words[0])] if words else []
    bracketed = [canonical(word) for part in re.findall(r"\[([^\]]*)\]", maker) for word in part.split("/")]
    return list(dict.fromkeys(word for word in [*first, *bracketed] if _TELLING.fullmatch(word)))


def name_words(name: str) -> list[str]:
    """Return the words of a device's name as people type them; ``RTL8111/8168`` gives rtl8111, rtl8168 and 8168."""
    found: list[str] = []
    for part in re.split(r"[\s\[\](),]+", name):
        stem = ""
        for piece in part.split("/"):
            word = canonical(piece)
            if not _TELLING.fullmatch(word):
                continue
            found.append(word)
            if letters := re.match(r"[a-z]+-?(?=\d)", word):
                stem = letters[0].rstrip("-")
            elif stem and word[0].isdigit():
                found.append(stem + word)
    return list(dict.fromkeys(found))


def telling_words(devices: Sequence[Device], count: int) -> dict[str, str]:
    """Choose the words of names by which a driver can be asked for: word → driver.

    A word tells a driver when nine of ten devices with it in their names have that driver. Those of network, storage,
    display and sound devices come first, then those of many devices.

    :param count: the most words to return.
    """
    drivers: dict[str, Counter[str]] = {}
    weights: dict[str, float] = {}
    for device in devices:
        if device.name is None or not device.drivers:
            continue
        for word in name_words(device.name):
            drivers.setdefault(word, Counter())[device.drivers[0]] += 1
            weights[word] = weights.get(word, 0.0) + _interest(device)
    found = {}
    for word in sorted(weights, key=lambda word: (-weights[word], word)):
        (driver, often), total = drivers[word].most_common(1)[0], drivers[word].total()
        known = any(letter.isdigit() for letter in word) and len(word) >= 4
        if known and often >= 0.9 * total and not (_AMOUNT.fullmatch(word) or ID.fullmatch(word)):
            found[word] = driver
        if len(found) == count:
            break
    return found


def _interest(device: Device) -> float:
    """Weigh a device by how likely somebody asks for its driver by name."""
    kind = {0x02: 1.0, 0x01: 0.7, 0x03: 0.2, 0x04: 0.5}.get((device.class_code or 0) >> 8, 0.2)
    if device.class_code == 0x0280:  # people buy and change these
        kind = 1.5
    common = device.maker is not None and not _COMMON_MAKERS.isdisjoint(maker_words(device.maker))
    return kind * (4 if common else 1)


def _virtio_drivers(database: Path) -> dict[int, str]:
    """Return the driver of every virtio device type that the tables name."""
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as base:
        rows = base.execute("SELECT device, driver FROM alias WHERE bus = 'virtio' AND device >= 0 ORDER BY driver")
        return dict(rows.fetchall())


def _numbers(text: str) -> tuple[int, int]:
    vendor, device = (int(number, 16) for number in text.split(":"))
    return vendor, device
