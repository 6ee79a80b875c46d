from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.memory import measure
from slm.model.llama import build_model
from slm.spec import BuildSpec, ModelSpec, TrainSpec
from slm.spec_file import load_spec
from slm.training.memory import (
    CARD_LIMIT,
    Device,
    Precision,
    activation_bytes,
    choices,
    chosen,
    logits_bytes,
    optimizer_bytes,
)
from slm.training.memory import peak as peak_of
from slm.training.optimizer import build_optimizer

SHAPES = [
    ModelSpec(layers=2, heads=4, kv_heads=2, dim=64, hidden=160, vocab_size=1024, context=64),
    ModelSpec(layers=3, heads=3, kv_heads=1, dim=48, hidden=128, vocab_size=512, context=32),
    ModelSpec(layers=1, heads=2, kv_heads=2, dim=32, hidden=96, vocab_size=512, context=128),
]


def medium(*overrides: str) -> BuildSpec:
    return load_spec(Path("specs/builds/medium.yaml"), overrides)


def settings_of(**values: Any) -> TrainSpec:
    return TrainSpec.model_validate({"tokens": 1, "micro_batch": 1, **values})


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.layers}x{shape.dim}")
def test_the_activations_are_what_autograd_saves_to_the_byte(
    shape: ModelSpec, precision: Precision, checkpointing: bool
) -> None:
    model = build_model(shape, 0).train()
    if checkpointing:
        model.gradient_checkpointing_enable()
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    saved: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage().data_ptr()
        if storage not in weights:
            saved.setdefault(storage, tensor)  # held, so that no other tensor gets its place
        return tensor

    autocast = torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), autocast:
        model.model(input_ids=torch.randint(0, 512, (3, shape.context)), use_cache=False)
    counted = sum(tensor.untyped_storage().nbytes() for tensor in saved.values())
    assert activation_bytes(shape, 3 * shape.context, shape.context, precision, checkpointing) == counted


@pytest.mark.parametrize("recipe", ["adamw", "fast"])
def test_the_optimizers_state_is_what_is_planned_to_the_byte(small_spec: ModelSpec, recipe: str) -> None:
    train = settings_of(recipe=recipe)
    model = build_model(small_spec, 0)
    optimizer = build_optimizer(model, train)
    for parameter in model.parameters():
        parameter.grad = parameter.detach().clone()
    optimizer.step()
    held = sum(4 * tensor.numel() for state in optimizer.state.values() for tensor in state.values() if tensor.ndim)
    assert optimizer_bytes(small_spec, train) == held
    for zero in (1, 2):
        assert optimizer_bytes(small_spec, settings_of(recipe=recipe, zero=zero, workers=4)) == held // 4


def test_logits_are_held_for_no_more_rows_than_are_said(small_spec: ModelSpec) -> None:
    part, whole = (logits_bytes(small_spec, 1000, "fp32", rows) for rows in (100, 1000))
    assert whole - part == 900 * 12 * small_spec.vocab_size
    assert logits_bytes(small_spec, 1000, "fp32", 5000) == whole


@settings(max_examples=50, deadline=None)
@given(
    micro=st.integers(1, 64),
    workers=st.integers(2, 512),
    recipe=st.sampled_from(["adamw", "fast"]),
    device=st.sampled_from(["cpu", "gpu"]),
    precision=st.sampled_from(["fp32", "bf16"]),
    checkpointing=st.booleans(),
)
def test_more_is_never_less(
    micro: int, workers: int, recipe: str, device: Device, precision: Precision, checkpointing: bool
) -> None:
    model = medium().model

    def total(micro_batch: int = micro, **values: Any) -> int:
        train = settings_of(**{"recipe": recipe, "workers": workers, "gradient_checkpointing": checkpointing, **values})
        return peak_of(model, train, micro_batch, 2, device, precision).total

    assert total(micro + 1) > total()
    assert total(gradient_checkpointing=True) <= total(gradient_checkpointing=False)
    assert total(zero=2) <= total(zero=1)
    assert total(zero=1, workers=2 * workers) <= total(zero=1)
    assert optimizer_bytes(model, settings_of(recipe=recipe, workers=workers, zero=1)) * workers <= (
        optimizer_bytes(model, settings_of(recipe=recipe))
    )


def test_a_gpu_takes_the_largest_micro_batch_that_fits_and_the_batch_stays() -> None:
    spec = medium()
    every = choices(spec, "gpu", "bf16")
    assert [choice.micro_batch for choice in every] == [1, 2, 4, 8, 16, 32]
    assert {choice.micro_batch * choice.accumulation for choice in every} == {32}
    choice = chosen(spec, "gpu", "bf16")
    assert choice.memory.total < CARD_LIMIT
    larger = [other for other in every if other.micro_batch > choice.micro_batch]
    assert all(other.memory.total >= CARD_LIMIT for other in larger)
    assert larger, "the limit was not tried"


def test_a_cpu_keeps_the_specs_micro_batch_and_what_fits_nowhere_is_the_smallest() -> None:
    assert chosen(medium(), "cpu", "fp32").micro_batch == medium().train.micro_batch
    huge = medium("model.context=4000000", "corpus.tokens=100000000")
    assert chosen(huge, "gpu", "bf16").micro_batch == 1
    assert chosen(huge, "gpu", "bf16").memory.total > CARD_LIMIT


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ["train.micro_batch=16", "train.precision=fp32", "train.recipe=adamw"],
        ["train.micro_batch=32", "train.precision=bf16", "train.gradient_checkpointing=true"],
    ],
    ids=["fp32", "checkpointed bf16"],
)
def test_a_real_trainings_peak_is_as_planned_within_a_tenth(overrides: list[str]) -> None:
    asked = measure(overrides, give_back=True)
    assert asked.sums == pytest.approx(asked.measured, rel=0.1)
    real = measure(overrides, give_back=False)
    assert real.plan + real.process == pytest.approx(real.measured + real.process, rel=0.1)
