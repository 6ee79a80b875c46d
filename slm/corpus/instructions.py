"""Question/answer documents made from the device tables, in the very form in which the kernel asks.

Why they look as they do is told in ``specs/data.md``, "Made exchanges".
"""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from slm import prompts
from slm.corpus.clean import clean_text
from slm.corpus.devices import held_out
from slm.corpus.documents import MADE, Document, text_key

#: Makers write themselves with and without these; an answer is better short.
_COMPANY = re.compile(
    r",? (?:Inc|Ltd|Corp|Co|LLC|GmbH|AG|Limited|Corporation|S\.A)\.?(?=$|[ ,])(?:,? Ltd\.?)?|,? Co\.", re.IGNORECASE
)


class Tables:
    """The device tables as the exchanges need them, without the devices held out."""

    def __init__(self, database: Path) -> None:
        base = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        try:
            self.vendors = {(bus, vendor): name for bus, vendor, name in base.execute("SELECT * FROM vendor")}
            self.classes = list(base.execute("SELECT * FROM class WHERE subclass >= 0 ORDER BY 1, 2, 3, 4"))
            self.modules = dict(base.execute("SELECT name, description FROM module WHERE description <> '' ORDER BY 1"))
            driver_classes = dict(base.execute("SELECT driver, class FROM driver_class"))
            self.devices = [
                ((bus, vendor, device), name)
                for bus, vendor, device, name in base.execute("SELECT * FROM device ORDER BY 1, 2, 3")
                if not held_out(bus, vendor, device)
            ]
            self.names = dict(self.devices)
            drivers: dict[tuple[str, int, int], set[str]] = {}
            for bus, vendor, device, driver in base.execute(
                "SELECT bus, vendor, device, driver FROM alias WHERE vendor >= 0 AND device >= 0 AND bus <> 'virtio'"
            ):
                if not held_out(bus, vendor, device):
                    drivers.setdefault((bus, vendor, device), set()).add(driver)
        finally:
            base.close()
        self.drivers = [(key, sorted(found)) for key, found in sorted(drivers.items())]
        self.class_of = {
            key: codes.pop()
            for key, found in self.drivers
            if key[0] == "pci" and len(codes := {driver_classes[name] for name in found if name in driver_classes}) == 1
        }

    def full_name(self, key: tuple[str, int, int]) -> str:
        """Return maker and name of a device, as far as the lists know them."""
        maker = self.vendors.get(key[:2], "")
        return " ".join(part for part in (_COMPANY.sub("", maker).strip(" ,"), self.names.get(key, "")) if part)


def exchanges(database: Path, count: int, seed: int) -> Iterator[Document]:
    """Yield ``count`` different exchanges, a third each of identification, drivers and other questions.

    Fewer come when the tables hold no more.
    """
    tables = Tables(database)
    seen: set[str] = set()
    for kind, (make, number) in enumerate(
        zip((_identify, _driver, _other), (count // 3, count // 3, count - 2 * (count // 3)), strict=True)
    ):
        rng = random.Random(f"{seed}:{kind}")
        made = misses = 0
        while made < number and misses < 1000:
            subject, question, answer = make(tables, rng)
            text = prompts.exchange(clean_text(question), clean_text(answer)) if answer else ""
            if not text or text in seen:
                misses += 1
                continue
            seen.add(text)
            made, misses = made + 1, 0
            yield Document(
                text=text, bucket="instructions", source=MADE, licence="GPL-2+", path=subject, key=text_key(subject)
            )


def _identify(tables: Tables, rng: random.Random) -> tuple[str, str, str]:
    """A device's name from its id; every second time of a device that a driver serves, since those are asked about."""
    if tables.drivers and rng.random() < 0.5:
        key, _ = rng.choice(tables.drivers)
    elif tables.devices:
        key, _ = rng.choice(tables.devices)
    else:
        return "", "", ""
    answer = tables.full_name(key) if key in tables.names else ""
    return _subject(key), prompts.identify_question(*key, _maybe(tables.class_of.get(key), rng)), answer


def _driver(tables: Tables, rng: random.Random) -> tuple[str, str, str]:
    """A device's driver from its id, with its class and name as often as not."""
    if not tables.drivers:
        return "", "", ""
    key, drivers = rng.choice(tables.drivers)
    name = tables.full_name(key) if key in tables.names and rng.random() < 0.6 else ""
    question = prompts.driver_question(*key, _maybe(tables.class_of.get(key), rng), name)
    return _subject(key), question, rng.choice(drivers)


def _other(tables: Tables, rng: random.Random) -> tuple[str, str, str]:
    """Questions in a person's words: by name, by class, by maker, about a driver."""
    return rng.choice(_OTHERS)(tables, rng)


def _by_name(tables: Tables, rng: random.Random) -> tuple[str, str, str]:
    if not tables.drivers:
        return "", "", ""
    key, drivers = rng.choice(tables.drivers)
    if key not in tables.names:
        return "", "", ""
    form = rng.choice(
        (
            "What driver does the {} need?",
            "Which Linux driver supports the {}?",
            "My machine has a {}. Which kernel module do I load?",
            "Which module drives the {}?",
        )
    )
    return _subject(key), form.format(tables.full_name(key)), rng.choice(drivers)


def _by_class(tables: Tables, rng: random.Random) -> tuple[str, str, str]:
    if not tables.classes:
        return "", "", ""
    bus, class_code, subclass, interface, name = rng.choice(tables.classes)
    code = f"{class_code:02x}{subclass:02x}" + (f"{interface:02x}" if interface >= 0 else "")
    form = rng.choice(("What kind of device is {} class {}?", "What does {} class {} mean?"))
    return f"{bus}:class:{code}", form.format(bus.upper(), code), name


def _by_vendor(tables: Tables, rng: random.Random) -> tuple[str, str, str]:
    if not tables.devices:
        return "", "", ""
    (bus, vendor, _), _ = rng.choice(tables.devices)  # makers of many devices come up more often
    name = tables.vendors.get((bus, vendor), "")
    if rng.random() < 0.5:
        question = f"Who makes {bus.upper()} devices with vendor id {vendor:04x}?"
        return f"{bus}:vendor:{vendor:04x}", question, name
    return (
        f"{bus}:vendor:{vendor:04x}",
        f"What is the {bus.upper()} vendor id of {name}?",
        f"{vendor:04x}" if name else "",
    )


def _about_driver(tables: Tables, rng: random.Random) -> tuple[str, str, str]:
    if not tables.modules:
        return "", "", ""
    name = rng.choice(list(tables.modules))
    form = rng.choice(("What is the {} kernel module for?", "What does the driver {} do?"))
    return f"module:{name}", form.format(name), tables.modules[name]


_Maker = Callable[[Tables, random.Random], tuple[str, str, str]]
_OTHERS: tuple[_Maker, ...] = (_by_name, _by_name, _about_driver, _by_vendor, _by_class)


def _subject(key: tuple[str, int, int]) -> str:
    return f"{key[0]}:{key[1]:04x}:{key[2]:04x}"


def _maybe(code: int | None, rng: random.Random) -> int | None:
    return code if rng.random() < 0.5 else None
