"""What is known of the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from slm.machine import processors, training_environment


def test_a_process_held_to_one_processor_counts_one() -> None:
    assert processors() == len(os.sched_getaffinity(0))
    count = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    count += "from slm.machine import processors; print(processors())"
    assert subprocess.run([sys.executable, "-c", count], capture_output=True, check=True, text=True).stdout == "1\n"


def test_a_training_keeps_its_compiled_layers_where_only_its_user_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TORCHINDUCTOR_CACHE_DIR", "THP_MEM_ALLOC_ENABLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/ada/.cache")
    assert training_environment()["TORCHINDUCTOR_CACHE_DIR"] == "/home/ada/.cache/auton-slm/compiled"
    torch_s_own = "import os; from torch._inductor.runtime.cache_dir_utils import cache_dir; cache_dir(); "
    torch_s_own += "print(os.environ['TORCHINDUCTOR_CACHE_DIR'])"
    said = subprocess.run(
        [sys.executable, "-c", torch_s_own], capture_output=True, check=True, text=True
    ).stdout.strip()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", said)
    assert training_environment()["TORCHINDUCTOR_CACHE_DIR"] == "/home/ada/.cache/auton-slm/compiled"


def test_what_a_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = {"THP_MEM_ALLOC_ENABLE": "0", "TORCHINDUCTOR_CACHE_DIR": "/srv/compiled", "MALLOC_ARENA_MAX": "4"}
    for name, value in theirs.items():
        monkeypatch.setenv(name, value)
    assert theirs.items() <= training_environment().items()


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
    """Faults of a hundred steps that allocate and free 40 MB each, which by itself the C library returns."""
    program = (
        "import resource\nfrom slm.machine import restart_with, training_environment\n"
        "restart_with(training_environment())\nimport torch\n"
        "def step(): [torch.zeros(10_000_000) for _ in range(3)]\n"
        "for _ in range(20): step()\nbefore = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(100): step()\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    faults = int(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout)
    assert faults < 3 * 100 * 40_000_000 / 4096 / 1000  # of the pages, in small ones
