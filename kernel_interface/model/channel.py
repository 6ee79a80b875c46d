"""What the server and the model's process say to each other: JSON objects with their lengths, on a socket pair.

A frame is the length of an object in decimal digits, a line feed, the object in UTF-8, a line feed. The process sends
:class:`Started` once; then the server sends a :class:`Question`, and the process a :class:`Reply` to each. Whatever is
anything else ends the channel: neither side believes the other.
"""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from slm.evaluation.benchmark.device import Device

#: The largest object in bytes: far more than a prompt of a frame's size and all drivers' names need.
MAX_BYTES = 4 * 2**20
_DIGITS = len(str(MAX_BYTES))
_READ_BYTES = 65_536


class ChannelError(Exception):
    """What came is not what the format allows, or the other side has gone."""


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, ser_json_inf_nan="constants")


class Started(_Said):
    """The model is loaded; or it is not, and ``error`` says why."""

    error: str


class Question(_Said):
    """A prompt to continue for at most ``max_tokens``; or, where there are ``choices``, drivers to rank.

    ``about`` is the device that they are for, where what the process remembers of others is to have a part.
    """

    number: int
    prompt: str
    seconds: float
    max_tokens: int = 0
    choices: tuple[str, ...] = ()
    about: Device | None = None


class Reply(_Said):
    """What came of the question with the same number: a completion or a ranking, unless there is an ``error``."""

    number: int
    error: str = ""
    abandoned: bool = False
    text: str = ""
    logprobs: tuple[float, ...] = ()
    finished: bool = False
    prompt_tokens: int = 0
    ranked: tuple[tuple[str, float], ...] = ()
    weighed: bool = False


S = TypeVar("S", bound=_Said)


class Frames:
    """Cuts a stream into objects, however it comes."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        """Take more of the stream."""
        self._data += data

    def next(self) -> bytes | None:
        """Return the next object, None when it is not whole yet.

        :raises ChannelError: when this is no frame.
        """
        end = self._data.find(b"\n", 0, _DIGITS + 1)
        digits = bytes(self._data[: end if end >= 0 else _DIGITS + 1])
        if (digits or end == 0) and not (digits.isdigit() and len(digits) <= _DIGITS and int(digits) <= MAX_BYTES):
            raise ChannelError(f"A frame begins with {digits!r}, which is no length.")
        if end < 0 or len(self._data) < (whole := end + 1 + int(digits) + 1):
            return None
        content, last = bytes(self._data[end + 1 : whole - 1]), self._data[whole - 1]
        if last != ord("\n"):
            raise ChannelError(f"A frame of {len(content)} bytes does not end where it says.")
        del self._data[:whole]
        return content


def encode(said: _Said) -> bytes:
    """Write the frame of what is said.

    :raises ChannelError: when it is too large.
    """
    content = said.model_dump_json().encode()
    if len(content) > MAX_BYTES:
        raise ChannelError(f"{len(content)} bytes are too large for a frame; {MAX_BYTES} are allowed.")
    return b"%d\n%s\n" % (len(content), content)


def decode(kind: type[S], content: bytes) -> S:
    """Read what is said in a frame.

    :raises ChannelError: when it is something else.
    """
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise ChannelError(f"A frame of {len(content)} bytes is no {kind.__name__}.") from error


class Channel:
    """One end of the socket pair. One thread at a time may send, and one receive."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._frames = Frames()

    def send(self, said: _Said, seconds: float | None = None) -> None:
        """Send what is said.

        :raises TimeoutError: when it is not taken within ``seconds``.
        :raises ChannelError: when the other side has gone.
        """
        try:
            self._socket.settimeout(seconds)
            self._socket.sendall(encode(said))
        except TimeoutError:
            raise
        except OSError as error:
            raise ChannelError(f"The other side has gone: {error.strerror}.") from error

    def receive(self, kind: type[S], seconds: float | None = None) -> S:
        """Wait for what the other side says.

        :raises TimeoutError: when it has not come within ``seconds``.
        :raises ChannelError: when it is something else, or the other side has gone.
        """
        until = None if seconds is None else time.monotonic() + seconds
        while (content := self._frames.next()) is None:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError
            try:
                self._socket.settimeout(left)
                data = self._socket.recv(_READ_BYTES)
            except TimeoutError:
                raise
            except OSError as error:
                raise ChannelError(f"The other side has gone: {error.strerror}.") from error
            if not data:
                raise ChannelError("The other side has gone.")
            self._frames.feed(data)
        return decode(kind, content)

    def end(self) -> None:
        """Wake whoever waits at this end, and let the other end see that it is over."""
        with contextlib.suppress(OSError):  # it is over already
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close this end; nobody may be waiting at it."""
        self._socket.close()
