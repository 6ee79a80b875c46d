"""TCP addresses and tokens: what the server that listens and the clients that connect must read alike."""

from __future__ import annotations

import argparse
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from kernel_interface.wire import MAX_PAYLOAD
from slm.errors import ServingError

#: Where to listen, and to connect, when only a port is given.
LOOPBACK = "127.0.0.1"
#: Shorter tokens can be guessed.
MIN_TOKEN_BYTES = 16


@dataclass(frozen=True)
class Address:
    """A host, by its name or number, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        """Write the address as :func:`address` reads it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address(text: str) -> Address:
    """Read ``PORT``, ``HOST:PORT`` or ``[IPV6]:PORT`` from a command line; without a host the loopback is meant.

    :raises argparse.ArgumentTypeError: when the text is none of them. An empty host is none: it would mean every
        interface.
    """
    host, colon, port = text.rpartition(":")
    host = host if colon else LOOPBACK
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not host or (":" in host) != bracketed or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        reason = f"{text!r} is no address; one is written 7777, 127.0.0.1:7777 or [::1]:7777"
        raise argparse.ArgumentTypeError(reason)
    return Address(host, int(port))


def read_token(path: Path) -> bytes:
    """Read the token that a TCP peer must show; blanks and line ends around it do not count.

    :raises ServingError: when the file cannot be read, others may read it, or what it holds is too short or too long.
    """
    advice = f"Make one: (umask 077; head -c 24 /dev/urandom | base64 > {path})"
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MAX_PAYLOAD + 1)
    except OSError as error:
        raise ServingError(f"The token file {path} cannot be read: {error.strerror}.", advice) from error
    if not stat.S_ISREG(mode):
        raise ServingError(f"The token file {path} is no file.", advice)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ServingError(
            f"The token file {path} is open to others than its owner (mode {stat.S_IMODE(mode):04o}).",
            f"Take their rights away and change the token, which they may have read: chmod 600 {path}",
        )
    token = content.strip()
    if len(token) < MIN_TOKEN_BYTES:
        raise ServingError(f"The token in {path} has {len(token)} bytes; {MIN_TOKEN_BYTES} are the least.", advice)
    if len(content) > MAX_PAYLOAD:
        raise ServingError(f"The token in {path} has more than {MAX_PAYLOAD} bytes, a frame's most.", advice)
    return token
