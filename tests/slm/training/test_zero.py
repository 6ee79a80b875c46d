"""ZeRO stages 1 and 2 on two gloo workers, against stage 0 and against one worker."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from slm.files import read_json
from slm.spec import BuildSpec, ModelSpec
from slm.training.guards import GuardTripped
from slm.training.loop import train
from slm.training.outcome import TrainingPaths
from tests import workers
from tests.slm.training.test_loop import losses, spec

#: Sequences of a step: as many on one worker as on two.
BATCH = 8


def two(model: ModelSpec, **settings: Any) -> BuildSpec:
    return spec(model, **{"micro_batch": BATCH // 4, "accumulation": 2, "workers": 2, **settings})


def optimizer(checkpoint: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(checkpoint / "optimizer.pt", weights_only=True)
    return state


@pytest.fixture(scope="module")
def one_worker(small_spec: ModelSpec, small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Losses of 50 steps on one worker, in one piece, by recipe."""
    folder = tmp_path_factory.mktemp("one")
    for recipe in ("adamw", "fast"):
        build = spec(small_spec, recipe=recipe, micro_batch=BATCH, tokens=64 * BATCH * 50)
        train(build, small_corpus, folder / recipe)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("zero", [0, 1, 2])
def test_two_workers_with_adamw_are_one_whatever_the_stage(
    small_spec: ModelSpec, small_corpus: Path, one_worker: Path, tmp_path: Path, zero: int
) -> None:
    workers.run(two(small_spec, recipe="adamw", zero=zero, tokens=64 * BATCH * 50), small_corpus, tmp_path / "two")
    expected = losses(one_worker / "adamw")
    assert len(expected) == 50
    assert losses(tmp_path / "two") == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("zero", [1, 2])
def test_muon_steps_whole_matrices_whatever_the_stage(
    small_spec: ModelSpec, small_corpus: Path, one_worker: Path, tmp_path: Path, zero: int
) -> None:
    folder = tmp_path / "two"
    workers.run(two(small_spec, recipe="fast", zero=zero, tokens=64 * BATCH * 50), small_corpus, folder)
    expected = losses(one_worker / "fast")
    # The bf16 iterations turn a difference in the last bit of fp32 into one in the last bit of bf16.
    assert losses(folder)[:10] == pytest.approx(expected[:10], abs=1e-3)
    assert losses(folder) == pytest.approx(expected, abs=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "zero"), [("adamw", 1), ("fast", 2)])
def test_a_resumed_run_is_exact_and_any_stage_and_number_of_workers_goes_on(
    small_spec: ModelSpec, small_corpus: Path, tmp_path: Path, recipe: str, zero: int
) -> None:
    build = two(small_spec, recipe=recipe, zero=zero, tokens=64 * BATCH * 6)
    workers.run(build, small_corpus, tmp_path / "straight")
    for name in ("same", "alone"):
        shutil.copytree(tmp_path / "straight", tmp_path / name)
        shutil.rmtree(tmp_path / name / "checkpoints/step-00000006")
        (tmp_path / name / "result.json").unlink()
        (tmp_path / name / "log.jsonl").unlink()
    workers.run(build, small_corpus, tmp_path / "same")
    last = "checkpoints/step-00000006"
    for file in ("model.safetensors", "random.safetensors", "state.json"):
        assert (tmp_path / "same" / last / file).read_bytes() == (tmp_path / "straight" / last / file).read_bytes()
    straight, same = optimizer(tmp_path / "straight" / last), optimizer(tmp_path / "same" / last)
    assert same["param_groups"] == straight["param_groups"]
    torch.testing.assert_close(same["state"], straight["state"], rtol=0, atol=0)
    alone = spec(small_spec, recipe=recipe, micro_batch=BATCH, tokens=64 * BATCH * 6)
    train(alone, small_corpus, tmp_path / "alone")
    bound = 1e-5 if recipe == "adamw" else 1e-3
    assert losses(tmp_path / "alone") == pytest.approx(losses(tmp_path / "straight")[3:], abs=bound)
    # The files are of the same kind: names, shapes and settings.
    other = optimizer(tmp_path / "alone" / last)
    assert other["param_groups"] == straight["param_groups"]
    for place, state in other["state"].items():
        assert {key: value.shape for key, value in state.items()} == {
            key: value.shape for key, value in straight["state"][place].items()
        }
    assert load_file(tmp_path / "straight" / last / "model.safetensors").keys() == (
        load_file(tmp_path / "alone" / last / "model.safetensors").keys()
    )


@pytest.mark.parametrize("recipe", ["adamw", "fast"])
@pytest.mark.parametrize("zero", [1, 2])
def test_one_worker_needs_no_zero_and_takes_it(
    small_spec: ModelSpec, small_corpus: Path, tmp_path: Path, recipe: str, zero: int
) -> None:
    for stage in (0, zero):
        train(spec(small_spec, recipe=recipe, zero=stage), small_corpus, tmp_path / str(stage))
    bound = 1e-6 if recipe == "adamw" else 1e-3
    assert losses(tmp_path / str(zero)) == pytest.approx(losses(tmp_path / "0"), abs=bound)


@pytest.mark.parametrize("zero", [1, 2])
def test_guards_see_the_norm_before_anything_is_stepped(
    small_spec: ModelSpec, small_corpus: Path, tmp_path: Path, zero: int
) -> None:
    build = spec(small_spec, recipe="adamw", zero=zero, guards={"max_gradient_norm": 1e-3}, checkpoint_every=1)
    with pytest.raises(GuardTripped) as found:
        train(build, small_corpus, tmp_path)
    assert found.value.diagnosis == "exploded"
    assert read_json(TrainingPaths(tmp_path).failure)["detail"].startswith("Step 0:")


def test_how_state_is_spread_does_not_make_another_build(small_spec: ModelSpec) -> None:
    assert spec(small_spec, zero=2).build_id == spec(small_spec).build_id
