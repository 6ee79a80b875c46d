"""A small corpus in our own words for tests of whole builds: ``python tests/data/corpus/make.py FOLDER``.

All text comes from a seeded grammar, so nothing needs to be stored: about 60 000 tokens in folders for the four
buckets, two id lists and a ``modules.alias``. The same call writes the same bytes.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

THINGS = (  # noqa: SIM905
    "buffer cache interrupt queue scheduler spinlock page table timer inode socket packet descriptor mapping region "
    "semaphore workqueue handler register bridge controller port channel clock regulator sensor ring filter route "
    "process thread signal pipe mount disk partition volume journal block bus adapter firmware image module driver "
    "device console log policy user group service unit package archive mirror release key password certificate"
).split()
DEEDS = (  # noqa: SIM905
    "allocates releases locks wakes copies maps flushes resets enables disables registers checks reads writes "
    "queues drops forwards mounts scans installs removes updates verifies configures starts stops lists prints"
).split()
MANNERS = (  # noqa: SIM905
    "before it returns|while the lock is held|when the system starts|after the last user is gone|without waiting|"
    "in the order of arrival|as soon as memory allows|unless an error was found|once per second|on every processor|"
    "only when it is asked to|until the timeout has passed|with interrupts disabled|for each open file"
).split("|")
KINDS = ("small", "shared", "virtual", "physical", "broken", "pending", "private", "remote", "local", "empty", "fast")
BRANDS = ("Nordwerk", "Halden", "Pixelon", "Tessera", "Quanta Works", "Blue Ridge", "Ostrava Labs", "Kestrel")
PRODUCTS = {
    "ethernet": ("nwe", 0x0200, "Gigabit Ethernet Controller"),
    "wireless": ("hwifi", 0x0280, "Wireless Adapter"),
    "storage": ("tsata", 0x0106, "SATA Host Controller"),
    "sound": ("psnd", 0x0403, "Audio Device"),
    "graphics": ("qdrm", 0x0300, "Graphics Adapter"),
}


def sentence(rng: random.Random) -> str:
    """Say something about a system."""
    one, other = rng.sample(THINGS, 2)
    text = f"the {rng.choice(KINDS)} {one} {rng.choice(DEEDS)} the {other} {rng.choice(MANNERS)}"
    if rng.random() < 0.3:
        text += f", and the {rng.choice(THINGS)} {rng.choice(DEEDS)} {rng.randint(2, 64)} of them"
    return text[0].upper() + text[1:] + "."


def paragraph(rng: random.Random) -> str:
    """Say a few things."""
    return " ".join(sentence(rng) for _ in range(rng.randint(2, 5)))


def write_corpus(folder: Path, size: int = 120) -> None:
    """Write the corpus below ``folder``: ``size`` files for each bucket."""
    rng = random.Random(7)
    for number in range(size):
        one, other = rng.sample(THINGS, 2)
        name = f"{one}_{other}_{number}"
        comments = [f"/*\n * {paragraph(rng)}\n */\nint {name}_{i}(struct {one} *p);\n" for i in range(4)]
        _write(folder / f"os_code/include/{name}.h", "/* SPDX-License-Identifier: MIT */\n" + "\n".join(comments))
        sections = [
            f"{rng.choice(THINGS).title()}s\n======\n\n{paragraph(rng)}\n\n* {sentence(rng)}\n" for _ in range(3)
        ]
        _write(folder / f"hardware/{name}.rst", f"{one} {other} {number}\n--------\n\n" + "\n".join(sections))
        options = [f".TP\n.B \\-\\-{rng.choice(DEEDS)}\n{paragraph(rng)}" for _ in range(2)]
        page = [f".TH {name} 8", ".SH NAME", f"{name} \\- {sentence(rng)}", ".SH DESCRIPTION", paragraph(rng)]
        _write(folder / f"sysadmin/{name}.8", "\n".join([*page, ".SH OPTIONS", *options, ""]))
        steps = "".join(f"<li>{sentence(rng)}</li>" for _ in range(3))
        body = f"<h1>How to handle the {one}</h1><p>{paragraph(rng)}</p><ol>{steps}</ol><p>{paragraph(rng)}</p>"
        _write(folder / f"instructions/{name}.html", f"<html><body><nav>Next</nav>{body}</body></html>")
    _write_devices(folder / "devices", rng)


def _write_devices(folder: Path, rng: random.Random) -> None:
    lists: dict[str, list[str]] = {"pci": ["# Version: 1.0"], "usb": ["# Version: 1.0"]}
    aliases = ["# Aliases extracted from modules themselves."]
    for bus, lines in lists.items():
        for number, brand in enumerate(BRANDS):
            vendor = 0x8000 + 0x101 * number
            lines.append(f"{vendor:04x}  {brand}")
            for device in sorted(rng.sample(range(0x1000, 0x2000), 30)):
                kind, (driver, _, product) = rng.choice(list(PRODUCTS.items()))
                lines.append(f"\t{device:04x}  {product} {kind[0].upper()}{device & 0xFFF}")
                pattern = f"pci:v{vendor:08X}d{device:08X}sv*sd*bc*sc*i*"
                if bus == "usb":
                    pattern = f"usb:v{vendor:04X}p{device:04X}d*dc*dsc*dp*ic*isc*ip*in*"
                aliases.append(f"alias {pattern} {driver}{'-usb' if bus == 'usb' else ''}")
    for driver, code, _ in PRODUCTS.values():
        aliases.append(f"alias pci:v*d*sv*sd*bc{code >> 8:02X}sc{code & 255:02X}i* {driver}")
    aliases.append("alias virtio:d00000001v* virtio_net")
    lists["pci"] += [
        "C 01  Mass storage controller",
        "\t06  SATA controller",
        "\t\t01  AHCI 1.0",
        "C 02  Network controller",
    ]
    lists["pci"] += ["\t00  Ethernet controller", "\t80  Network controller", "C 03  Display controller", "\t00  VGA"]
    lists["usb"] += ["C 03  Human Interface Device", "\t01  Boot Interface Subclass", "\t\t01  Keyboard"]
    for bus, lines in lists.items():
        _write(folder / f"{bus}.ids", "\n".join(lines) + "\n")
    _write(folder / "modules.alias", "\n".join(aliases) + "\n")


def corpus_section(folder: Path, tokens: int = 60_000, name: str = "test") -> dict[str, Any]:
    """Return the ``corpus:`` section of a build spec for the corpus in ``folder``."""
    extractors = {"os_code": "c_comments", "hardware": "rst", "sysadmin": "man", "instructions": "html"}
    devices = {"folder": str(folder / "devices")}
    return {
        "name": name,
        "tokens": tokens,
        "max_characters": 4000,
        "sources": [
            {"bucket": bucket, "origin": {"folder": str(folder / bucket)}, "extract": extractor, "licence": "MIT"}
            for bucket, extractor in extractors.items()
        ],
        "devices": {"pci_ids": devices, "usb_ids": devices, "kernel": devices, "exchanges": 300},
    }


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_corpus(Path(sys.argv[1]))
