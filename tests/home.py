"""A home folder with a build in it, the commands a person runs there, and hands on their processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import yaml

from agents.standing import EXIT
from slm.spec import BuildSpec
from tests.processes import command

ROOT = Path(__file__).parents[1]
LIMIT = 400
SESSIONS = Path("/tmp/ray")


class Home:
    """A home folder of its own, and the commands run in it."""

    def __init__(self, folder: Path, spec: BuildSpec) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.spec = spec
        self.path = folder / "spec.yaml"
        self.path.write_text(yaml.safe_dump(spec.model_dump(mode="json")))
        self.environment = {**os.environ, "AUTON_HOME": str(folder)}
        self._earlier = set(SESSIONS.glob("session_*"))

    @property
    def run(self) -> Path:
        return self.folder / "runs" / self.spec.build_id

    def start(self, module: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def command(self, module: str, *arguments: str) -> tuple[int, str]:
        process = self.start(module, *arguments)
        out, _ = process.communicate(timeout=LIMIT)
        return process.returncode, out

    def build(self, *arguments: str) -> tuple[int, str]:
        return self.command("agents.manager", str(self.path), *arguments)

    def status(self) -> dict[str, Any]:
        code, out = self.command("agents.status", self.spec.build_id, "--json")
        [state] = json.loads(out)
        assert isinstance(state, dict)
        assert code == EXIT[state["state"]]
        return state

    def step(self) -> int:
        """The last training step logged."""
        log = self.run / "training" / "log.jsonl"
        lines = log.read_text().splitlines() if log.exists() else []
        return max((json.loads(line)["step"] for line in lines if line.endswith("}")), default=0)

    def sessions(self, *drivers: subprocess.Popen[str]) -> list[Path]:
        """Return the folders of the Rays that ``drivers`` started, with Ray's own logs.

        A folder has the driver's number in its name. Numbers come again, so one older than this home is not of it.
        """
        of_them = {path for driver in drivers for path in SESSIONS.glob(f"session_*_{driver.pid}")}
        return sorted(of_them - self._earlier)

    def commits(self) -> list[str]:
        registry = self.folder / "checkpoints" / "registry"
        if not (registry / ".git").exists():
            return []
        done = subprocess.run(["git", "-C", str(registry), "rev-list", "HEAD"], capture_output=True, text=True)
        return done.stdout.split()


def kill_role(driver: int, role: str) -> None:
    """Kill -9 the process of the driver's private Ray that plays ``role``."""

    def found() -> list[psutil.Process]:
        processes = psutil.Process(driver).children(recursive=True)
        return [p for p in processes if role in command(p)]

    assert wait(lambda: bool(found()), 60), f"no process plays {role}"
    for process in found():
        process.kill()


def wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():
                return True
        except (psutil.NoSuchProcess, ValueError):
            pass
        time.sleep(0.02)
    return False
