"""The page as a person starts it: by command."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]


@contextlib.contextmanager
def served(home: Path, *arguments: str) -> Iterator[str]:
    """Serve the builds of ``home``, and yield the page's address."""
    server = subprocess.Popen(
        [sys.executable, "-m", "agents.ui", "--port", "0", *arguments],
        cwd=ROOT,
        env={**os.environ, "AUTON_HOME": str(home)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert server.stdout is not None
    try:
        line = server.stdout.readline()
        assert "http://127.0.0.1:" in line, line
        yield line.split()[-1]
    finally:
        server.terminate()
        out, _ = server.communicate(timeout=300)
    assert (server.returncode, "Traceback" in out) == (0, False), out
