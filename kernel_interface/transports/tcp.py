"""TCP, for peers that hold a token.

A peer's first frame must be TEXT with the token; it is answered ACK, and what follows is served. Until then nothing is
answered but the refusal, and only a few peers at a time may be on their way in. Nothing is encrypted: beyond the
loopback, whoever carries the packets can read the token.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import ipaddress
import logging
import socket
from collections.abc import AsyncIterator

from kernel_interface.access import Address
from kernel_interface.transports import Host
from kernel_interface.wire import Defect, ErrorCode, FrameReader, Message, MessageType
from slm.errors import ServingError

log = logging.getLogger(__name__)

#: How long a peer has to show its token.
TOKEN_SECONDS = 5.0
#: Peers that may be on their way in. One more closes the one that has taken longest: who holds the token shows it at
#: once, so that others who only stand in the door cannot keep it out.
MAX_STRANGERS = 16


class _RefusedError(Exception):
    """A peer that is not let in: what it is told, and the word for counters."""

    def __init__(self, why: str, reason: str, code: ErrorCode = ErrorCode.CLOSED, asked: Message | None = None) -> None:
        super().__init__(reason)
        self.why = why
        self.error = Defect(code, reason, asked or Message(MessageType.RAW)).reply()


class TcpTransport:
    """Takes peers at ``address`` that show ``token``; port 0 takes one that is free."""

    kind = "tcp"

    def __init__(self, address: Address, token: bytes, seconds: float = TOKEN_SECONDS) -> None:
        self._address = address
        self._digest = _digest(token)
        self._seconds = seconds
        #: Who is on its way in, the first first; and each one's writer.
        self._strangers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def where(self) -> str:
        """The address, as ``tcp HOST:PORT``."""
        return f"tcp {self._address}"

    @contextlib.asynccontextmanager
    async def opened(self, host: Host) -> AsyncIterator[None]:
        """Listen while the block lasts.

        :raises ServingError: when the address cannot be had.
        """

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.CancelledError):  # at the server's end; asyncio logs it as an error
                if await self._let_in(host, reader, writer):
                    await host.converse(reader, writer, self.kind)

        try:
            server = await asyncio.start_server(connected, self._address.host, self._address.port)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ServingError(
                f"Nobody can listen on {self._address}: {reason}.", "Choose another --tcp ADDRESS."
            ) from error
        self._address = Address(self._address.host, server.sockets[0].getsockname()[1])
        if not all(ipaddress.ip_address(one.getsockname()[0]).is_loopback for one in server.sockets):
            log.warning("%s is not the loopback: token and questions cross the network in the clear.", self._address)
        try:
            yield
        finally:
            server.close()
            strangers = list(self._strangers)
            for task in strangers:
                task.cancel()
            await asyncio.gather(*strangers, return_exceptions=True)

    async def _let_in(self, host: Host, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Ask a peer for the token; refuse it and close the connection if it has none."""
        task = asyncio.current_task()
        assert task is not None
        if len(self._strangers) >= MAX_STRANGERS:
            writers = iter(self._strangers.values())
            refusal = _RefusedError("crowded out", "Too many wait to be let in.", ErrorCode.MAX_CHAN)
            # The first that is not closed already; its task sees the end of its stream.
            _turn_away(host, next((one for one in writers if not one.is_closing()), writer), refusal)
        self._strangers[task] = writer
        try:
            async with asyncio.timeout(self._seconds):
                asked = await self._read_token(reader)
            # A peer that dies without a word must not stay for ever.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            writer.write(asked.reply(MessageType.ACK, b"").encode())
        except _RefusedError as refusal:
            _turn_away(host, writer, refusal)
        except TimeoutError:
            late = _RefusedError("too late", f"No token came within {self._seconds:g} s.")
            _turn_away(host, writer, late)
        except ConnectionError:
            writer.close()
        except asyncio.CancelledError:
            writer.close()
            raise
        finally:
            del self._strangers[task]
        return not writer.is_closing()

    async def _read_token(self, reader: asyncio.StreamReader) -> Message:
        """Return the peer's first frame, which holds the token. No byte beyond it is taken from ``reader``."""
        frames = FrameReader()
        found: list[Message | Defect] = []
        while not found:
            data = await reader.read(frames.lacks)
            if not data:
                raise _RefusedError("went away", "The connection ended before a token came.")
            found = frames.feed(data)
        first = found[0]
        if isinstance(first, Defect):
            raise _RefusedError("no token", "The first frame must be TEXT with the token.", asked=first.header)
        if first.type != MessageType.TEXT:
            raise _RefusedError("no token", "The first frame must be TEXT with the token.", asked=first)
        # Digests, so that the time it takes tells nothing of the token's length either.
        if not hmac.compare_digest(_digest(first.payload.rstrip(b"\0").strip()), self._digest):
            raise _RefusedError("wrong token", "The token is wrong.", asked=first)
        return first


def _turn_away(host: Host, writer: asyncio.StreamWriter, refusal: _RefusedError) -> None:
    """Tell a peer why it is not let in, and close the connection; nothing is said to one that has gone."""
    if writer.is_closing():
        return
    host.turned_away(TcpTransport.kind, refusal.why)
    writer.write(refusal.error.encode())
    writer.close()


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
