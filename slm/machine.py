"""The machine that this process runs on."""

from __future__ import annotations

import os

_LARGE_PAGES = "THP_MEM_ALLOC_ENABLE"


def large_pages() -> dict[str, str]:
    """Return what belongs into a training's environment before it imports torch; what a user has set there stays.

    Torch then takes large blocks of memory in large pages, if the kernel lets it (``madvise``). Without a page fault
    for each small page of every block a step takes about a tenth less time.
    """
    return {_LARGE_PAGES: os.environ.get(_LARGE_PAGES, "1")}


def processors() -> int:
    """Return how many processors this process may run on: fewer than there are under ``taskset`` or a cpuset."""
    return len(os.sched_getaffinity(0))
