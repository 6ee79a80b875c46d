"""Exchanges made from the device tables; most are in the very form in which the kernel asks.

Why they look as they do is told in ``specs/data.md``, "Made exchanges".
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from slm import prompts
from slm.corpus.documents import text_key
from slm.corpus.heldout import HeldOut
from slm.corpus.instructions.exchange import INTENT_OF, Exchange, Provenance, make_exchange
from slm.corpus.instructions.facts import DeviceKey, Tables

#: How often the third that is driver questions is about a device in no table, whose class decides.
_BY_CLASS_RULE = 0.03


class Asked(NamedTuple):
    """An exchange as it is made: what it is about, its turns, and which table answers (``ids`` or ``kernel``)."""

    subject: str
    turns: tuple[str, ...]
    sub_command: str
    table: str


def table_exchanges(database: Path, count: int, seed: int) -> Iterator[Exchange]:
    """Yield ``count`` different exchanges, a third each of identification, drivers and other questions.

    Fewer come when the tables hold no more.
    """
    tables, finder = Tables(database), HeldOut(database)
    seen: set[str] = set()
    for kind, (make, number) in enumerate(
        zip((_identify, _driver, _other), (count // 3, count // 3, count - 2 * (count // 3)), strict=True)
    ):
        rng = random.Random(f"{seed}:{kind}")
        made = misses = 0
        while made < number and misses < 1000 + 3 * made:  # a table that has said all is not filled with inventions
            asked = make(tables, rng)
            exchange = _checked(tables, asked) if asked else None
            # Two buses may share an id of which one is held out: then the text must not name it either.
            if exchange is None or exchange.text in seen or finder.named(exchange.text):
                misses += 1
                continue
            seen.add(exchange.text)
            made += 1
            yield exchange


def _checked(tables: Tables, asked: Asked) -> Exchange | None:
    intent = INTENT_OF[asked.sub_command]
    return make_exchange(asked.turns, asked.sub_command, intent, _origin(tables, asked), text_key(asked.subject))


def _origin(tables: Tables, asked: Asked) -> Provenance:
    """Say where an answer comes from."""
    if asked.table == "kernel":
        source, version = tables.meta.get("kernel", "kernel"), tables.meta.get("kernel_version")
        return Provenance(source=source, version=version, licence="GPL-2.0-only", path=asked.subject)
    name = f"{asked.subject.partition(':')[0]}.ids"
    version = tables.meta.get(name.replace(".", "_") + "_version")
    return Provenance(source=name, version=version, licence="GPL-2.0-or-later OR BSD-3-Clause", path=asked.subject)


def _identify(tables: Tables, rng: random.Random) -> Asked | None:
    """A device's name from its id; every second time of a device that a driver serves, since those are asked about."""
    among = tables.served if tables.served and rng.random() < 0.5 else tables.devices
    if not among:
        return None
    key = rng.choice(among)
    if key not in tables.names:
        return None
    question = prompts.identify_question(*key, _maybe(tables.class_of.get(key), rng))
    return Asked(_subject(key), (question, tables.full_name(key)), _identifying(key), "ids")


def _driver(tables: Tables, rng: random.Random) -> Asked | None:
    """A device's driver from its id, with its class and name as often as not."""
    if rng.random() < _BY_CLASS_RULE:
        return _stranger_by_class(tables, rng)
    if not tables.served:
        return None
    key = rng.choice(tables.served)
    name = tables.full_name(key) if key in tables.names and rng.random() < 0.6 else ""
    question = prompts.driver_question(*key, _maybe(tables.class_of.get(key), rng), name)
    return Asked(_subject(key), (question, rng.choice(tables.drivers[key])), "DRV_SELECT", "kernel")


def _stranger_by_class(tables: Tables, rng: random.Random) -> Asked | None:
    """A device in no table, whose class has one driver for all makers."""
    classes = [code for bus, code in tables.class_drivers if bus == "pci"]
    key = tables.stranger(rng, "pci") if classes and tables.devices else None
    if key is None:
        return None
    code = rng.choice(classes)
    question = prompts.driver_question(*key, code)
    return Asked(_subject(key), (question, tables.class_drivers["pci", code]), "DRV_SELECT", "kernel")


def _other(tables: Tables, rng: random.Random) -> Asked | None:
    """Other questions: in a person's words, the kernel's discovery lines, and dialogues."""
    return rng.choice(_OTHERS)(tables, rng)


def _by_name(tables: Tables, rng: random.Random) -> Asked | None:
    if not tables.served_by_name:
        return None
    key = rng.choice(tables.served_by_name)
    form = rng.choice(
        (
            "What driver does the {} need?",
            "Which Linux driver supports the {}?",
            "My machine has this: {}. Which kernel module do I load?",
            "Which module drives the {}?",
        )
    )
    question = form.format(tables.full_name(key))
    return Asked(_subject(key), (question, rng.choice(tables.drivers[key])), "DRV_SELECT", "kernel")


def _by_class(tables: Tables, rng: random.Random) -> Asked | None:
    if not tables.classes:
        return None
    bus, class_code, subclass, interface, name = rng.choice(tables.classes)
    code = f"{class_code:02x}{subclass:02x}" + (f"{interface:02x}" if interface >= 0 else "")
    form = rng.choice(("What kind of device is {} class {}?", "What does {} class {} mean?"))
    question = form.format(bus.upper(), code)
    return Asked(f"{bus}:class:{code}", (question, name), f"IDENTIFY_{bus.upper()}", "ids")


def _by_vendor(tables: Tables, rng: random.Random) -> Asked | None:
    if not tables.devices:
        return None
    bus, vendor, _ = rng.choice(tables.devices)  # makers of many devices come up more often
    name = tables.vendors.get((bus, vendor), "")
    if not name:
        return None
    turns = (
        (f"Who makes {bus.upper()} devices with vendor id {vendor:04x}?", name)
        if rng.random() < 0.5
        else (f"What is the {bus.upper()} vendor id of {name}?", f"{vendor:04x}")
    )
    return Asked(f"{bus}:vendor:{vendor:04x}", turns, f"IDENTIFY_{bus.upper()}", "ids")


def _about_driver(tables: Tables, rng: random.Random) -> Asked | None:
    if not tables.modules:
        return None
    name, description = rng.choice(tables.modules)
    form = rng.choice(("What is the {} kernel module for?", "What does the driver {} do?"))
    return Asked(f"module:{name}", (form.format(name), description), "DRV_SELECT", "kernel")


def _alternatives(tables: Tables, rng: random.Random) -> Asked | None:
    """A second driver, where the kernel has one."""
    if not tables.contested:
        return None
    key = rng.choice(tables.contested)
    first, *others = rng.sample(tables.drivers[key], len(tables.drivers[key]))
    device = prompts.device_id(*key)
    form = rng.choice(
        (
            "Which other driver could serve {device}, if not {driver}?",
            "{driver} does not work for {device}. What else can I try?",
            "Is there an alternative to {driver} for {device}?",
        )
    )
    answer = others[0] if rng.random() < 0.5 else ", ".join(sorted(others))
    return Asked(_subject(key), (form.format(device=device, driver=first), answer), "DRV_FALLBACK", "kernel")


def _unknown(tables: Tables, rng: random.Random) -> Asked | None:
    """A device that no table has: say what is known, and what to try.

    Never in the words of :mod:`slm.prompts`: to those a model shall answer with its best guess, not with its ignorance.
    """
    bus = rng.choice(("pci", "pci", "usb"))
    key = tables.stranger(rng, bus) if tables.devices else None
    if key is None:
        return None
    codes = [code for name, code in tables.class_names if name == "pci"]
    code = rng.choice(codes) if bus == "pci" and codes and rng.random() < 0.6 else None
    device = prompts.device_id(*key, code)
    form = rng.choice(
        (
            "Identify the unknown device {}.",
            "{} is not recognised. What is it, and what can I do?",
            "Nothing claims {}. What now?",
            "I found {}, which no list names. Can you help?",
        )
    )
    kind = f", {tables.class_names[bus, code]}" if code is not None else ""
    driver = tables.class_drivers.get((bus, code)) if code is not None else None
    shown = "lspci -nnk" if bus == "pci" else "lsusb -t"
    advice = (
        f"Its class is served by {driver}: try modprobe {driver}."
        if driver
        else f"See with {shown} whether a driver claims it; if none does, try a newer kernel or its maker's driver."
    )
    known = f"Unknown device [{key[1]:04x}:{key[2]:04x}]: its maker is {tables.maker(bus, key[1])}{kind}"
    return Asked(_subject(key), (form.format(device), f"{known}. {advice}"), _identifying(key), "ids")


def _class_driver(tables: Tables, rng: random.Random) -> Asked | None:
    """The driver of a whole class."""
    if not tables.rules:
        return None
    rule = rng.choice(tables.rules)
    code = f"{rule.class_code:04x}" + (f" interface {rule.interface:02x}" if rule.interface >= 0 else "")
    form = rng.choice(
        (
            "Which driver serves every {bus} device of class {code}?",
            "What is the class driver for {bus} class {code}?",
            "A {bus} device of class {code} is in no table. Which driver do I try?",
            "Name a generic driver for {bus} class {code}.",
        )
    )
    question = form.format(bus=rule.bus.upper(), code=code)
    subject = f"{rule.bus}:class:{rule.class_code:04x}"
    return Asked(subject, (question, rule.driver), "DRV_SELECT", "kernel")


def _discovery(tables: Tables, rng: random.Random) -> Asked | None:
    """The kernel's own dialogue: a summary line, then the driver of what it was told, then perhaps another driver."""
    if not tables.served_by_name:
        return None
    key = rng.choice(tables.served_by_name)
    name, drivers = tables.full_name(key), tables.drivers[key]
    code = tables.class_of.get(key)
    kind = tables.class_names.get((key[0], code), "") if code is not None else ""
    summary = _summary(key, code, rng)
    roll = rng.random()
    if roll < 0.35:
        return Asked(_subject(key), (summary, name), _identifying(key), "ids")
    first, *others = rng.sample(drivers, len(drivers))
    asked = rng.choice(
        ("Which driver does it need?", f"Driver for {name}{f', {kind}' if kind else ''}?", "And its driver?")
    )
    turns = (summary, name, asked, first)
    if roll < 0.75:
        return Asked(_subject(key), turns, "DRV_SELECT", "kernel")
    failed = rng.choice((f"{first} failed to load.", f"failed={first}. Which other driver?", f"{first} does not work."))
    answer = others[0] if others else f"No other driver claims it: read in dmesg why {first} failed."
    return Asked(_subject(key), (*turns, failed, answer), "DRV_FALLBACK", "kernel")


def _summary(key: DeviceKey, code: int | None, rng: random.Random) -> str:
    """Write a device as the kernel announces it: ``PCI 8086:100E class=02:00 [MMIO=0xFEBC0000/128KB IRQ=11]``."""
    bus, vendor, device = key
    if rng.random() < 0.25:
        return f"bus={bus} vendor={vendor:04x} device={device:04x}" + (f" class={code:04x}" if code is not None else "")
    line = f"{bus.upper()} {vendor:04X}:{device:04X}" + (
        f" class={code >> 8:02X}:{code & 255:02X}" if code is not None else ""
    )
    if bus == "pci" and rng.random() < 0.7:
        base, size = 0xF0000000 + (rng.randrange(0xE00) << 16), rng.choice((4, 16, 32, 64, 128, 256, 512))
        line += f" [MMIO=0x{base:08X}/{size}KB IRQ={rng.randrange(3, 24)}]"
    return line


_OTHERS: tuple[Callable[[Tables, random.Random], Asked | None], ...] = (
    _by_name, _by_name, _by_name, _by_name, _about_driver, _about_driver, _by_vendor, _by_class,
    _alternatives, _alternatives, _unknown, _class_driver, _discovery, _discovery, _discovery, _discovery,
)  # fmt: skip


def _subject(key: DeviceKey) -> str:
    return f"{key[0]}:{key[1]:04x}:{key[2]:04x}"


def _identifying(key: DeviceKey) -> str:
    return f"IDENTIFY_{key[0].upper()}"


def _maybe(code: int | None, rng: random.Random) -> int | None:
    return code if rng.random() < 0.5 else None
