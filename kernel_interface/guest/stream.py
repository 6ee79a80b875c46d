"""A byte stream that is waited for with patience, and what of it is text."""

from __future__ import annotations

import enum
import os
import select
from typing import Protocol


class Stream(Protocol):
    """What a console is typed at and read from."""

    def read(self, seconds: float) -> bytes:
        """Return what comes within ``seconds``, as soon as anything does; nothing when nothing does.

        :raises EOFError: when nothing can come any more.
        """

    def write(self, data: bytes) -> None:
        """Send ``data``.

        :raises EOFError: when nobody can receive it any more.
        """


class Descriptor:
    """The stream of an open descriptor: a socket's or a pty's, which stays its owner's to close."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def read(self, seconds: float) -> bytes:
        """As of :class:`Stream`."""
        readable, _, _ = select.select([self._handle], [], [], seconds)
        if not readable:
            return b""
        try:
            data = os.read(self._handle, 65_536)
        except OSError:  # of a pty without a far end, EIO
            data = b""
        if not data:
            raise EOFError
        return data

    def write(self, data: bytes) -> None:
        """As of :class:`Stream`."""
        try:
            while data:
                data = data[os.write(self._handle, data) :]
        except OSError as error:
            raise EOFError from error


class _State(enum.Enum):
    """Where in an escape sequence a stream is."""

    TEXT, ESCAPE, CONTROL, STRING = range(4)


_LF, _CR, _TAB, _ESC, _BEL, _DEL = b"\n\r\t\x1b\a\x7f"
#: What follows ESC where a string of any length begins: OSC, DCS, APC, PM, SOS.
_STRINGS = b"]P_^X"


class Plain:
    """Takes a terminal's text out of its stream, which may come in pieces of any size.

    Escape sequences and control bytes are left out, a tab is a space, and a line ends with LF, however the guest ends
    it. A sequence that does not come to its end ends with the line.

    Source: ECMA-48, 5th edition, sections 5.3 to 5.6.
    """

    def __init__(self) -> None:
        self._state = _State.TEXT
        self._returned = False  # a CR has come, which is half of a line's end or all of it

    def feed(self, data: bytes) -> bytes:
        """Return the text of the stream's next bytes."""
        text = bytearray()
        for byte in data:
            if byte in (_LF, _CR):
                self._state = _State.TEXT
                self._returned = byte == _CR
                if byte == _LF:
                    text.append(_LF)
                continue
            if self._returned:
                text.append(_LF)
                self._returned = False
            if self._state is not _State.TEXT or byte == _ESC:
                self._state = self._next(byte)
            elif byte == _TAB:
                text += b" "
            elif byte >= 0x20 and byte != _DEL:
                text.append(byte)
        return bytes(text)

    def _next(self, byte: int) -> _State:
        """Return the state after a byte of an escape sequence, ESC included."""
        if byte == _ESC:
            return _State.ESCAPE
        if self._state is _State.ESCAPE:
            if byte in b"[":
                return _State.CONTROL
            if byte in _STRINGS:
                return _State.STRING
            return _State.ESCAPE if 0x20 <= byte <= 0x2F else _State.TEXT
        ended = 0x40 <= byte <= 0x7E if self._state is _State.CONTROL else byte == _BEL
        return _State.TEXT if ended else self._state
