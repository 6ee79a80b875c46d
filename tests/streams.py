"""Both ends of the server's streams, for tests: frames to send, replies to wait for, and a serial line's far end."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from kernel_interface.wire import NO_FLAGS, Flag, FrameReader, Message, MessageType

#: How long a test waits for a reply.
PATIENCE = 10.0


class Stream(Protocol):
    """What a socket and a serial line have in common."""

    def sendall(self, data: bytes, /) -> None: ...

    def recv(self, size: int, /) -> bytes: ...


class FarEnd:
    """The far end of a pty, whose near end is where ``device`` points until the far end is closed."""

    def __init__(self, device: Path) -> None:
        # The near end is kept open too, as a cable is that is plugged in while nobody listens.
        self._handle, self._near = os.openpty()
        self._device = device
        device.symlink_to(os.ttyname(self._near))

    def fileno(self) -> int:
        return self._handle

    def is_served(self) -> bool:
        """Whether somebody has opened the near end and made it raw; before that it echoes."""
        return not termios.tcgetattr(self._near)[3] & termios.ECHO

    def sendall(self, data: bytes) -> None:
        while data:
            _, writable, _ = select.select([], [self._handle], [], PATIENCE)
            assert writable, "the line is stuck"
            data = data[os.write(self._handle, data[:4000]) :]

    def recv(self, size: int) -> bytes:
        readable, _, _ = select.select([self._handle], [], [], PATIENCE)
        assert readable, "nothing came"
        return os.read(self._handle, size)

    def close(self) -> None:
        """Unplug the line; a second time it does nothing."""
        if self._handle >= 0:
            self._device.unlink()
            os.close(self._near)
            os.close(self._handle)
            self._handle = -1


@contextlib.contextmanager
def far_end(device: Path) -> Iterator[FarEnd]:
    line = FarEnd(device)
    try:
        yield line
    finally:
        line.close()


def unix(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE)
    connection.connect(str(path))
    return connection


def tcp(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def frame(text: str, sequence: int, flags: Flag = NO_FLAGS, kind: MessageType = MessageType.SLM_QUERY) -> bytes:
    return Message(kind, text.encode(), sender=11, receiver=22, timestamp=33, sequence=sequence, flags=flags).encode()


def receive(stream: Stream, count: int) -> list[Message]:
    reader, found = FrameReader(), list[Message]()
    while len(found) < count:
        data = stream.recv(65_536)
        assert data, f"closed after {found}"
        found += [item for item in reader.feed(data) if isinstance(item, Message)]
    assert len(found) == count
    return found
