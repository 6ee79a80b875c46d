"""A build submitted as a Ray job to a running cluster that wants a token."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from tests.builds import miniature
from tests.data.corpus.make import write_corpus
from tests.ports import free_port
from tests.processes import kill

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
RAY = str(Path(sys.executable).with_name("ray"))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A head node of its own, in token mode; yields the environment that reaches it."""
    token = tmp_path / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    dashboard = free_port()
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("RAY_")},
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    # Ray's own sockets lie below its temporary folder, and a Unix socket's path must be short.
    place = tempfile.mkdtemp(prefix="ray-")
    command = [RAY, "start", "--head", "--block", "--num-cpus=2", "--node-ip-address=127.0.0.1"]
    command += [f"--port={free_port()}", f"--dashboard-port={dashboard}", f"--temp-dir={place}"]
    command += [f"--ray-client-server-port={free_port()}", "--object-store-memory=200000000"]
    # Ports that every Ray takes unless told otherwise: another one may be running on this machine.
    command += [f"--dashboard-agent-listen-port={free_port()}", f"--metrics-export-port={free_port()}"]
    head = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    family: list[psutil.Process] = []
    try:
        address = f"http://127.0.0.1:{dashboard}"
        deadline = time.monotonic() + 180
        while True:
            listing = subprocess.run([RAY, "job", "list", "--address", address], env=environment, capture_output=True)
            if listing.returncode == 0:
                break
            if time.monotonic() > deadline or head.poll() is not None:
                raise RuntimeError(listing.stderr.decode())
            time.sleep(1)
        yield {**environment, "RAY_ADDRESS": address}
    finally:
        family = psutil.Process(head.pid).children(recursive=True)
        head.send_signal(signal.SIGTERM)
        psutil.wait_procs(family, timeout=5)
        for process in (*family, psutil.Process(head.pid)):
            kill(process)
        head.wait()
        shutil.rmtree(place, ignore_errors=True)


def test_a_submitted_job_builds_a_model(cluster: dict[str, str], tmp_path: Path) -> None:
    write_corpus(tmp_path / "sources")
    spec = miniature(tmp_path / "sources", train={"tokens": 64 * 8 * 90})
    (tmp_path / "mini.yaml").write_text(yaml.safe_dump(spec.model_dump(mode="json")))
    home = tmp_path / "home"
    submit = [RAY, "job", "submit", "--working-dir", ".", "--runtime-env-json"]
    submit += [json.dumps({"env_vars": {"AUTON_HOME": str(home)}}), "--"]
    submit += ["python", "-m", "agents.manager", str(tmp_path / "mini.yaml")]
    done = subprocess.run(submit, cwd=ROOT, env=cluster, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "connected to the Ray cluster" in done.stdout
    assert "accepted" in done.stdout
    state = json.loads((home / "runs" / spec.build_id / "build.json").read_text())
    assert state["state"] == "accepted"
    assert (home / "checkpoints/registry/mini/model.safetensors").exists()


def test_without_the_token_nobody_gets_in(cluster: dict[str, str]) -> None:
    stranger = {**cluster, "RAY_AUTH_TOKEN_PATH": "/dev/null"}
    done = subprocess.run([RAY, "job", "list"], env=stranger, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
