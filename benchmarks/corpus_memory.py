"""How much memory a corpus build holds, as its input grows.

    python -m benchmarks.corpus_memory specs/builds/nano.yaml specs/builds/tiny.yaml

Builds each spec's corpus in a folder of its own (downloads are shared) and prints the most anonymous memory that its
processes hold: what Linux gives in ``smaps_rollup``, without mapped files, which it takes back when it needs to.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import psutil

from slm.files import read_json
from slm.layout import here


class Held(NamedTuple):
    """MB of text kept, seconds, and the most MB held: by the main process, by the largest worker, by all at once."""

    text: float
    seconds: float
    main: float
    worker: float
    together: float


def anonymous(pid: int) -> int:
    """Return the bytes of anonymous memory that a process holds."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("Anonymous:")).split()[1])


def measure(spec: Path, home: Path) -> Held:
    """Build the corpus of ``spec`` below ``home`` and watch it."""
    (home / "datasets").mkdir()
    (home / "datasets/raw").symlink_to(here().raw.resolve())
    began = time.perf_counter()
    command = [sys.executable, "-m", "slm.corpus", "build", str(spec.resolve())]
    child = psutil.Popen(command, env={**os.environ, "AUTON_HOME": str(home)}, stdout=subprocess.DEVNULL)
    main = worker = together = 0
    while child.poll() is None:
        sizes = []
        for process in [child, *child.children(recursive=True)]:
            try:
                sizes.append(anonymous(process.pid))
            except (OSError, StopIteration):  # it has just ended
                continue
        if sizes:
            main, together = max(main, sizes[0]), max(together, sum(sizes))
            worker = max([worker, *sizes[1:]])
        time.sleep(0.2)
    if child.returncode:
        raise SystemExit(f"the build of {spec} failed")
    stats = read_json(next((home / "datasets/processed").iterdir()) / "stats.json")
    characters = sum(source["characters"] for source in stats["sources"])
    return Held(characters / 1e6, time.perf_counter() - began, main / 1e6, worker / 1e6, together / 1e6)


def main() -> None:
    """Build each spec and print a line for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("specs", type=Path, nargs="+")
    print(f"{'spec':<30} {'MB of text':>10} {'seconds':>8} {'main MB':>8} {'worker MB':>9} {'all MB':>7}")
    for spec in parser.parse_args().specs:
        with tempfile.TemporaryDirectory() as home:
            held = measure(spec, Path(home))
        print(
            f"{spec!s:<30} {held.text:>10.1f} {held.seconds:>8.0f} {held.main:>8.0f} {held.worker:>9.0f} "
            f"{held.together:>7.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
