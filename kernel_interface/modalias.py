"""The names by which the kernel's modules claim devices: a device's *modalias*, and patterns over such names.

Formats: Linux, ``scripts/mod/file2alias.c``. A pattern is one of ``fnmatch(3)``; ``modprobe`` compares with that
function of the C library, and so do we, so that no rule of it has to be written a second time.
"""

from __future__ import annotations

import ctypes

from kernel_interface.devices import Device

#: Stands for a field that the asker does not know: only ``*`` matches it, for no pattern contains it.
_UNKNOWN = "~"

#: Programming interfaces that a summary without one implies, since the subclass has no other in use:
#: serial ATA speaks AHCI, non-volatile memory speaks NVMe (PCI Code and ID Assignment Specification, section 1.2).
_USUAL_INTERFACE = {0x0106: 0x01, 0x0108: 0x02}

VIRTIO_VENDOR = 0x1AF4
#: Transitional PCI device ids and the virtio device types behind them (Virtual I/O Device specification 1.2, 4.1.2.1).
_TRANSITIONAL = {0x1000: 1, 0x1001: 2, 0x1002: 5, 0x1003: 3, 0x1004: 8, 0x1005: 4, 0x1009: 9}

_fnmatch = ctypes.CDLL(None).fnmatch
_fnmatch.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int)
_fnmatch.restype = ctypes.c_int


def modalias(device: Device) -> str:
    """Write a device's modalias, with a sign that only ``*`` matches wherever a field is not known."""
    if device.bus == "virtio":
        return f"virtio:d{device.device:08X}v{device.vendor:08X}"
    parts = None if device.class_code is None else divmod(device.class_code, 256)
    major, minor = (f"{parts[0]:02X}", f"{parts[1]:02X}") if parts else (_UNKNOWN, _UNKNOWN)
    known = device.interface
    if known is None and device.bus == "pci":
        known = _USUAL_INTERFACE.get(device.class_code or 0)
    interface = _UNKNOWN if known is None else f"{known:02X}"
    if device.bus == "usb":
        ids = f"usb:v{device.vendor:04X}p{device.device:04X}d{_UNKNOWN}"
        return ids + f"dc{_UNKNOWN}dsc{_UNKNOWN}dp{_UNKNOWN}ic{major}isc{minor}ip{interface}in{_UNKNOWN}"
    card = tuple(f"{number:08X}" for number in device.subsystem) if device.subsystem else (_UNKNOWN, _UNKNOWN)
    ids = f"pci:v{device.vendor:08X}d{device.device:08X}sv{card[0]}sd{card[1]}"
    return ids + f"bc{major}sc{minor}i{interface}"


def virtio_function(device: Device) -> Device | None:
    """Return what a virtio PCI device is on the virtio bus, None for any other device.

    Ids up to 0x103f are transitional; from 0x1040 on, the rest is the device type itself.
    """
    if device.bus != "pci" or device.vendor != VIRTIO_VENDOR:
        return None
    kind = _TRANSITIONAL.get(device.device)
    if kind is None and 0x1040 < device.device <= 0x107F:
        kind = device.device - 0x1040
    return None if kind is None else Device("virtio", VIRTIO_VENDOR, kind)


def specificity(pattern: str) -> int:
    """Count the characters that a pattern fixes; a bracketed choice counts as one."""
    fixed, inside = 0, False
    for character in pattern:
        fixed += not inside and character not in "*?"
        inside = character == "[" or (inside and character != "]")
    return fixed


def normalised(text: str) -> bytes | None:
    """Write a name or a pattern as ``modprobe`` compares it: ``-`` is ``_``, except within brackets.

    None for what no module can be found by: a bracket without its other half, or a NUL.
    """
    if "-" not in text and "[" not in text and "]" not in text and "\0" not in text:
        return text.encode(errors="replace")
    written, inside = [], False
    for character in text:
        if character == "\0" or (character == "]" and not inside):
            return None
        inside = (inside or character == "[") and character != "]"
        written.append("_" if character == "-" and not inside else character)
    return None if inside else "".join(written).encode(errors="replace")


def matches(pattern: bytes, name: bytes) -> bool:
    """Say whether a normalised pattern matches a normalised name, as ``modprobe`` decides it."""
    return bool(_fnmatch(pattern, name, 0) == 0)
