"""Questions about processes that may end while one asks."""

from __future__ import annotations

import contextlib

import psutil


def command(process: psutil.Process) -> str:
    """Return its command line in one piece; empty once it has ended."""
    try:
        return "".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def has_ended(process: psutil.Process) -> bool:
    """Say whether it runs no more; a zombie, which nobody has waited for yet, does not."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def kill(process: psutil.Process) -> None:
    """Kill -9 it, if it has not ended already."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()
