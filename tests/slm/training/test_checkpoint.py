"""The store by itself: what is written while the training goes on, what is kept, and what is found again."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

from agents.cluster import name_failure
from slm.errors import DiskFullError
from slm.lineage import check_files, read_manifest, verify
from slm.model.llama import build_model, load_model
from slm.spec import ModelSpec, TrainSpec
from slm.training.aside import latest, set_aside, set_beginning_aside
from slm.training.checkpoint import CheckpointStore, Snapshot, TrainingState, take_snapshot
from slm.training.guards import Diagnosis
from slm.training.optimizer import MuonAdamW, build_optimizer
from slm.training.outcome import Failure, TrainingPaths


@pytest.fixture
def model(small_spec: ModelSpec) -> LlamaForCausalLM:
    return build_model(small_spec, 0)


@pytest.fixture
def optimizer(model: LlamaForCausalLM) -> MuonAdamW:
    optimizer = build_optimizer(model, TrainSpec.model_validate({"tokens": 1, "micro_batch": 1}))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return optimizer


def at(model: LlamaForCausalLM, optimizer: MuonAdamW, step: int, perplexity: float | None = None) -> Snapshot:
    state = TrainingState(step=step, sequences=4 * step, loss=math.nan, validation_perplexity=perplexity)
    return take_snapshot(model, optimizer.state_dict(), {"rank0": torch.get_rng_state()}, state)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_the_training_does_during_a_save_is_not_in_it(
    model: LlamaForCausalLM, optimizer: MuonAdamW, small_corpus: Path, tmp_path: Path
) -> None:
    snapshot = at(model, optimizer, 1)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    moments = [value.clone() for state in optimizer.state.values() for value in state.values()]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    for state in optimizer.state.values():
        for value in state.values():
            value.zero_()
    store = CheckpointStore(tmp_path, small_corpus, keep=5)
    store.save(snapshot, "build")
    store.wait()
    saved = load_file(tmp_path / "step-00000001/model.safetensors")
    assert all(torch.equal(saved[name], weights[name]) for name in saved)
    read = torch.load(tmp_path / "step-00000001/optimizer.pt", weights_only=True)["state"]
    found = [value for state in read.values() for value in state.values()]
    assert all(torch.equal(one, other) for one, other in zip(found, moments, strict=True))


def test_the_newest_two_can_be_gone_on_from_and_older_ones_are_whole_models(
    model: LlamaForCausalLM, optimizer: MuonAdamW, small_corpus: Path, tmp_path: Path
) -> None:
    store = CheckpointStore(tmp_path, small_corpus, keep=3)
    for step, perplexity in ((1, 5.0), (2, 9.0), (3, 8.0), (4, 7.0), (5, 6.0)):
        store.save(at(model, optimizer, step, perplexity), "build")
    store.wait()
    assert names(tmp_path) == [f"step-0000000{step}" for step in (1, 3, 4, 5)]
    for step in (1, 3, 4, 5):
        folder = tmp_path / f"step-0000000{step}"
        assert [link.kind for link in verify(folder)] == ["corpus", "checkpoint"]
        assert sorted(read_manifest(folder).files) == [name for name in names(folder) if name != "manifest.json"]
        assert ("optimizer.pt" in names(folder)) == (step >= 4)
        load_model(folder)
    words: list[str] = []
    assert store.best(words.append) == tmp_path / "step-00000001"
    assert latest(store.folder, words.append) == tmp_path / "step-00000005"
    assert words == []


def test_a_kill_while_an_optimizer_state_is_dropped_leaves_a_whole_checkpoint(
    model: LlamaForCausalLM, optimizer: MuonAdamW, small_corpus: Path, tmp_path: Path
) -> None:
    store = CheckpointStore(tmp_path, small_corpus, keep=5)
    for step in (1, 2, 3):
        store.save(at(model, optimizer, step), "build")
    store.wait()
    # Between the manifest's new version and the file's end.
    left = tmp_path / "step-00000001/optimizer.pt"
    left.write_bytes((tmp_path / "step-00000003/optimizer.pt").read_bytes())
    check_files(left.parent)
    store = CheckpointStore(tmp_path, small_corpus, keep=5)
    assert latest(store.folder, lambda _: None) == tmp_path / "step-00000003"
    store.save(at(model, optimizer, 4), "build")
    store.wait()
    assert not left.exists()
    check_files(left.parent)


def test_a_damaged_best_gives_way_to_the_next_with_a_word(
    model: LlamaForCausalLM, optimizer: MuonAdamW, small_corpus: Path, tmp_path: Path
) -> None:
    store = CheckpointStore(tmp_path, small_corpus, keep=5)
    for step, perplexity in ((1, 5.0), (2, 6.0), (3, 7.0)):
        store.save(at(model, optimizer, step, perplexity), "build")
    store.wait()
    victim = tmp_path / "step-00000001/model.safetensors"
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    words: list[str] = []
    assert store.best(words.append) == tmp_path / "step-00000002"
    assert len(words) == 1
    assert "step-00000001 is damaged and is passed over" in words[0]


def test_a_start_from_before_later_checkpoints_keeps_its_own(
    model: LlamaForCausalLM, optimizer: MuonAdamW, small_corpus: Path, tmp_path: Path
) -> None:
    store = CheckpointStore(tmp_path, small_corpus, keep=2)
    for step in (7, 8, 9):
        store.save(at(model, optimizer, step), "build")
    store.wait()
    for step in (8, 9):
        (tmp_path / f"step-0000000{step}/state.json").unlink()
    for step in (1, 2, 3):
        store.save(at(model, optimizer, step), "build")
    store.wait()
    assert latest(store.folder, lambda _: None) == tmp_path / "step-00000003"
    assert (tmp_path / "step-00000002/optimizer.pt").exists()


def test_of_checkpoints_set_aside_the_newest_two_stay_and_no_later_save_replaces_them(
    model: LlamaForCausalLM, optimizer: MuonAdamW, small_corpus: Path, tmp_path: Path
) -> None:
    store = CheckpointStore(tmp_path, small_corpus, keep=5)
    for perplexity in (5.0, 6.0, 7.0):
        store.save(at(model, optimizer, 1, perplexity), "build")
        store.wait()
        set_aside(tmp_path / "step-00000001")
        assert latest(store.folder, lambda _: None) is None
    store.save(at(model, optimizer, 1, 8.0), "build")
    store.wait()
    kept = ["aside-000002-step-00000001", "aside-000003-step-00000001", "step-00000001"]
    assert names(tmp_path) == kept
    assert [read_manifest(tmp_path / name).info["validation_perplexity"] for name in kept] == [6.0, 7.0, 8.0]
    assert [link.kind for link in verify(tmp_path / kept[0])] == ["corpus", "checkpoint"]


def test_what_a_kill_left_of_a_dropped_checkpoint_goes_with_the_next_save(
    model: LlamaForCausalLM, optimizer: MuonAdamW, small_corpus: Path, tmp_path: Path
) -> None:
    store = CheckpointStore(tmp_path, small_corpus, keep=5)
    store.save(at(model, optimizer, 1), "build")
    store.wait()
    (tmp_path / "step-00000001/manifest.json").unlink()
    # One that is being written is not one that was left.
    (tmp_path / ".step-00000007.1.part").mkdir()
    store.save(at(model, optimizer, 2), "build")
    store.wait()
    assert names(tmp_path) == [".step-00000007.1.part", "step-00000002"]


def test_the_launcher_sets_aside_what_a_ruined_attempt_began_from_unless_it_reached_another(
    model: LlamaForCausalLM, optimizer: MuonAdamW, small_corpus: Path, tmp_path: Path
) -> None:
    paths = TrainingPaths(tmp_path)
    store = CheckpointStore(paths.checkpoints, small_corpus, keep=5)
    for step in (1, 2):
        store.save(at(model, optimizer, step), "build")
    store.wait()

    def fail(diagnosis: Diagnosis, began_from: str | None) -> str:
        paths.failure.unlink(missing_ok=True)
        paths.note(Failure(diagnosis=diagnosis, detail="So it was.", began_from=began_from))
        failure = name_failure(paths, [])
        assert failure.diagnosis == diagnosis
        return failure.detail

    assert fail("diverged", None) == "So it was."
    assert fail("diverged", "step-00000001") == "So it was."
    assert fail("stalled", "step-00000002") == "So it was."
    assert latest(store.folder, lambda _: None) == paths.checkpoints / "step-00000002"
    assert "step-00000002 led straight here and is set aside" in fail("exploded", "step-00000002")
    assert fail("exploded", "step-00000002") == "So it was."
    assert latest(store.folder, lambda _: None) == paths.checkpoints / "step-00000001"


def test_the_last_checkpoint_of_a_long_training_that_can_be_gone_on_from_stays(
    model: LlamaForCausalLM, optimizer: MuonAdamW, small_corpus: Path, tmp_path: Path
) -> None:
    paths = TrainingPaths(tmp_path)
    store = CheckpointStore(paths.checkpoints, small_corpus, keep=5)
    for step in (1, 2, 3):
        store.save(at(model, optimizer, step), "build")
    store.wait()

    def fail(began_from: str) -> str:
        return set_beginning_aside(paths, Failure(diagnosis="diverged", detail="So.", began_from=began_from)).detail

    assert "step-00000003 led straight here and is set aside" in fail("step-00000003")
    assert "step-00000002 led straight here; it stays" in fail("step-00000002")
    assert latest(store.folder, lambda _: None) == paths.checkpoints / "step-00000002"


def test_the_error_of_a_save_comes_with_the_next_look_and_once(
    small_spec: ModelSpec, small_corpus: Path, full_disk: Path
) -> None:
    model = build_model(small_spec.model_copy(update={"layers": 1, "dim": 16, "hidden": 32}), 0)
    optimizer = build_optimizer(model, TrainSpec.model_validate({"tokens": 1, "micro_batch": 1}))
    store = CheckpointStore(full_disk, small_corpus, keep=5)
    store.save(at(model, optimizer, 1), "build")
    store.wait()
    free = shutil.disk_usage(full_disk).free
    (full_disk / "ballast").write_bytes(b"x" * (free - 100_000))
    store.save(at(model, optimizer, 2), "build")
    with pytest.raises(DiskFullError):
        store.wait()
    store.check()
    store.wait()
    store.save(at(model, optimizer, 3), "build")
    with pytest.raises(DiskFullError):
        store.save(at(model, optimizer, 4), "build")
    assert names(full_disk) == ["ballast", "step-00000001"]
    assert latest(store.folder, lambda _: None) == full_disk / "step-00000001"
