"""Compiled layers on the real compiler: the same losses, the same bits after a resume, a word where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters
from torch._inductor.runtime.cache_dir_utils import default_cache_dir

from slm.spec import ModelSpec
from slm.training.compiled import lacking
from slm.training.loop import train
from tests.slm.training.test_loop import losses, spec


def compilations() -> int:
    return int(counters["frames"]["ok"])


@pytest.mark.slow
def test_compiled_layers_learn_the_same_and_resume_bit_for_bit(
    small_spec: ModelSpec, small_corpus: Path, tmp_path: Path, fresh_compiler: None
) -> None:
    settings = {"recipe": "adamw", "context_warmup": 0.5}
    train(spec(small_spec, **settings), small_corpus, tmp_path / "plain")
    build = spec(small_spec, compile=True, **settings)
    before = compilations()
    words: list[str] = []
    train(build, small_corpus, tmp_path / "compiled", report=lambda progress: words.append(progress.text))
    assert any("compiling the layers" in text for text in words)
    # One for each context, whatever the number of layers; evaluations add none. And the small one that comes first.
    assert compilations() - before == 3
    assert losses(tmp_path / "compiled") == pytest.approx(losses(tmp_path / "plain"), abs=1e-5)

    train(build, small_corpus, tmp_path / "resumed")
    shutil.rmtree(tmp_path / "resumed/checkpoints/step-00000012")
    (tmp_path / "resumed/result.json").unlink()
    torch.compiler.reset()
    train(build, small_corpus, tmp_path / "resumed")
    for name in ("model.safetensors", "optimizer.pt", "state.json"):
        ours = (tmp_path / "compiled/checkpoints/step-00000012" / name).read_bytes()
        assert ours == (tmp_path / "resumed/checkpoints/step-00000012" / name).read_bytes(), name


@pytest.mark.slow
def test_compiled_layers_learn_the_same_in_bf16_and_with_checkpointing(
    small_spec: ModelSpec, small_corpus: Path, tmp_path: Path, fresh_compiler: None
) -> None:
    settings: dict[str, Any] = {"recipe": "adamw", "precision": "bf16", "gradient_checkpointing": True}
    train(spec(small_spec, **settings), small_corpus, tmp_path / "plain")
    train(spec(small_spec, compile=True, **settings), small_corpus, tmp_path / "compiled")
    assert losses(tmp_path / "compiled") == pytest.approx(losses(tmp_path / "plain"), abs=5e-3)


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


def test_a_compiler_that_fails_is_told_in_a_line(tmp_path: Path) -> None:
    broken = tmp_path / "g++"
    broken.write_text("#!/bin/sh\necho 'main.cpp:1:10: fatal error: all is lost' >&2\nexit 1\n")
    broken.chmod(0o755)
    ask = "import torch; from slm.training.compiled import lacking; print(lacking(torch.device('cpu')))"
    # A process of its own: torch reads the compiler's name once.
    environment = {**os.environ, "CXX": str(broken), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "compiled")}
    done = subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, text=True, check=True)
    said = done.stdout.strip()
    assert said != "None"
    assert len(said.splitlines()) == 1


@pytest.mark.slow
def test_compiled_layers_are_kept_where_only_their_user_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_compiler: None
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", default_cache_dir())  # as torch itself writes it there
    assert lacking(torch.device("cpu")) is None
    assert Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]) == tmp_path / "auton-slm" / "compiled"
    assert list((tmp_path / "auton-slm" / "compiled").iterdir())
    theirs = str(tmp_path / "torchinductor_theirs")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", theirs)
    assert lacking(torch.device("cpu")) is None
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == theirs


def test_how_a_training_runs_does_not_rename_its_build(small_spec: ModelSpec) -> None:
    assert spec(small_spec, compile=True).build_id == spec(small_spec).build_id
