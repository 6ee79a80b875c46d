"""Compiled layers on the real compiler: the same losses, the same bits after a resume, a word where there is none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from slm.progress import Progress
from slm.spec import ModelSpec
from slm.training.loop import train
from tests.slm.training.test_loop import losses, spec


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_compiled_layers_learn_the_same_and_resume_bit_for_bit(
    small_spec: ModelSpec, small_corpus: Path, tmp_path: Path, fresh_compiler: None
) -> None:
    settings = {"recipe": "adamw", "context_warmup": 0.5}
    train(spec(small_spec, **settings), small_corpus, tmp_path / "plain")
    build = spec(small_spec, compile=True, **settings)
    words: list[str] = []

    def listen(progress: Progress) -> None:
        words.append(progress.text)

    train(build, small_corpus, tmp_path / "compiled", report=listen)
    assert any("compiling the layers" in text for text in words)
    assert torch._dynamo.utils.counters["frames"]["ok"] >= 2, "both contexts are compiled"
    assert losses(tmp_path / "compiled") == pytest.approx(losses(tmp_path / "plain"), abs=1e-5)

    train(build, small_corpus, tmp_path / "resumed")
    shutil.rmtree(tmp_path / "resumed/checkpoints/step-00000012")
    (tmp_path / "resumed/result.json").unlink()
    torch.compiler.reset()
    train(build, small_corpus, tmp_path / "resumed")
    for name in ("model.safetensors", "optimizer.pt", "state.json"):
        ours = (tmp_path / "compiled/checkpoints/step-00000012" / name).read_bytes()
        assert ours == (tmp_path / "resumed/checkpoints/step-00000012" / name).read_bytes(), name


def test_without_a_compiler_it_trains_and_says_so(
    small_spec: ModelSpec, small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    words: list[str] = []
    train(
        spec(small_spec, compile=True, tokens=64 * 4),
        small_corpus,
        tmp_path,
        report=lambda progress: words.append(progress.text),
    )
    assert any("layers are not compiled (train.compile): there is no C++ compiler" in text for text in words)


def test_how_a_training_runs_does_not_rename_its_build(small_spec: ModelSpec) -> None:
    assert spec(small_spec, compile=True).build_id == spec(small_spec).build_id
