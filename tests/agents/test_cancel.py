"""A build that is cancelled while a real process runs it, or while none does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agents import manager
from agents.builds import finished, held, read_state, reopen, write_state
from agents.cancel import cancel
from agents.journal import Journal
from agents.state import BuildState
from slm.errors import BuildError
from slm.files import write_json
from slm.layout import Layout
from tests.builds import miniature

#: Holds a build as a manager does; a second argument makes it deaf.
PROGRAM = """
import pathlib, signal, sys, time
from agents.builds import exclusive
if len(sys.argv) > 2:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with exclusive(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def written(home: Path, **values: object) -> Path:
    spec = miniature(home)
    folder = Layout(home).build(spec.build_id)
    content = {"build": spec.build_id, "spec": "mini", "review": "auto", "stage": "train", **values}
    write_state(folder, BuildState.model_validate(content))
    write_json(folder / "spec.json", spec.model_dump(mode="json"))
    return folder


def holding(folder: Path, *more: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(folder), *more], stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "held\n"
    return process


def test_a_running_build_is_stopped_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUTON_HOME", str(tmp_path))
    folder = written(tmp_path)
    process = holding(folder)
    assert manager.main(["--cancel", folder.name]) == 0
    process.communicate(timeout=20)
    assert process.returncode != 0
    assert "cancelled at stage train" in capsys.readouterr().out
    state = read_state(folder)
    assert state.state == "cancelled" and not held(folder)
    # The same command finds it ended; only --resume takes it up.
    assert finished(miniature(tmp_path), Layout(tmp_path)) == state
    assert [entry.decided for entry in Journal(folder, "x").entries()] == ["cancelled"]
    assert manager.main(["--cancel", folder.name]) == 1
    assert "it is cancelled" in capsys.readouterr().err
    assert manager.main(["--resume", folder.name, "--dry-run"]) == 0
    assert read_state(folder).state == "cancelled"
    reopen(folder)
    assert read_state(folder).state == "interrupted"
    assert finished(miniature(tmp_path), Layout(tmp_path)) is None


def test_one_that_waits_or_was_interrupted_ends_at_once(tmp_path: Path) -> None:
    folder = written(tmp_path, state="waiting", stage="review")
    assert cancel(Layout(tmp_path), folder.name).state == "cancelled"


def test_a_process_that_does_not_stop_is_named(tmp_path: Path) -> None:
    folder = written(tmp_path)
    process = holding(folder, "deaf")
    try:
        with pytest.raises(BuildError, match=rf"process {process.pid} that runs .* did not stop within 0.3 s"):
            cancel(Layout(tmp_path), folder.name, patience=0.3)
        assert read_state(folder).state == "running"
    finally:
        process.kill()
        process.communicate()


def test_only_the_process_that_has_the_build_is_stopped(tmp_path: Path) -> None:
    folder = written(tmp_path)
    stranger = subprocess.Popen(["sleep", "60"])
    process = holding(folder)
    try:
        (folder / "lock").write_text(f"{stranger.pid}\n")
        with pytest.raises(BuildError, match="not of this machine"):
            cancel(Layout(tmp_path), folder.name)
        (folder / "lock").write_text("")
        with pytest.raises(BuildError, match="process unknown"):
            cancel(Layout(tmp_path), folder.name)
        assert stranger.poll() is None and process.poll() is None
    finally:
        for each in (stranger, process):
            each.kill()
            each.wait()


@pytest.mark.parametrize("state", ["accepted", "rejected"])
def test_a_build_that_has_ended_is_not_cancelled(state: str, tmp_path: Path) -> None:
    folder = written(tmp_path, state=state)
    with pytest.raises(BuildError, match=f"it is {state}"):
        cancel(Layout(tmp_path), folder.name)
