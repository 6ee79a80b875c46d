"""The machine that this process runs on."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def training_environment() -> dict[str, str]:
    """Return what belongs into the environment of a training's process from its start; what a user has set there stays.

    - Torch takes large blocks of memory in large pages, if the kernel lets it (``madvise``). Without a page fault for
      each small page of every block a step takes about a tenth less time.
    - The C library keeps freed memory for the next step, in one place for all threads. It would return large blocks to
      the kernel, and the next step would meet a fault for each of their pages anew.
    - Compiled layers are kept in the user's cache folder, so that a second training begins at once; not in ``/tmp``,
      where torch would have them: another user could have been there first.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    wanted = {
        "THP_MEM_ALLOC_ENABLE": "1",
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(2**62),
        "MALLOC_ARENA_MAX": "1",
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "auton-slm" / "compiled"),
    }
    theirs = dict(os.environ)
    # Torch writes its own default, /tmp/torchinductor_USER, into the environment as soon as it looks for the folder.
    if Path(theirs.get("TORCHINDUCTOR_CACHE_DIR", "")).name.startswith("torchinductor_"):
        del theirs["TORCHINDUCTOR_CACHE_DIR"]
    return {name: theirs.get(name, value) for name, value in wanted.items()}


def restart_with(environment: Mapping[str, str]) -> None:
    """Begin this program anew in its own process with ``environment`` besides its own, unless it has all of it.

    For what is read at a process' start only, as the C library reads its ``MALLOC_*``.
    """
    if any(os.environ.get(name) != value for name, value in environment.items()):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **environment})


def processors() -> int:
    """Return how many processors this process may run on: fewer than there are under ``taskset`` or a cpuset."""
    return len(os.sched_getaffinity(0))
