"""Reading the files of a fetched origin one after another, straight out of its archive.

Nothing is unpacked to disk: a package streams through ``dpkg-deb --fsys-tarfile``, so an entry named ``../../etc``
or a link that leads outside has nothing to write to and nothing to read from. Links are passed over (a man page's
aliases are links; the page itself comes once).
"""

from __future__ import annotations

import gzip
import re
import subprocess
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from slm.corpus.documents import read_shard
from slm.corpus.fetch import Fetched, files_below
from slm.errors import SourceError

#: No file that holds text or a kernel module comes near this; a larger one is a decompression bomb or an image.
MAX_BYTES = 256 << 20


class Member(NamedTuple):
    """One file of an origin; ``path`` is relative and has no ``..``."""

    path: str
    data: bytes


def decode_text(data: bytes) -> str:
    """Decode text that is UTF-8, or else Latin-1, as older files are."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


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


def members(fetched: Fetched, wanted: Callable[[str], bool]) -> Iterator[Member]:
    """Yield the regular files of ``fetched`` whose paths are ``wanted``, ``.gz`` already decompressed.

    Paths are given to ``wanted`` and to the caller as they stand in the source, ``.gz`` included.

    :raises SourceError: naming the source, when it is damaged or an entry's path leads outside.
    """
    for member in _READERS[fetched.kind](fetched, wanted):
        yield Member(member.path, gunzip(member, fetched)) if member.path.endswith(".gz") else member


def gunzip(member: Member, fetched: Fetched) -> bytes:
    """Decompress a gzip member, within :data:`MAX_BYTES`."""
    try:
        unpacker = zlib.decompressobj(wbits=31)
        data = unpacker.decompress(member.data, MAX_BYTES)
        if unpacker.unconsumed_tail:
            raise SourceError(f"{member.path} of {fetched.label} unpacks to more than {MAX_BYTES >> 20} MiB.")
        return data if unpacker.eof else gzip.decompress(member.data)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{member.path} of {fetched.label} is a damaged gzip file: {error}") from error


def safe_path(name: str, fetched: Fetched) -> str:
    """Return an archive entry's path without its leading ``./``.

    :raises SourceError: when it is absolute or climbs with ``..``.
    """
    path = name.removeprefix("./")
    if path.startswith("/") or ".." in path.split("/"):
        raise SourceError(f"{fetched.path} holds an entry {name!r} that leads outside.", "Do not trust this archive.")
    return path


def _package(fetched: Fetched, wanted: Callable[[str], bool]) -> Iterator[Member]:
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", str(fetched.path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout and process.stderr
            yield from _tar(process.stdout, fetched, wanted)
            while process.stdout.read(1 << 20):  # tarfile stops at the end mark; dpkg-deb must not see a closed pipe
                pass
            said = process.stderr.read().decode("utf-8", "replace").strip()
            if process.wait():
                raise SourceError(f"The package file {fetched.path} is damaged: {said}", "Delete it and run again.")
        finally:
            process.kill()


def _tar(stream: IO[bytes], fetched: Fetched, wanted: Callable[[str], bool]) -> Iterator[Member]:
    try:
        with tarfile.open(fileobj=stream, mode="r|*") as archive:
            for entry in archive:
                path = safe_path(entry.name, fetched)
                if entry.isfile() and wanted(path):
                    if entry.size > MAX_BYTES:
                        raise SourceError(f"{path} of {fetched.label} has {entry.size >> 20} MiB.", "Exclude it.")
                    file = archive.extractfile(entry)
                    assert file is not None
                    yield Member(path, file.read())
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise SourceError(
            f"The archive {fetched.path} is damaged: {error}", "Delete it and run the same command again."
        ) from error


def _folder(fetched: Fetched, wanted: Callable[[str], bool]) -> Iterator[Member]:
    for file in files_below(fetched.path):
        path = file.relative_to(fetched.path).as_posix()
        if wanted(path):
            yield Member(path, file.read_bytes())


def _url(fetched: Fetched, wanted: Callable[[str], bool]) -> Iterator[Member]:
    name = Path(fetched.path).name
    if ".tar" in name or name.endswith((".tgz", ".txz")):
        with open(fetched.path, "rb") as stream:
            yield from _tar(stream, fetched, wanted)
    else:
        path = fetched.name.rstrip("/").rpartition("/")[2]
        if wanted(path):
            yield Member(path, fetched.path.read_bytes())


def _hub(fetched: Fetched, wanted: Callable[[str], bool]) -> Iterator[Member]:
    for number, row in enumerate(read_shard(fetched.path)):
        path = f"row-{number}"
        if wanted(path):
            yield Member(path, row["text"].encode())


_READERS = {"package": _package, "folder": _folder, "url": _url, "hub": _hub}
