"""The machine that this process runs on."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping


def training_environment() -> dict[str, str]:
    """Return what belongs into the environment of a training's process from its start; what a user has set here stays.

    - Torch takes large blocks of memory in large pages, if the kernel lets it (``madvise``). Without a page fault for
      each small page of every block a step takes about a tenth less time.
    - The C library keeps freed memory for the next step, in one heap for all threads. It would return it to the kernel,
      and the next step would meet its pages' faults anew. Blocks from 32 MB on, which it takes no setting to keep, come
      and go.
    """
    wanted = {
        "THP_MEM_ALLOC_ENABLE": "1",
        "MALLOC_TRIM_THRESHOLD_": str(2**62),
        "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
        "MALLOC_ARENA_MAX": "1",
    }
    return {name: os.environ.get(name, value) for name, value in wanted.items()}


def restart_with(environment: Mapping[str, str]) -> None:
    """Begin this program anew in its own process with ``environment`` besides its own, unless it has all of it.

    For what is read at a process' start only, as the C library reads its ``MALLOC_*``.
    """
    if any(os.environ.get(name) != value for name, value in environment.items()):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **environment})


def processors() -> int:
    """Return how many processors this process may run on: fewer than there are under ``taskset`` or a cpuset."""
    return len(os.sched_getaffinity(0))
