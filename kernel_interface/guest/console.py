"""The dialogue at the guest's serial console: wait for the prompt, type with every echo checked, take the answer.

The guest is believed nothing: it may lose or double a byte, print in the middle of a line, stop, or start again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from kernel_interface.guest.stream import Plain, Stream
from slm.corpus.members import printable
from slm.errors import GuestError

PROMPT = b"auton> "
#: Both are among the boot lines of a kernel that has taken the model.
LOADED = ("[SLM] Loaded model:", "[SLM] Backend: neural")

#: A prompt is one when nothing follows it for so long, in seconds; and so long a typed byte may take to come back.
QUIET_SECONDS, ECHO_SECONDS = 0.1, 2.0
#: How often a line is typed before its echo is given up.
TRIES = 3
#: No answer and no boot is so long; what goes on beyond it, in bytes, has no prompt.
MOST_BYTES = 1 << 20

#: How much of what came an error shows, in bytes.
_SHOWN = 300


@dataclass(frozen=True)
class Printed:
    """What the guest printed up to a prompt, in printable lines without empty ones, and how long that took."""

    text: str
    seconds: float


class Console:
    """One guest's console.

    :param clock: seconds, as :func:`time.monotonic`.
    """

    def __init__(self, stream: Stream, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._plain = Plain()
        self._came = bytearray()  # as text, since the last prompt
        self._came_at = clock()  # the last of it
        self._beginning = ""  # of a boot: its first two lines, since one alone could be an answer

    def boot(self, patience: float) -> Printed:
        """Wait for the first prompt, ``patience`` seconds at most; return what the guest printed before it.

        :raises GuestError: when it does not come.
        """
        start = self._clock()
        lines = _lines(self._until_prompt(patience, "did not come to its prompt"))
        self._beginning = "\n".join(lines[:2]) if len(lines) > 1 else ""
        return Printed("\n".join(lines), self._came_at - start)

    def ask(self, line: str, patience: float) -> Printed:
        """Type ``line`` at the prompt, and return what comes until the next one.

        A line that comes back otherwise than it was typed is entered as it is, since nothing else is sure to lead to a
        prompt; what is said to it is dropped, and the line is typed again.

        :param patience: seconds that an answer may take.
        :raises GuestError: when no answer comes, the guest starts again, or the echo is wrong :data:`TRIES` times.
        """
        typed = line.encode()
        for _ in range(TRIES):
            seen = self._typed(typed)
            start = self._clock()
            self._write(b"\r")
            text = self._until_prompt(patience, f"did not answer {line!r}")
            self._check_still_the_same(text, line)
            if seen == typed:
                return Printed("\n".join(_lines(text[len(typed) :])), self._came_at - start)
        raise GuestError(
            f"The console shows {_shown(seen)!r} when {line!r} is typed, {TRIES} times in a row.",
            "See that nothing else uses the console, and that it echoes every byte once.",
        )

    def _typed(self, line: bytes) -> bytes:
        """Type byte by byte, up to the first that comes back as another; return what came back."""
        for count in range(1, len(line) + 1):
            self._write(line[count - 1 : count])
            end = self._clock() + ECHO_SECONDS
            while len(self._came) < count and (left := end - self._clock()) > 0:
                self._read(left)
            if self._came != line[:count]:
                break
        end = self._clock() + ECHO_SECONDS
        while self._read(QUIET_SECONDS) and self._clock() < end:
            pass
        return bytes(self._came)

    def _until_prompt(self, patience: float, failing: str) -> bytes:
        """Wait for the prompt, and return what came before it since the last one."""
        end = self._clock() + patience
        while self._read(QUIET_SECONDS) or not (b"\n" + self._came).endswith(b"\n" + PROMPT):
            if self._clock() >= end:
                raise GuestError(f"The guest {failing} within {patience:.0f} s.{self._last_seen()}")
        text = bytes(self._came[: -len(PROMPT)])
        self._came.clear()
        return text

    def _check_still_the_same(self, text: bytes, line: str) -> None:
        """Raise when the beginning of a boot is in what came, perhaps behind a line that was being typed."""
        told = "\n".join(_lines(text))
        if (self._beginning and self._beginning in told) or any(mark in told for mark in LOADED):
            raise GuestError(f"The guest started again at {line!r}.", "Its own log may say why.")

    def _read(self, seconds: float) -> bool:
        """Wait for the next bytes, and say whether any came."""
        try:
            data = self._stream.read(seconds)
        except EOFError as error:
            raise GuestError(f"The guest is gone: its machine ended, or was reset.{self._last_seen()}") from error
        self._came += self._plain.feed(data)
        if data:
            self._came_at = self._clock()
        if len(self._came) > MOST_BYTES:
            raise GuestError(f"The guest has printed {MOST_BYTES} bytes without a prompt.{self._last_seen()}")
        return bool(data)

    def _write(self, data: bytes) -> None:
        try:
            self._stream.write(data)
        except EOFError as error:
            raise GuestError(f"The guest is gone: its machine ended, or was reset.{self._last_seen()}") from error

    def _last_seen(self) -> str:
        """Say what came last, for an error."""
        return f" The last it printed: {_shown(bytes(self._came))!r}." if self._came else " It has printed nothing."


def loaded(booted: str) -> bool:
    """Whether boot lines say that the kernel has taken a model."""
    return all(mark in booted for mark in LOADED)


def _lines(text: bytes) -> list[str]:
    """Split text into printable lines, those without anything left out."""
    return [printable(line).rstrip() for line in text.decode("utf-8", "replace").split("\n") if line.strip()]


def _shown(text: bytes) -> str:
    """Write the end of text for a person, within quotes to come."""
    cut = text[-_SHOWN:].decode("utf-8", "replace")
    return f"…{cut}" if len(text) > _SHOWN else cut
