"""The server: a Unix socket that speaks the kernel's wire format in front of a :class:`Service`.

Connections are read on the event loop. Requests wait in one bounded line, urgent ones first, and one worker thread
answers them, so that neither the model nor a slow peer holds up anybody else's frames.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import logging
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from kernel_interface.devices import parse_device
from kernel_interface.intents import SubCommand
from kernel_interface.line import Line
from kernel_interface.service import Answer, Service
from kernel_interface.wire import (
    Command,
    Defect,
    ErrorCode,
    Flag,
    FrameReader,
    Message,
    MessageType,
    WireError,
    decode_text,
)
from slm.errors import ServingError

log = logging.getLogger(__name__)

#: Requests that may wait, as many as the kernel's own command ring holds.
QUEUE_LENGTH = 128
READ_BYTES = 65_536

_QUESTIONS = (MessageType.SLM_COMMAND, MessageType.SLM_QUERY, MessageType.DEV_DISCOVERED)
#: Answers to these would be answered again, for ever.
_ANSWERS = (MessageType.ACK, MessageType.ERROR, MessageType.SLM_RESULT)


@dataclass(eq=False)
class _Connection:
    """One peer: where to write, and how many of its requests still wait."""

    writer: asyncio.StreamWriter
    waiting: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def send(self, message: Message) -> None:
        """Write a frame, unless the peer has gone. A peer that does not read is not read from either (see drain)."""
        if not self.writer.is_closing():
            self.writer.write(message.encode())

    def done(self) -> None:
        """Note that one of the peer's requests waits no longer."""
        self.waiting -= 1
        self.idle.set()


@dataclass(frozen=True)
class _Request:
    """A request that waits; ``arrived`` is a monotonic time in seconds."""

    message: Message
    connection: _Connection
    arrived: float


class Server:
    """Serves ``service`` on the Unix socket at ``path`` until told to stop."""

    def __init__(self, service: Service, path: Path) -> None:
        self._service = service
        self._path = path
        self._line: Line[_Request] = Line(QUEUE_LENGTH)
        self._peers: set[asyncio.Task[None]] = set()
        self._commands = self._responses = self._refused = 0
        self._seconds = 0.0

    async def run(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Serve until ``stop`` is set; ``ready`` is called once connections are taken.

        :raises ServingError: when the socket cannot be had.
        """
        with listening(self._path) as listener, ThreadPoolExecutor(1, thread_name_prefix="service") as thread:
            server = await asyncio.start_unix_server(self._connected, sock=listener)
            worker = asyncio.create_task(self._work(thread))
            ready()
            await stop.wait()
            server.close()
            for task in (worker, *self._peers):
                task.cancel()
            await asyncio.gather(worker, *self._peers, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._peers.add(task)
        connection = _Connection(writer)
        frames = FrameReader()
        try:
            while data := await reader.read(READ_BYTES):
                for item in frames.feed(data):
                    self._take(item, connection)
                await writer.drain()
            # The peer has said its last; it may still wait for answers.
            while connection.waiting:
                connection.idle.clear()
                await connection.idle.wait()
            await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._peers.discard(task)
            writer.close()

    def _take(self, item: Message | Defect, connection: _Connection) -> None:
        if isinstance(item, Defect):
            self._refused += 1
            connection.send(item.reply())
        elif item.type in _ANSWERS:
            log.info("Passed over a message of type %s.", item.type.name)
        elif item.type == MessageType.SYS_STATS:
            connection.send(item.reply(MessageType.SYS_STATS, json.dumps(self.statistics()).encode()))
        elif item.type not in _QUESTIONS:
            self._refuse(item, connection, ErrorCode.INVALID, f"{item.type.name} is nothing that this server answers.")
        else:
            self._commands += 1
            connection.waiting += 1
            request = _Request(item, connection, time.monotonic())
            refused = self._line.put(connection, request, Flag.URGENT in item.flags)
            if refused is not None:
                reason = f"{QUEUE_LENGTH} requests wait already; ask again later."
                self._refuse(refused.message, refused.connection, ErrorCode.FULL, reason)
                refused.connection.done()

    def _refuse(self, message: Message, connection: _Connection, code: ErrorCode, reason: str) -> None:
        self._refused += 1
        connection.send(Defect(code, reason, message).reply())

    async def _work(self, thread: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            request = await self._line.get()
            connection = request.connection
            if not connection.writer.is_closing():
                try:
                    for reply in await loop.run_in_executor(thread, self._answer, request.message):
                        connection.send(reply)
                    self._responses += 1
                    self._seconds += time.monotonic() - request.arrived
                except WireError as error:
                    self._refuse(request.message, connection, error.code, error.what)
                except Exception:  # a defect of ours must cost one answer, not the server
                    log.exception("A request of type %s could not be answered.", request.message.type.name)
                    self._refuse(request.message, connection, ErrorCode.INVALID, "The server failed; its log says why.")
            connection.done()

    def _answer(self, message: Message) -> list[Message]:
        return [message.reply(MessageType.SLM_RESULT, answer.result().encode()) for answer in self._answers(message)]

    def _answers(self, message: Message) -> list[Answer]:
        if message.type == MessageType.SLM_COMMAND:
            command = Command.decode(message.payload)
            return [self._service.command(known_command(command), command.args)]
        text = decode_text(message.payload, message.type.name)
        if not text.strip():
            raise WireError(ErrorCode.INVALID, f"The text of {message.type.name} is empty.")
        if message.type == MessageType.SLM_QUERY:
            return [self._service.query(text)]
        device = parse_device(text)
        if device is None:
            reason = "DEV_DISCOVERED names no device; 'PCI 8086:100E class=02:00' is how one is written."
            raise WireError(ErrorCode.INVALID, reason)
        return list(self._service.discovered(device))

    def statistics(self) -> dict[str, object]:
        """Count what was asked, answered and refused since the start; latency counts waiting too."""
        return {
            "commands": self._commands,
            "responses": self._responses,
            "refused": self._refused,
            "waiting": len(self._line),
            "average_latency_ms": round(1000 * self._seconds / self._responses, 3) if self._responses else 0.0,
            "sources": dict(self._service.answers),
        }


def known_command(command: Command) -> SubCommand:
    """Return the sub-command that ``command`` asks for.

    :raises WireError: INVALID when there is no such sub-command, or it belongs to another intent.
    """
    try:
        sub_command = SubCommand(command.sub_command)
    except ValueError as error:
        raise WireError(ErrorCode.INVALID, f"0x{command.sub_command:04x} is no sub-command.") from error
    if sub_command.intent != command.intent:
        reason = f"{sub_command.name} belongs to intent {sub_command.intent:d}, not to {command.intent}."
        raise WireError(ErrorCode.INVALID, reason)
    return sub_command


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
            listener.listen(QUEUE_LENGTH)
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
