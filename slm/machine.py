"""The machine that this process runs on."""

from __future__ import annotations

import os

#: Of the environment that a training starts in: torch then takes large blocks of memory in large pages, if the kernel
#: lets it (``madvise``). Without page faults at every block a step takes about a tenth less time.
LARGE_PAGES = {"THP_MEM_ALLOC_ENABLE": "1"}


def processors() -> int:
    """Return how many processors this process may run on: fewer than there are under ``taskset`` or a cpuset."""
    return len(os.sched_getaffinity(0))
