"""A real model in a real process, which is killed, stopped and broken."""

from __future__ import annotations

import logging
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from kernel_interface.access import Address
from kernel_interface.client import Client
from kernel_interface.knowledge import Knowledge
from kernel_interface.model.supervisor import FIRST_DELAY, STUCK_SECONDS, Supervisor
from kernel_interface.serve import in_background
from kernel_interface.service import Service
from kernel_interface.transports.unix import UnixTransport
from slm.errors import ServingError
from slm.prompts import prompt
from slm.serving.completion import AbandonedError, UnavailableError
from slm.serving.engine import Engine
from tests.ports import free_port
from tests.processes import command, has_ended
from tests.streams import frame, receive, unix

RELEASED = Path(__file__).parents[3] / "checkpoints/released/nano"
QUESTION = prompt("Which driver?")
#: How long the kernel waits.
KERNEL_SECONDS = 5.0


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.01)


def child(of: int | None = None) -> psutil.Process:
    """The model's process; it may have been started this very moment."""
    found: list[psutil.Process] = []

    def there() -> bool:
        children = psutil.Process(of).children()
        found[:] = [each for each in children if "kernel_interface.model" in command(each)]
        return bool(found)

    until(there)
    return found[0]


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The released model's file; without what it was taught, which takes seconds to load each time."""
    folder = tmp_path_factory.mktemp("nano")
    for name in ("model-q8_0.gguf", "devices.sqlite"):
        shutil.copyfile(RELEASED / name, folder / name)
    return folder / "model-q8_0.gguf"


@pytest.fixture
def supervisor(nano: Path) -> Iterator[Supervisor]:
    with Supervisor(nano) as started:
        assert started.settled(30).state == "ready"
        yield started


@pytest.fixture
def served(knowledge: Knowledge, supervisor: Supervisor, tmp_path: Path) -> Iterator[Path]:
    """A server that gives its model 1.5 s."""
    with in_background(Service(knowledge, supervisor, seconds=1.5), UnixTransport(tmp_path / "s")):
        yield tmp_path / "s"


def test_it_answers_as_the_engine_does(nano: Path, supervisor: Supervisor) -> None:
    engine = Engine(nano, threads=1)
    try:
        for text in (QUESTION, prompt("what is \ud800?")):
            expected, found = engine.complete(text, 8), supervisor.complete(text, 8)
            assert (found.text, found.finished, found.prompt_tokens) == (
                expected.text,
                expected.finished,
                expected.prompt_tokens,
            )
            assert found.logprobs == pytest.approx(expected.logprobs, abs=1e-3)
        choices = ["e1000", "ahci", "e1000e", "r8169"]
        ours, theirs = engine.drivers(QUESTION, choices), supervisor.drivers(QUESTION, choices)
        assert [name for name, _ in ours.answers] == [name for name, _ in theirs.answers] and not theirs.weighed
        for one, other in zip(ours.answers, theirs.answers, strict=True):
            assert one.probability == pytest.approx(other.probability, rel=1e-2)
    finally:
        engine.close()
    with pytest.raises(ServingError, match="context"):
        supervisor.complete(prompt("word " * 3000), 4)
    with pytest.raises(AbandonedError):
        supervisor.complete(QUESTION, 4, seconds=0.0)
    assert supervisor.complete(QUESTION, 4).logprobs  # a refusal is no crash
    assert supervisor.status().restarts == 0


def test_a_killed_process_is_told_of_at_once_and_started_again(
    supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (1, 2):
        with caplog.at_level(logging.INFO):
            child().kill()
            until(lambda: supervisor.status().state != "ready")
            with pytest.raises(UnavailableError, match=r"down|loaded"):
                supervisor.complete(QUESTION, 4)
            until(lambda: supervisor.status().state == "ready")
        assert supervisor.status().restarts == number
        assert supervisor.complete(QUESTION, 4).logprobs
    assert "ended by SIGKILL" in caplog.text
    delays = [float(delay) for delay in re.findall(r"again in ([\d.]+) s", caplog.text)]
    assert delays == [FIRST_DELAY, 2 * FIRST_DELAY]  # they grow
    assert caplog.text.count("The model is ready") == 2


def test_a_stuck_process_is_ended_in_time(supervisor: Supervisor, caplog: pytest.LogCaptureFixture) -> None:
    stuck = child()
    stuck.suspend()
    begun = time.monotonic()
    with pytest.raises(AbandonedError):
        supervisor.complete(QUESTION, 4, seconds=1.0)
    assert 0.9 < time.monotonic() - begun < 1.5
    assert supervisor.status().state != "ready"
    until(lambda: has_ended(stuck))
    until(lambda: supervisor.status().state == "ready")
    assert supervisor.complete(QUESTION, 4).logprobs
    assert "was stuck" in caplog.text


def test_a_slow_model_is_abandoned_and_lives(gguf: Path) -> None:
    with Supervisor(gguf) as supervisor:
        assert supervisor.settled(30).state == "ready"
        process = child()
        story = prompt("tell me a story that never ends")
        begun = time.monotonic()
        with pytest.raises(AbandonedError):
            supervisor.complete(story, 200, seconds=STUCK_SECONDS + 0.001)
        assert time.monotonic() - begun < STUCK_SECONDS
        assert supervisor.complete(QUESTION, 4).logprobs
        assert child().pid == process.pid


def test_a_slow_load_is_no_steadiness(
    nano: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # It takes longer to load than it would have to be good for.
    monkeypatch.setattr("kernel_interface.model.supervisor.STEADY_SECONDS", 0.05)
    with Supervisor(nano, load_seconds=0.1) as supervisor:
        until(lambda: supervisor.status().restarts >= 2)
    delays = [float(delay) for delay in re.findall(r"again in ([\d.]+) s", caplog.text)]
    assert delays[:2] == [FIRST_DELAY, 2 * FIRST_DELAY]


def test_a_process_that_is_gone_is_never_said_to_be_ready(supervisor: Supervisor) -> None:
    excuses = list[str]()
    for number in (1, 2):
        child().kill()
        while supervisor.status().restarts < number:
            try:
                supervisor.complete(QUESTION, 1, seconds=1.0)
            except ServingError as error:
                excuses.append(error.what)
        until(lambda: supervisor.status().state == "ready")
    assert excuses and all(excuses)


def test_whoever_asks_does_not_hold_the_end_up(gguf: Path) -> None:
    with Supervisor(gguf) as supervisor:
        assert supervisor.settled(30).state == "ready"
        child().suspend()
        threading.Timer(0.2, supervisor.close).start()
        begun = time.monotonic()
        with pytest.raises(ServingError):
            supervisor.complete(QUESTION, 4, seconds=4.75)
        assert time.monotonic() - begun < 2


@pytest.mark.slow
def test_a_signal_ends_a_server_whose_model_is_stuck(nano: Path, tmp_path: Path) -> None:
    server = start(tmp_path / "s", nano)
    with unix(tmp_path / "s") as asking, Client(tmp_path / "s") as other:
        child(server.pid).suspend()
        asking.sendall(frame("which driver for pci 4444:5555 class 0b40?", 1))
        assert other.query("which driver for 8086:100e?")["action_data"] == "e1000"
        begun = time.monotonic()
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=10)
    assert server.returncode == 0
    assert time.monotonic() - begun < 2.5


def test_a_file_that_does_not_load(
    nano: Path, knowledge: Knowledge, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(nano.read_bytes()[:100_000])
    port = free_port()
    with Supervisor(broken) as supervisor:
        assert supervisor.settled(30).state == "down"
        service = Service(knowledge, supervisor)
        with (
            in_background(service, UnixTransport(tmp_path / "s"), metrics=Address("127.0.0.1", port)),
            Client(tmp_path / "s") as client,
        ):
            answer = client.query("which driver for pci 4444:5555 class 0b40?")
            assert answer["source"] == "rules"
            assert "model" in answer["response"]
            assert client.query("which driver for 8086:100e?")["action_data"] == "e1000"
            until(lambda: client.statistics()["model"]["restarts"] >= 2)
            assert client.statistics()["model"]["state"] in ("down", "loading")
            page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
            assert 'auton_model_state{state="ready"} 0.0' in page
            # Once it is whole it is served, without a new server.
            broken.write_bytes(nano.read_bytes())
            until(lambda: client.statistics()["model"]["state"] == "ready")
            assert client.query("which driver for pci 4444:5555 class 0b40?")["source"] == "model"
            page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
            restarts = client.statistics()["model"]["restarts"]
    assert 'auton_model_state{state="ready"} 1.0' in page
    assert 'auton_model_state{state="down"} 0.0' in page
    assert f"auton_model_restarts_total {float(restarts)}" in page
    assert "cannot load" in caplog.text


def test_a_process_that_never_loads_is_ended(nano: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Supervisor(nano, load_seconds=0.01) as supervisor:
        until(lambda: supervisor.status().restarts >= 1)
        with pytest.raises(UnavailableError):
            supervisor.complete(QUESTION, 4)
    assert "did not load within 0.01 s" in caplog.text
    assert not psutil.Process().children()


def test_the_end_does_not_wait_for_a_stuck_model(nano: Path) -> None:
    with Supervisor(nano) as supervisor:
        supervisor.settled(30)
        process = child()
        process.suspend()
    assert has_ended(process)
    with Supervisor(nano):  # nor for one that loads
        process = child()
    assert has_ended(process)


def test_killed_under_load(served: Path, supervisor: Supervisor) -> None:
    """Every client gets an answer to its own question in time, whatever happens to the model."""
    stop = threading.Event()
    slowest, wrong, sources = [0.0], list[object](), set[str]()

    def ask(number: int) -> None:
        with Client(served) as client:
            for turn in range(10_000):
                device = f"4444:{number:02x}{turn % 256:02x}"
                begun = time.monotonic()
                answer = client.query(f"which driver for pci {device} class 0b40?")
                slowest[0] = max(slowest[0], time.monotonic() - begun)
                sources.add(answer["source"])
                if f"[{device}]" not in answer["response"]:
                    wrong.append(answer)
                if client.query("which driver for 8086:100e?")["action_data"] != "e1000":
                    wrong.append("tables")
                if stop.is_set():
                    return

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for number in (1, 2):
        until(lambda: supervisor.status().state == "ready")
        time.sleep(0.1)
        child().kill()
        until(lambda number=number: supervisor.status().restarts >= number)  # type: ignore[misc]
    stop.set()
    for thread in threads:
        thread.join(30)
    assert wrong == []
    assert slowest[0] < KERNEL_SECONDS
    assert sources == {"model", "rules"}
    until(lambda: supervisor.status().state == "ready")
    with Client(served) as client:
        assert client.query("which driver for pci 4444:5555 class 0b40?")["source"] == "model"


def test_a_stuck_model_holds_up_nobody_who_does_not_need_it(served: Path) -> None:
    child().suspend()
    with unix(served) as asking, Client(served) as other:
        begun = time.monotonic()
        asking.sendall(frame("which driver for pci 4444:5555 class 0b40?", 1) + frame("what is 8086:100e", 2))
        asking.sendall(frame("how do i make coffee", 3))
        for _ in range(20):
            assert other.query("which driver for 8086:100e?")["action_data"] == "e1000"
        assert time.monotonic() - begun < 1.0
        assert other.query("how do i make coffee")["source"] == "rules"
        assert time.monotonic() - begun < 2.5  # they wait together, not one after the other
        assert [reply.sequence for reply in receive(asking, 3)] == [1, 2, 3]
        assert time.monotonic() - begun < 2.5


def start(path: Path, model: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "kernel_interface.serve", "--socket", str(path), "--model", str(model)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline().startswith("serving ")
    return process


@pytest.mark.parametrize("state", ["ready", "stopped"])
def test_a_killed_server_leaves_no_model(nano: Path, tmp_path: Path, state: str) -> None:
    server = start(tmp_path / "s", nano)
    process = child(server.pid)
    if state == "stopped":
        process.suspend()
    server.kill()
    server.communicate(timeout=10)
    until(lambda: has_ended(process), 5)


@pytest.mark.slow
def test_killed_and_stopped_behind_a_real_server(nano: Path, tmp_path: Path) -> None:
    server = start(tmp_path / "s", nano)
    question = "which driver for pci 4444:5555 class 0b40?"
    with Client(tmp_path / "s") as client:
        assert client.query(question)["source"] == "model"
        assert client.statistics()["model"] == {"state": "ready", "restarts": 0}
        child(server.pid).kill()
        until(lambda: client.statistics()["model"]["restarts"] == 1)
        until(lambda: client.query(question)["source"] == "model")
        child(server.pid).suspend()
        begun = time.monotonic()
        answer = client.query(question)
        assert time.monotonic() - begun < KERNEL_SECONDS
        assert (answer["source"], "abandoned" in answer["response"]) == ("rules", True)
        until(lambda: client.query(question)["source"] == "model")
        assert client.statistics()["model"] == {"state": "ready", "restarts": 2}
        process = child(server.pid)
    server.send_signal(signal.SIGTERM)
    _, errors = server.communicate(timeout=10)
    assert server.returncode == 0
    assert has_ended(process)
    assert "Traceback" not in errors
    assert "SIGKILL" in errors
    assert "was stuck" in errors


def test_the_server_itself_does_not_load_llama_cpp() -> None:
    program = "import sys, kernel_interface.serve; print(*({'xllamacpp', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == []


def test_the_process_alone_says_who_starts_it(nano: Path) -> None:
    command = [sys.executable, "-m", "kernel_interface.model.process", str(nano)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "kernel_interface.serve" in done.stderr
