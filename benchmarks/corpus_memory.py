"""How much memory a corpus build holds, stage by stage, as its input grows.

    python -m benchmarks.corpus_memory specs/builds/tiny.yaml --every 10 1

Builds the corpus from every tenth of the spec's sources, then from every one, each in a folder of its own (downloads
are shared), and prints the most anonymous memory that its processes hold: what Linux gives in ``smaps_rollup``, without
mapped files, which it takes back when it needs to.
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

from slm.corpus import build, folder_for
from slm.files import read_json
from slm.layout import here
from slm.progress import Progress
from slm.spec_file import load_spec

STAGE = "stage"


class Held(NamedTuple):
    """Seconds, and the most MB held: by the main process, by the largest worker, by all at once."""

    seconds: float = 0.0
    main: float = 0.0
    worker: float = 0.0
    together: float = 0.0

    def joined(self, other: Held) -> Held:
        """Add the seconds and take the larger memories."""
        return Held(self.seconds + other.seconds, *map(max, self[1:], other[1:]))


def anonymous(pid: int) -> int:
    """Return the bytes of anonymous memory that a process holds."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("Anonymous:")).split()[1])


def make(spec_path: Path, every: int) -> None:
    """Build a corpus in the home folder from every so manieth source and keep in a file which stage it is at."""
    spec = load_spec(spec_path, [])
    corpus = spec.corpus.model_copy(update={"sources": spec.corpus.sources[::every]})
    layout = here()

    def report(progress: Progress) -> None:
        (layout.home / STAGE).write_text(progress.stage, encoding="utf-8")

    folder = folder_for(corpus, spec.model.vocab_size, layout.processed)
    build(corpus, spec.model.vocab_size, layout.raw, folder, report)


def measure(spec: Path, every: int, home: Path) -> tuple[float, dict[str, Held]]:
    """Build the corpus of ``spec`` below ``home`` and watch it; return the MB of text kept and what each stage held."""
    (home / "datasets").mkdir()
    (home / "datasets/raw").symlink_to(here().raw.resolve())
    command = [sys.executable, "-m", "benchmarks.corpus_memory", str(spec.resolve()), "--make", "--every", str(every)]
    child = psutil.Popen(command, env={**os.environ, "AUTON_HOME": str(home)}, stdout=subprocess.DEVNULL)
    stages: dict[str, Held] = {}
    before = time.perf_counter()
    while child.poll() is None:
        sizes = []
        for process in [child, *child.children(recursive=True)]:
            try:
                sizes.append(anonymous(process.pid) / 1e6)
            except (OSError, StopIteration):  # it has just ended
                continue
        stage = (home / STAGE).read_text(encoding="utf-8") if (home / STAGE).exists() else ""
        if sizes and stage:
            now = time.perf_counter()
            held = Held(now - before, sizes[0], max(sizes[1:], default=0.0), sum(sizes))
            stages[stage] = stages.get(stage, Held()).joined(held)
            before = now
        time.sleep(0.1)
    if child.returncode:
        raise SystemExit(f"the build of {spec} from every {every}th source failed")
    stats = read_json(next((home / "datasets/processed").iterdir()) / "stats.json")
    return sum(source["characters"] for source in stats["sources"]) / 1e6, stages


def main() -> None:
    """Build the corpora and print a line for each stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", type=Path)
    parser.add_argument("--every", type=int, nargs="+", default=[1], help="build from every N-th source, for each N")
    parser.add_argument("--make", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        make(arguments.spec, arguments.every[0])
        return
    for every in arguments.every:
        with tempfile.TemporaryDirectory() as home:
            text, stages = measure(arguments.spec, every, Path(home))
        print(f"{arguments.spec}, 1 of {every} sources: {text:.1f} MB of text kept")
        print(f"{'stage':<14} {'seconds':>8} {'main MB':>8} {'worker MB':>9} {'all MB':>7}")
        total = Held()
        for held in stages.values():
            total = total.joined(held)
        for stage, held in [*stages.items(), ("whole", total)]:
            print(
                f"{stage:<14} {held.seconds:>8.0f} {held.main:>8.0f} {held.worker:>9.0f} {held.together:>7.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
