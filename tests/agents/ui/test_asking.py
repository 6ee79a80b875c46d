"""Questions to a released model, through the kernel's own server."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.ui.asking import LONGEST, ask, models
from slm.errors import ServingError
from slm.layout import Layout
from slm.lineage import write_manifest


def test_released_models_can_be_asked_and_accepted_ones_whose_export_is_there(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert {"nano, released", "kernel, released"} <= models(layout).keys()
    model = layout.registry / "mini"
    model.mkdir(parents=True)
    (model / "README.md").write_text("a model")
    write_manifest(model / "manifest.json", "model", "mini-00000001", ["README.md"])
    (layout.registry / "broken").mkdir()
    assert "mini, accepted as mini-00000001" not in models(layout)
    layout.export("mini-00000001").mkdir(parents=True)
    (layout.export("mini-00000001") / "model-q8_0.gguf").write_bytes(b"GGUF")
    assert next(iter(models(layout))) == "mini, accepted as mini-00000001"


@pytest.mark.parametrize(
    ("model", "question", "words"),
    [
        ("nano, released", " ", "one line of text"),
        ("nano, released", "a\nb", "one line of text"),
        ("nano, released", "a\0b", "one line of text"),
        ("nano, released", "x" * (LONGEST + 1), "301 characters"),
        ("../../etc", "what?", "no model"),
        ("", "what?", "no model"),
    ],
)
def test_what_is_no_question_reaches_no_model(tmp_path: Path, model: str, question: str, words: str) -> None:
    with pytest.raises(ServingError, match=words):
        ask(Layout(tmp_path), model, question, tmp_path)


@pytest.mark.slow
def test_an_answer_says_where_it_is_from(tmp_path: Path) -> None:
    said = ask(Layout(tmp_path), "nano, released", "--which driver for pci 8086:10d3?", tmp_path)
    assert (said.answer.action, said.answer.source) == ("e1000e", "knowledge")
