"""What is sent, and what must come back: frames, their mutations, and a ledger that checks a peer's replies."""

from __future__ import annotations

import json
import random
import struct
from collections import Counter
from dataclasses import dataclass, field

from kernel_interface.devices import parse_device
from kernel_interface.dispatch import ANSWERS, QUESTIONS
from kernel_interface.intents import SubCommand
from kernel_interface.service import Service
from kernel_interface.wire import (
    HEADER,
    MAGIC,
    Command,
    Defect,
    ErrorCode,
    Flag,
    FrameReader,
    Message,
    MessageType,
    Result,
    decode_error,
)

#: Receiver, sequence and timestamp of a reply; a frame that we make has a random timestamp, so that no two share one.
Key = tuple[int, int, int]

DEVICES = (
    "8086:100e",
    "8086:10d3",
    "1af4:1000",
    "10ec:8168",
    "14e4:1657",
    "1022:7901",
    "15b3:1017",
    "1b36:000d",
    "8086:1533",
    "4444:5555",
)
TEXTS = (
    *(f"which driver for pci {device}?" for device in DEVICES),
    *(f"what is pci {device}" for device in DEVICES),
    "which driver for usb 0bda:8153?",
    "pci zzzz:10d3",
    "format /dev/sda1 as ext4",
    "my disk makes noises \u2713",
    "how do i mount /dev/sdb1",
)


class Known:
    """The right actions to the questions above, from the same tables without a server."""

    def __init__(self, service: Service) -> None:
        self.queries = {text: service.query(text).action_data for text in TEXTS}
        self.selected = {
            device: service.command(SubCommand.DRV_SELECT, f"PCI {device}").action_data for device in DEVICES
        }
        self.discovered: dict[str, str] = {}
        for device in DEVICES:
            parsed = parse_device(f"PCI {device}")
            assert parsed is not None
            self.discovered[device] = service.discovered(parsed)[1].action_data


def well_formed(rng: random.Random, known: Known, sender: int) -> tuple[Message, str | None]:
    """Make a message of a random kind, and the action that is the right answer where it has one."""
    kind = rng.choices(
        ("query", "command", "discovered", "removed", "event", "stats", "answer", "other"),
        (10, 5, 4, 1, 2, 1, 1, 2),
    )[0]
    flags = Flag(rng.choice((0, 0, 0, 1, 2, 3, 8, 10)))
    device = rng.choice(DEVICES)
    action = None
    if kind == "query":
        text = rng.choice(TEXTS)
        type_, payload, action = MessageType.SLM_QUERY, text.encode(), known.queries[text]
    elif kind == "command":
        payload = Command(1, SubCommand.DRV_SELECT, f"PCI {device}").encode()
        type_, action = MessageType.SLM_COMMAND, known.selected[device]
    elif kind == "discovered":
        type_, payload, action = MessageType.DEV_DISCOVERED, f"PCI {device}".encode(), known.discovered[device]
    elif kind == "removed":
        type_, payload = MessageType.DEV_REMOVED, f"PCI {device}".encode()
    elif kind == "event":
        type_, payload = MessageType.SLM_EVENT, rng.randbytes(rng.randrange(40))
    elif kind == "stats":
        type_, payload = MessageType.SYS_STATS, b""
    elif kind == "answer":
        type_, payload = rng.choice(ANSWERS), rng.randbytes(rng.randrange(40))
    else:
        type_, payload = rng.choice(list(MessageType)), rng.randbytes(rng.choice((0, 3, 40, 4096)))
    receiver, sequence, now = rng.randrange(1, 99), rng.randrange(2**32), rng.randrange(1, 2**63)
    return Message(type_, payload, sender, receiver, now, sequence, flags), action


def mutated(rng: random.Random, frame: bytes) -> bytes:
    """Spoil a frame in one of many ways."""
    data = bytearray(frame)
    at = rng.randrange(len(data))
    way = rng.randrange(8)
    if way == 0:
        data[at] ^= 1 << rng.randrange(8)
    elif way == 1:
        for _ in range(rng.randrange(1, 9)):
            data[rng.randrange(min(len(data), HEADER.size))] = rng.randrange(256)
    elif way == 2:
        del data[at:]
    elif way == 3:
        data[at:at] = rng.randbytes(rng.randrange(1, 60))
    elif way == 4:
        del data[at : at + rng.randrange(1, 60)]
    elif way == 5:
        struct.pack_into("<I", data, 32, rng.choice((0, 1, 4095, 4096, 4097, 2**31, 2**32 - 1)))
    elif way == 6:
        struct.pack_into("<I", data, 4, rng.choice((rng.randrange(0x700), 2**32 - 1)))
    else:
        data = bytearray(rng.randbytes(rng.randrange(200)) + MAGIC.to_bytes(4, "little") * rng.randrange(3))
    return bytes(data)


@dataclass(frozen=True)
class _Expected:
    """What must come back for one message: one ERROR, or ``count`` messages of ``type``, the last with ``action``."""

    type: MessageType
    count: int
    action: str | None
    codes: frozenset[int] | None  # None: any
    sender: int


@dataclass
class Ledger:
    """Every byte that one peer sent, read as the format says, and the replies that it got.

    What a stream with spoilt frames in it means is what :class:`FrameReader` makes of it, which has tests of its own.
    """

    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._sent, self._came = FrameReader(), FrameReader()
        self._expected: dict[Key, list[_Expected]] = {}
        self._replies: dict[Key, list[Message]] = {}
        self._actions: dict[Key, str] = {}
        self.frames = self.replies = self.answered = self.full = 0

    def promise(self, message: Message, action: str | None) -> None:
        """Note the right action for a message that will be sent unspoilt."""
        if action is not None:
            self._actions[message.sender, message.sequence, message.timestamp] = action

    def sent(self, data: bytes) -> None:
        """Note what the server has been sent."""
        for item in self._sent.feed(data):
            header = item.header if isinstance(item, Defect) else item
            expected = self._expectation(item)
            if expected is not None:
                self._expected.setdefault((header.sender, header.sequence, header.timestamp), []).append(expected)

    def came(self, data: bytes) -> None:
        """Note what the server sent; a reply to what was never sent is wrong at once."""
        for item in self._came.feed(data):
            self.replies += 1
            if isinstance(item, Defect):
                self.wrong.append(f"the server sent no frame: {item.reason}")
                continue
            key = (item.receiver, item.sequence, item.timestamp)
            if key not in self._expected:
                self.wrong.append(f"a reply to somebody else: {item.type.name} {key}")
            self._replies.setdefault(key, []).append(item)

    def is_complete(self) -> bool:
        """Whether as many replies are there as there must be at least."""
        return all(
            len(got := self._replies.get(key, [])) >= len(wanted)
            and (len(wanted) > 1 or got[0].type == MessageType.ERROR or len(got) >= wanted[0].count)
            for key, wanted in self._expected.items()
        )

    def settle(self, whole: bool) -> None:
        """Compare, and begin anew; not ``whole`` where the peer did not stay, so that replies may be missing."""
        for key, wanted in self._expected.items():
            self._compare(key, wanted, self._replies.get(key, []), whole)
        for key in self._expected:
            self._actions.pop(key, None)
        self._expected.clear()
        self._replies.clear()

    def _expectation(self, item: Message | Defect) -> _Expected | None:
        if isinstance(item, Defect):
            return _Expected(MessageType.ERROR, 1, None, frozenset({item.code}), item.header.receiver)
        if item.type in ANSWERS:
            return None
        kind, count, action = MessageType.ERROR, 1, None
        codes: frozenset[int] | None = None
        if item.type in QUESTIONS:
            kind, count = MessageType.SLM_RESULT, 2 if item.type == MessageType.DEV_DISCOVERED else 1
            action = self._actions.get((item.sender, item.sequence, item.timestamp))
            codes = None if action is None else frozenset[int]({ErrorCode.FULL, ErrorCode.CLOSED})
        elif item.type == MessageType.SYS_STATS:
            kind, codes = MessageType.SYS_STATS, frozenset[int]()
        elif item.type == MessageType.DEV_REMOVED:
            kind = MessageType.ACK
        elif item.type == MessageType.SLM_EVENT:
            if not item.flags & Flag.REPLY_REQ:
                return None
            kind, codes = MessageType.ACK, frozenset[int]()
        return _Expected(kind, count, action, codes, item.receiver)

    def _compare(self, key: Key, wanted: list[_Expected], got: list[Message], whole: bool) -> None:
        if whole and len(got) < len(wanted):
            self.wrong.append(f"{len(wanted)} requests of {key}, {len(got)} replies")
        if len(got) > sum(one.count for one in wanted):
            self.wrong.append(f"{len(got)} replies to {key}")
        for reply in got:
            if not any(self._fits(one, reply) for one in wanted):
                self.wrong.append(f"{reply.type.name} to {key}, not {wanted}: {reply.payload[:80]!r}")
        if len(wanted) == 1 and got:
            kinds = Counter(reply.type for reply in got)
            if kinds[MessageType.ERROR]:
                self.full += decode_error(got[0].payload)[0] == ErrorCode.FULL
                if len(got) > 1:
                    self.wrong.append(f"an ERROR and more to {key}: {kinds}")
            else:
                self.answered += 1
                if whole and len(got) != wanted[0].count:
                    self.wrong.append(f"{len(got)} replies to {key}, not {wanted[0].count}")

    def _fits(self, one: _Expected, reply: Message) -> bool:
        if reply.sender != one.sender:
            return False
        if reply.type == MessageType.ERROR:
            return one.codes is None or decode_error(reply.payload)[0] in one.codes
        if reply.type != one.type:
            return False
        if one.action is None or reply.type != MessageType.SLM_RESULT:
            return True
        return str(json.loads(Result.decode(reply.payload).data)["action_data"]) == one.action
