"""TCP addresses and tokens: what the server that listens and the clients that connect must read alike."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from kernel_interface.wire import MAX_PAYLOAD
from slm import token_file

#: Where to listen, and to connect, when only a port is given.
LOOPBACK = "127.0.0.1"


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
    """Read the token that a TCP peer must show, as :func:`slm.token_file.read_token`; it must fit a frame."""
    return token_file.read_token(path, MAX_PAYLOAD)
