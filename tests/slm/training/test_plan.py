from __future__ import annotations

from pathlib import Path

import pytest

from slm.model.llama import build_model
from slm.spec import ModelSpec, TrainSpec
from slm.spec_file import load_spec
from slm.training.optimizer import build_optimizer
from slm.training.plan import plan, state_bytes


@pytest.mark.parametrize("path", sorted(Path("specs/builds").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_spec_has_a_plan_that_fits_its_machine(path: Path) -> None:
    spec = load_spec(path)
    found = plan(spec)
    assert found.seconds > 0
    assert found.memory_bytes > found.state_bytes
    if spec.train.device == "gpu":
        assert found.memory_bytes < 24e9


@pytest.mark.parametrize("recipe", ["adamw", "fast"])
def test_the_optimizers_state_is_what_the_plan_says(small_spec: ModelSpec, recipe: str) -> None:
    spec = load_spec(Path("specs/builds/nano.yaml"), [f"train.recipe={recipe}"]).model_copy(
        update={"model": small_spec}
    )
    model = build_model(small_spec, 0)
    optimizer = build_optimizer(model, TrainSpec.model_validate({"tokens": 1, "micro_batch": 1, "recipe": recipe}))
    for parameter in model.parameters():
        parameter.grad = parameter.detach().clone()
    optimizer.step()
    held = sum(4 * tensor.numel() for state in optimizer.state.values() for tensor in state.values() if tensor.ndim)
    weights_and_gradients = 8 * small_spec.parameters
    # Norms, a few per mille, are AdamW's in either recipe.
    assert state_bytes(spec) == pytest.approx(held + weights_and_gradients, rel=0.01)
