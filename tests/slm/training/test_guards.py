from __future__ import annotations

import math
import pickle
import threading

import pytest
import torch

from slm.errors import ArtefactError, CorpusError, DiskFullError
from slm.spec import GuardSpec
from slm.training.guards import Guards, GuardTripped, diagnose


@pytest.mark.parametrize(
    ("loss", "norm", "diagnosis"),
    [
        (math.nan, 1, "diverged"),
        (math.inf, 1, "diverged"),
        (3, math.nan, "diverged"),
        (6.93, 0.0, "diverged"),
        (3, 1001, "exploded"),
    ],
)
def test_a_bad_step_stops(loss: float, norm: float, diagnosis: str) -> None:
    with pytest.raises(GuardTripped) as found:
        Guards(GuardSpec()).check(7, loss, norm)
    assert found.value.diagnosis == diagnosis
    assert "Step 7" in found.value.what


def test_a_plateau_stops_after_its_patience_and_a_falling_loss_does_not() -> None:
    guards = Guards(GuardSpec(patience_steps=30))
    for step in range(500):
        guards.check(step, 10 / (1 + step), 1.0)
    flat = Guards(GuardSpec(patience_steps=30))
    with pytest.raises(GuardTripped) as found:
        for step in range(100):
            flat.check(step, 5.0, 1.0)
    assert found.value.diagnosis == "stalled"
    assert "Step 30" in found.value.what


def test_real_exceptions_are_named() -> None:
    with pytest.raises(RuntimeError) as found:
        torch.empty(1 << 60)
    assert diagnose(found.value) == "out_of_memory"
    assert diagnose(MemoryError()) == "out_of_memory"
    assert diagnose(OSError(28, "No space left on device")) == "disk_full"
    assert diagnose(DiskFullError("x")) == "disk_full"
    assert diagnose(CorpusError("x")) == "bad_data"
    assert diagnose(ArtefactError("x")) == "corrupt_checkpoint"
    assert diagnose(RuntimeError("x")) == "unknown"


def test_a_thread_that_finds_no_room_for_its_stack_is_a_lack_of_memory() -> None:
    before = threading.stack_size(1 << 46)  # of a whole address space there are 47 bits
    try:
        with pytest.raises(RuntimeError) as found:
            for _ in range(3):
                threading.Thread(target=list).start()
    finally:
        threading.stack_size(before)
    assert diagnose(found.value) == "out_of_memory"


def test_a_tripped_guard_crosses_processes() -> None:
    copy = pickle.loads(pickle.dumps(GuardTripped("stalled", "what")))
    assert (copy.diagnosis, copy.what) == ("stalled", "what")
