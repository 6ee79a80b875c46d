"""What is known of the machine."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slm.machine import processors, training_environment


def test_a_process_held_to_one_processor_counts_one() -> None:
    assert processors() == len(os.sched_getaffinity(0))
    count = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    count += "from slm.machine import processors; print(processors())"
    assert subprocess.run([sys.executable, "-c", count], capture_output=True, check=True, text=True).stdout == "1\n"


def test_what_a_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in training_environment():
        monkeypatch.delenv(name, raising=False)
    assert training_environment()["MALLOC_ARENA_MAX"] == "1"
    monkeypatch.setenv("MALLOC_ARENA_MAX", "4")
    assert training_environment()["MALLOC_ARENA_MAX"] == "4"


def test_a_program_begins_anew_once_with_its_arguments(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import os, sys\nfrom slm.machine import restart_with\nprint(os.getpid(), flush=True)\n"
        "restart_with({'MALLOC_ARENA_MAX': '1'})\nprint(os.environ['MALLOC_ARENA_MAX'], sys.argv[1:])\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    command = [sys.executable, str(program), "a b", "--c"]
    said = subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout.splitlines()
    assert said[0] == said[1]  # the same process, run twice
    assert said[2:] == ["1 ['a b', '--c']"]


def test_a_step_s_memory_is_kept_for_the_next() -> None:
    """Faults of a hundred steps that allocate and free 60 MB each, which by itself the C library returns."""
    program = (
        "import resource\nfrom slm.machine import restart_with, training_environment\n"
        "restart_with(training_environment())\nimport torch\n"
        "def step(): [torch.zeros(5_000_000) for _ in range(3)]\n"
        "for _ in range(20): step()\nbefore = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(100): step()\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    faults = int(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout)
    assert faults < 3 * 100 * 20_000_000 / 4096 / 1000  # of the pages, in small ones


@pytest.mark.parametrize("program", ["slm.training", "slm.adapt"])
def test_programs_that_train_begin_anew_with_a_training_s_environment(program: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in training_environment()}
    with subprocess.Popen(
        [sys.executable, "-m", program, "--help"], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        seen: dict[str, str] = {}
        while process.poll() is None:
            time.sleep(0.02)
            with contextlib.suppress(OSError):  # it has gone, or is about to be another program
                pairs = Path(f"/proc/{process.pid}/environ").read_text().split("\0")
                seen = dict(pair.split("=", 1) for pair in pairs if pair) or seen
        assert process.stdout is not None
        assert "usage:" in process.stdout.read()
    assert training_environment().items() <= seen.items()
