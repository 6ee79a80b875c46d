"""A blocking client of the server, for tools and tests; each wait has a time-out."""

from __future__ import annotations

import json
import os
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kernel_interface.access import Address
from kernel_interface.intents import SubCommand
from kernel_interface.wire import Command, Defect, Flag, FrameReader, Message, MessageType, Result, decode_error
from slm.errors import ServingError


@dataclass(frozen=True)
class TcpServer:
    """A server on TCP, and the token that it asks for."""

    address: Address
    token: bytes = field(repr=False)

    def __str__(self) -> str:
        """Name the server, without the token."""
        return str(self.address)


class Client:
    """One connection to a server.

    :param server: the path of its Unix socket, or where it is on TCP.
    :param seconds: how long to wait for each answer.
    :raises ServingError: when nothing listens there, or the token is refused.
    """

    def __init__(self, server: Path | TcpServer, seconds: float = 30.0) -> None:
        self._server = server
        self._frames = FrameReader()
        self._arrived: deque[Message | Defect] = deque()
        self._sequence = 0
        try:
            self._socket = _connected(server, seconds)
        except OSError as error:
            option = "--socket" if isinstance(server, Path) else "--token-file FILE --tcp"
            raise ServingError(
                f"No server answers on {server} ({error.strerror or error}).",
                f"Start one: python -m kernel_interface.serve {option} {server}",
            ) from error
        if isinstance(server, TcpServer):
            try:
                self._receive(self._send(MessageType.TEXT, server.token, False))
            except ServingError:
                self.close()
                raise

    def __enter__(self) -> Self:
        """Use the connection as a context; it is closed at the end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def query(self, text: str, urgent: bool = False) -> dict[str, Any]:
        """Ask a question in words; return the answer's object with its ``intent`` and ``status``."""
        try:
            payload = text.encode()
        except UnicodeEncodeError as error:
            raise ServingError("The question is not valid UTF-8.", "Type it again.") from error
        return self._results(self._send(MessageType.SLM_QUERY, payload, urgent), 1)[0]

    def command(self, sub_command: SubCommand, args: str, urgent: bool = False) -> dict[str, Any]:
        """Give a command; return the answer's object with its ``intent`` and ``status``."""
        payload = Command(sub_command.intent, sub_command, args).encode()
        return self._results(self._send(MessageType.SLM_COMMAND, payload, urgent), 1)[0]

    def discovered(self, device: str) -> Sequence[dict[str, Any]]:
        """Announce a device; return what it is, and which driver it needs."""
        return self._results(self._send(MessageType.DEV_DISCOVERED, device.encode(), False), 2)

    def statistics(self) -> dict[str, Any]:
        """Return the server's counters."""
        content: dict[str, Any] = json.loads(self._receive(self._send(MessageType.SYS_STATS, b"", False)).payload)
        return content

    def _send(self, kind: MessageType, payload: bytes, urgent: bool) -> int:
        self._sequence += 1
        flags = Flag.SLM_CHAN | Flag.REPLY_REQ | (Flag.URGENT if urgent else Flag(0))
        frame = Message(kind, payload, sender=os.getpid(), receiver=1, sequence=self._sequence, flags=flags).encode()
        try:
            self._socket.sendall(frame)
        except OSError as error:
            raise self._lost(error) from error
        return self._sequence

    def _results(self, sequence: int, count: int) -> list[dict[str, Any]]:
        results = [Result.decode(self._receive(sequence).payload) for _ in range(count)]
        return [{**json.loads(result.data), "intent": result.intent, "status": result.status} for result in results]

    def _receive(self, sequence: int) -> Message:
        """Wait for the next message with ``sequence``; those of requests given up earlier are passed over."""
        while True:
            while self._arrived:
                item = self._arrived.popleft()
                if isinstance(item, Defect):
                    raise ServingError(f"The server on {self._server} does not speak our format: {item.reason}")
                if item.sequence != sequence:
                    continue
                if item.type == MessageType.ERROR:
                    code, reason = decode_error(item.payload)
                    raise ServingError(f"The server refused the request ({code}): {reason}")
                return item
            try:
                data = self._socket.recv(65_536)
            except OSError as error:
                raise self._lost(error) from error
            if not data:
                raise self._lost(None)
            self._arrived.extend(self._frames.feed(data))

    def _lost(self, error: OSError | None) -> ServingError:
        if isinstance(error, TimeoutError):
            return ServingError(f"The server on {self._server} did not answer within {self._socket.gettimeout():g} s.")
        return ServingError(f"The server on {self._server} closed the connection.", "Its log says why; start it again.")


def _connected(server: Path | TcpServer, seconds: float) -> socket.socket:
    if isinstance(server, TcpServer):
        return socket.create_connection((server.address.host, server.address.port), seconds)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(seconds)
    try:
        connection.connect(str(server))
    except OSError:
        connection.close()
        raise
    return connection
