"""A device as a caller may write it: a discovery line, ``key=value`` pairs, JSON, or a sentence with an id in it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache

BUSES = ("pci", "usb", "virtio")

#: Four and four hexadecimal digits, not part of a longer chain (an IPv6 or MAC address, a PCI slot address).
_ID = re.compile(r"(?<![0-9a-z:.])([0-9a-f]{4}):([0-9a-f]{4})(?![0-9a-z]|:[0-9a-f]|\.[0-9])", re.IGNORECASE)
_BUS = re.compile(r"(?<![a-z0-9])(pci|usb|virtio)(?:e\b|[^a-z]|$)", re.IGNORECASE)
_BUS_KEY = re.compile(r"\bbus\s*=\s*(\w+)", re.IGNORECASE)
#: Half of what was meant for an id: up to eight characters with a digit among them, but no word with a number after it
#: (``slot2``); or one letter over and over (``zzzz``). No English word is either, so ``class:0200`` is none.
_HALF = r"(?:(?![a-z]{2,}[0-9]*(?![a-z0-9]))(?=[a-z]*[0-9])[a-z0-9]{1,8}|([a-z])\%d{3,7})"
#: After a bus, two of them.
_MEANT = re.compile(
    r"(?<![a-z0-9])(?:pci|usb|virtio)(?:\s+(?:id|device)\b)?[\s=:]+"
    rf"({_HALF % 2}:{_HALF % 3})(?![\w:.])",
    re.IGNORECASE,
)
_NUMBER = r"[\"']?(?:0x)?([0-9a-f]+)\b"
_VENDOR = re.compile(rf"\bvendor(?:[_ ]?id)?[\"']?[\s:=]+{_NUMBER}", re.IGNORECASE)
_DEVICE = re.compile(rf"\b(?:device|product)(?:[_ ]?id)?[\"']?[\s:=]+{_NUMBER}", re.IGNORECASE)
_CLASS = re.compile(
    r"\bclass(?:[_ ]?code)?[\"']?[\s:=]+[\"']?(?:0x)?([0-9a-f]{2}:?[0-9a-f]{2}(?::?[0-9a-f]{2})?)\b", re.IGNORECASE
)
#: Who built a PCI card around its chip; some drivers (iwlwifi) name every card that they serve.
_SUBSYSTEM = re.compile(r"\bsubsystem[\s:=]+([0-9a-f]{4}):([0-9a-f]{4})(?![0-9a-z:])", re.IGNORECASE)


@dataclass(frozen=True)
class Device:
    """A device's identity: 16-bit ids; its class where known.

    ``class_code`` is class and subclass as one 16-bit number, ``interface`` the 8-bit programming interface, and
    ``subsystem`` vendor and device of a PCI card's maker.
    """

    bus: str
    vendor: int
    device: int
    class_code: int | None = None
    interface: int | None = None
    subsystem: tuple[int, int] | None = None

    @property
    def id(self) -> str:
        """The id as ``lspci -n`` prints it, for example ``8086:100e``."""
        return f"{self.vendor:04x}:{self.device:04x}"

    def is_alike(self, other: Device) -> bool:
        """Whether both have the same bus and id; the rest may have been told of one and not of the other."""
        return (self.bus, self.vendor, self.device) == (other.bus, other.vendor, other.device)


@lru_cache(maxsize=256)  # a request's text is read when it comes, and again when it is answered
def parse_device(text: str) -> Device | None:
    """Find the device that ``text`` speaks of; None when it holds no complete id.

    The bus is PCI unless the text names another. Of several ids the first counts.
    """
    return _from_json(text) if text.lstrip().startswith("{") else _from_text(text)


def malformed_id(text: str) -> str | None:
    """Find what stands in a text in the place of a device's id and is none, such as ``zzzz:10d3``.

    For a text in which :func:`parse_device` finds no device.
    """
    match = _MEANT.search(text)
    return match[1] if match else None


def _from_text(text: str) -> Device | None:
    subsystem = _SUBSYSTEM.search(text)
    text = _SUBSYSTEM.sub("", text)
    if match := _ID.search(text):
        vendor, device = int(match[1], 16), int(match[2], 16)
    else:
        by_name = _VENDOR.search(text), _DEVICE.search(text)
        if by_name[0] is None or by_name[1] is None:
            return None
        vendor, device = int(by_name[0][1], 16), int(by_name[1][1], 16)
    bus = _BUS_KEY.search(text) or _BUS.search(text)
    code = _CLASS.search(text)
    return _checked(bus[1].lower() if bus else "pci", vendor, device, code[1] if code else None, _pair(subsystem))


def _from_json(text: str) -> Device | None:
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    vendor, device = (_number(content.get(key)) for key in ("vendor", "device"))
    if vendor is None or device is None:
        return None
    code = content.get("class")
    if isinstance(code, int) and not isinstance(code, bool):
        code = f"{code:04x}" if 0 <= code <= 0xFFFF else f"{code:06x}"
    elif isinstance(code, str):
        found = _CLASS.search(f"class={code}")
        code = found[1] if found else None
    subsystem = _SUBSYSTEM.fullmatch(f"subsystem={content.get('subsystem')}")
    bus = str(content.get("bus", "pci")).lower()
    return _checked(bus, vendor, device, code if isinstance(code, str) else None, _pair(subsystem))


def _pair(found: re.Match[str] | None) -> tuple[int, int] | None:
    return (int(found[1], 16), int(found[2], 16)) if found else None


def _number(value: object) -> int | None:
    """Read an id given as a number, or as hexadecimal text with or without ``0x``."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"(0[xX])?[0-9a-fA-F]{1,4}", value):
        return int(value, 16)
    return None


def _checked(bus: str, vendor: int, device: int, code: str | None, subsystem: tuple[int, int] | None) -> Device | None:
    if bus not in BUSES or not 0 <= vendor <= 0xFFFF or not 0 <= device <= 0xFFFF:
        return None
    digits = (code or "").replace(":", "")
    return Device(
        bus,
        vendor,
        device,
        int(digits[:4], 16) if digits else None,
        int(digits[4:6], 16) if len(digits) >= 6 else None,
        subsystem if bus == "pci" else None,
    )
