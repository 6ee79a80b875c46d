"""The server: answers peers' frames by a :class:`Service`, on any number of transports at once.

Peers are read on the event loop. Requests wait in one bounded line, urgent ones first, and what the tables can answer
is answered in its turn: about a device that is named by its id at once, since that is quicker than another thread is
told; anything else on a thread. What only the model can tell waits in a second such line for a thread that asks the
model. So neither a slow peer holds up anybody else's frames, nor the model what is known without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

from kernel_interface.devices import Device
from kernel_interface.dispatch import ANSWERS, QUESTIONS, announced, answers, named
from kernel_interface.goals import Progress
from kernel_interface.line import Line
from kernel_interface.logs import RequestLog
from kernel_interface.metrics import Metrics
from kernel_interface.service import Answer, ModelNeededError, Service
from kernel_interface.sessions import Sessions
from kernel_interface.transports import Transport
from kernel_interface.wire import Defect, ErrorCode, Flag, FrameReader, Message, MessageType, WireError

log = logging.getLogger(__name__)

#: Requests that may wait in each line, as many as the kernel's own command ring holds.
QUEUE_LENGTH = 128
READ_BYTES = 65_536

_REMOVED = "The device was removed."
#: How long a request whose time is up waits, in seconds, before it looks again whether its predecessor is answered.
_MOMENT = 0.01


@dataclass(eq=False)
class _Connection:
    """One peer: its name in the log, where to write, and how many of its requests still wait.

    ``asking`` counts by process those that wait for the model.
    """

    name: str
    writer: asyncio.StreamWriter
    waiting: int = 0
    asking: Counter[int] = field(default_factory=Counter)
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def send(self, message: Message) -> None:
        """Write a frame, unless the peer has gone. A peer that does not read is not read from either (see drain)."""
        if not self.writer.is_closing():
            self.writer.write(message.encode())

    def done(self) -> None:
        """Note that one of the peer's requests waits no longer."""
        self.waiting -= 1
        self.idle.set()


@dataclass(eq=False)
class _Request:
    """A request that waits; ``arrived`` is a monotonic time in seconds.

    ``removed`` are devices that went away while it was being answered. ``for_model``: it waits for the model, or has
    waited for it until it was ``overdue``; the timer tells when it is.
    """

    message: Message
    connection: _Connection
    arrived: float
    removed: list[Device] = field(default_factory=list)
    for_model: bool = False
    overdue: bool = False
    timer: asyncio.TimerHandle | None = None

    @cached_property
    def device(self) -> Device | None:
        """The device that the request names."""
        return named(self.message)

    @property
    def is_urgent(self) -> bool:
        """Whether it goes before others."""
        return bool(self.message.flags & Flag.URGENT)

    def precedes(self, other: _Request) -> bool:
        """Whether the same process asked it before another that is as urgent, and so waits for its answer first."""
        same = self.connection is other.connection and self.message.sender == other.message.sender
        return same and self.is_urgent == other.is_urgent and self.arrived < other.arrived

    def is_void(self, found: Sequence[Answer]) -> bool:
        """Whether the answers are about a device that has gone."""
        return any(
            answer.device is not None and answer.device.is_alike(gone) for answer in found for gone in self.removed
        )


class Server:
    """Serves ``service`` to the peers that transports bring.

    :param log_texts: whether the log tells what peers wrote.
    """

    def __init__(self, service: Service, log_texts: bool = False) -> None:
        self._service = service
        self._line: Line[_Request] = Line(QUEUE_LENGTH)
        self._model_line: Line[_Request] = Line(QUEUE_LENGTH)
        self._at_work: set[_Request] = set()
        self._sessions = Sessions()
        self._peers: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)
        self._told = RequestLog(log_texts)
        self.metrics = Metrics(lambda: len(self._line) + len(self._model_line), service.model_status)

    async def run(self, transports: Sequence[Transport], stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Serve until ``stop`` is set; ``ready`` is called once every transport takes peers.

        :raises ServingError: when a transport cannot be had; then none is served.
        """
        with ThreadPoolExecutor(1, "tables") as tables, ThreadPoolExecutor(1, "model") as model:
            workers = asyncio.create_task(self._look_up(tables)), asyncio.create_task(self._ask_the_model(model))
            try:
                async with contextlib.AsyncExitStack() as opened:
                    for transport in transports:
                        await opened.enter_async_context(transport.opened(self))
                    ready()
                    await stop.wait()
            finally:
                tasks = (*workers, *self._peers)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, transport: str) -> None:
        """Serve one peer until it has gone; close its writer."""
        task = asyncio.current_task()
        assert task is not None
        self._peers.add(task)
        connection = _Connection(f"{transport}-{next(self._numbers)}", writer)
        try:
            with self.metrics.connected(transport):
                await self._read(reader, connection, transport)
        except OSError as error:  # the peer has gone, or the device
            log.debug("The peer %s has gone: %s", connection.name, error)
        finally:
            self._peers.discard(task)
            self._sessions.forget(connection)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, connection: _Connection, transport: str) -> None:
        frames = FrameReader()
        while data := await reader.read(READ_BYTES):
            for item in frames.feed(data):
                if isinstance(item, Defect):
                    self._refuse(item.header, connection, item.code, item.reason)
                else:
                    self.metrics.message(transport, item.type)
                    self._take(item, connection)
                    if item.type == MessageType.SYS_STATS:
                        await asyncio.sleep(0)  # its reply takes long to make, and is far larger: others first
                await connection.writer.drain()
        # The peer has said its last; it may still wait for answers.
        while connection.waiting:
            connection.idle.clear()
            await connection.idle.wait()
        await connection.writer.drain()

    def turned_away(self, transport: str, why: str) -> None:
        """Note that a peer was not let in."""
        self.metrics.turned_away(transport, why)
        log.warning("A peer on %s was turned away: %s.", transport, why)

    def _take(self, item: Message, connection: _Connection) -> None:
        if item.type in ANSWERS:
            log.info("Passed over a message of type %s.", item.type.name)
        elif item.type == MessageType.SYS_STATS:
            figures = json.dumps(self.metrics.figures(), separators=(",", ":")).encode()
            connection.send(item.reply(MessageType.SYS_STATS, figures))
        elif item.type == MessageType.SLM_EVENT:
            log.info("An event of %d bytes came from process %d.", len(item.payload), item.sender)
            self._told.told(connection.name, item)
            if item.flags & Flag.REPLY_REQ:
                connection.send(item.reply(MessageType.ACK, b""))
        elif item.type == MessageType.DEV_REMOVED:
            self._remove(item, connection)
        elif item.type not in QUESTIONS:
            self._refuse(item, connection, ErrorCode.INVALID, f"{item.type.name} is nothing that this server answers.")
        else:
            connection.waiting += 1
            request = _Request(item, connection, time.monotonic())
            self._put(self._line, request, request.is_urgent)

    def _put(self, line: Line[_Request], request: _Request, urgent: bool) -> None:
        refused = line.put(request.connection, request, urgent)
        if refused is not None:
            reason = f"{QUEUE_LENGTH} requests wait already; ask again later."
            self._refuse(refused.message, refused.connection, ErrorCode.FULL, reason)
            self._done(refused)

    def _put_for_model(self, request: _Request) -> None:
        """Let a request wait for the model, but no longer than the model may take."""
        request.for_model = True
        request.connection.asking[request.message.sender] += 1
        left = request.arrived + self._service.seconds - time.monotonic()
        request.timer = asyncio.get_running_loop().call_later(left, self._give_up, request)
        self._put(self._model_line, request, request.is_urgent)

    def _give_up(self, request: _Request) -> None:
        """Let a request that has waited for the model for too long be answered without it, behind its predecessors."""
        if any(other.precedes(request) for other in self._at_work):  # that one's time is up too
            request.timer = asyncio.get_running_loop().call_later(_MOMENT, self._give_up, request)
            return
        for other in self._model_line.take_out(lambda other: other is request or other.precedes(request)):
            other.overdue = True
            self._put(self._line, other, True)

    def _done(self, request: _Request) -> None:
        """Note that a request waits no longer."""
        if request.timer is not None:
            request.timer.cancel()
        if request.for_model:
            asking, sender = request.connection.asking, request.message.sender
            asking[sender] -= 1
            if not asking[sender]:
                del asking[sender]
        request.connection.done()

    def _remove(self, message: Message, connection: _Connection) -> None:
        """End what the peer still wants to know about a device that it says has gone, then acknowledge.

        After the ACK comes no result about the device that was asked for before.
        """
        try:
            gone = announced(message)
        except WireError as error:
            self._refuse(message, connection, error.code, error.what)
            return

        def pending(request: _Request) -> bool:
            return request.connection is connection and request.device is not None and request.device.is_alike(gone)

        for request in (*self._line.take_out(pending), *self._model_line.take_out(pending)):
            self._refuse(request.message, connection, ErrorCode.CLOSED, _REMOVED)
            self._done(request)
        for request in self._at_work:
            if request.connection is connection:
                request.removed.append(gone)
        self._sessions.forget_device(connection, gone)
        self._told.told(connection.name, message)
        connection.send(message.reply(MessageType.ACK, b""))

    def _refuse(self, message: Message, connection: _Connection, code: ErrorCode, reason: str) -> None:
        self.metrics.refused(code)
        self._told.refused(connection.name, message, code)
        connection.send(Defect(code, reason, message).reply())

    async def _look_up(self, thread: ThreadPoolExecutor) -> None:
        """Answer what needs no model, and what has waited for the model for too long."""
        tables = self._service.tables_alone()
        while True:
            request = await self._line.get()
            if request.overdue:
                await self._serve(request, thread, self._service.until(-math.inf))
            elif request.connection.asking[request.message.sender] and not request.is_urgent:
                self._put_for_model(request)  # a process' questions are answered in their order
            elif not await self._serve(request, thread if request.device is None else None, tables):
                self._put_for_model(request)
            if self._line:
                await asyncio.sleep(0)  # others too have something to do on this loop

    async def _ask_the_model(self, thread: ThreadPoolExecutor) -> None:
        """Answer what only the model can tell, one question at a time."""
        while True:
            request = await self._model_line.get()
            await self._serve(request, thread, self._service.until(request.arrived + self._service.seconds))

    async def _serve(self, request: _Request, thread: ThreadPoolExecutor | None, service: Service) -> bool:
        """Answer a request; return False, and leave it, where ``service`` may not ask the model and would have to.

        :param thread: which thread looks for the answer; None for this one.
        """
        if request.connection.writer.is_closing():
            self._done(request)
            return True
        self._at_work.add(request)
        try:
            await self._answer(request, thread, service)
        except ModelNeededError:
            return False
        finally:
            self._at_work.discard(request)
        self._done(request)
        return True

    async def _answer(self, request: _Request, thread: ThreadPoolExecutor | None, service: Service) -> None:
        message, connection = request.message, request.connection
        about = self._sessions.device(connection, message.sender)
        plan = self._sessions.plan(connection, message.sender)
        try:
            if thread is None:
                found, replies = _ask(service, message, about, plan)
            else:
                loop = asyncio.get_running_loop()
                found, replies = await loop.run_in_executor(thread, _ask, service, message, about, plan)
        except ModelNeededError:
            raise
        except WireError as error:
            self._refuse(message, connection, error.code, error.what)
        except Exception:  # a defect of ours must cost one answer, not the server
            log.exception("A request of type %s could not be answered.", message.type.name)
            self._refuse(message, connection, ErrorCode.INVALID, "The server failed; its log says why.")
        else:
            if request.is_void(found):
                self._refuse(message, connection, ErrorCode.CLOSED, _REMOVED)
                return
            for reply in replies:
                connection.send(reply)
            if not connection.writer.is_closing():
                self._sessions.note(connection, message.sender, found[-1].device, found[-1].plan)
            seconds = time.monotonic() - request.arrived
            self.metrics.answered(found, seconds)
            self._told.answered(connection.name, message, found, seconds)


def _ask(
    service: Service, message: Message, about: Device | None, plan: Progress | None
) -> tuple[list[Answer], list[Message]]:
    found = answers(service, message, about, plan)
    return found, [message.reply(MessageType.SLM_RESULT, answer.result().encode()) for answer in found]
