"""Our client in C against the real server."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import pytest

from kernel_interface import wire
from kernel_interface.access import Address
from kernel_interface.knowledge import Knowledge
from kernel_interface.serve import in_background
from kernel_interface.service import Service
from kernel_interface.transports.tcp import TcpTransport
from kernel_interface.wire import Message, MessageType
from tests.needs import need_program
from tests.ports import free_port

SOURCE = Path(wire.__file__).parent / "c" / "auton_query.c"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("c") / "auton_query"
    flags = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsanitize=undefined", "-fno-sanitize-recover"]
    subprocess.run([need_program("gcc", "gcc"), *flags, "-o", path, SOURCE], check=True)
    return path


def run(program: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)


def answers(done: subprocess.CompletedProcess[str]) -> list[tuple[int, int, dict[str, object]]]:
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split(" ", 2) for line in done.stdout.splitlines()]
    return [(int(intent), int(status), json.loads(text)) for intent, status, text in rows]


def test_the_server_answers_a_program_in_c(program: Path, server: Path) -> None:
    ((intent, status, answer),) = answers(run(program, server, "query", "which driver for pci 8086:10d3?"))
    assert (intent, status, answer["action_data"], answer["source"]) == (1, 0, "e1000e", "knowledge")
    line = "PCI 8086:100E class=02:00 [MMIO=0xFEBC0000/128KB IRQ=11]"
    ((intent, _, answer),) = answers(run(program, server, "command", "0x0000", line))
    assert (intent, answer["response"]) == (0, "Intel Corporation 82540EM Gigabit Ethernet Controller")
    identify, select = answers(run(program, server, "discovered", "PCI 8086:100E class=02:00"))
    assert (identify[0], select[0], select[2]["action_data"]) == (0, 1, "e1000")


def test_a_program_in_c_asks_over_tcp(program: Path, knowledge: Knowledge, tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text("a token of more than sixteen bytes\n")
    bad.write_text("a token of another sixteen bytes\n")
    port = free_port()
    served = TcpTransport(Address("127.0.0.1", port), good.read_bytes().strip())
    with in_background(Service(knowledge, None), served):
        question = ("query", "which driver for pci 8086:10d3?")
        ((_, _, answer),) = answers(run(program, "--tcp", "127.0.0.1", str(port), good, *question))
        assert answer["action_data"] == "e1000e"
        refused = run(program, "--tcp", "localhost", str(port), bad, *question)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr == "error: refused (-6): The token is wrong.\n"
        assert "No such file" in run(program, "--tcp", "127.0.0.1", str(port), tmp_path / "none", *question).stderr
    assert "Connection refused" in run(program, "--tcp", "127.0.0.1", str(port), good, *question).stderr
    assert run(program, "--tcp", "127.0.0.1", str(port), good).returncode == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("query", " "), "refused (-8)"),
        (("command", "0x0999", "x"), "refused (-8): 0x0999 is no sub-command"),
        (("discovered", "a thing"), "refused (-8)"),
        (("query", "x" * 5000), "longer than 4096"),
        (("command", "0x0100", "x" * 3841), "longer than 3840"),
    ],
)
def test_what_is_refused_is_said(program: Path, server: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run(program, server, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr


def test_nobody_listens_and_wrong_command_lines(program: Path, tmp_path: Path) -> None:
    assert "No such file" in run(program, tmp_path / "none", "query", "x").stderr
    assert "too long" in run(program, tmp_path / ("x" * 200), "query", "x").stderr
    for arguments in ((), ("a", "query"), ("a", "sing", "x"), ("a", "command", "number", "x")):
        done = run(program, *arguments)
        assert (done.returncode, done.stderr.split()[0]) == (2, "usage:")


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(60),
        wire.HEADER.pack(wire.MAGIC, 0x101, 0, 0, 0, 2**32 - 1, 1, 0, 0),
        Message(MessageType.SLM_RESULT, bytes(3848) + b"\xff\xff\xff\xff").encode(),
        Message(MessageType.SLM_RESULT, b"short").encode(),
        Message(MessageType.ERROR, b"no").encode(),
        Message(MessageType.TEXT, b"hello").encode(),
        Message(MessageType.SLM_QUERY, bytes(4096)).encode()[:3000],
        b"",
    ],
)
def test_a_server_that_speaks_nonsense_is_survived(program: Path, tmp_path: Path, reply: bytes) -> None:
    path = tmp_path / "odd.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)
        with subprocess.Popen([program, path, "query", "x"], stderr=subprocess.PIPE, text=True) as process:
            peer, _ = listener.accept()
            with peer:
                peer.recv(65_536)
                peer.sendall(reply)
            _, said = process.communicate(timeout=10)
    assert process.returncode == 1
    assert said.startswith("error: no answer: ")
