"""``python -m slm.training``."""

from __future__ import annotations

from pathlib import Path

import pytest

from slm.training.__main__ import main

NANO = Path(__file__).parents[3] / "specs/builds/nano.yaml"


def test_a_folder_that_is_no_corpus_is_named_and_nothing_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main([str(NANO), "--corpus", str(tmp_path / "none"), "--out", str(out)]) != 0
    said = capsys.readouterr().err
    assert f"{tmp_path / 'none'} holds no corpus" in said
    assert "slm.corpus build" in said
    assert not out.exists()
