from __future__ import annotations

import importlib.util

import pytest

import auton


def test_every_verb_is_a_program() -> None:
    assert all(importlib.util.find_spec(module) for module, _ in auton.VERBS.values())


def test_an_unknown_verb_is_named_with_its_nearest(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["auton", "statu"])
    with pytest.raises(SystemExit) as ended:
        auton.main()
    assert ended.value.code == 2
    assert "no verb 'statu'. Did you mean status?" in capsys.readouterr().err
