"""The ways on which the kernel's frames come in: a Unix socket, TCP and a serial line, each a module of its own.

A transport opens, takes peers one by one, and hands each one's streams to the :class:`Host`, which knows nothing of how
they came.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Host(Protocol):
    """What a transport needs of the server behind it."""

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, transport: str) -> None:
        """Serve one peer until it has gone; close its writer."""

    def turned_away(self, transport: str, why: str) -> None:
        """Note that a peer was not let in; ``why`` is one of a few words, not the peer's own."""


class Transport(Protocol):
    """One way in."""

    @property
    def kind(self) -> str:
        """What it is in a word, for counters and logs."""

    @property
    def where(self) -> str:
        """Where it is, for people; exact once it is open."""

    def opened(self, host: Host) -> AbstractAsyncContextManager[None]:
        """Take peers for ``host`` while the block lasts.

        :raises ServingError: when it cannot be had.
        """
