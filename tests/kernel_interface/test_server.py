from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from kernel_interface import query, serve, wire
from kernel_interface.actions import read_action
from kernel_interface.client import Client
from kernel_interface.intents import Intent, SubCommand
from kernel_interface.knowledge import Knowledge
from kernel_interface.serve import in_background
from kernel_interface.server import QUEUE_LENGTH
from kernel_interface.service import Service
from kernel_interface.transports.unix import UnixTransport, listening
from kernel_interface.wire import Command, ErrorCode, Flag, Message, MessageType, Result
from slm.errors import ArtefactError, ServingError
from slm.evaluation.benchmark.device import Device
from slm.lineage import write_manifest
from slm.serving.completion import Ranking
from slm.serving.engine import Engine
from tests.streams import frame, receive, unix


def test_answers_are_exact(server: Path) -> None:
    with Client(server) as client:
        assert client.command(SubCommand.IDENTIFY_PCI, "PCI 8086:100E class=02:00 [MMIO=0xFEBC0000/128KB IRQ=11]") == {
            "intent": 0,
            "status": 0,
            "response": "Intel Corporation 82540EM Gigabit Ethernet Controller",
            "action_data": "e1000",
            "requires_followup": False,
            "source": "knowledge",
            "confidence": 1.0,
        }
        assert client.command(SubCommand.DRV_SELECT, "bus=pci vendor=0x8086 device=0x10d3")["action_data"] == "e1000e"
        assert client.command(SubCommand.DRV_SELECT, '{"vendor": 6900, "device": 4096}')["action_data"] == "virtio_pci"
        assert client.query("which driver for pci 8086:100e?")["action_data"] == "e1000"
        new = client.query("which driver for pci 8086:abcd class 0200?")
        assert (new["source"], new["action_data"]) == ("model", "e1000e")


def test_a_discovered_device_gets_two_results(server: Path) -> None:
    with Client(server) as client:
        identify, select = client.discovered("PCI 8086:10D3 class=02:00")
    assert (identify["intent"], identify["response"]) == (0, "Intel Corporation 82574L Gigabit Network Connection")
    assert (select["intent"], select["action_data"]) == (1, "e1000e")


def test_replies_carry_the_requests_header(server: Path) -> None:
    with unix(server) as connection:
        connection.sendall(frame("what is 8086:100e", 99, Flag.SLM_CHAN))
        (reply,) = receive(connection, 1)
    expected = (MessageType.SLM_RESULT, 22, 11, 33, 99, Flag.SLM_CHAN)
    assert (reply.type, reply.sender, reply.receiver, reply.timestamp, reply.sequence, reply.flags) == expected
    assert json.loads(Result.decode(reply.payload).data)["action_data"] == "e1000"


BAD = {
    "junk": (b"GET / HTTP/1.1\r\n\r\n", ErrorCode.INVALID),
    "too long": (wire.HEADER.pack(wire.MAGIC, 0x102, 11, 22, 33, 9999, 7, 0, 0), ErrorCode.TOO_LONG),
    "unknown type": (wire.HEADER.pack(wire.MAGIC, 0x777, 11, 22, 33, 0, 7, 0, 0), ErrorCode.INVALID),
    "unanswered type": (frame("x", 7, kind=MessageType.DRV_LOAD), ErrorCode.INVALID),
    "short command": (frame("identify", 7, kind=MessageType.SLM_COMMAND), ErrorCode.INVALID),
    "empty query": (frame(" \0", 7), ErrorCode.INVALID),
    "not UTF-8": (Message(MessageType.SLM_QUERY, b"\xff\xfe", sequence=7).encode(), ErrorCode.INVALID),
    "no device": (frame("a thing", 7, kind=MessageType.DEV_DISCOVERED), ErrorCode.INVALID),
    "no removed device": (frame("a thing", 7, kind=MessageType.DEV_REMOVED), ErrorCode.INVALID),
    "no sub-command": (Message(MessageType.SLM_COMMAND, Command(0, 0x0999, "").encode()).encode(), ErrorCode.INVALID),
    "wrong intent": (Message(MessageType.SLM_COMMAND, Command(0, 0x0100, "").encode()).encode(), ErrorCode.INVALID),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_costs_one_error_and_nothing_else(server: Path, name: str) -> None:
    data, code = BAD[name]
    with Client(server) as other, unix(server) as connection:
        before = other.query("what is 8086:100e")
        connection.sendall(data + frame("what is 8086:10d3", 8))
        replies = {reply.type: reply for reply in receive(connection, 2)}
        assert wire.decode_error(replies[MessageType.ERROR].payload)[0] == code
        assert wire.decode_error(replies[MessageType.ERROR].payload)[1]
        assert replies[MessageType.SLM_RESULT].sequence == 8
        assert other.query("what is 8086:100e") == before
        assert other.statistics()["refused"] == 1


def test_errors_and_results_are_never_answered(server: Path) -> None:
    with unix(server) as connection:
        for kind in (MessageType.ERROR, MessageType.ACK, MessageType.SLM_RESULT):
            connection.sendall(Message(kind, b"", sequence=1).encode())
        connection.sendall(frame("what is 8086:100e", 2))
        assert receive(connection, 1)[0].sequence == 2


def test_a_stalled_and_a_deaf_peer_hold_nobody_up(server: Path) -> None:
    with unix(server) as stalled, unix(server) as deaf, Client(server, seconds=10) as client:
        stalled.sendall(frame("what is 8086:100e", 1)[:50])
        deaf.setblocking(False)
        sent, flood = 0, frame("what is 8086:100e", 1) * 50
        try:
            while sent < 50_000_000:
                sent += deaf.send(flood)
        except BlockingIOError:
            pass  # the server has stopped reading from a peer that does not read
        assert sent < 50_000_000
        for _ in range(3):
            assert client.query("what is 8086:100e", urgent=True)["action_data"] == "e1000"


def test_a_peer_that_has_said_its_last_still_gets_its_answers(server: Path) -> None:
    with unix(server) as connection:
        connection.sendall(b"".join(frame("how do i make coffee", n) for n in range(20)))
        connection.shutdown(socket.SHUT_WR)
        assert [reply.sequence for reply in receive(connection, 20)] == list(range(20))
        assert connection.recv(1) == b""


def test_an_event_is_counted_and_acknowledged_where_that_is_wanted(server: Path) -> None:
    with unix(server) as connection:
        connection.sendall(frame("link eth0 up", 1, kind=MessageType.SLM_EVENT))
        connection.sendall(Message(MessageType.SLM_EVENT, b"\xff\x00", sequence=2, flags=Flag.REPLY_REQ).encode())
        (reply,) = receive(connection, 1)
    assert (reply.type, reply.sequence, reply.payload) == (MessageType.ACK, 2, b"")
    with Client(server) as client:
        assert client.statistics()["events"] == 2


DISCOVERED, REMOVED = MessageType.DEV_DISCOVERED, MessageType.DEV_REMOVED


def test_a_removed_device_ends_what_waits_about_it(server: Path) -> None:
    with unix(server) as connection, unix(server) as other:
        other.sendall(frame("PCI 8086:100E", 9, kind=DISCOVERED))  # another connection's is its own
        told = [
            frame("how do i make coffee", 1),
            frame("PCI 8086:100E class=02:00", 2, kind=DISCOVERED),
            frame("PCI 8086:10D3 class=02:00", 3, kind=DISCOVERED),
            frame("which driver for 8086:100e?", 4, Flag.URGENT),
            frame("which driver for usb 8086:100e?", 5),
            frame("bus=pci vendor=0x8086 device=0x100e", 6, kind=REMOVED),
            frame("PCI 8086:100E class=02:00", 7, kind=DISCOVERED),  # it is back
        ]
        connection.sendall(b"".join(told))
        replies = receive(connection, 9)
        assert [reply.sequence for reply in receive(other, 2)] == [9, 9]
    ends, ack, results = replies[:2], replies[2], replies[3:]
    assert {(end.sequence, wire.decode_error(end.payload)[0]) for end in ends} == {
        (2, ErrorCode.CLOSED),
        (4, ErrorCode.CLOSED),
    }
    assert (ack.type, ack.sequence, ack.payload) == (MessageType.ACK, 6, b"")
    assert [result.sequence for result in results] == [1, 3, 3, 5, 7, 7]
    assert {result.type for result in results} == {MessageType.SLM_RESULT}


class Waiting(Engine):
    """A model that answers only when it is let."""

    def __init__(self, gguf: Path) -> None:
        super().__init__(gguf, threads=1)
        self.asked, self.may_answer = threading.Event(), threading.Event()

    def drivers(
        self, prompt: str, choices: Sequence[str], about: Device | None = None, seconds: float | None = None
    ) -> Ranking:
        self.asked.set()
        assert self.may_answer.wait(10)
        return super().drivers(prompt, choices, about, seconds)


@pytest.mark.parametrize(("removed", "kept"), [("PCI 8086:ABCD", False), ("PCI 8086:10D3", True)])
def test_a_device_removed_while_it_is_asked_about(
    knowledge: Knowledge, gguf: Path, tmp_path: Path, removed: str, kept: bool
) -> None:
    model = Waiting(gguf)
    with in_background(Service(knowledge, model), UnixTransport(tmp_path / "s")), unix(tmp_path / "s") as connection:
        connection.sendall(frame("which driver for 8086:abcd class 0200?", 1))
        assert model.asked.wait(10)
        connection.sendall(frame(removed, 2, kind=REMOVED))
        assert receive(connection, 1)[0].type == MessageType.ACK
        model.may_answer.set()
        (reply,) = receive(connection, 1)
    assert (reply.sequence, reply.type) == (1, MessageType.SLM_RESULT if kept else MessageType.ERROR)
    model.close()


def test_a_follow_up_is_about_the_device_spoken_of_last(server: Path) -> None:
    with Client(server) as client, Client(server) as other:
        assert client.query("what is pci 8086:100e")["action_data"] == "e1000"
        follow_up = client.query("and its driver?")
        assert (follow_up["intent"], follow_up["action_data"], follow_up["source"]) == (1, "e1000", "knowledge")
        assert other.query("which driver does it need?")["action_data"] == ""  # it has spoken of none
        client.discovered("PCI 8086:10D3 class=02:00")
        assert client.query("which driver does it need?")["action_data"] == "e1000e"
        assert client.query("what is it?")["response"] == "Intel Corporation 82574L Gigabit Network Connection"
        assert client.query("which driver for the printer?")["action_data"] == ""
        assert client.command(SubCommand.DRV_SELECT, "the device")["action_data"] == "e1000e"
        assert client.command(SubCommand.DRV_SELECT, "")["action_data"] == ""


def test_a_session_is_one_processs_and_ends_with_its_device(server: Path) -> None:
    def asked(sender: int, text: str, kind: MessageType = MessageType.SLM_QUERY) -> Message:
        connection.sendall(Message(kind, text.encode(), sender=sender).encode())
        return receive(connection, 1)[0]

    def driver(reply: Message) -> str:
        return str(json.loads(Result.decode(reply.payload).data)["action_data"])

    with unix(server) as connection:
        for sender, device in ((1, "8086:100e"), (2, "8086:10d3")):
            asked(sender, f"what is {device}")
        assert [driver(asked(sender, "its driver?")) for sender in (1, 2, 3)] == ["e1000", "e1000e", ""]
        assert asked(9, "PCI 8086:100e", REMOVED).type == MessageType.ACK
        assert [driver(asked(sender, "its driver?")) for sender in (1, 2, 3)] == ["", "e1000e", ""]


def test_a_plan_goes_on_in_its_own_session(server: Path) -> None:
    with Client(server) as client, Client(server) as other:
        first = client.query("update everything and reboot")
        assert (first["requires_followup"], first["plan"]) == (True, {"goal": "several wishes", "step": 1, "of": 2})
        assert "plan" not in other.query("next")
        client.query("what is pci 8086:100e?")
        last = client.query("next")
        assert (last["requires_followup"], last["plan"]["step"], last["intent"]) == (False, 2, Intent.SYSTEM_MANAGE)
        assert read_action(SubCommand.SVC_START, last["action_data"]) is not None
        assert "plan" not in client.query("next")


def test_urgent_first_otherwise_in_order(server: Path) -> None:
    with unix(server) as connection:
        texts = [frame("how do i make coffee", n, Flag.URGENT if n >= 40 else wire.NO_FLAGS) for n in range(50)]
        connection.sendall(b"".join(texts))
        order = [reply.sequence for reply in receive(connection, 50)]
    usual, urgent = [n for n in order if n < 40], [n for n in order if n >= 40]
    assert usual == list(range(40))
    assert urgent == list(range(40, 50))
    assert order.index(49) < order.index(39)


def test_a_full_queue_refuses(server: Path) -> None:
    count = 3 * QUEUE_LENGTH
    with unix(server) as connection:
        connection.sendall(b"".join(frame("what is 8086:100e", n) for n in range(count)))
        replies = receive(connection, count)
    refused = [wire.decode_error(reply.payload)[0] for reply in replies if reply.type == MessageType.ERROR]
    assert set(refused) == {ErrorCode.FULL}
    assert 0 < len(refused) <= count - QUEUE_LENGTH
    assert {reply.sequence for reply in replies} == set(range(count))


def test_statistics(server: Path) -> None:
    with Client(server) as client:
        client.query("what is 8086:100e")
        counters = client.statistics()
    assert (counters["commands"], counters["responses"], counters["refused"]) == (1, 1, 0)
    assert counters["average_latency_ms"] > 0
    assert counters["sources"] == {"knowledge": 1}


def test_the_socket_is_its_owners(server: Path) -> None:
    assert stat.S_IMODE(server.stat().st_mode) == 0o600


def test_a_living_server_is_not_replaced(server: Path) -> None:
    with pytest.raises(ServingError, match="already"), listening(server):
        pass
    with Client(server) as client:
        assert client.query("what is 8086:100e")["action_data"] == "e1000"


def test_what_is_no_socket_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("mine")
    with pytest.raises(ServingError, match="no socket"), listening(path):
        pass
    assert path.read_text() == "mine"
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(ServingError, match="no socket"), listening(link):
        pass


def test_a_path_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match="cannot be made"), listening(tmp_path / ("x" * 200)):
        pass


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "wrong" / "slm.sock"
    with pytest.raises(ServingError, match=r"cannot be made: .*No such file"), listening(path):
        pass
    assert not path.parent.exists()


def test_nobody_listens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ServingError, match="No server answers"):
        Client(tmp_path / "none.sock")
    assert query.main(["--socket", str(tmp_path / "none.sock"), "hello"]) == 1
    assert "kernel_interface.serve" in capsys.readouterr().err


def test_query_goes_through_a_plan(server: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert query.main(["--socket", str(server), "--steps", "set up this machine as a web server"]) == 0
    printed = capsys.readouterr().out
    assert [line.split(":")[0] for line in printed.splitlines() if line.startswith("response")] == [
        f"response    Step {number} of 5" for number in range(1, 6)
    ]
    # This plan waits for a device, and is not asked again for ever.
    assert query.main(["--socket", str(server), "--steps", "get the network card working"]) == 0
    assert capsys.readouterr().out.count("Name the device first") == 2


def test_query_prints_the_answer(server: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert query.main(["--socket", str(server), "which driver for 8086:100e"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (lines["action"], lines["source"], lines["confidence"]) == ("e1000", "knowledge", "1.00")
    assert query.main(["--socket", str(server), "--json", "which driver for 8086:100e"]) == 0
    assert json.loads(capsys.readouterr().out)["action_data"] == "e1000"


@pytest.fixture(scope="module")
def export(gguf: Path, tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export folder as a build leaves it."""
    folder = tmp_path_factory.mktemp("runs") / "tiny-1" / "export"
    folder.mkdir(parents=True)
    for name in ("model-f16.gguf", "model-q8_0.gguf"):
        (folder / name).write_bytes(gguf.read_bytes())
    (folder / "devices.sqlite").write_bytes(tables.read_bytes())
    files = ["model-f16.gguf", "model-q8_0.gguf", "devices.sqlite"]
    write_manifest(folder / "manifest.json", "export", "tiny-1", files)
    return folder


def test_which_files_are_served(export: Path, tables: Path, tmp_path: Path) -> None:
    assert serve.choose(export, None) == serve.Served("tiny-1", export / "model-q8_0.gguf", export / "devices.sqlite")
    assert serve.choose(None, None, runs=export.parent.parent).gguf == export / "model-q8_0.gguf"
    assert serve.choose(export, tables).tables == tables
    compiled = tmp_path / "compiled"
    shutil.copytree(export, compiled)
    (compiled / "devices.tables").write_bytes(b"tables")
    write_manifest(
        compiled / "manifest.json", "export", "tiny-1", ["model-q8_0.gguf", "devices.sqlite", "devices.tables"]
    )
    assert serve.choose(compiled, None).tables == compiled / "devices.tables"
    assert serve.choose(compiled / "model-f16.gguf", None).tables == compiled / "devices.tables"
    alone = serve.choose(export / "model-f16.gguf", None)
    assert (alone.gguf, alone.tables) == (export / "model-f16.gguf", export / "devices.sqlite")
    assert serve.choose(None, tables, runs=tmp_path).gguf is None
    with pytest.raises(ServingError, match="no exported model"):
        serve.choose(None, None, runs=tmp_path)


def test_a_spoilt_export_is_not_served(export: Path, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    for source in export.iterdir():
        (folder / source.name).write_bytes(source.read_bytes())
    with open(folder / "model-q8_0.gguf", "r+b") as file:
        file.seek(1000)
        file.write(b"\xff" * 8)
    with pytest.raises(ArtefactError, match="sha256"):
        serve.choose(folder, None)
    write_manifest(folder / "manifest.json", "corpus", "x", ["devices.sqlite"])
    with pytest.raises(ServingError, match="not an export"):
        serve.choose(folder, None)


def start(path: Path, *arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "kernel_interface.serve", "--socket", path, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == f"serving tiny-1 on {path}\n"
    return process


@pytest.mark.slow
def test_killed_and_started_again(export: Path, tmp_path: Path) -> None:
    path = tmp_path / "slm.sock"
    first = start(path, "--model", export)
    first.kill()
    first.communicate(timeout=10)
    assert stat.S_ISSOCK(os.lstat(path).st_mode)  # what a killed server leaves
    second = start(path, "--model", export)
    with Client(path) as client:
        assert client.query("which driver for pci 8086:abcd class 0200?")["source"] == "model"
        command = [sys.executable, "-m", "kernel_interface.serve", "--socket", str(path), "--model", str(export)]
        third = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert third.returncode == 1
        assert "already" in third.stderr
        assert "Traceback" not in third.stderr
        assert client.query("what is 8086:100e")["action_data"] == "e1000"
    second.send_signal(signal.SIGTERM)
    _, errors = second.communicate(timeout=10)
    assert second.returncode == 0
    assert "Traceback" not in errors
    assert not path.exists()
