"""Texts from tables: kernel modules and id lists, written as sentences, without the devices held out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from slm.corpus.devices import held_out, split_alias
from slm.corpus.idlist import parse_ids
from slm.corpus.members import Unreadable, decode_text
from slm.corpus.modinfo import module_name, read_modinfo
from slm.errors import SourceError

#: A module that claims more ids than this has the first ones listed.
_LISTED = 40


def extract_module(path: str, data: bytes) -> Iterator[tuple[str, str]]:
    """Yield what a module says of itself: description, dependencies, parameters, and the ids that it claims."""
    try:
        info = read_modinfo(path, data)
    except SourceError as error:
        raise Unreadable("no kernel module") from error
    name = module_name(path)
    description = " ".join(" ".join(info.get("description", [])).split())
    folder = re.sub(r"^.*?/kernel/", "", path).rpartition("/")[0]
    lines = [f"{name}: {description}" if description else name, ""]
    lines.append(f"{name} is a Linux kernel module" + (f" from {folder}." if folder else "."))
    depends = [item.replace("-", "_") for entry in info.get("depends", []) for item in entry.split(",") if item]
    if depends:
        lines.append(f"It needs the modules {', '.join(depends)}.")
    for bus in ("pci", "usb", "virtio"):
        ids = sorted(
            {
                (vendor, device)
                for alias in info.get("alias", [])
                if (parts := split_alias(alias)) and parts[0] == bus
                for vendor, device in [parts[1:]]
                if vendor >= 0 and device >= 0 and not held_out(bus, vendor, device)
            }
        )
        if ids:
            shown = ", ".join(f"{vendor:04x}:{device:04x}" for vendor, device in ids[:_LISTED])
            lines.append(f"It drives the {bus.upper()} devices {shown}{' and others' if len(ids) > _LISTED else ''}.")
    for parameter in info.get("parm", []):
        option, _, meaning = parameter.partition(":")
        lines.append(f"Parameter {option}: {' '.join(meaning.split())}")
    yield path, "\n".join(lines)


def extract_ids(path: str, data: bytes) -> Iterator[tuple[str, str]]:
    """Yield one text a vendor, with its devices, and one a device class, with its subclasses."""
    bus = "usb" if "usb" in path.rpartition("/")[2] else "pci"
    ids = parse_ids(decode_text(data))
    devices: dict[int, list[str]] = {}
    for (vendor, device), name in ids.devices.items():
        if not held_out(bus, vendor, device):
            devices.setdefault(vendor, []).append(f"{vendor:04x}:{device:04x} {name}")
    for vendor, name in ids.vendors.items():
        if vendor in devices:
            lines = [f"{bus.upper()} vendor {vendor:04x}: {name}", "", *devices[vendor]]
            yield f"{path}#{vendor:04x}", "\n".join(lines)
    below: dict[int, list[str]] = {}
    for (class_code, subclass, interface), name in ids.classes.items():
        if subclass >= 0:
            code = f"{class_code:02x}{subclass:02x}" + ("" if interface < 0 else f"{interface:02x}")
            below.setdefault(class_code, []).append(f"{bus.upper()} class {code} {name}")
    for class_code, names in below.items():
        head = f"{bus.upper()} class {class_code:02x}: {ids.classes[class_code, -1, -1]}"
        yield f"{path}#class-{class_code:02x}", "\n".join([head, "", *names])
