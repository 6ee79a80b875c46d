"""A serial line: a tty or pty in raw mode, which one process alone may use.

There is always one peer, whoever is at the other end. A line has no beginning and no end, so it is read as it comes:
what is no frame is passed over until the next magic. A device that goes away is tried again until it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import stat
import termios
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from kernel_interface.transports import Host
from slm.errors import ServingError

log = logging.getLogger(__name__)

DEFAULT_BAUD = 115_200
#: What this system's terminals can be set to, in baud.
BAUDS = {int(name[1:]): int(getattr(termios, name)) for name in dir(termios) if name[0] == "B" and name[1:].isdigit()}
#: How long to wait before a device is tried again, in seconds: twice as long each time, up to the longest. A device
#: that stayed longer than that begins anew.
FIRST_DELAY, LONGEST_DELAY = 0.1, 5.0


class SerialTransport:
    """Serves the peer at the other end of ``device``.

    :param baud: the line's speed, which a pty does not mind.
    """

    kind = "serial"

    def __init__(self, device: Path, baud: int = DEFAULT_BAUD) -> None:
        self._device = device
        self._baud = baud

    @property
    def where(self) -> str:
        """The device's path."""
        return str(self._device)

    @contextlib.asynccontextmanager
    async def opened(self, host: Host) -> AsyncIterator[None]:
        """Hold the device while the block lasts, again and again if it goes away.

        :raises ServingError: when the device cannot be had at first.
        """
        handle = open_line(self._device, self._baud)
        task = asyncio.create_task(self._serve(host, handle))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _serve(self, host: Host, handle: int) -> None:
        loop = asyncio.get_running_loop()
        delay = FIRST_DELAY
        while True:
            since = loop.time()
            async with _streams(handle) as (reader, writer):
                await host.converse(reader, writer, self.kind)
            if loop.time() - since > LONGEST_DELAY:
                delay = FIRST_DELAY
            log.warning("The serial line %s is gone; it is tried again until it is back.", self._device)
            while True:
                await asyncio.sleep(delay)
                delay = min(2 * delay, LONGEST_DELAY)
                try:
                    handle = open_line(self._device, self._baud)
                except ServingError as error:
                    log.debug("%s", error.what)
                else:
                    break
            log.warning("The serial line %s is back.", self._device)


def open_line(device: Path, baud: int) -> int:
    """Open a terminal for ourselves alone, and make it raw: 8 data bits, no parity, 1 stop bit, nothing translated.

    :returns: its file descriptor, which does not block.
    :raises ServingError: when it cannot be opened, is no terminal, or another process holds it.
    """
    advice = "Name a serial device or a pty with --serial."
    try:
        with _closed_on_error(os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)) as handle:
            if not stat.S_ISCHR(os.fstat(handle).st_mode) or not os.isatty(handle):
                raise ServingError(f"{device} is no terminal.", advice)
            # Not TIOCEXCL: a pty keeps that after its user was killed, and then refuses the next.
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ServingError(f"Another process uses {device}.", "Stop it, or name another device.") from error
            _make_raw(handle, baud)
            return handle
    except (OSError, termios.error) as error:
        reason = error.strerror if isinstance(error, OSError) else error.args[-1]
        raise ServingError(f"The serial line {device} cannot be opened: {reason}.", advice) from error


def _make_raw(handle: int, baud: int) -> None:
    control = termios.tcgetattr(handle)[6]
    control[termios.VMIN], control[termios.VTIME] = 1, 0
    speed = BAUDS[baud]
    # No flags of input, output and local mode: no echo, no line editing, no signals, no flow control by characters.
    attributes = [0, 0, termios.CS8 | termios.CREAD | termios.CLOCAL, 0, speed, speed, control]
    termios.tcsetattr(handle, termios.TCSANOW, attributes)


@contextlib.contextmanager
def _closed_on_error(handle: int) -> Iterator[int]:
    try:
        yield handle
    except BaseException:
        os.close(handle)
        raise


@contextlib.asynccontextmanager
async def _streams(handle: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Make streams of a descriptor, and close it at the end; asyncio wants one for each direction."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    source, sink = os.fdopen(handle, "rb", 0), os.fdopen(os.dup(handle), "wb", 0)
    incoming, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), source)
    outgoing, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), sink
    )
    try:
        yield reader, asyncio.StreamWriter(outgoing, protocol, reader, loop)
    finally:
        incoming.close()
        if outgoing.get_write_buffer_size():  # the host has closed it, and it waits for a device that may be gone
            outgoing.abort()
        await asyncio.sleep(0)  # they close in the loop's next turn, which may be its last
