"""The server: answers peers' frames by a :class:`Service`, on any number of transports at once.

Peers are read on the event loop. Requests wait in one bounded line, urgent ones first, and one worker thread answers
them, so that neither the model nor a slow peer holds up anybody else's frames.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from kernel_interface.dispatch import ANSWERS, QUESTIONS, answers
from kernel_interface.line import Line
from kernel_interface.service import Service
from kernel_interface.transports import Transport
from kernel_interface.wire import Defect, ErrorCode, Flag, FrameReader, Message, MessageType, WireError

log = logging.getLogger(__name__)

#: Requests that may wait, as many as the kernel's own command ring holds.
QUEUE_LENGTH = 128
READ_BYTES = 65_536


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
    """Serves ``service`` to the peers that transports bring."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._line: Line[_Request] = Line(QUEUE_LENGTH)
        self._peers: set[asyncio.Task[None]] = set()
        self._commands = self._responses = self._refused = self._turned_away = 0
        self._seconds = 0.0

    async def run(self, transports: Sequence[Transport], stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Serve until ``stop`` is set; ``ready`` is called once every transport takes peers.

        :raises ServingError: when a transport cannot be had; then none is served.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="service") as thread:
            worker = asyncio.create_task(self._work(thread))
            try:
                async with contextlib.AsyncExitStack() as opened:
                    for transport in transports:
                        await opened.enter_async_context(transport.opened(self))
                    ready()
                    await stop.wait()
            finally:
                tasks = (worker, *self._peers)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, transport: str) -> None:
        """Serve one peer until it has gone; close its writer."""
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
        except OSError as error:  # the peer has gone, or the device
            log.debug("A peer on %s has gone: %s", transport, error)
        finally:
            self._peers.discard(task)
            writer.close()

    def turned_away(self, transport: str, why: str) -> None:
        """Note that a peer was not let in."""
        self._turned_away += 1
        log.warning("A peer on %s was turned away: %s.", transport, why)

    def _take(self, item: Message | Defect, connection: _Connection) -> None:
        if isinstance(item, Defect):
            self._refused += 1
            connection.send(item.reply())
        elif item.type in ANSWERS:
            log.info("Passed over a message of type %s.", item.type.name)
        elif item.type == MessageType.SYS_STATS:
            connection.send(item.reply(MessageType.SYS_STATS, json.dumps(self.statistics()).encode()))
        elif item.type not in QUESTIONS:
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
                    for reply in await loop.run_in_executor(thread, self._replies, request.message):
                        connection.send(reply)
                    self._responses += 1
                    self._seconds += time.monotonic() - request.arrived
                except WireError as error:
                    self._refuse(request.message, connection, error.code, error.what)
                except Exception:  # a defect of ours must cost one answer, not the server
                    log.exception("A request of type %s could not be answered.", request.message.type.name)
                    self._refuse(request.message, connection, ErrorCode.INVALID, "The server failed; its log says why.")
            connection.done()

    def _replies(self, message: Message) -> list[Message]:
        found = answers(self._service, message)
        return [message.reply(MessageType.SLM_RESULT, answer.result().encode()) for answer in found]

    def statistics(self) -> dict[str, object]:
        """Count what was asked, answered and refused since the start; latency counts waiting too."""
        return {
            "commands": self._commands,
            "responses": self._responses,
            "refused": self._refused,
            "turned_away": self._turned_away,
            "waiting": len(self._line),
            "average_latency_ms": round(1000 * self._seconds / self._responses, 3) if self._responses else 0.0,
            "sources": dict(self._service.answers),
        }
