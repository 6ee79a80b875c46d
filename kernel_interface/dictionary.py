"""A constant dictionary: bytes to bytes, in one file that is written once and read without being parsed.

Layout, little-endian:

| part | bytes | content |
|---|---:|---|
| header | 24 | magic ``AUTONKNO``, version u32 (1), number of slots u32 (a power of two), size of the file u64 |
| slots | 8 · slots | the key's CRC-32 u32, where its entry begins u32, counted from the file's start; 0 for none |
| entries | | key length u16, value length u32, the key, the value; sorted by key |
| digest | 32 | SHA-256 of all before it |

A key is looked for from slot ``crc32(key)`` modulo the slots onwards, up to an empty one; at least half of them are
empty. Equal contents give equal bytes.
"""

from __future__ import annotations

import hashlib
import struct
import sys
import zlib
from array import array
from collections.abc import Mapping
from pathlib import Path

from slm.errors import ArtefactError

MAGIC = b"AUTONKNO"
VERSION = 1

_HEADER = struct.Struct("<8sIIQ")
_SLOT = struct.Struct("<II")
_ENTRY = struct.Struct("<HI")
_DIGEST = hashlib.sha256().digest_size


def encode(content: Mapping[bytes, bytes]) -> bytes:
    """Write a dictionary as the bytes of its file."""
    slots = 2
    while slots < 2 * len(content):
        slots *= 2
    places = [0] * (2 * slots)
    entries = bytearray()
    first = _HEADER.size + _SLOT.size * slots
    for key, value in sorted(content.items()):
        crc = zlib.crc32(key)
        at = crc & (slots - 1)
        while places[2 * at + 1]:
            at = (at + 1) & (slots - 1)
        places[2 * at : 2 * at + 2] = crc, first + len(entries)
        entries += _ENTRY.pack(len(key), len(value)) + key + value
    header = _HEADER.pack(MAGIC, VERSION, slots, first + len(entries) + _DIGEST)
    body = header + struct.pack(f"<{2 * slots}I", *places) + entries
    return body + hashlib.sha256(body).digest()


class Dictionary:
    """A dictionary that somebody wrote, checked as a whole before anything in it is believed.

    :param data: the file's bytes. They are held in memory and not mapped: the check has to touch every page anyhow,
        and whoever shortens a mapped file in place kills its readers (SIGBUS).
    :param name: how errors call it.
    :raises ArtefactError: when it is no such file, was cut short or altered, or is of another version.
    """

    def __init__(self, data: bytes, name: str) -> None:
        if len(data) < _HEADER.size + _DIGEST or not data.startswith(MAGIC):
            raise ArtefactError(f"{name} does not hold device tables.", "Name a devices.sqlite, or build a file anew.")
        _, version, slots, size = _HEADER.unpack_from(data)
        if version != VERSION:
            raise ArtefactError(f"{name} is of version {version}; this program reads {VERSION}.", "Build it anew.")
        if size != len(data):
            raise ArtefactError(f"{name} has {len(data)} bytes, but says {size}: it was cut short.", "Build it anew.")
        if hashlib.sha256(memoryview(data)[:-_DIGEST]).digest() != data[-_DIGEST:]:
            raise ArtefactError(f"{name} was altered: its digest is not that of its content.", "Build it anew.")
        if _HEADER.size + _SLOT.size * slots > len(data):
            raise ArtefactError(f"{name} points outside itself.", "Build it anew.")
        self._data, self._last, self._name = data, slots - 1, name
        # As numbers: nearly every key that is looked for has an empty slot, and is to be told so at once.
        self._slots = array("I", data[_HEADER.size : _HEADER.size + _SLOT.size * slots])
        if sys.byteorder == "big":
            self._slots.byteswap()

    @classmethod
    def open(cls, path: Path) -> Dictionary:
        """Read the dictionary at ``path``.

        :raises ArtefactError: as the constructor does, and when there is none.
        """
        try:
            return cls(path.read_bytes(), str(path))
        except OSError as error:
            raise ArtefactError(f"{path} cannot be read ({error.strerror}).", "Name another file.") from error

    def get(self, key: bytes) -> bytes | None:
        """Return the value of ``key``, None when it has none."""
        slots, data, last = self._slots, self._data, self._last
        crc = zlib.crc32(key)
        at = crc & last
        try:
            while entry := slots[2 * at + 1]:
                if slots[2 * at] == crc:
                    size, length = _ENTRY.unpack_from(data, entry)
                    start = entry + _ENTRY.size
                    if data[start : start + size] == key:
                        return data[start + size : start + size + length]
                at = (at + 1) & last
                if at == crc & last:  # all of them are full
                    break
        except (struct.error, IndexError) as error:
            raise ArtefactError(f"{self._name} points outside itself.", "Build it anew.") from error
        return None
