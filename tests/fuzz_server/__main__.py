"""``python -m tests.fuzz_server``: spoilt frames and ill-behaved peers on all transports of a real server process.

The server has device tables and no model. It must live, give each peer that stays exactly its own replies, keep its
memory flat and no descriptor open, and end by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import random
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kernel_interface.client import Client
from kernel_interface.knowledge import Knowledge
from kernel_interface.service import Service
from tests.fuzz_server.peers import BEHAVIOURS, SPOILING, WEIGHTS, Target, Totals, on_the_line, stands_in_the_door
from tests.fuzz_server.traffic import Known
from tests.ports import free_port
from tests.streams import far_end

ROOT = Path(__file__).parents[2]
TABLES = ROOT / "checkpoints" / "released" / "nano" / "devices.sqlite"
#: Peers at a time, no more than may stand in the server's door.
AT_ONCE = 16
#: How much the server's memory may grow after the first tenth of the connections.
MOST_GROWTH_MB = 8.0


@dataclass(frozen=True)
class State:
    """A process, looked at from outside."""

    megabytes: float
    handles: int


def look(pid: int) -> State:
    """Return how much memory is resident, and how many descriptors are open."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return State(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, len(os.listdir(f"/proc/{pid}/fd")))


def fuzz(frames: int, connections: int, seed: int, tables: Path = TABLES) -> tuple[Totals, list[State]]:
    """Run it; return what was seen, and the server's states: at rest, after each tenth, at rest again.

    What is wrong is in the totals' list.
    """
    with tempfile.TemporaryDirectory(prefix="auton-fuzz-") as name:
        folder = Path(name)
        token = folder / "token"
        token.touch(0o600)
        token.write_text(secrets.token_hex(16))
        knowledge = Knowledge(tables)
        totals = Totals()
        path, device, port, metrics = folder / "slm.sock", folder / "line", free_port(), free_port()
        target = Target(path, port, token.read_bytes(), Known(Service(knowledge, None)), totals)
        where: list[str | Path] = ["--socket", path, "--tcp", str(port), "--token-file", token, "--serial", device]
        options: list[str | Path] = ["--metrics", str(metrics), "--log-json", "--knowledge", tables.resolve()]
        command = [sys.executable, "-m", "kernel_interface.serve", *where, *options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with open(folder / "log", "w+") as log, far_end(device) as first:
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
            try:
                assert process.stdout
                started = process.stdout.readline()
                assert started.startswith("serving "), Path(log.name).read_text()
                first.close()
                states = asyncio.run(_storm(target, process.pid, device, metrics, frames, connections, seed))
                with Client(path) as client:
                    figures = client.statistics()
                if figures["waiting"] or figures["connections"].get("tcp") or figures["connections"]["unix"] != 1:
                    totals.wrong.append(f"somebody is still there: {figures['connections']}")
            finally:
                process.terminate()
                code = process.wait(30)
            log.seek(0)
            said = [line for line in log if "Traceback" in line or "never retrieved" in line]
        if code:
            totals.wrong.append(f"the server ended with {code}")
        totals.wrong += said
        knowledge.close()
    if (grown := states[-1].megabytes - states[1].megabytes) > MOST_GROWTH_MB:
        totals.wrong.append(f"the server's memory grew by {grown:.1f} MB")
    if states[-1].handles > states[0].handles:
        totals.wrong.append(f"{states[-1].handles - states[0].handles} descriptors were left open")
    return totals, states


async def _storm(
    target: Target, pid: int, device: Path, metrics: int, frames: int, connections: int, seed: int
) -> list[State]:
    rng = random.Random(seed)
    # The line is slow and takes the fiftieth part of the mutated frames; the rest is shared out unevenly. Those who
    # mutate none send a quarter as many sound ones.
    line = asyncio.create_task(
        asyncio.to_thread(on_the_line, random.Random(f"{seed}/line"), target, device, frames // 50, 2)
    )
    behaviours = rng.choices(BEHAVIOURS, WEIGHTS, k=connections)
    shares = [0.0 if one is stands_in_the_door else rng.expovariate(1.0) for one in behaviours]
    spoils = [one in SPOILING for one in behaviours]
    of_all = {kind: sum(share for share, one in zip(shares, spoils, strict=True) if one == kind) for kind in spoils}
    to_send = {True: frames - frames // 50, False: frames // 4}
    places = asyncio.Semaphore(AT_ONCE)
    states = [look(pid)]

    async def one(number: int) -> None:
        async with places:
            kind = spoils[number]
            share = math.ceil(to_send[kind] * shares[number] / of_all[kind]) if shares[number] else 0
            try:
                await behaviours[number](random.Random(f"{seed}/{number}"), target, share)
            except (AssertionError, OSError) as error:  # no reply in time, or no server: told at the end
                target.totals.wrong.append(f"peer {number}, {behaviours[number].__name__}: {error!r}")

    async def scrape() -> None:
        await asyncio.to_thread(
            lambda: urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=30).read()
        )

    tenth = max(1, connections // 10)
    for start in range(0, connections, tenth):
        await asyncio.gather(*(one(number) for number in range(start, min(start + tenth, connections))), scrape())
        states.append(look(pid))
    await line
    for _ in range(100):  # what stood in the door is closed after five seconds
        if look(pid).handles <= states[0].handles:
            break
        await asyncio.sleep(0.1)
    states.append(look(pid))
    return states


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz, and print what was seen; exit 1 when anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz_server", description=main.__doc__)
    parser.add_argument(
        "--frames", type=int, default=10_000, metavar="N", help="how many mutated frames, all peers together"
    )
    parser.add_argument("--connections", type=int, default=200, metavar="M", help="how many peers")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    arguments = parser.parse_args(argv)
    began = time.monotonic()
    totals, states = fuzz(arguments.frames, arguments.connections, arguments.seed)
    print(f"{totals.frames} frames, {totals.spoilt} of them mutated, in {time.monotonic() - began:.0f} s")
    print(f"{totals.replies} replies; {totals.answered} messages answered, {totals.full} refused by a full line")
    for name, count in sorted(totals.connections.items()):
        print(f"  {count:6d}  {name}")
    print("memory in MB:", *(f"{state.megabytes:.1f}" for state in states))
    print("descriptors: ", *(state.handles for state in states))
    for what in totals.wrong[:20]:
        print("wrong:", what)
    print(f"{len(totals.wrong)} wrong" if totals.wrong else "nothing wrong")
    return 1 if totals.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
