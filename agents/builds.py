"""A build's folder: its recorded state, its spec, and the lock that one process at a time holds."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

from agents.registry import Registry
from agents.state import BuildState
from slm.errors import ArtefactError, AutonError, BuildError, SpecError, UsageError
from slm.files import read_json, write_json
from slm.layout import Layout
from slm.lineage import check_files
from slm.spec import BuildSpec
from slm.spec_file import parse_spec


def write_state(folder: Path, state: BuildState) -> None:
    """Record how a build stands."""
    # pydantic's own writer has words for NaN and infinity, which JSON has not.
    write_json(folder / "build.json", json.loads(state.model_dump_json()))


def read_state(folder: Path) -> BuildState:
    """Read a build's last recorded state; one that runs without a process holding it was interrupted.

    :raises UsageError: when there is no such build.
    """
    if not (folder / "build.json").exists():
        known = ", ".join(sorted(path.parent.name for path in folder.parent.glob("*/build.json"))) or "none yet"
        raise UsageError(f"There is no build {folder.name} in {folder.parent}.", f"Builds here: {known}.")
    state = BuildState.model_validate(read_json(folder / "build.json"))
    if state.state == "running" and not held(folder):
        return state.model_copy(update={"state": "interrupted"})
    return state


def build_names(layout: Layout) -> list[str]:
    """Return the builds' names, the one touched last first; a name from outside is one of these, or of no build."""
    touched = {}
    for file in layout.runs.glob("*/build.json"):
        with contextlib.suppress(OSError):  # deleted meanwhile
            touched[file.parent.name] = file.stat().st_mtime
    return sorted(touched, key=lambda build: touched[build], reverse=True)


def load_build(layout: Layout, build: str) -> BuildSpec:
    """Return the spec that a build was started with.

    :raises UsageError: when there is no such build.
    :raises BuildError: when its spec is not one to this version of the program.
    """
    folder = layout.build(build)
    read_state(folder)
    try:
        return parse_spec(read_json(folder / "spec.json"), where=str(folder / "spec.json"))
    except SpecError as error:
        raise BuildError(
            f"The build is not one of this version of the program: {error.what}",
            "Start a new build from the spec's file, or go on with the version that began this one.",
        ) from error


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold a build: a second process is refused, and a killed one holds nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise BuildError(
                f"The build {folder.name} is already being run by process {lock.read().strip() or 'unknown'}.",
                f"Follow it with `python -m agents.status {folder.name}`.",
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def held(folder: Path) -> bool:
    """Say whether a process holds a build."""
    try:
        with open(folder / "lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True


def finished(spec: BuildSpec, layout: Layout) -> BuildState | None:
    """Return an ended build's state when nothing is left to do, so that Ray need not even start."""
    folder = layout.build(spec.build_id)
    if not (folder / "build.json").exists():
        return None
    state = BuildState.model_validate(read_json(folder / "build.json"))
    if state.state in ("rejected", "cancelled"):
        return state
    if state.state != "accepted":
        return None
    try:
        check_files(layout.export(spec.build_id))
    except ArtefactError:
        return None
    registry = Registry(layout.registry)
    whole = registry.find(state.build) == state.commit and not registry.damage(state.build, state.spec)
    return state if whole else None


def reopen(folder: Path) -> None:
    """Let a build that was cancelled go on where it was.

    :raises BuildError: when another process runs it.
    """
    if read_state(folder).state == "cancelled":
        with exclusive(folder):
            write_state(folder, read_state(folder).model_copy(update={"state": "interrupted"}))


def record_failure(folder: Path, error: AutonError) -> None:
    """Leave the reason where status reports find it; a full disk cannot take even that.

    A build that waits has not been moved by what failed, and still waits.
    """
    if (folder / "build.json").exists() and (state := read_state(folder)).state != "waiting":
        with contextlib.suppress(AutonError):
            write_state(folder, state.model_copy(update={"state": "failed", "error": str(error)}))
