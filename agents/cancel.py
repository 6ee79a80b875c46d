"""Ending a build for good, whoever runs it: its process is asked to stop, and the build counts as cancelled."""

from __future__ import annotations

import getpass
import os
import signal
import time
from pathlib import Path

from agents.builds import exclusive, held, read_state, write_state
from agents.journal import Journal
from agents.state import BuildState
from slm.errors import BuildError
from slm.layout import Layout

#: Seconds that a build's process has to stop.
PATIENCE = 60.0


def cancel(layout: Layout, build: str, patience: float = PATIENCE) -> BuildState:
    """Stop a build where it runs, and end it; nothing of it is deleted.

    :raises BuildError: when there is no such build, it has ended, or what runs it is not of this machine or does not
        stop.
    """
    folder = layout.build(build)
    _going_on(folder)
    if held(folder):
        _stop(folder, patience)
    with exclusive(folder):
        state = _going_on(folder)  # it may have ended while it was asked to stop
        state = state.model_copy(update={"state": "cancelled", "error": ""})
        write_state(folder, state)
        Journal(folder, "manager").decide(f"at stage {state.stage}", "cancelled", by=getpass.getuser())
    return state


def _going_on(folder: Path) -> BuildState:
    state = read_state(folder)
    if state.state in ("accepted", "rejected", "cancelled"):
        raise BuildError(f"The build {folder.name} has ended: it is {state.state}.")
    return state


def _stop(folder: Path, patience: float) -> None:
    text = (folder / "lock").read_text(encoding="utf-8").strip()
    pid = int(text) if text.isdigit() else 0
    # The number alone may be another's by now, or of another machine: it must have this very file open.
    if not pid or not _has_open(pid, folder / "lock"):
        raise BuildError(
            f"The build {folder.name} is run by process {text or 'unknown'}, not of this machine or not yours.",
            "Stop it where it runs (Ctrl-C, or `ray job stop`), then cancel again.",
        )
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + patience
    while held(folder):
        if time.monotonic() > deadline:
            raise BuildError(
                f"The process {pid} that runs {folder.name} did not stop within {patience:g} s.",
                f"End it (`kill -9 {pid}`), then cancel again; nothing that was saved is lost.",
            )
        time.sleep(0.1)


def _has_open(pid: int, file: Path) -> bool:
    try:
        return any(os.path.samefile(opened, file) for opened in Path(f"/proc/{pid}/fd").iterdir() if opened.exists())
    except OSError:
        return False
