"""A stand-in for a guest's serial console: it speaks as the AUTON kernel does, on a descriptor, with faults at will.

Run in QEMU's place it takes QEMU's arguments, of which it heeds the descriptor. The environment says the rest:
``GUEST_MODEL`` the flat file that it has for its module, ``GUEST_DECODER`` our decoder in C, which answers,
``GUEST_FAULT`` one of :data:`FAULTS`, and ``GUEST_RECORD`` a file for the arguments and the process id.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

FAULTS = (
    "refuses the model",
    "drops an echo",
    "doubles an echo",
    "doubles every echo",
    "prints into a line",
    "hangs while typing",
    "hangs before an answer",
    "starts again while typing",
    "starts again before an answer",
    "ends before an answer",
    "prints escapes",
    "never prompts",
    "floods",
)

#: Of a terminal: a title, colours, a cleared screen, a bell, and a string that nobody ends.
ESCAPES = b"\x1b]0;title\a\x1b[1;32m", b"\x1b[0m\x1b[2J\x1b(B\a\x1bPnever ended"


class Console:
    def __init__(self, handle: int, fault: str) -> None:
        assert fault in ("", *FAULTS), fault
        self._handle = handle
        self._fault = fault
        self._decoder, self._model = os.environ["GUEST_DECODER"], os.environ.get("GUEST_MODEL", "")

    def once(self, fault: str) -> bool:
        """Whether it is time for this fault, which does not come twice."""
        due = self._fault == fault
        if due:
            self._fault = ""
        return due

    def put(self, data: bytes) -> None:
        os.write(self._handle, data)

    def get(self) -> bytes:
        byte = os.read(self._handle, 1)
        if not byte:
            sys.exit(0)
        return byte

    def boot(self) -> None:
        start, end = ESCAPES if self._fault == "prints escapes" else (b"", b"")
        self.put(b"AUTON stand-in\r\nmemory: 192 MiB\r\n" + start)
        if self._model and self._fault != "refuses the model":
            self.put(b"[SLM] Loaded model: stand-in\r\n[SLM] Backend: neural" + end + b"\r\n")
        else:
            self.put(b"[SLM] Backend: rules" + end + b"\r\n")
        if self._fault == "never prompts":
            time.sleep(3600)
        while self._fault == "floods":
            self.put(b"[timer] tick\r\n" * 100)
        self.prompt()

    def prompt(self) -> None:
        start, end = (b"\x1b[32m", b"\x1b[0m") if self._fault == "prints escapes" else (b"", b"")
        self.put(start + b"auton> " + end)

    def line(self) -> str:
        """Read a line and echo it; at its third byte, a fault."""
        line = b""
        while (byte := self.get()) not in (b"\r", b"\n"):
            line += byte
            third = len(line) == 3
            if third and self.once("drops an echo"):
                continue
            if third and self._fault == "hangs while typing":
                time.sleep(3600)
            if third and self.once("starts again while typing"):
                self.boot()
                line = b""
                continue
            if third and self.once("prints into a line"):
                self.put(b"\r\n[timer] tick\r\n")
            self.put(byte)
            if (third and self.once("doubles an echo")) or self._fault == "doubles every echo":
                self.put(byte)
        self.put(b"\r\n")
        return line.decode("utf-8", "replace")

    def answer(self, line: str) -> str:
        if "uptime" in line:
            return "up 3 s"
        if not self._model or self._fault == "refuses the model":
            return f"No rule for: {line}"
        done = subprocess.run([self._decoder, self._model, line], capture_output=True, check=True)
        return done.stdout.decode().removesuffix("\n")

    def talk(self) -> None:
        self.boot()
        while True:
            line = self.line()
            if self._fault == "hangs before an answer":
                time.sleep(3600)
            if self._fault == "ends before an answer":
                return
            if self.once("starts again before an answer"):
                self.boot()
                continue
            start, end = ESCAPES if self._fault == "prints escapes" else (b"", b"")
            self.put(start + self.answer(line).encode() + end + b"\r\n")
            self.prompt()


def main() -> None:
    (handle,) = (int(found[1]) for word in sys.argv if (found := re.search(r"\bfd=(\d+)", word)))
    if record := os.environ.get("GUEST_RECORD"):
        with open(record, "w", encoding="utf-8") as file:
            file.write("\n".join([str(os.getpid()), *sys.argv[1:], ""]))
    Console(handle, os.environ.get("GUEST_FAULT", "")).talk()


if __name__ == "__main__":
    main()
