"""Whether a corpus build's memory stays flat as its input grows: the same made text, once and ten times as much.

    python -m benchmarks.corpus_memory [--files 1000]

Prints the peak of memory that the build's processes hold for themselves (unique set size: mapped files, which the
system takes back when it needs to, do not count), for ``files`` files a bucket and for ten times as many.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import yaml

from tests.data.corpus.make import corpus_section, write_corpus

VOCABULARY = 600


def peak(folder: Path, files: int) -> tuple[float, float, float, float]:
    """Build a corpus of ``files`` files a bucket; return MB of files, seconds, and MB held by one and by all."""
    write_corpus(folder / "sources", files)
    section = corpus_section(folder / "sources", tokens=500 * files)
    model = {"layers": 1, "heads": 1, "kv_heads": 1, "dim": 16, "hidden": 32, "vocab_size": VOCABULARY, "context": 32}
    train, gates = {"tokens": 1000, "micro_batch": 1}, {"perplexity": 100}
    spec = {"name": "memory", "model": model, "corpus": section, "train": train, "gates": gates}
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    text = sum(path.stat().st_size for path in (folder / "sources").rglob("*") if path.is_file())
    began = time.perf_counter()
    command = [sys.executable, "-m", "slm.corpus", "build", str(folder / "spec.yaml")]
    child = psutil.Popen(command, env={"AUTON_HOME": str(folder), "PATH": "/usr/bin:/bin"}, stdout=subprocess.DEVNULL)
    alone = together = 0
    while child.poll() is None:
        sizes = []
        for process in [child, *child.children(recursive=True)]:
            try:
                sizes.append(process.memory_full_info().uss)
            except psutil.Error:
                continue
        if sizes:
            alone, together = max(alone, sizes[0]), max(together, sum(sizes))
        time.sleep(0.1)
    if child.returncode:
        raise SystemExit(f"the build of {files} files a bucket failed")
    return text / 1e6, time.perf_counter() - began, alone / 1e6, together / 1e6


def main() -> None:
    """Build twice and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000, help="files a bucket; the second build has ten times these")
    files = parser.parse_args().files
    print(f"{'files':>8} {'MB of files':>12} {'seconds':>8} {'main MB':>8} {'all MB':>8}")
    for count in (files, 10 * files):
        with tempfile.TemporaryDirectory() as folder:
            text, seconds, alone, together = peak(Path(folder), count)
            print(f"{4 * count:>8,} {text:>12.1f} {seconds:>8.0f} {alone:>8.0f} {together:>8.0f}", flush=True)


if __name__ == "__main__":
    main()
