"""Unpacking streams: what they are packed with is seen from their first bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from typing import IO, Any

import zstandard

#: How much of a zstandard frame is unpacked at once, in bytes. A block of four bytes can stand for 128 KiB
#: (RFC 8878, section 3.1.1.2), and the library returns all that a piece unpacks to, here at most 8 MiB.
_ZSTANDARD_PIECE = 256
#: What unpackers raise on damaged data.
DAMAGE = (tarfile.TarError, EOFError, OSError, ValueError, zlib.error, lzma.LZMAError, zstandard.ZstdError)


def decompressed(file: IO[bytes]) -> IO[bytes]:
    """Return the content of a file that is compressed with gzip, bzip2, xz, zstandard or not at all.

    Reading it raises one of :data:`DAMAGE` when the file is damaged or cut short.
    """
    buffered = io.BufferedReader(file, 1 << 17)  # type: ignore[type-var]
    start = buffered.peek(6)[:6]
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=buffered)  # type: ignore[return-value]
    if start.startswith(b"BZh"):
        return bz2.BZ2File(buffered)
    if start == b"\xfd7zXZ\x00":
        return lzma.LZMAFile(buffered)
    if start.startswith(b"\x28\xb5\x2f\xfd"):
        return io.BufferedReader(_Zstandard(buffered), 1 << 17)
    return buffered


class _Zstandard(io.RawIOBase):
    """A file of one or more zstandard frames that says when it is cut short; the library's own reader does not."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._begun = False
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            if self._frame.eof:
                packed = self._frame.unused_data
                self._frame, self._begun = zstandard.ZstdDecompressor().decompressobj(), False
            else:
                packed = b""
            if not (packed := packed or self._file.read(_ZSTANDARD_PIECE)):
                if self._begun:
                    raise EOFError("it is cut short")
                return 0
            self._begun = True
            self._ready = memoryview(self._frame.decompress(packed))
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size
