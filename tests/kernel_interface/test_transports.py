"""Every transport, and all at once, with device tables and no model behind them."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from kernel_interface import query, serve, wire
from kernel_interface.access import Address
from kernel_interface.client import Client, TcpServer
from kernel_interface.knowledge import Knowledge
from kernel_interface.serve import in_background
from kernel_interface.service import Service
from kernel_interface.transports.serial import SerialTransport, open_line
from kernel_interface.transports.tcp import MAX_STRANGERS, TcpTransport
from kernel_interface.transports.unix import UnixTransport
from kernel_interface.wire import ErrorCode, FrameReader, Message, MessageType, Result
from slm.errors import ServingError
from tests.ports import free_port
from tests.streams import PATIENCE, FarEnd, Stream, far_end, frame, receive, tcp, unix

TOKEN = b"a token of more than sixteen bytes"
#: The one frame that lets a peer in.
SHOWN = Message(MessageType.TEXT, TOKEN, sequence=1).encode()


@dataclass(frozen=True)
class Served:
    """Where a server is, on each of its transports."""

    socket: Path
    port: int
    line: FarEnd
    device: Path

    @property
    def tcp(self) -> TcpServer:
        return TcpServer(Address("127.0.0.1", self.port), TOKEN)


@contextmanager
def serving(knowledge: Knowledge, folder: Path, seconds: float = 5.0) -> Iterator[Served]:
    path, device, port = folder / "slm.sock", folder / "line", free_port()
    with far_end(device) as line:
        transports = (
            UnixTransport(path),
            TcpTransport(Address("127.0.0.1", port), TOKEN, seconds),
            SerialTransport(device),
        )
        with in_background(Service(knowledge, None), *transports):
            yield Served(path, port, line, device)


@pytest.fixture
def served(knowledge: Knowledge, tmp_path: Path) -> Iterator[Served]:
    with serving(knowledge, tmp_path) as found:
        yield found


def let_in(port: int) -> socket.socket:
    connection = tcp(port)
    connection.sendall(SHOWN)
    (reply,) = receive(connection, 1)
    assert (reply.type, reply.sequence, reply.payload) == (MessageType.ACK, 1, b"")
    return connection


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def action(reply: Message) -> str:
    return str(json.loads(Result.decode(reply.payload).data)["action_data"])


def refusal(connection: socket.socket) -> tuple[int, str]:
    """The one ERROR that is sent before the connection ends."""
    data = b""
    while more := connection.recv(65_536):
        data += more
    (reply,) = FrameReader().feed(data)
    assert isinstance(reply, Message)
    assert reply.type == MessageType.ERROR
    return wire.decode_error(reply.payload)


def test_all_transports_at_once_and_to_each_its_own(served: Served) -> None:
    devices = {"8086:100e": "e1000", "8086:10d3": "e1000e", "1af4:1000": "virtio_pci"}
    with unix(served.socket) as first, let_in(served.port) as second:
        streams: list[Stream] = [first, second, served.line]
        rounds = 20
        for number in range(rounds):  # sequences are the same on each, so that only the stream tells them apart
            for stream, device in zip(streams, devices, strict=True):
                stream.sendall(frame(f"which driver for pci {device}?", number))
        for stream, driver in zip(streams, devices.values(), strict=True):
            replies = receive(stream, rounds)
            assert [reply.sequence for reply in replies] == list(range(rounds))
            assert {action(reply) for reply in replies} == {driver}


def test_the_clients_speak_tcp(served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Client(served.tcp) as client:
        assert client.query("which driver for pci 8086:10d3?")["action_data"] == "e1000e"
        assert client.discovered("PCI 8086:100E class=02:00")[1]["action_data"] == "e1000"
    with pytest.raises(ServingError, match=r"refused the request \(-6\): The token is wrong"):
        Client(TcpServer(served.tcp.address, b"another token, as long"))
    assert TOKEN.decode() not in repr(served.tcp)
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_bytes(TOKEN + b"\n")
    where = ["--tcp", str(served.port), "--token-file", str(token)]
    assert query.main([*where, "which driver for 8086:100e"]) == 0
    assert "action      e1000\n" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        query.main(["--tcp", str(served.port), "hello"])


def test_a_token_byte_by_byte_and_questions_right_behind_it(served: Served) -> None:
    with tcp(served.port) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(SHOWN)):
            connection.sendall(SHOWN[at : at + 1])
        assert receive(connection, 1)[0].type == MessageType.ACK
    with tcp(served.port) as connection:
        connection.sendall(SHOWN + b"".join(frame("which driver for 8086:100e?", n) for n in range(3)))
        assert [reply.sequence for reply in receive(connection, 4)] == [1, 0, 1, 2]


def text_frame(token: bytes) -> bytes:
    return Message(MessageType.TEXT, token, sequence=7).encode()


@pytest.mark.parametrize(
    "first",
    [
        text_frame(TOKEN[:-1]),
        text_frame(TOKEN + b"!"),
        text_frame(b""),
        text_frame(b"\xff" * 4096),
        Message(MessageType.RAW, TOKEN).encode(),
        frame("which driver for 8086:100e?", 7) + SHOWN,
        b"GET / HTTP/1.1\r\n\r\n",
        wire.HEADER.pack(wire.MAGIC, 1, 0, 0, 0, 2**32 - 1, 7, 0, 0),
    ],
)
def test_without_the_token_nothing_is_answered(served: Served, first: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), Client(served.tcp) as inside, tcp(served.port) as connection:
        connection.sendall(first)
        code, reason = refusal(connection)
        assert code == ErrorCode.CLOSED
        assert "token" in reason
        counters = inside.statistics()
    assert (counters["commands"], counters["turned_away"]) == (0, 1)
    assert "turned away" in caplog.text
    assert TOKEN.decode() not in caplog.text


@pytest.mark.parametrize("start", [b"", SHOWN[:20], SHOWN[:-1]])
def test_a_token_has_to_come_in_time(knowledge: Knowledge, tmp_path: Path, start: bytes) -> None:
    with serving(knowledge, tmp_path, seconds=0.2) as served, tcp(served.port) as connection:
        connection.sendall(start)
        assert refusal(connection) == (ErrorCode.CLOSED, "No token came within 0.2 s.")
        with let_in(served.port) as inside:
            inside.sendall(frame("which driver for 8086:100e?", 1))
            assert action(receive(inside, 1)[0]) == "e1000"


def test_a_crowd_in_the_door_does_not_keep_out_who_has_the_token(served: Served) -> None:
    with ExitStack() as stack:
        crowd = [stack.enter_context(tcp(served.port)) for _ in range(MAX_STRANGERS + 3)]
        inside = stack.enter_context(Client(served.tcp))
        assert inside.query("which driver for 8086:100e?")["action_data"] == "e1000"
        for early in crowd[:4]:
            assert refusal(early) == (ErrorCode.MAX_CHAN, "Too many wait to be let in.")
        crowd[-1].sendall(SHOWN)
        assert receive(crowd[-1], 1)[0].type == MessageType.ACK
        assert inside.statistics()["turned_away"] == 4


def test_a_port_that_is_taken_ends_all_of_it(knowledge: Knowledge, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        both = UnixTransport(tmp_path / "slm.sock"), TcpTransport(address, TOKEN)
        with (
            pytest.raises(ServingError, match="Nobody can listen"),
            in_background(Service(knowledge, None), *both),
        ):
            pass
    assert not (tmp_path / "slm.sock").exists()


def test_beyond_the_loopback_is_warned_of(
    knowledge: Knowledge, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    anywhere = TcpTransport(Address("0.0.0.0", 0), TOKEN)
    with in_background(Service(knowledge, None), anywhere):
        assert "in the clear" in caplog.text
        port = int(anywhere.where.rpartition(":")[2])
        assert port > 0
        let_in(port).close()


def test_a_serial_line_changes_no_byte(served: Served) -> None:
    # What a terminal would translate, echo or act on: CR, LF, ^C, ^D, ^Q, ^S, ^V, ^Z, ^\, DEL, NUL, and UTF-8.
    text = "8086:10d3 driver? \r\n\x03\x04\x11\x13\x16\x1a\x1c\x7f\x00 and on \u2713\r"
    served.line.sendall(frame(text, 5))
    (reply,) = receive(served.line, 1)
    assert (reply.sequence, reply.receiver, action(reply)) == (5, 11, "e1000e")
    long = frame("which driver for 8086:100e? " + "x" * 3900, 6)
    served.line.sendall(long * 20)
    assert {action(reply) for reply in receive(served.line, 20)} == {"e1000"}


def test_a_serial_line_finds_its_way_back_after_garbage(served: Served) -> None:
    half = frame("which driver for 8086:100e?", 1)[:30]  # the zeros that follow make it a question without a text
    served.line.sendall(b"[SLM] booting\r\n\x00\xff!CP" + half + b"\0" * 100)
    served.line.sendall(b"auton> " + frame("which driver for 8086:100e?", 2))
    replies = receive(served.line, 4)
    assert [reply.type for reply in replies[:-1]] == [MessageType.ERROR] * 3
    assert (replies[-1].sequence, action(replies[-1])) == (2, "e1000")


def came_back(caplog: pytest.LogCaptureFixture, device: Path, times: int) -> bool:
    return caplog.text.count(f"{device} is back") == times


def test_a_device_that_vanishes_comes_back(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    with Client(served.socket) as other:
        served.line.sendall(frame("which driver for 8086:100e?", 1)[:60])  # dies in the middle of a frame
        served.line.close()
        for number in range(2):
            assert other.query("which driver for 8086:100e?")["action_data"] == "e1000"
            with far_end(served.device) as back:
                wait_until(partial(came_back, caplog, served.device, number + 1))
                back.sendall(frame("which driver for 8086:10d3?", 2))
                assert action(receive(back, 1)[0]) == "e1000e"
    assert caplog.text.count(f"{served.device} is gone") >= 2


def test_one_server_a_device(served: Served, knowledge: Knowledge) -> None:
    second = SerialTransport(served.device)
    with (
        pytest.raises(ServingError, match="Another process uses"),
        in_background(Service(knowledge, None), second),
    ):
        pass
    served.line.sendall(frame("which driver for 8086:100e?", 1))
    assert action(receive(served.line, 1)[0]) == "e1000"


def test_what_is_no_serial_device(tmp_path: Path) -> None:
    plain = tmp_path / "file"
    plain.touch()
    for device, reason in (
        (plain, "no terminal"),
        (Path("/dev/null"), "no terminal"),
        (tmp_path, "Is a directory"),
        (tmp_path / "none", "No such file"),
    ):
        with pytest.raises(ServingError, match=reason):
            open_line(device, 9600)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--tcp", "7777"),
        ("--socket", "x", "--token-file", "y"),
        ("--socket", "x", "--baud", "9600"),
        ("--serial", "x", "--baud", "12345"),
        ("--tcp", ":7777", "--token-file", "y"),
    ],
)
def test_command_lines_that_make_no_sense(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        serve.main(arguments)
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_a_bad_token_file_refuses_to_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert serve.main(["--tcp", "0", "--token-file", str(tmp_path / "none")]) == 1
    assert "token file" in capsys.readouterr().err


@pytest.mark.slow
def test_the_program_serves_all_three(tables: Path, tmp_path: Path) -> None:
    token, path, device = tmp_path / "token", tmp_path / "slm.sock", tmp_path / "line"
    token.touch(0o600)
    token.write_bytes(TOKEN)
    port = free_port()
    with far_end(device) as line:
        where: list[str | Path] = [
            "--socket",
            path,
            "--tcp",
            str(port),
            "--token-file",
            token,
            "--serial",
            device,
            "--baud",
            "9600",
        ]
        command = [sys.executable, "-m", "kernel_interface.serve", *where, "--knowledge", tables]
        with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout
                assert process.stdout.readline() == f"serving devices on {path}, tcp 127.0.0.1:{port}, {device}\n"
                with unix(path) as first, let_in(port) as second:
                    streams: list[Stream] = [first, second, line]
                    for stream in streams:
                        stream.sendall(frame("which driver for 8086:100e?", 1))
                        assert action(receive(stream, 1)[0]) == "e1000"
            finally:
                process.terminate()
                assert process.wait(10) == 0
    assert not path.exists()
