"""The page's command line: where it listens, and what it refuses."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from agents.ui.__main__ import main


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTON_HOME", str(tmp_path))


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_it_listens_beyond_this_machine_only_with_a_token(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--host", host, "--port", "0"]) == 1
    said = capsys.readouterr().err
    assert "--token-file" in said
    assert "Traceback" not in said


def test_a_token_that_others_can_read_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token = tmp_path / "token"
    token.write_text("a secret of sixteen bytes")
    token.chmod(0o644)
    assert main(["--host", "0.0.0.0", "--port", "0", "--token-file", str(token)]) == 1
    said = capsys.readouterr().err
    assert "open to others" in said
    assert "a secret" not in said


def test_a_taken_port_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["--port", str(taken.getsockname()[1])]) == 1
    assert "cannot listen on 127.0.0.1" in capsys.readouterr().err
