"""The machine that this process runs on."""

from __future__ import annotations

import os


def processors() -> int:
    """Return how many processors this process may run on: fewer than there are under ``taskset`` or a cpuset."""
    return len(os.sched_getaffinity(0))
