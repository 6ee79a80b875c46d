"""The database of operating systems: what each needs, which virtual devices it drives, what follows what.

Format: ``osinfo.rng`` of osinfo-db (libosinfo.org). Translations, installation media and scripts are passed over, and
so are the devices held out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

from slm.corpus.devices import held_out
from slm.corpus.members import Unreadable

_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_DEVICE = re.compile(r"http://(?:pcisig|usb)\.(?:com|org)/(pci|usb)/([0-9A-Fa-f]{4})/([0-9A-Fa-f]{4})")
_FACTS = ("short-id", "version", "vendor", "family", "distro", "codename", "release-date", "eol-date")
_OF_DEVICE = ("vendor", "product", "class", "bus-type")
_SIZES = {"ram": "memory", "storage": "storage"}


def extract_osinfo(path: str, data: bytes) -> Iterator[tuple[str, str]]:
    """Yield a file of the database as one text, a paragraph for each system, platform and device.

    :raises Unreadable: when it is no XML, or declares a document type, which no file of the database does.
    """
    if b"\0" in data:  # UTF-16 would hide from the next question
        raise Unreadable("binary")
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise Unreadable("declares a document type")
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise Unreadable(f"is no XML: {error}") from error
    paragraphs = [text for element in root if (text := _paragraph(element))]
    if paragraphs:
        yield path, "\n\n".join(paragraphs)


def _paragraph(element: ElementTree.Element) -> str:
    name = _first(element, "name")
    match element.tag:
        case "os" | "platform" if name:
            lines = [f"{name} ({'operating system' if element.tag == 'os' else 'virtual platform'})"]
            facts = [f"{fact.replace('-', ' ')} {', '.join(_all(element, fact))}" for fact in _FACTS]
            lines.append("; ".join(fact for fact in facts if not fact.endswith(" ")))
            for relation, title in (("derives-from", "Derives from"), ("upgrades", "Upgrades")):
                if before := [tail for other in element.findall(relation) if (tail := _tail(other.get("id", "")))]:
                    lines.append(f"{title} {', '.join(before)}")
            lines += [line for resources in element.findall("resources") for line in _resources(resources)]
            if devices := [text for each in element.iter("device") if (text := _named(each.get("id", "")))]:
                lines.append(f"Drives {', '.join(dict.fromkeys(devices))}")
            return "\n".join(line for line in lines if line)
        case "device" if name and (device := _named(element.get("id", ""))):
            facts = [f"{fact.replace('-', ' ')} {value}" for fact in _OF_DEVICE if (value := _first(element, fact))]
            return f"{name} ({device}): {'; '.join(facts)}" if facts else ""
        case _:
            return ""


def _all(element: ElementTree.Element, tag: str) -> list[str]:
    """Return the texts of an element's children of a kind, translations left out, in their order."""
    here = [child for child in element.findall(tag) if _LANGUAGE not in child.attrib]
    return [text for child in here if (text := " ".join((child.text or "").split()))]


def _first(element: ElementTree.Element, tag: str) -> str:
    return next(iter(_all(element, tag)), "")


def _resources(element: ElementTree.Element) -> Iterator[str]:
    """Write what an architecture needs; sizes are in bytes, and those that are no numbers are passed over."""
    of = f" on {arch}" if (arch := element.get("arch", "all")) != "all" else ""
    for level in ("minimum", "recommended", "maximum"):
        needs = element.find(level)
        if needs is None:
            continue
        sizes = {title: _first(needs, tag) for tag, title in _SIZES.items()}
        found = [f"{_size(int(size))} of {title}" for title, size in sizes.items() if _is_size(size)]
        if _is_size(count := _first(needs, "n-cpus")):
            found.insert(0, f"{int(count)} processor{'s' if int(count) > 1 else ''}")
        if found:
            yield f"{level.capitalize()}{of}: {', '.join(found)}"


def _is_size(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def _size(count: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20)):
        if count >= size:
            return f"{count / size:.4g} {unit}"
    return f"{count} bytes"


def _tail(identity: str) -> str:
    """Return what an address says after its host: ``http://debian.org/debian/11`` is debian 11."""
    return " ".join(identity.rstrip("/").split("/")[3:])


def _named(identity: str) -> str:
    """Name a device by its bus and numbers; nothing for one that is held out."""
    if match := _DEVICE.fullmatch(identity):
        bus, vendor, device = match.groups()
        if held_out("pci" if bus == "pci" else "usb", int(vendor, 16), int(device, 16)):
            return ""
        return f"{bus.upper()} {vendor.lower()}:{device.lower()}"
    return _tail(identity)
