"""Reading the files of a fetched origin one after another, straight out of its archive.

Nothing is unpacked to disk: a package streams through ``dpkg-deb --fsys-tarfile``, and an archive inside it through its
decompressor, so an entry named ``../../etc`` or a link that leads outside has nothing to write to and nothing to read
from. Links are passed over (a man page's aliases are links; the page itself comes once). One bad file is reported and
passed over; an archive that is damaged as a whole ends the reading.
"""

from __future__ import annotations

import codecs
import contextlib
import itertools
import json
import os
import re
import subprocess
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple, Self

from slm.corpus.documents import read_shard
from slm.corpus.fetch import NO_FILE, OTHER, Fetched, files_below
from slm.corpus.unpack import DAMAGE, decompressed
from slm.errors import SourceError

#: No file that holds text or a kernel module comes near this; a larger one is a decompression bomb or an image.
MAX_BYTES = 64 << 20
#: What an entry of an archive may have in names and attributes.
_MAX_HEADER = 1 << 20
#: Of a text's bytes, the share that may be no UTF-8.
_MAX_UNDECODABLE = 0.1

_TOO_LARGE = f"larger than {MAX_BYTES >> 20} MiB"
#: Every line of such a file is a record of its own, in JSON.
_JSON_LINES = re.compile(r".*\.(?:jsonl|ndjson)(?:\.(?:gz|bz2|xz|zst))?", re.IGNORECASE | re.DOTALL)
#: Bytes that are no UTF-8 are taken for Windows-1252, which has Latin-1's letters and typographers' quotation marks.
_REPAIR = {0xDC00 + byte: bytes([byte]).decode("cp1252", "ignore") for byte in range(0x80, 0x100)}


class Unreadable(SourceError):
    """One file that is not what its reader takes; ``reason`` says why, in the same words for all such files."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"A file cannot be read: {reason}.")
        self.reason = reason


class Member(NamedTuple):
    """One file of an origin, or one record of a JSON Lines file; ``path`` is relative, printable and has no ``..``."""

    path: str
    data: bytes
    #: The record's line, counted from 1; 0 for a whole file.
    line: int = 0

    @property
    def where(self) -> str:
        """The path, and the line of a record."""
        return f"{self.path}#{self.line}" if self.line else self.path


def refuse(path: str, reason: str) -> None:
    """Take a file that was skipped as the end of everything: for readers who need every file. A link or pipe is none.

    :raises SourceError: naming the file.
    """
    if reason not in NO_FILE:
        raise SourceError(f"{path} cannot be read: {reason}.")


def decode_text(data: bytes) -> str:
    """Decode text that is UTF-8, with or without some bytes that are not, or UTF-16 that says so by its mark.

    :raises Unreadable: when it is no text: NUL characters, broken UTF-16, or more than a tenth that is no UTF-8.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            data = data.decode("utf-16").encode()
        except UnicodeDecodeError as error:
            raise Unreadable("binary") from error
    if b"\0" in data:
        raise Unreadable("binary")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "surrogateescape")
    if len(re.findall("[\udc80-\udcff]", text)) > _MAX_UNDECODABLE * len(data):
        raise Unreadable("binary")
    return text.translate(_REPAIR)


def glob_pattern(globs: Sequence[str]) -> re.Pattern[str]:
    """Compile globs over whole paths: ``*`` and ``?`` stop at ``/``, ``**`` does not, ``**/`` also matches nothing."""
    return re.compile("|".join(f"(?:{_translate(glob)})" for glob in globs) or r"(?!)", re.DOTALL)


def _translate(glob: str) -> str:
    tokens = re.findall(r"\*\*/|\*\*|\*|\?|\[[^\]]*\]|.", glob, re.DOTALL)
    special = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}

    def one(token: str) -> str:
        if token in special:
            return special[token]
        if len(token) > 2 and token[0] == "[":
            negated = token[1] in "!^"
            inside = re.sub(r"([\\\[\]^&~|])", r"\\\1", token[2 if negated else 1 : -1])
            return f"[{'^' if negated else ''}{inside}]"
        return re.escape(token)

    return "".join(one(token) for token in tokens)


def members(
    fetched: Fetched, wanted: Callable[[str], bool], skipped: Callable[[str, str], None] = refuse
) -> Iterator[Member]:
    """Yield the regular files of ``fetched`` whose paths are ``wanted``, ``.gz`` already decompressed.

    Paths are given to ``wanted`` and to the caller as they stand in the source, ``.gz`` included; what cannot be
    printed in them (line ends, bytes that are no UTF-8) is written as an escape.

    :param skipped: called with path and reason for every wanted file that cannot be read, and for every entry of an
        archive that leads outside or is a device.
    :raises SourceError: naming the source, when it is damaged as a whole.
    """
    for member in _READERS[fetched.kind](fetched, wanted, skipped):
        if member.line or not member.path.endswith(".gz"):
            yield member
            continue
        try:
            data = gunzip(member.data)
        except Unreadable as error:
            skipped(member.path, error.reason)
        else:
            yield Member(member.path, data)


def gunzip(data: bytes) -> bytes:
    """Decompress a gzip file of one or more parts.

    :raises Unreadable: when it is damaged, or unpacks to more than :data:`MAX_BYTES`.
    """
    parts: list[bytes] = []
    room = MAX_BYTES
    while data:
        unpacker = zlib.decompressobj(wbits=31)
        try:
            parts.append(unpacker.decompress(data, room + 1))
        except zlib.error as error:
            raise Unreadable("damaged gzip file") from error
        room -= len(parts[-1])
        if room < 0:
            raise Unreadable(_TOO_LARGE)
        if not unpacker.eof:
            raise Unreadable("damaged gzip file")
        data = unpacker.unused_data.lstrip(b"\0")
    return b"".join(parts)


def safe_path(name: str) -> str:
    """Return an archive entry's path without its leading ``./``, printable.

    :raises Unreadable: when it is absolute or climbs with ``..``.
    """
    path = name.removeprefix("./")
    if path.startswith("/") or ".." in path.split("/"):
        raise Unreadable("leads outside")
    return printable(path)


def printable(path: str) -> str:
    """Write a path so that it is one line of valid Unicode, whatever bytes name the file."""
    if path.isprintable():
        return path
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in path)


def _package(fetched: Fetched, wanted: Callable[[str], bool], skipped: Callable[[str, str], None]) -> Iterator[Member]:
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", str(fetched.path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout and process.stderr
            if fetched.archive is None:
                yield from _files(process.stdout, fetched, wanted, skipped)
            else:
                yield from _inner(process.stdout, fetched, fetched.archive, wanted, skipped)
            while process.stdout.read(1 << 20):  # tarfile stops at the end mark; dpkg-deb must not see a closed pipe
                pass
            said = process.stderr.read().decode("utf-8", "replace").strip()
            if process.wait():
                raise SourceError(f"The package file {fetched.path} is damaged: {said}", "Delete it and run again.")
        finally:
            process.kill()


def _inner(
    stream: IO[bytes],
    fetched: Fetched,
    glob: str,
    wanted: Callable[[str], bool],
    skipped: Callable[[str, str], None],
) -> Iterator[Member]:
    """Yield the files of the archives that lie in a package under a path that ``glob`` matches."""
    pattern = glob_pattern([glob])
    found = False
    for path, _, file in _entries(stream, fetched, skipped):
        if pattern.fullmatch(path):
            found = True
            yield from _files(_decompressed(file, fetched), fetched, wanted, skipped)
    if not found:
        raise SourceError(f"{fetched.label} holds no archive {glob}.", "See `dpkg-deb -c` for what it holds.")


def _files(
    stream: IO[bytes], fetched: Fetched, wanted: Callable[[str], bool], skipped: Callable[[str, str], None]
) -> Iterator[Member]:
    """Yield the wanted files of a tar archive."""
    for path, size, file in _entries(stream, fetched, skipped):
        if not wanted(path):
            continue
        if _has_records(path, fetched):
            yield from _records(file, path, fetched, skipped)
        elif size > MAX_BYTES:
            skipped(path, _TOO_LARGE)
        else:
            yield Member(path, _read(file, fetched))


def _entries(
    stream: IO[bytes], fetched: Fetched, skipped: Callable[[str, str], None]
) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Yield path, size and content of a tar archive's regular files; a content lasts until the next is asked for."""
    with _damage_named(fetched):
        archive = tarfile.TarFile.open(fileobj=stream, mode="r|", tarinfo=_Entry)
    while True:
        with _damage_named(fetched):
            entry = archive.next()
            archive.members.clear()  # type: ignore[attr-defined] # or it keeps every entry for ever
        if entry is None:
            return
        if entry.isdir() or entry.issym() or entry.islnk():
            continue
        try:
            path = safe_path(entry.name)
        except Unreadable as error:
            skipped(printable(entry.name), error.reason)
            continue
        file = archive.extractfile(entry)
        if file is None:
            skipped(path, OTHER)
        else:
            yield path, entry.size, file


def _read(file: IO[bytes], fetched: Fetched) -> bytes:
    with _damage_named(fetched):
        return file.read()


class _Entry(tarfile.TarInfo):
    """An entry that says when an archive is cut short; tarfile takes that for its end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Parse a header block of 512 bytes."""
        try:
            entry = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if len(buf) == tarfile.BLOCKSIZE and not any(buf):
                raise  # the end mark
            raise tarfile.ReadError("it is cut short or broken") from error
        if not (entry.isreg() or 0 <= entry.size <= _MAX_HEADER):
            raise tarfile.ReadError("an entry's name or attributes are too long")
        return entry


@contextlib.contextmanager
def _damage_named(fetched: Fetched) -> Iterator[None]:
    """Turn what unpackers raise on damaged data into an error that names the archive."""
    try:
        yield
    except DAMAGE as error:
        raise SourceError(
            f"The archive {fetched.path} is damaged: {error}", "Delete it and run the same command again."
        ) from error


def _decompressed(file: IO[bytes], fetched: Fetched) -> IO[bytes]:
    with _damage_named(fetched):
        return decompressed(file)


def _folder(fetched: Fetched, wanted: Callable[[str], bool], skipped: Callable[[str, str], None]) -> Iterator[Member]:
    def path_of(there: Path) -> str:
        return printable(there.relative_to(fetched.path).as_posix())

    def no_file(there: Path, reason: str) -> None:
        if wanted(path := path_of(there)):
            skipped(path, reason)

    for file in files_below(fetched.path, lambda folder, reason: skipped(path_of(folder), reason), no_file):
        if wanted(path := path_of(file)):
            yield from _file(file, path, fetched, skipped)


def _file(file: Path, path: str, fetched: Fetched, skipped: Callable[[str, str], None]) -> Iterator[Member]:
    try:
        with open(file, "rb") as stream:
            if _has_records(path, fetched):
                yield from _records(stream, path, fetched, skipped)
                return
            if os.fstat(stream.fileno()).st_size > MAX_BYTES:
                skipped(path, _TOO_LARGE)
                return
            data = stream.read()
    except OSError as error:
        skipped(path, f"cannot be read: {error.strerror}")
    else:
        yield Member(path, data)


def _has_records(path: str, fetched: Fetched) -> bool:
    return fetched.column is not None and bool(_JSON_LINES.fullmatch(path))


def _records(file: IO[bytes], path: str, fetched: Fetched, skipped: Callable[[str, str], None]) -> Iterator[Member]:
    """Yield the text of each record of a JSON Lines file, whatever the file's size; other lines are skipped."""
    try:
        stream = _decompressed(file, fetched)
        for number in itertools.count(1):
            line = stream.readline(MAX_BYTES + 1)
            if not line:
                return
            if len(line) > MAX_BYTES:
                while line and not line.endswith(b"\n"):
                    line = stream.readline(MAX_BYTES)
                skipped(f"{path}#{number}", _TOO_LARGE)
            elif line.strip():
                try:
                    yield Member(path, _record_text(line, fetched.column), number)
                except Unreadable as error:
                    skipped(f"{path}#{number}", error.reason)
    except (*DAMAGE, SourceError):
        skipped(path, "damaged")


def _record_text(line: bytes, column: str | None) -> bytes:
    try:
        record = json.loads(decode_text(line))
    except (ValueError, RecursionError):
        raise Unreadable("invalid JSON") from None
    text = record.get(column) if isinstance(record, dict) else None
    if not isinstance(text, str):
        raise Unreadable(f"no text in column {column}")
    return text.encode("utf-8", "replace")


def _url(fetched: Fetched, wanted: Callable[[str], bool], skipped: Callable[[str, str], None]) -> Iterator[Member]:
    name = fetched.path.name
    if ".tar" in name or name.endswith((".tgz", ".txz")):
        with open(fetched.path, "rb") as stream:
            yield from _files(_decompressed(stream, fetched), fetched, wanted, skipped)
    else:
        path = printable(fetched.name.rstrip("/").rpartition("/")[2])
        if wanted(path):
            yield from _file(fetched.path, path, fetched, skipped)


def _hub(fetched: Fetched, wanted: Callable[[str], bool], skipped: Callable[[str, str], None]) -> Iterator[Member]:
    for number, row in enumerate(read_shard(fetched.path)):
        path = f"row-{number}"
        if wanted(path):
            yield Member(path, row["text"].encode("utf-8", "replace"))


_READERS = {"package": _package, "folder": _folder, "url": _url, "hub": _hub}
