"""A training that really runs out of memory, and what becomes of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agents.training_agent import repair
from slm.spec import ModelSpec
from slm.training.loop import train
from slm.training.outcome import Adjustments, Failure, TrainingPaths, finished
from tests.slm.training.test_loop import losses, spec

#: Trains with no more data (heap and private mappings) than the process has after its imports, plus an allowance: the
#: kernel then refuses real allocations.
PROGRAM = """
import pathlib, resource, sys, torch
torch.set_num_threads(1)
import deepspeed
from slm.spec import BuildSpec
from slm.training.loop import train
from slm.training.outcome import Adjustments
spec, corpus, folder = map(pathlib.Path, sys.argv[1:4])
status = pathlib.Path("/proc/self/status").read_text()
held = 1024 * int(status.split("VmData:")[1].split()[0])
resource.setrlimit(resource.RLIMIT_DATA, (held + int(sys.argv[5]),) * 2)
build = BuildSpec.model_validate_json(spec.read_text())
train(build, corpus, folder, Adjustments.model_validate_json(sys.argv[4]))
"""


@pytest.mark.slow
def test_halving_the_micro_batch_carries_a_training_through_a_real_shortage(small_corpus: Path, tmp_path: Path) -> None:
    model = ModelSpec(layers=2, heads=4, kv_heads=2, dim=64, hidden=160, vocab_size=1024, context=64)
    build = spec(model, recipe="adamw", micro_batch=128, tokens=64 * 128 * 3)
    (tmp_path / "spec.json").write_text(build.model_dump_json())
    folder = tmp_path / "scarce"
    adjustments = Adjustments()
    seen = []
    while finished(folder, small_corpus) is None:
        arguments = [str(tmp_path / "spec.json"), str(small_corpus), str(folder), adjustments.model_dump_json()]
        child = subprocess.run(
            [sys.executable, "-c", PROGRAM, *arguments, str(150_000_000)], check=False, capture_output=True, text=True
        )
        if child.returncode == 0:
            break
        note = TrainingPaths(folder).failure
        assert note.exists(), child.stderr[-2000:]
        failure = Failure.model_validate_json(note.read_text())
        note.unlink()
        seen.append(failure.diagnosis)
        assert failure.diagnosis == "out_of_memory", failure.detail
        change = repair(failure.diagnosis, adjustments, build.train.micro_batch)
        assert change is not None
        adjustments = change[0]
    assert seen, "the memory sufficed: nothing was tried"
    assert adjustments.micro_batch_divisor == 2 ** len(seen)
    train(build, small_corpus, tmp_path / "plenty")
    # An attempt that got some steps far before memory was short has logged those; the ones that count came last.
    assert losses(folder)[-build.steps :] == pytest.approx(losses(tmp_path / "plenty"), abs=1e-5)
