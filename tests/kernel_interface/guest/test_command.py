"""The whole command, with the stand-in in QEMU's place: what it shows, how it ends, and that nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

import tests.guest_console
from kernel_interface.guest.__main__ import FAILED, MODEL, RULES, SILENT, Row, Session, main, table
from tests.kernel_interface.guest.test_console import ANSWER, QUESTION
from tests.kernel_interface.guest.test_image import ISO


@pytest.fixture
def arguments(tmp_path: Path, stand_in: pytest.MonkeyPatch) -> list[str]:
    """A command line whose QEMU is the stand-in."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/qemu-system-x86_64"
    program.write_text(
        f"#!{sys.executable}\nimport runpy\nrunpy.run_path({tests.guest_console.__file__!r}, None, '__main__')\n"
    )
    program.chmod(0o755)
    stand_in.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    stand_in.setenv("GUEST_RECORD", str(tmp_path / "record"))
    stand_in.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    (tmp_path / "image").write_bytes(ISO)
    (tmp_path / "ask").write_text(f"{QUESTION}\n")
    return ["--iso", str(tmp_path / "image"), "--ask", str(tmp_path / "ask")]


def machine(tmp_path: Path) -> tuple[int, list[str]]:
    """The process id of the machine that ran, and its arguments."""
    process, *arguments = (tmp_path / "record").read_text().splitlines()
    return int(process), arguments


def is_gone(process: int) -> bool:
    """Whether a process has ended, within some seconds; one that nobody has waited for has."""
    for _ in range(500):
        try:
            if ") Z " in Path(f"/proc/{process}/stat").read_text():
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def test_a_model_answers_every_line(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ask").write_text(f"{QUESTION}\nuptime\n")
    assert main(arguments) == MODEL
    shown = capsys.readouterr()
    head, first, second, verdict = shown.out.splitlines()
    assert head.split() == ["line", "answer", "seconds", "source"]
    assert first.startswith(f"{QUESTION}  {ANSWER}  ") and first.endswith("  model")
    assert second.startswith("uptime") and "  up 3 s  " in second and second.endswith("  kernel")
    assert verdict.startswith("prompt after ") and verdict.endswith("; the model was loaded")
    assert "note: 'uptime' has 'uptime' in it, so the kernel answers it from its own state" in shown.err
    process, qemu = machine(tmp_path)
    assert is_gone(process)
    assert qemu[qemu.index("-accel") :][:4] == ["-accel", "tcg", "-m", "192M"]
    assert f"file={tmp_path / 'image'},format=raw,media=cdrom,readonly=on" in qemu and "-no-reboot" in qemu
    assert qemu[qemu.index("-nic") + 1] == qemu[qemu.index("-display") + 1] == "none"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_rules_answer_where_the_model_is_refused(
    arguments: list[str], tmp_path: Path, stand_in: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in.setenv("GUEST_FAULT", "refuses the model")
    assert main([*arguments, "--json", "--kvm"]) == RULES
    session = json.loads(capsys.readouterr().out)
    assert (session["model_loaded"], session["error"]) == (False, "")
    (row,) = session["rows"]
    assert (row["line"], row["answer"], row["source"]) == (QUESTION, f"No rule for: {QUESTION}", "rules")
    assert row["seconds"] >= 0 and session["boot_seconds"] > 0
    _, qemu = machine(tmp_path)
    assert qemu[qemu.index("-accel") + 1] == "kvm"


def test_what_was_answered_before_a_guest_failed_is_shown(
    arguments: list[str], tmp_path: Path, stand_in: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in.setenv("GUEST_FAULT", "starts again before an answer")
    assert main(arguments) == SILENT
    shown = capsys.readouterr()
    assert "the model was loaded" in shown.out
    assert f"error: The guest started again at '{QUESTION}'." in shown.err
    stand_in.setenv("GUEST_FAULT", "ends before an answer")
    assert main([*arguments, "--json"]) == SILENT
    session = json.loads(capsys.readouterr().out)
    assert (session["model_loaded"], session["rows"]) == (True, [])
    assert session["error"].startswith("The guest is gone")


def test_a_line_without_an_answer_is_told() -> None:
    answered, silent = Row("x", "y", 0.1, "model"), Row("z", "", 0.1, "model")
    assert Session(True, 1.0, [answered]).status() == MODEL
    assert Session(False, 1.0, [answered]).status() == RULES
    assert Session(True, 1.0, [answered, silent]).status() == SILENT
    assert Session(None, 0.0, [], "It did not boot.").status() == SILENT
    assert table(Session(True, 1.0, [answered, silent])).splitlines()[2].split() == ["z", "-", "0.1", "model"]
    lines = table(Session(True, 1.0, [Row("x", "y\nmore", 0.1, "model")])).splitlines()
    assert lines[2] == "      more"


def test_what_qemu_says_at_its_end_is_told(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bin/qemu-system-x86_64").write_text("#!/bin/sh\necho 'no \033[31mKVM here' >&2; exit 1\n")
    assert main(arguments) == SILENT
    assert "is gone: its machine ended, or was reset. It has printed nothing. QEMU says: no \\x1b[31mKVM here" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("option", "content", "said"),
    [
        ("--iso", b"text", "neither an ISO"),
        ("--ask", b"", "holds no line"),
        ("--model", b"text", "is no flat model file"),
        ("--model", None, "cannot be read"),
    ],
)
def test_what_cannot_be_tried_is_said_before_anything_boots(
    arguments: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    option: str,
    content: bytes | None,
    said: str,
) -> None:
    path = tmp_path / "wrong"
    if content is not None:
        path.write_bytes(content)
    assert main([*arguments, option, str(path)]) == FAILED
    assert said in capsys.readouterr().err
    assert not (tmp_path / "record").exists()


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_the_machine_ends_with_the_command(
    arguments: list[str], tmp_path: Path, stand_in: pytest.MonkeyPatch, number: signal.Signals, status: int
) -> None:
    stand_in.setenv("GUEST_FAULT", "never prompts")
    program = [sys.executable, "-m", "kernel_interface.guest", *arguments]
    # Whoever runs the tests in the background has its children ignore Ctrl-C; a person's terminal has not.
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True, preexec_fn=heeding) as command:
        for _ in range(2000):
            if (tmp_path / "record").exists() and (tmp_path / "record").read_text().endswith("\n"):
                break
            time.sleep(0.01)
        process, _ = machine(tmp_path)
        command.send_signal(number)
        assert command.wait(20) == status
        assert is_gone(process)
        assert "Traceback" not in (command.stderr.read() if command.stderr else "")
    assert number == signal.SIGKILL or list((tmp_path / "tmp").iterdir()) == []
