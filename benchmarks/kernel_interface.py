"""How fast a real server answers on its Unix socket, beside llama.cpp's own speed on the same file:

    python -m benchmarks.kernel_interface checkpoints/released/nano checkpoints/released/tiny [--seconds 10]

Each model is served by a process of its own, as ``python -m kernel_interface.serve`` does it; the questions are the
same each time.

- *known*: questions that the tables answer, sent at a fixed rate on 8 connections. A latency counts from when the
  question was due, so that one that had to wait to be sent, or waited behind others, is not made to look quick; one
  that is refused was never answered. How late the load itself was, and what it saw from when a question was really
  sent, is told beside it, and how much of a processor the server needs for each, which other work on the machine
  disturbs least.
- *driver, by the model*: which driver a device needs that no table claims; the model ranks all of the bus and names the
  first three, and one that was taught weighs what it remembers with them. One client, one question after the other.
- *64 clients*: all of them ask the model, each as soon as it has its answer; beside them a peer asks what is known.
- *tokens*: greedy text from the model's process, its first token apart, against bare ``llama_decode`` of as many.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import random
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.knowledge import devices
from kernel_interface.devices import Device
from kernel_interface.intents import Intent, SubCommand
from kernel_interface.knowledge import Knowledge
from kernel_interface.model.supervisor import Supervisor
from kernel_interface.rules import CLASS_DRIVERS
from kernel_interface.serve import choose
from kernel_interface.wire import HEADER, Command, Message, MessageType, Result
from slm.errors import AutonError, ServingError
from slm.export.llama_cpp import LlamaCpp
from slm.prompts import prompt
from slm.serving.engine import usual_threads

#: What the kernel interface is asked for, by a model's name: milliseconds at the median, and for the hundredth slowest.
TARGETS = {"nano": (10.0, 50.0), "tiny": (25.0, None)}
DECODING = 0.9
#: For the hundredth slowest of what the tables know.
KNOWN = 1.0
RATE, CONNECTIONS, CLIENTS, BESIDE = 2000, 8, 64, 100
#: Questions to the model by one client; rounds of the decoding.
QUESTIONS, ROUNDS, TOKENS = 400, 15, 90
#: The kernel gives up after 5 s; a server that says nothing for so long has stopped.
SILENCE = 6.0
_TEXTS = ("what is pci", "tell me about the kernel", "how does dma work", "describe the scheduler", "explain usb hubs")


class Peer:
    """A connection that sends frames and cuts up what comes back."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self._data = bytearray()

    def send(self, payload: bytes, kind: MessageType, sequence: int) -> None:
        """Send a request."""
        self.socket.sendall(Message(kind, payload, sender=1, receiver=1, sequence=sequence).encode())

    def replies(self) -> Iterator[tuple[int, MessageType, bytes]]:
        """Yield the sequence, the type and the payload of what has come."""
        data = self.socket.recv(262_144)
        if not data:
            raise ServingError("The server has closed a connection.", "Its log says why.")
        self._data += data
        while len(self._data) >= HEADER.size:
            header = HEADER.unpack_from(self._data)
            end = HEADER.size + header[5]
            if len(self._data) < end:
                return
            yield header[6], MessageType(header[1]), bytes(self._data[HEADER.size : end])
            del self._data[:end]


@contextlib.contextmanager
def peers(path: Path, count: int) -> Iterator[list[Peer]]:
    """Connect so many peers."""
    found = [Peer(path) for _ in range(count)]
    try:
        yield found
    finally:
        for peer in found:
            peer.socket.close()


@contextlib.contextmanager
def served(model: Path) -> Iterator[tuple[Path, int]]:
    """Serve a model in a process of its own; give its socket, and the process' id."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slm.sock"
        command = [sys.executable, "-m", "kernel_interface.serve", "--socket", str(path), "--model", str(model)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout is not None
        if not process.stdout.readline():
            raise ServingError(f"{model} is not served.", f"Try: {' '.join(command)}")
        try:
            yield path, process.pid
        finally:
            process.terminate()
            process.communicate(timeout=30)


def asked(device: Device) -> bytes:
    """Write a question for a device's driver as a command's payload."""
    text = f"{device.bus.upper()} {device.id}"
    if device.class_code is not None:
        text += f" class=0x{device.class_code:04x}" + ("" if device.interface is None else f"{device.interface:02x}")
    return Command(Intent.DRIVER_SELECT, SubCommand.DRV_SELECT, text).encode()


def questions(knowledge: Knowledge) -> tuple[list[bytes], list[bytes]]:
    """Return questions that the tables answer, and questions that only the model can."""
    known, unknown = [], []
    for device in devices(knowledge, 6000):
        if knowledge.candidates(device):
            known.append(asked(device))
        elif device.class_code not in CLASS_DRIVERS:
            unknown.append(asked(device))
    chance = random.Random(1)
    chance.shuffle(known)
    chance.shuffle(unknown)
    return known, unknown


def checked(kind: MessageType, payload: bytes, source: str) -> None:
    """Raise unless an answer comes from where it should."""
    if kind != MessageType.SLM_RESULT or (found := json.loads(Result.decode(payload).data))["source"] != source:
        raise ServingError(f"{kind.name} came, not an answer of the {source}: {payload[:300]!r}")
    assert found["response"]


def processor_seconds(pid: int) -> float:
    """Return how long a process has been on a processor, all its threads together, those that have ended apart."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


@dataclass(frozen=True)
class Load:
    """What became of questions that were sent at a rate; ``times`` are from when each was due to its answer, in ms.

    ``own`` is the same from when it was really sent, and ``late`` how long after it was due that was.
    """

    times: list[float]
    own: list[float]
    late: list[float]


def at_a_rate(path: Path, payloads: Sequence[bytes], rate: float, seconds: float, connections: int) -> Load:
    """Send questions when they are due, and take the answers."""
    # Not the usual selector: epoll waits for whole milliseconds, and two questions are due in each.
    with peers(path, connections) as found, selectors.SelectSelector() as selector:
        for peer in found:
            selector.register(peer.socket, selectors.EVENT_READ, peer)
        count, sent, load = int(rate * seconds), 0, Load([], [], [])
        begin = time.perf_counter() + 0.05
        while len(load.times) < count:
            while sent < count and (late := time.perf_counter() - begin - sent / rate) >= 0:
                load.late.append(1000 * late)
                found[sent % connections].send(payloads[sent % len(payloads)], MessageType.SLM_COMMAND, sent)
                sent += 1
            wait = max(0.0, begin + sent / rate - time.perf_counter()) if sent < count else SILENCE
            came = selector.select(wait)
            if not came and sent == count:
                raise ServingError(f"No answer came within {SILENCE:g} s; {count - len(load.times)} are missing.")
            for key, _ in came:
                for sequence, kind, payload in key.data.replies():
                    refused = kind == MessageType.ERROR
                    taken = math.inf if refused else 1000 * (time.perf_counter() - begin - sequence / rate)
                    load.times.append(taken)
                    load.own.append(taken - load.late[sequence])
                    if sequence % 50 == 0 and not refused:
                        checked(kind, payload, "knowledge")
        return load


def in_turns(path: Path, payloads: Sequence[bytes], clients: int, seconds: float, most: int) -> list[list[float]]:
    """Let each client ask again as soon as it has its answer; return each one's times in milliseconds."""
    times: list[list[float]] = [[] for _ in range(clients)]
    with peers(path, clients) as found, selectors.DefaultSelector() as selector:
        begun = [0.0] * clients
        number = 0

        def ask(client: int) -> None:
            nonlocal number
            begun[client] = time.perf_counter()
            found[client].send(payloads[number % len(payloads)], MessageType.SLM_COMMAND, number)
            number += 1

        for client, peer in enumerate(found):
            selector.register(peer.socket, selectors.EVENT_READ, client)
            ask(client)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end and number <= most:
            if not (came := selector.select(SILENCE)):
                raise ServingError(f"No answer came within {SILENCE:g} s.")
            for key, _ in came:
                client = key.data
                for _, kind, payload in found[client].replies():
                    times[client].append(1000 * (time.perf_counter() - begun[client]))
                    checked(kind, payload, "model")
                    ask(client)
        return times


@dataclass(frozen=True)
class Decoding:
    """Tokens a second, in the model's process and of llama.cpp by itself; each the median of several rounds."""

    served: float
    bare: float


def decoding(gguf: Path) -> Decoding:
    """Time greedy text from the model's process, and bare decoding of as many tokens, in turns."""
    ours, theirs = [], []
    threads = usual_threads(gguf)
    with Supervisor(gguf) as model, LlamaCpp(gguf, threads, whole_context=True) as llama:
        model.settled(60)
        # Of some questions, the one that is answered at greatest length.
        text = max((prompt(text) for text in _TEXTS), key=lambda text: len(model.complete(text, TOKENS).logprobs))
        ids = llama.tokenize(text)
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            model.complete(text, 1)
            first = time.perf_counter()
            count = len(model.complete(text, TOKENS).logprobs)
            ours.append((count - 1) / (time.perf_counter() - first - (first - begin)))
            llama.following(ids)
            tokens = ids + [ids[-1]] * (count - 1)
            begin = time.perf_counter()
            for at in range(len(ids), len(tokens)):
                llama._decode(tokens, at, at + 1, 1)
            theirs.append((count - 1) / (time.perf_counter() - begin))
    return Decoding(statistics.median(ours), statistics.median(theirs))


def cuts(times: Sequence[float]) -> tuple[float, float]:
    """Return the median and the hundredth slowest."""
    points = statistics.quantiles(times, n=100)
    return points[49], points[98]


def row(what: str, figures: str, wanted: str = "", holds: bool | None = None) -> None:
    """Print a line of the table."""
    print(f"{what:<44} {figures:<40} {wanted:<26} {'' if holds is None else 'held' if holds else 'MISSED'}".rstrip())


def measured(model: Path, seconds: float) -> None:
    """Measure one model, and print its part of the table."""
    files = choose(model, None)
    assert files.gguf is not None
    name = files.name.split("-")[0]
    known, unknown = questions(Knowledge(files.tables))
    middle, slowest = TARGETS.get(name, (None, None))
    with served(model) as (path, server):
        at_a_rate(path, known, RATE, 0.5, CONNECTIONS)
        before = processor_seconds(server)
        load = at_a_rate(path, known, RATE, seconds, CONNECTIONS)
        each = (processor_seconds(server) - before) / len(load.times)
        p50, p99 = cuts(load.times)
        row(
            f"{name}: known, {RATE} a second, {len(load.times)}",
            f"p50 {p50:.2f} ms  p99 {p99:.2f} ms  most {max(load.times):.1f}",
            f"p99 < {KNOWN:g}",
            p99 < KNOWN,
        )
        row(f"{name}: from when they were really sent", "p50 {:.2f} ms  p99 {:.2f} ms".format(*cuts(load.own)))
        row(f"{name}: how late that was", "p50 {:.2f} ms  p99 {:.2f} ms".format(*cuts(load.late)))
        row(f"{name}: the server's processor for each", f"{1e6 * each:.0f} µs")
        in_turns(path, unknown, 1, 1.0, 20)
        (times,) = in_turns(path, unknown, 1, 60.0, QUESTIONS)
        p50, p99 = cuts(times)
        limits = (("p50", middle), ("p99", slowest))
        wanted = [f"{which} < {limit:g}" for which, limit in limits if limit is not None]
        holds = (middle is None or p50 < middle) and (slowest is None or p99 < slowest)
        row(
            f"{name}: driver, by the model, {len(times)}",
            f"p50 {p50:.2f} ms  p99 {p99:.2f} ms  most {max(times):.1f}",
            ", ".join(wanted),
            holds if wanted else None,
        )
        with ThreadPoolExecutor(1) as thread:
            others = thread.submit(at_a_rate, path, known, BESIDE, seconds, 1)
            shares = in_turns(path, unknown, CLIENTS, seconds, 10**9)
        counts = sorted(len(each) for each in shares)
        p50, p99 = cuts([each for client in shares for each in client])
        row(f"{name}: {CLIENTS} clients ask the model", f"p50 {p50:.1f} ms  p99 {p99:.1f} ms")
        even = counts[0] >= 0.8 * statistics.mean(counts)
        figures = f"least {counts[0]}  median {counts[CLIENTS // 2]}  most {counts[-1]}"
        row(f"{name}: answers for each of them, {sum(counts)}", figures, "least ≥ 0.8 of the mean", even)
        p50, p99 = cuts(others.result().times)
        row(f"{name}: known, {BESIDE} a second beside them", f"p50 {p50:.2f} ms  p99 {p99:.2f} ms")
    speed = decoding(files.gguf)
    share = speed.served / speed.bare
    row(
        f"{name}: tokens a second, greedy",
        f"{speed.served:.0f} served, {speed.bare:.0f} bare: {share:.2f}",
        f"share ≥ {DECODING}",
        share >= DECODING,
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernel_interface", description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+", help="exports' or releases' folders")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each load lasts")
    arguments = parser.parse_args(argv)
    try:
        for model in arguments.models:
            measured(model, arguments.seconds)
    except AutonError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
