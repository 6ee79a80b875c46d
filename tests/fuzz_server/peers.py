"""Peers that behave in random ways, on each transport."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import select
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kernel_interface.wire import Defect, ErrorCode, FrameReader, Message, MessageType, decode_error
from tests.fuzz_server.traffic import Known, Ledger, mutated, well_formed
from tests.streams import FarEnd, far_end

#: How long a reply may take, with everybody else asking too.
PATIENCE = 60.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Totals:
    """What all peers together did and saw."""

    connections: Counter[str] = field(default_factory=Counter)
    frames: int = 0
    spoilt: int = 0
    replies: int = 0
    answered: int = 0
    full: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, ledger: Ledger) -> None:
        """Add what one peer saw; its ledger writes into the same list of what is wrong."""
        self.replies += ledger.replies
        self.answered += ledger.answered
        self.full += ledger.full


@dataclass(frozen=True)
class Target:
    """The server, and what it ought to answer."""

    socket: Path
    port: int
    token: bytes
    known: Known
    totals: Totals


def traffic(rng: random.Random, target: Target, ledger: Ledger, count: int, spoil: float) -> Iterator[bytes]:
    """Make ``count`` mutated frames of one peer, or as many sound ones where ``spoil`` is 0.

    :param spoil: the share of mutated ones among all.
    :param ledger: is told what is promised for those that are sound.
    """
    sender = rng.randrange(1, 2**31)
    while count > 0:
        message, action = well_formed(rng, target.known, sender)
        frame = message.encode()
        target.totals.frames += 1
        if rng.random() < spoil:
            target.totals.spoilt += 1
            count -= 1
            yield mutated(rng, frame)
        else:
            count -= not spoil
            ledger.promise(message, action)
            yield frame


def pieces(rng: random.Random, data: bytes) -> Iterator[bytes]:
    """Cut bytes at random places."""
    at = 0
    while at < len(data):
        size = rng.choice((1, 7, 48, 100, 1000, 5000, 60_000))
        yield data[at : at + size]
        at += size


async def connect(rng: random.Random, target: Target) -> tuple[str, Streams]:
    """Connect on a random transport, and show the token where one is wanted."""
    if rng.random() < 0.5:
        return "unix", await asyncio.open_unix_connection(str(target.socket))
    for _ in range(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        writer.write(Message(MessageType.TEXT, target.token, sequence=1).encode())
        frames, found = FrameReader(), list[Message | Defect]()
        while not found and (data := await reader.read(frames.lacks)):
            found = frames.feed(data)
        if found and isinstance(found[0], Message) and found[0].type == MessageType.ACK:
            return "tcp", (reader, writer)
        writer.close()  # crowded out by strangers
    raise AssertionError("a peer with the token was not let in ten times")


async def stays(rng: random.Random, target: Target, count: int) -> None:
    """Send in random pieces, some of it spoilt, perhaps with half a frame at the end; wait for every reply."""
    ledger = Ledger(target.totals.wrong)
    transport, (reader, writer) = await connect(rng, target)
    target.totals.connections[f"{transport} stays"] += 1
    reading = asyncio.create_task(_read(reader, ledger))
    frames = b"".join(traffic(rng, target, ledger, count, rng.choice((0.5, 0.9, 0.98))))
    if rng.random() < 0.3:
        frames += well_formed(rng, target.known, 1)[0].encode()[: rng.randrange(1, 48)]
    pause = rng.choice((None, None, 0.0, 0.001))
    with contextlib.suppress(ConnectionError):
        for piece in pieces(rng, frames):
            ledger.sent(piece)
            writer.write(piece)
            await writer.drain()
            if pause is not None and len(frames) < 50_000:
                await asyncio.sleep(pause)
        writer.write_eof()
    await _whole(reading, ledger, writer, target)


async def asks(rng: random.Random, target: Target, count: int) -> None:
    """Send a few whole frames in random pieces, wait for their replies, and so on."""
    ledger = Ledger(target.totals.wrong)
    transport, (reader, writer) = await connect(rng, target)
    target.totals.connections[f"{transport} asks"] += 1
    frames = list(traffic(rng, target, ledger, count, 0.0))
    while frames:
        some = rng.randrange(1, 9)
        for piece in pieces(rng, b"".join(frames[:some])):
            ledger.sent(piece)
            writer.write(piece)
            await writer.drain()
        del frames[:some]
        while not ledger.is_complete():
            async with asyncio.timeout(PATIENCE):
                data = await reader.read(65_536)
            assert data, "the server closed a connection"
            ledger.came(data)
        ledger.settle(whole=True)
    writer.write_eof()
    await _whole(asyncio.create_task(_read(reader, ledger)), ledger, writer, target)


async def floods(rng: random.Random, target: Target, count: int) -> None:
    """Send everything before the first reply is read; then wait for every reply."""
    ledger = Ledger(target.totals.wrong)
    transport, (reader, writer) = await connect(rng, target)
    target.totals.connections[f"{transport} floods"] += 1
    frames = b"".join(traffic(rng, target, ledger, count, 0.0))
    ledger.sent(frames)
    writer.write(frames)
    await asyncio.sleep(rng.random() * 0.1)
    writer.write_eof()
    await _whole(asyncio.create_task(_read(reader, ledger)), ledger, writer, target)


async def leaves(rng: random.Random, target: Target, count: int) -> None:
    """Send some, read a little or nothing, and be gone in the middle of a frame."""
    ledger = Ledger(target.totals.wrong)
    transport, (reader, writer) = await connect(rng, target)
    target.totals.connections[f"{transport} leaves"] += 1
    frames = b"".join(traffic(rng, target, ledger, count, 0.9))
    frames += well_formed(rng, target.known, 1)[0].encode()[: rng.randrange(4000)]
    ledger.sent(frames)
    writer.write(frames)
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(rng.choice((0.0, 0.01, 0.1))):
            await _read(reader, ledger)
    writer.transport.abort()
    ledger.settle(whole=False)
    target.totals.add(ledger)


async def stands_in_the_door(rng: random.Random, target: Target, count: int) -> None:
    """Come over TCP without the token; nothing but one refusal may come back."""
    target.totals.connections["tcp stands in the door"] += 1
    token = Message(MessageType.TEXT, target.token, sequence=1).encode()
    wrong = Message(MessageType.TEXT, rng.randbytes(len(target.token))).encode()
    question = well_formed(rng, target.known, 1)[0].encode()
    sent = rng.choice((wrong, token[: rng.randrange(len(token))], question, rng.randbytes(100), b"", token[:48]))
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    writer.write(sent)
    if rng.random() < 0.5:
        writer.write_eof()
    data = b""
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(rng.choice((0.01, 0.2))):
            data = await reader.read()
    writer.transport.abort()
    for item in FrameReader().feed(data):
        refused = isinstance(item, Message) and item.type == MessageType.ERROR and decode_error(item.payload)[0]
        if refused not in (int(ErrorCode.CLOSED), int(ErrorCode.MAX_CHAN)):
            target.totals.wrong.append(f"who has no token was told {item}")


Behaviour = Callable[[random.Random, Target, int], Awaitable[None]]
#: Those that mutate frames.
SPOILING: tuple[Behaviour, ...] = (stays, leaves)
BEHAVIOURS: tuple[Behaviour, ...] = (asks, stays, floods, leaves, stands_in_the_door)
WEIGHTS = (8, 6, 1, 2, 1)


def on_the_line(rng: random.Random, target: Target, device: Path, count: int, unplug: int) -> None:
    """Be the far end of the serial line: batches with ``count`` mutated frames in all, and sound ones.

    Between them the cable is pulled ``unplug`` times.
    """
    batches = math.ceil(count / 10 / (unplug + 1))
    for turn in range(unplug + 1):
        with far_end(device) as line:
            end = time.monotonic() + PATIENCE
            while not line.is_served():
                assert time.monotonic() < end, "the serial line was not opened again"
                time.sleep(0.02)
            target.totals.connections["serial"] += 1
            ledger = Ledger(target.totals.wrong)
            for _ in range(batches):
                frames = b"".join(traffic(rng, target, ledger, 10, rng.choice((0.3, 0.7))))
                # Zeros end what a spoilt length may have promised, so that the next frames are read as such.
                _exchange(line, ledger, frames + bytes(4200))
                ledger.settle(whole=True)
            target.totals.add(ledger)
            if turn < unplug:
                line.sendall(well_formed(rng, target.known, 1)[0].encode()[:40])


def _exchange(line: FarEnd, ledger: Ledger, data: bytes) -> None:
    ledger.sent(data)
    end = time.monotonic() + PATIENCE
    while data or not ledger.is_complete():
        if time.monotonic() > end:
            ledger.wrong.append("the serial line's replies did not come")
            return
        readable, writable, _ = select.select([line], [line] if data else [], [], 1.0)
        if readable:
            ledger.came(line.recv(65_536))
        if writable:
            size = 1000
            line.sendall(data[:size])
            data = data[size:]


async def _read(reader: asyncio.StreamReader, ledger: Ledger) -> None:
    while data := await reader.read(65_536):
        ledger.came(data)


async def _whole(reading: asyncio.Task[None], ledger: Ledger, writer: asyncio.StreamWriter, target: Target) -> None:
    """Read until the server ends the connection, which it does when every reply is sent."""
    try:
        async with asyncio.timeout(PATIENCE):
            await reading
    except (ConnectionError, TimeoutError) as error:
        ledger.wrong.append(f"a peer that stayed was left: {error!r}")
    ledger.settle(whole=True)
    target.totals.add(ledger)
    writer.close()
