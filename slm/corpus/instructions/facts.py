"""The device tables as exchanges need them: names, drivers and class rules, without the devices held out."""

from __future__ import annotations

import random
import re
import sqlite3
from pathlib import Path
from typing import NamedTuple

from slm.corpus.devices import held_out

DeviceKey = tuple[str, int, int]

#: Makers write themselves with and without these; an answer is better short.
_COMPANY = re.compile(
    r",? (?:Inc|Ltd|Corp|Co|LLC|GmbH|AG|Limited|Corporation|S\.A)\.?(?=$|[ ,])(?:,? Ltd\.?)?|,? Co\.", re.IGNORECASE
)
#: An alias that fixes class and subclass, and perhaps the interface, but neither vendor nor device.
_CLASS_RULE = re.compile(
    r"pci:v\*d\*sv\*sd\*bc([0-9A-F]{2})sc([0-9A-F]{2})i([0-9A-F]{2}|\*)"
    r"|usb:v\*p\*d\*dc\*dsc\*dp\*ic([0-9A-F]{2})isc([0-9A-F]{2})ip([0-9A-F]{2}|\*)"
)


class ClassRule(NamedTuple):
    """What serves all devices of a class; ``interface`` is -1 where any will do."""

    bus: str
    class_code: int
    interface: int
    driver: str


class Tables:
    """The device tables as the exchanges need them, without the devices held out."""

    def __init__(self, database: Path) -> None:
        base = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        try:
            self.meta = dict(base.execute("SELECT key, value FROM meta"))
            self.vendors = {(bus, vendor): name for bus, vendor, name in base.execute("SELECT * FROM vendor")}
            self.classes = list(base.execute("SELECT * FROM class WHERE subclass >= 0 ORDER BY 1, 2, 3, 4"))
            self.modules = list(base.execute("SELECT name, description FROM module WHERE description <> '' ORDER BY 1"))
            driver_classes = dict(base.execute("SELECT driver, class FROM driver_class"))
            named = list(base.execute("SELECT * FROM device ORDER BY 1, 2, 3"))
            aliases = list(base.execute("SELECT bus, vendor, device, pattern, driver FROM alias WHERE bus <> 'virtio'"))
        finally:
            base.close()
        self.class_names = {
            (bus, (code << 8) + subclass): name
            for bus, code, subclass, interface, name in self.classes
            if interface < 0
        }
        self.names = {(bus, vendor, device): name for bus, vendor, device, name in named}
        drivers: dict[DeviceKey, set[str]] = {}
        for bus, vendor, device, _, driver in aliases:
            if vendor >= 0 and device >= 0:
                drivers.setdefault((bus, vendor, device), set()).add(driver)
        #: Every id that some table has, held out or not: an id beside them is unknown.
        self.known = frozenset(self.names) | frozenset(drivers)
        self.names = {key: name for key, name in self.names.items() if not held_out(*key)}
        self.drivers = {key: sorted(found) for key, found in sorted(drivers.items()) if not held_out(*key)}
        self.devices = list(self.names)
        self.served = list(self.drivers)
        self.served_by_name = [key for key in self.served if key in self.names]
        self.contested = [key for key, found in self.drivers.items() if len(found) > 1]
        self.class_of = {
            key: codes.pop()
            for key, found in self.drivers.items()
            if key[0] == "pci" and len(codes := {driver_classes[name] for name in found if name in driver_classes}) == 1
        }
        self.rules = sorted({rule for row in aliases if (rule := _class_rule(row[3], row[4]))})
        served: dict[tuple[str, int], set[str]] = {}
        for rule in self.rules:
            served.setdefault((rule.bus, rule.class_code), set()).add(rule.driver)
        #: The one driver of a class, where its interfaces do not differ.
        self.class_drivers = {key: found.pop() for key, found in sorted(served.items()) if len(found) == 1}

    def full_name(self, key: DeviceKey) -> str:
        """Return maker and name of a device, as far as the lists know them."""
        return " ".join(part for part in (self.maker(*key[:2]), self.names.get(key, "")) if part)

    def maker(self, bus: str, vendor: int) -> str:
        """Return a maker's name without its legal form; empty when the lists do not know it."""
        return _COMPANY.sub("", self.vendors.get((bus, vendor), "")).strip(" ,")

    def stranger(self, rng: random.Random, bus: str) -> DeviceKey | None:
        """Invent an id of a known maker that no table has and that is not held out."""
        for _ in range(20):
            _, vendor, _ = rng.choice(self.devices)  # makers of many devices come up more often
            key = (bus, vendor, rng.randrange(0x10000))
            if (bus, vendor) in self.vendors and key not in self.known and not held_out(*key):
                return key
        return None


def _class_rule(pattern: str, driver: str) -> ClassRule | None:
    match = _CLASS_RULE.match(pattern)
    if match is None:
        return None
    code, subclass, interface = (field for field in match.groups() if field is not None)
    return ClassRule(pattern[:3], int(code + subclass, 16), -1 if interface == "*" else int(interface, 16), driver)
