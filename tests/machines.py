"""Machines for tests: compact descriptions in ``tests/data/machines``, laid out as the sysfs that a kernel shows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import yaml

FOLDER = Path(__file__).parent / "data" / "machines"
MACHINES = ("laptop", "server", "vm")


@dataclass(frozen=True)
class Place:
    """A device, its class as six hexadecimal digits, what serves it, and a PCI card's subsystem as lspci writes it."""

    bus: str
    name: str
    vendor: int
    device: int
    code: str
    driver: str = ""
    module: str = ""
    card: str = "0000:0000"

    def modalias(self) -> str:
        """Write what the kernel writes."""
        if self.bus == "virtio":
            return f"virtio:d{self.device:08X}v{self.vendor:08X}"
        code = self.code.upper()
        if self.bus == "usb":
            ids = f"usb:v{self.vendor:04X}p{self.device:04X}d0100dc00dsc00dp00"
            return f"{ids}ic{code[:2]}isc{code[2:4]}ip{code[4:]}in00"
        maker, model = (int(digits, 16) for digits in self.card.split(":"))
        ids = f"pci:v{self.vendor:08X}d{self.device:08X}sv{maker:08X}sd{model:08X}"
        return f"{ids}bc{code[:2]}sc{code[2:4]}i{code[4:]}"


@dataclass(frozen=True)
class Machine:
    """A described machine; ``verdicts`` are those that are not ``agrees``."""

    name: str
    places: tuple[Place, ...]
    verdicts: dict[str, str]

    @classmethod
    def load(cls, name: str) -> Self:
        """Read the description called ``name``."""
        content = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
        places = []
        for bus in ("pci", "usb", "virtio"):
            for place, (ids, code, *served) in content.get(bus, {}).items():
                vendor, device = (int(digits, 16) for digits in ids.split(":"))
                places.append(Place(bus, place, vendor, device, code, *served))
        return cls(name, tuple(places), content["verdicts"] or {})

    def sysfs(self, root: Path) -> Path:
        """Lay out what the machine's sysfs holds of its devices below ``root``."""
        for place in self.places:
            home = root / "sys/devices" / place.bus / place.name
            home.mkdir(parents=True)
            (home / "modalias").write_text(place.modalias() + "\n")
            listing = root / "sys/bus" / place.bus / "devices"
            listing.mkdir(parents=True, exist_ok=True)
            (listing / place.name).symlink_to(os.path.relpath(home, listing))
            if not place.driver:
                continue
            driver = root / "sys/bus" / place.bus / "drivers" / place.driver
            driver.mkdir(parents=True, exist_ok=True)
            (home / "driver").symlink_to(os.path.relpath(driver, home))
            if place.module and not (driver / "module").is_symlink():
                module = root / "sys/module" / place.module
                module.mkdir(parents=True, exist_ok=True)
                (driver / "module").symlink_to(os.path.relpath(module, driver))
        return root

    def lspci(self) -> str:
        """Write what ``lspci -nn -k`` prints."""
        lines = []
        for place in self.places:
            if place.bus != "pci":
                continue
            interface = f" (prog-if {place.code[4:]} [Some])"
            ids = f"[{place.vendor:04x}:{place.device:04x}] (rev 02){interface}"
            lines.append(f"{place.name} Some class [{place.code[:4]}]: Maker [its name] and model {ids}")
            lines.append(f"\tSubsystem: Other maker Device [{place.card}]")
            if place.driver:
                lines.append(f"\tKernel driver in use: {place.driver}")
            if place.module:
                lines.append(f"\tKernel modules: {place.module}")
        return "\n".join(lines) + "\n"

    def lsusb(self) -> str:
        """Write what ``lsusb`` prints."""
        places = [place for place in self.places if place.bus == "usb"]
        return "".join(
            f"Bus 001 Device {number:03d}: ID {place.vendor:04x}:{place.device:04x} Maker, Inc. Model\n"
            for number, place in enumerate(places, 1)
        )
