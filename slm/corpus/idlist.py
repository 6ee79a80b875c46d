"""The format of ``pci.ids`` and ``usb.ids``: vendors with their devices, classes with their subclasses.

Both are lines indented by tabs: ``vvvv  Vendor``, then ``<tab>dddd  Device``; and ``C cc  Class``, then
``<tab>ss  Subclass`` and ``<tab><tab>pp  Interface``. pci.ids nests subsystems below devices, usb.ids has
lists of other things after the classes (``AT``, ``HID``, ``L``, …); neither is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_VENDOR = re.compile(r"([0-9a-fA-F]{4})\s+(\S.*)")
_DEVICE = re.compile(r"\t([0-9a-fA-F]{4})\s+(\S.*)")
_CLASS = re.compile(r"C ([0-9a-fA-F]{2})\s+(\S.*)")
_BELOW = re.compile(r"(\t\t?)([0-9a-fA-F]{2})\s+(\S.*)")


@dataclass
class IdList:
    """A parsed list.

    ``classes`` is keyed by (class, subclass, interface), -1 where a level is not given.
    """

    vendors: dict[int, str] = field(default_factory=dict)
    devices: dict[tuple[int, int], str] = field(default_factory=dict)
    classes: dict[tuple[int, int, int], str] = field(default_factory=dict)
    version: str = ""


def parse_ids(text: str) -> IdList:
    """Parse the text of an id list; lines that fit nowhere are passed over."""
    found = IdList()
    vendor: int | None = None
    class_code: int | None = None
    subclass = -1
    for line in text.splitlines():
        if line.startswith("#"):
            if match := re.match(r"#\s+Version:\s*(\S+)", line):
                found.version = match[1]
            continue
        if match := _VENDOR.fullmatch(line):
            vendor, class_code = int(match[1], 16), None
            found.vendors[vendor] = match[2].strip()
        elif match := _CLASS.fullmatch(line):
            vendor, class_code, subclass = None, int(match[1], 16), -1
            found.classes[class_code, -1, -1] = match[2].strip()
        elif vendor is not None and (match := _DEVICE.fullmatch(line)):
            found.devices[vendor, int(match[1], 16)] = match[2].strip()
        elif class_code is not None and (match := _BELOW.fullmatch(line)):
            if match[1] == "\t":
                subclass = int(match[2], 16)
                found.classes[class_code, subclass, -1] = match[3].strip()
            elif subclass >= 0:
                found.classes[class_code, subclass, int(match[2], 16)] = match[3].strip()
        elif line and not line.startswith("\t"):
            vendor = class_code = None
    return found
