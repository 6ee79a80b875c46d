"""A Unix socket, which belongs to its owner alone."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from kernel_interface.transports import Host
from slm.errors import ServingError

#: Peers that may wait to be let in.
BACKLOG = 128


class UnixTransport:
    """Takes peers on the Unix socket at ``path``; whoever may open it is let in."""

    kind = "unix"

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def where(self) -> str:
        """The socket's path."""
        return str(self._path)

    @contextlib.asynccontextmanager
    async def opened(self, host: Host) -> AsyncIterator[None]:
        """Listen while the block lasts.

        :raises ServingError: when the socket cannot be had.
        """

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.CancelledError):  # at the server's end; asyncio logs it as an error
                await host.converse(reader, writer, self.kind)

        with listening(self._path) as listener:
            server = await asyncio.start_unix_server(connected, sock=listener)
            try:
                yield
            finally:
                server.close()


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """Listen on a Unix socket that only its owner may use; remove it at the end.

    A socket that a dead server left is replaced.

    :raises ServingError: when a server listens there, when something else is there, or when the path cannot be used.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _locked(path.parent):
            _clear(path)
            mask = os.umask(0o177)  # at birth, so that there is no moment in which others could connect
            try:
                listener.bind(str(path))
            finally:
                os.umask(mask)
            listener.listen(BACKLOG)
            ours = path.lstat().st_ino
    except OSError as error:
        listener.close()
        raise ServingError(f"The socket {path} cannot be made: {error}.", "Choose another --socket PATH.") from error
    except ServingError:
        listener.close()
        raise
    try:
        yield listener
    finally:
        listener.close()
        with contextlib.suppress(FileNotFoundError), _locked(path.parent):
            if path.lstat().st_ino == ours:
                path.unlink()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep two servers from judging the same stale socket at once; the kernel ends the lock with its holder."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _clear(path: Path) -> None:
    """Remove a socket that nobody listens on."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ServingError(f"{path} is there already and is no socket.", "Choose another --socket PATH.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        code = probe.connect_ex(str(path))
    if code != errno.ECONNREFUSED:
        raise ServingError(f"A server listens on {path} already.", "Stop it, or choose another --socket PATH.")
    path.unlink()
