"""The kernel's message format: a fixed 48-byte header, little-endian, followed by at most 4096 bytes of payload.

Layouts are those of the AUTON kernel's C structures on x86_64; ``specs/kernel_interface.md`` tabulates them, and the
tests compare every offset with what a C compiler makes of the same declarations.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any

from slm.errors import AutonError

MAGIC = 0x49504321
#: magic, type, sender, receiver, timestamp, payload length, sequence, flags, padding.
HEADER = struct.Struct("<IIQQQIIII")
MAX_PAYLOAD = 4096

#: SLM_COMMAND: intent, sub-command, text, its length.  SLM_RESULT: intent, status, text, its length.
COMMAND = struct.Struct("<II3840sI")
RESULT = struct.Struct("<Ii3840sI")
TEXT_BYTES = 3840

#: What the kernel's own result structure holds of each text; one byte of each array is left for a closing NUL.
RESPONSE_BYTES = 2047
ACTION_BYTES = 1023

_MAGIC_BYTES = MAGIC.to_bytes(4, "little")


class MessageType(IntEnum):
    """What a message is."""

    RAW = 0x0000
    TEXT = 0x0001
    ACK = 0x0002
    ERROR = 0x0003
    SLM_COMMAND = 0x0100
    SLM_RESULT = 0x0101
    SLM_QUERY = 0x0102
    SLM_EVENT = 0x0103
    DEV_DISCOVERED = 0x0200
    DEV_REMOVED = 0x0201
    DEV_STATUS = 0x0202
    DRV_LOAD = 0x0300
    DRV_UNLOAD = 0x0301
    DRV_STATUS = 0x0302
    SYS_LOG = 0x0400
    SYS_STATS = 0x0401
    SYS_ALERT = 0x0402
    NET_CONFIG = 0x0500
    NET_STATUS = 0x0501
    PKG_REQUEST = 0x0600
    PKG_STATUS = 0x0601


_TYPES = {kind.value: kind for kind in MessageType}


class Flag(IntFlag):
    """How a message wants to be treated.

    Flags from outside stay numbers, whose bits without a name pass through unchanged: an enumeration keeps every value
    that it has ever met, and there are four thousand million.
    """

    URGENT = 1
    REPLY_REQ = 2
    BROADCAST = 4
    SLM_CHAN = 8


NO_FLAGS = Flag(0)


class ErrorCode(IntEnum):
    """Why a message was refused."""

    OK = 0
    FULL = -1
    EMPTY = -2
    BAD_PID = -3
    TOO_LONG = -4
    NO_CHANNEL = -5
    CLOSED = -6
    MAX_CHAN = -7
    INVALID = -8


class WireError(AutonError):
    """Bytes, or a request in them, that the format does not allow; ``code`` is what the peer is told."""

    def __init__(self, code: ErrorCode, what: str) -> None:
        super().__init__(what)
        self.code = code


@dataclass(frozen=True)
class Message:
    """One frame: its header's fields, and its payload."""

    type: MessageType
    payload: bytes = b""
    sender: int = 0
    receiver: int = 0
    timestamp: int = 0
    sequence: int = 0
    flags: int = NO_FLAGS

    def encode(self) -> bytes:
        """Return the frame's bytes.

        :raises WireError: TOO_LONG for a payload above 4096 bytes; INVALID for a field outside its width.
        """
        if len(self.payload) > MAX_PAYLOAD:
            raise WireError(ErrorCode.TOO_LONG, f"A payload has {len(self.payload)} bytes; {MAX_PAYLOAD} are allowed.")
        try:
            header = HEADER.pack(
                MAGIC,
                self.type,
                self.sender,
                self.receiver,
                self.timestamp,
                len(self.payload),
                self.sequence,
                self.flags,
                0,
            )
        except struct.error as error:
            raise WireError(ErrorCode.INVALID, f"A header field does not fit: {error}.") from error
        return header + self.payload

    def reply(self, kind: MessageType, payload: bytes) -> Message:
        """Make an answer to this message: pids swapped; sequence and timestamp kept, so that it can be matched."""
        return Message(
            type=kind,
            payload=payload,
            sender=self.receiver,
            receiver=self.sender,
            timestamp=self.timestamp,
            sequence=self.sequence,
            flags=self.flags & Flag.SLM_CHAN,
        )


@dataclass(frozen=True)
class Defect:
    """A stretch of a stream that is no message. ``header`` has the frame's fields where they could be read."""

    code: ErrorCode
    reason: str
    header: Message

    def reply(self) -> Message:
        """Tell the sender what is wrong."""
        return self.header.reply(MessageType.ERROR, encode_error(self.code, self.reason))


class FrameReader:
    """Cuts a byte stream into messages.

    Between calls it holds less than one frame (4144 bytes). After bytes that cannot be a frame it looks for the next
    magic, and reports one :class:`Defect` for the whole stretch, however long that is.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._lost = False

    @property
    def lacks(self) -> int:
        """How many bytes the frame at hand lacks, as far as can be told: first of its header, then of its payload."""
        held = len(self._buffer)
        if held < HEADER.size:
            return HEADER.size - held
        length = int(HEADER.unpack_from(self._buffer)[5])
        return HEADER.size + length - held

    def feed(self, data: bytes) -> list[Message | Defect]:
        """Take the next bytes; return the messages and defects that they complete, in order."""
        buffer = self._buffer
        buffer += data
        found: list[Message | Defect] = []
        while buffer:
            if buffer[:4] != _MAGIC_BYTES[: len(buffer)]:
                reason = f"A frame begins with {buffer[:4].hex(' ')}, not with the magic {_MAGIC_BYTES.hex(' ')}."
                self._lose(Defect(ErrorCode.INVALID, reason, Message(MessageType.RAW)), found)
                continue
            if len(buffer) < HEADER.size:
                break
            _, kind, sender, receiver, timestamp, length, sequence, flags, _ = HEADER.unpack_from(buffer)
            name = _TYPES.get(kind, MessageType.RAW)
            if length > MAX_PAYLOAD:
                # The length may be a lie, and waiting for 4 GiB would never end: look for the next frame instead.
                reason = f"A payload of {length} bytes is announced; {MAX_PAYLOAD} are allowed."
                header = Message(name, b"", sender, receiver, timestamp, sequence, flags)
                self._lose(Defect(ErrorCode.TOO_LONG, reason, header), found)
                continue
            end = HEADER.size + length
            if len(buffer) < end:
                break
            payload = bytes(buffer[HEADER.size : end]) if kind in _TYPES else b""
            message = Message(name, payload, sender, receiver, timestamp, sequence, flags)
            del buffer[:end]
            self._lost = False
            if kind in _TYPES:
                found.append(message)
            else:
                found.append(Defect(ErrorCode.INVALID, f"0x{kind:04x} is no message type.", message))
        return found

    def _lose(self, defect: Defect, found: list[Message | Defect]) -> None:
        """Drop bytes up to the next magic, or to what may be its beginning; report the first defect of a stretch."""
        at = self._buffer.find(_MAGIC_BYTES, 1)
        if at < 0:
            keep = next((n for n in (3, 2, 1) if self._buffer.endswith(_MAGIC_BYTES[:n])), 0)
            at = max(1, len(self._buffer) - keep)
        del self._buffer[:at]
        if not self._lost:
            found.append(defect)
        self._lost = True


@dataclass(frozen=True)
class Command:
    """The payload of SLM_COMMAND."""

    intent: int
    sub_command: int
    args: str

    def encode(self) -> bytes:
        """Return the payload's 3852 bytes.

        :raises WireError: TOO_LONG when ``args`` has more than 3840 bytes of UTF-8.
        """
        return _pack(COMMAND, self.intent, self.sub_command, self.args.encode())

    @classmethod
    def decode(cls, payload: bytes) -> Command:
        """Read a payload; NULs at the end of ``args`` do not count.

        :raises WireError: INVALID for a wrong size, a wrong length or text that is not UTF-8.
        """
        intent, sub_command, text = _unpack(COMMAND, payload, "SLM_COMMAND")
        return cls(intent, sub_command, decode_text(text, "SLM_COMMAND"))


@dataclass(frozen=True)
class Result:
    """The payload of SLM_RESULT; ``data`` is JSON (see :func:`fit_result`)."""

    intent: int
    status: int
    data: str

    def encode(self) -> bytes:
        """Return the payload's 3852 bytes.

        :raises WireError: TOO_LONG when ``data`` has more than 3840 bytes of UTF-8.
        """
        return _pack(RESULT, self.intent, self.status, self.data.encode())

    @classmethod
    def decode(cls, payload: bytes) -> Result:
        """Read a payload.

        :raises WireError: INVALID for a wrong size, a wrong length or text that is not UTF-8.
        """
        intent, status, text = _unpack(RESULT, payload, "SLM_RESULT")
        return cls(intent, status, decode_text(text, "SLM_RESULT"))


def fit_result(response: str, action_data: str, fields: Mapping[str, Any]) -> str:
    """Write an answer as JSON of at most 3840 bytes, cutting ``response`` where needed, never ``action_data``.

    ``response`` is also kept within the 2047 bytes that the kernel's own structure holds.

    :param fields: what else the object says (``requires_followup``, ``source``, ``confidence``).
    :raises WireError: TOO_LONG when ``action_data`` is beyond its 1023 bytes.
    """
    response = response.encode(errors="replace").decode()
    action_data = action_data.encode(errors="replace").decode()
    if (size := len(action_data.encode())) > ACTION_BYTES:
        raise WireError(ErrorCode.TOO_LONG, f"action_data has {size} bytes; {ACTION_BYTES} are allowed.")

    def written(characters: int) -> str:
        content = {"response": response[:characters], "action_data": action_data, **fields}
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"))

    def fits(characters: int, text: str) -> bool:
        return len(response[:characters].encode()) <= RESPONSE_BYTES and len(text.encode()) <= TEXT_BYTES

    whole = written(len(response))
    if fits(len(response), whole):  # nearly always
        return whole
    low, high = 0, len(response)
    while low < high:  # the most characters that fit; both sizes grow with them
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle, written(middle)) else (low, middle - 1)
    text = written(low)
    if len(text.encode()) > TEXT_BYTES:
        raise WireError(ErrorCode.TOO_LONG, f"action_data does not fit: {len(text.encode())} bytes without a response.")
    return text


def encode_error(code: ErrorCode, reason: str) -> bytes:
    """Write the payload of ERROR: the code, then the reason in UTF-8, cut to fit."""
    text = reason.encode(errors="replace")[: MAX_PAYLOAD - 4]
    return struct.pack("<i", code) + text.decode(errors="ignore").encode()


def decode_error(payload: bytes) -> tuple[int, str]:
    """Read the payload of ERROR: its code (which may be one that we do not know) and its reason.

    :raises WireError: INVALID when there is no code in it.
    """
    if len(payload) < 4:
        raise WireError(ErrorCode.INVALID, f"An ERROR payload has {len(payload)} bytes, too few for its code.")
    (code,) = struct.unpack_from("<i", payload)
    return int(code), payload[4:].decode(errors="replace")


def decode_text(payload: bytes, what: str) -> str:
    """Read UTF-8 text; NULs at its end do not count.

    :raises WireError: INVALID when it is not UTF-8.
    """
    try:
        return payload.rstrip(b"\0").decode()
    except UnicodeDecodeError as error:
        raise WireError(ErrorCode.INVALID, f"The text of {what} is not UTF-8: {error}.") from error


def _pack(layout: struct.Struct, intent: int, second: int, text: bytes) -> bytes:
    if len(text) > TEXT_BYTES:
        raise WireError(ErrorCode.TOO_LONG, f"A text has {len(text)} bytes; {TEXT_BYTES} are allowed.")
    return layout.pack(intent, second, text, len(text))


def _unpack(layout: struct.Struct, payload: bytes, what: str) -> tuple[int, int, bytes]:
    if len(payload) != layout.size:
        raise WireError(ErrorCode.INVALID, f"{what} has {len(payload)} bytes of payload, not {layout.size}.")
    intent, second, text, length = layout.unpack(payload)
    if length > TEXT_BYTES:
        raise WireError(ErrorCode.INVALID, f"{what} says its text has {length} bytes; {TEXT_BYTES} are allowed.")
    return intent, second, text[:length]
