"""Ends what a killed driver leaves of its private Ray.

Ray's processes die with their driver, all but two agents: these try for a minute to tell a head that is gone. The
warden is a process that outlives the driver for a moment: when the driver's end of a pipe closes, it ends what is left
of the family that it was told of. Linux only, as Debian and Ubuntu are: it reads ``/proc``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

#: Seconds that Ray's processes have to end by themselves.
GRACE = 5.0


def post() -> subprocess.Popen[bytes]:
    """Start a warden over all present descendants of this process.

    It acts when its standard input closes: when this process ends, or lets go of what is returned.
    """
    family = [f"{pid}:{born}" for pid in descendants(os.getpid()) if (born := started(pid)) is not None]
    command = [sys.executable, "-m", "agents.warden", *family]
    # A session of its own, or Ctrl-C in a terminal would end the warden first.
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def descendants(pid: int) -> list[int]:
    """Return the processes that descend from ``pid``, itself not among them."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, children.read_text(encoding="ascii").split()):
                found += [child, *descendants(child)]
    return found


def started(pid: int) -> str | None:
    """Return when a process was started, in clock ticks since the machine was; None when there is no such process.

    A number with its start is one process for all time; the number alone is given again. Field 22 of ``proc(5)``'s
    ``stat``, counted behind the name in parentheses.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def main() -> None:
    """Wait for the end of standard input, then end the processes ``PID:START`` that the arguments name."""
    sys.stdin.buffer.read()
    end = time.monotonic() + GRACE
    family = sys.argv[1:]
    while family and time.monotonic() < end:
        time.sleep(0.1)
        family = [member for member in family if started(int(member.partition(":")[0])) == member.partition(":")[2]]
    for member in family:
        pid, _, born = member.partition(":")
        if started(int(pid)) == born:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


if __name__ == "__main__":
    main()
