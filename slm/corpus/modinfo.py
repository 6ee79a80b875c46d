"""What a kernel module says of itself: the ``.modinfo`` section of an ELF64 object.

Layout: System V ABI, "ELF-64 Object File Format" (header 64 bytes, section headers 64 bytes each). The section holds
``key=value`` strings, each ended by NUL (``MODULE_INFO`` in the kernel's ``include/linux/moduleparam.h``). A module
comes from outside: every offset is checked against the file's size.
"""

from __future__ import annotations

import gzip
import io
import lzma
import struct
from pathlib import PurePosixPath

import zstandard

from slm.errors import SourceError

#: How modules are named, plain and compressed.
SUFFIXES = (".ko", ".ko.gz", ".ko.xz", ".ko.zst")

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_MAX_MODULE = 256 << 20


def module_name(path: str) -> str:
    """Return the name by which ``modprobe`` knows the module at ``path``: no suffix, ``-`` written ``_``."""
    return PurePosixPath(path).name.partition(".ko")[0].replace("-", "_")


def decompressed(path: str, data: bytes) -> bytes:
    """Undo ``.xz`` and ``.zst`` (``.gz`` too, though readers undo that already).

    :raises SourceError: when the data is damaged.
    """
    try:
        if data.startswith(b"\xfd7zXZ\x00"):
            return lzma.LZMADecompressor().decompress(data, _MAX_MODULE)
        if data.startswith(b"\x28\xb5\x2f\xfd"):
            return zstandard.ZstdDecompressor().stream_reader(data).read(_MAX_MODULE)
        if data.startswith(b"\x1f\x8b"):
            return gzip.GzipFile(fileobj=io.BytesIO(data)).read(_MAX_MODULE)
    except (OSError, EOFError, lzma.LZMAError, zstandard.ZstdError) as error:
        raise SourceError(f"The kernel module {path} is damaged: {error}") from error
    return data


def read_modinfo(path: str, data: bytes) -> dict[str, list[str]]:
    """Return the values of every key of a module's ``.modinfo``, in file order.

    :param path: named in errors.
    :param data: the module, compressed or not.
    :raises SourceError: when it is no little-endian ELF64 file, or an offset in it leads outside.
    """
    data = decompressed(path, data)
    info: dict[str, list[str]] = {}
    for item in _section(path, data, b".modinfo").split(b"\0"):
        key, separator, value = item.partition(b"=")
        if separator:
            info.setdefault(key.decode("utf-8", "replace"), []).append(value.decode("utf-8", "replace"))
    return info


def _section(path: str, data: bytes, wanted: bytes) -> bytes:
    """Return the content of the section named ``wanted``; empty when there is none."""
    if len(data) < _HEADER.size:
        raise SourceError(f"The kernel module {path} is too short for an ELF file ({len(data)} bytes).")
    header = _HEADER.unpack_from(data)
    identity, table, entry_size, count, names = header[0], header[6], header[11], header[12], header[13]
    if identity[:6] != b"\x7fELF\x02\x01":
        raise SourceError(f"The kernel module {path} is not a little-endian ELF64 file.")
    if count == 0:
        return b""
    if entry_size != _SECTION.size or table + count * entry_size > len(data) or names >= count:
        raise SourceError(f"The kernel module {path} has a section table that leads outside the file.")
    sections = [_SECTION.unpack_from(data, table + index * entry_size) for index in range(count)]

    def content(index: int) -> bytes:
        offset, size = sections[index][4], sections[index][5]
        if offset + size > len(data):
            raise SourceError(f"The kernel module {path} has a section that leads outside the file.")
        return data[offset : offset + size]

    strings = content(names)
    for index, section in enumerate(sections):
        start = section[0]
        if strings[start : start + len(wanted) + 1] == wanted + b"\0":
            return content(index)
    return b""
