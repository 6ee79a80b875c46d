"""Writing files so that a crash leaves either the old content or the new, never half of one."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from slm.errors import ArtefactError, DiskFullError


@contextlib.contextmanager
def atomic_write(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file beside ``path``; sync and rename it over ``path`` when the block ends well.

    :raises DiskFullError: when the disk is full; ``path`` keeps its old content.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        sync_folder(path.parent)
    except OSError as error:
        raise _named(error, path) from error
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Make a new folder beside ``path`` to fill; rename it to ``path`` when the block ends well.

    A folder already at ``path`` is replaced; a crash between the two renames leaves it under its ``.old`` name, and the
    next call puts it back first. Files inside are synced before the rename.

    :raises DiskFullError: when the disk is full; a folder already at ``path`` stays as it was.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        part.mkdir()
        yield part
        for file in sorted(part.rglob("*")):
            if file.is_file():
                with open(file, "rb") as handle:
                    os.fsync(handle.fileno())
        if path.exists():
            os.replace(path, old)
        os.replace(part, path)
        sync_folder(path.parent)
    except OSError as error:
        raise _named(error, path) from error
    except Exception as error:
        # Libraries that write through code of their own say a full disk in words of their own: safetensors, which
        # reserves the room first, in the system's; torch, which fills it, in none.
        said = os.strerror(errno.ENOSPC) in str(error)
        if said or (part.exists() and shutil.disk_usage(part).free < 65_536):
            raise _named(OSError(errno.ENOSPC, "disk full"), path) from error
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _sweep(path: Path) -> None:
    """Mend what killed writers of the folder ``path`` left beside it. Two may not write it at once."""
    for old in path.parent.glob(f".{path.name}.*.old"):
        if path.exists():
            shutil.rmtree(old)
        else:
            os.replace(old, path)
    for part in path.parent.glob(f".{path.name}.*.part"):
        shutil.rmtree(part)


@contextlib.contextmanager
def exclusive_lock(path: Path, patience: float | None = None) -> Iterator[None]:
    """Hold the lock file ``path``, waiting for whoever has it; it is free again when its holder ends, however.

    :raises TimeoutError: when it is still held after ``patience`` seconds; without a patience there is no end.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = None if patience is None else time.monotonic() + patience
    with open(path, "a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError(f"{path} is held by another process") from None
                time.sleep(0.1)
        yield


def sync_folder(folder: Path) -> None:
    """Make renames inside ``folder`` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def append_line(path: Path, line: str) -> None:
    """Append one line to a journal; concurrent writers wait for each other.

    A line that a crash cut short is ended first, so that it spoils nothing but itself.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            size = os.fstat(handle).st_size
            torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
            os.write(handle, (b"\n" if torn else b"") + line.encode() + b"\n")
        finally:
            os.close(handle)
    except OSError as error:
        raise _named(error, path) from error


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as sorted, indented JSON, atomically: equal values give equal bytes."""
    with atomic_write(path, "w") as file:
        json.dump(value, file, indent=1, sort_keys=True, ensure_ascii=False)
        file.write("\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    :raises ArtefactError: when it is missing or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtefactError(f"{path} is not there.") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ArtefactError(f"{path} is not valid JSON: {error}", "Delete it and run the build again.") from error


def sha256_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _named(error: OSError, path: Path) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(
            f"The disk that holds {path} is full.",
            "Free some space and run the same command again; it continues where it was.",
        )
    return error
