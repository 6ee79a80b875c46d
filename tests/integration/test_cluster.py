"""Builds on several Ray nodes of this machine: a node lost, a worker lost, the head lost and started again."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from agents.journal import Journal
from slm.machine import training_environment
from slm.spec import BuildSpec
from tests.builds import miniature
from tests.data.corpus.make import write_corpus
from tests.home import LIMIT, ROOT, Home, wait
from tests.processes import command, kill

pytestmark = pytest.mark.slow

STEPS = 280


class Nodes:
    """A head and three nodes of one processor each, in a process of their own (:mod:`tests.integration.nodes`)."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.nodes", "3"],
            cwd=ROOT,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self.process.stdout
        self.address = self.process.stdout.readline().strip()
        assert self.address, "the nodes did not start"

    def kill(self, address: str) -> None:
        """Kill -9 the node at ``address``."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"kill {address}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == "killed"

    def family(self) -> list[psutil.Process]:
        """Return every process of every node."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def workers(self) -> list[psutil.Process]:
        """Return the training workers."""
        return [process for process in self.family() if "RayTrainWorker" in command(process)]

    def close(self) -> None:
        """End all nodes."""
        if self.process.poll() is None:
            self.process.communicate(timeout=60)

    def kill_all(self) -> None:
        """Kill -9 head and nodes, as a power cut does."""
        for process in [psutil.Process(self.process.pid), *self.family()]:
            kill(process)
        self.process.communicate()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Nodes]]:
    token = tmp_path / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_USAGE_STATS_ENABLED": "0"}
    started: list[Nodes] = []

    def begin() -> Nodes:
        started.append(Nodes(environment))
        return started[-1]

    yield begin
    for nodes in started:
        nodes.close()


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> BuildSpec:
    folder = tmp_path_factory.mktemp("sources")
    write_corpus(folder)
    train = {
        "tokens": 64 * 8 * STEPS,
        "micro_batch": 4,
        "workers": 2,
        "checkpoint_every": 20,
        "evaluate_every": 200,
        "log_every": 1,
    }
    return miniature(folder, train=train)


def weights(home: Home) -> bytes:
    return (home.folder / "checkpoints/registry/mini/model.safetensors").read_bytes()


def test_nodes_workers_and_the_head_may_die_and_no_step_is_trained_twice(
    spec: BuildSpec, start: Callable[[], Nodes], tmp_path: Path
) -> None:
    whole = Home(tmp_path / "whole", spec)
    nodes = start()
    token = str(tmp_path / "token")
    access = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": token}
    whole.environment |= access
    code, out = whole.build("--address", nodes.address)
    assert code == 0, out

    home = Home(tmp_path / "home", spec)
    home.environment |= access
    driver = home.start("agents.manager", str(home.path), "--address", nodes.address)
    assert wait(lambda: home.step() >= 40 or driver.poll() is not None, LIMIT)
    assert driver.poll() is None, driver.communicate()[0]
    assert training_environment().items() <= nodes.workers()[0].environ().items()
    nodes.kill(_node_of(nodes.workers()[0]))
    reached = home.step()
    assert reached < STEPS
    assert wait(lambda: home.step() >= reached + 40 or driver.poll() is not None, LIMIT)
    assert driver.poll() is None, driver.communicate()[0]
    nodes.workers()[0].kill()
    reached = home.step()
    assert reached < STEPS
    assert wait(lambda: home.step() >= reached + 40 or driver.poll() is not None, LIMIT)
    assert driver.poll() is None, driver.communicate()[0]
    assert home.step() < STEPS
    nodes.kill_all()
    out, _ = driver.communicate(timeout=LIMIT)
    assert driver.returncode != 0, out

    again = start()
    code, out = home.build("--address", again.address)
    assert code == 0, out
    assert "going on from checkpoint" in out
    saw = [entry.saw for entry in Journal(home.run, "test").entries() if entry.decided.startswith("trying again")]
    assert len(saw) >= 2, saw
    assert all("failed: lost_worker" in words for words in saw), saw
    # Summed in the same order by as many workers: the very weights of the build that nothing happened to.
    assert weights(home) == weights(whole)


def _node_of(worker: psutil.Process) -> str:
    """Return the address of a worker's node, which its command line names."""
    parent = worker.parent()
    assert parent is not None
    [address] = [part.partition("=")[2] for part in parent.cmdline() if part.startswith("--node_ip_address=")]
    return address
