from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slm.model.llama import build_model
from slm.spec import ModelSpec, TrainSpec
from slm.training.optimizer import build_optimizer, orthogonalise

TRAIN = {"tokens": 1, "micro_batch": 1}


def test_recipe_adamw_is_torchs_adamw(small_spec: ModelSpec) -> None:
    ours, theirs = build_model(small_spec, 0), build_model(small_spec, 0)
    spec = TrainSpec.model_validate({**TRAIN, "recipe": "adamw", "learning_rate": 1e-2})
    mine = build_optimizer(ours, spec)
    decayed = [p for p in theirs.parameters() if p.ndim > 1]
    gains = [p for p in theirs.parameters() if p.ndim == 1]
    reference = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": gains, "weight_decay": 0.0}], lr=1e-2, betas=(0.9, 0.95)
    )
    ids = torch.randint(0, small_spec.vocab_size, (2, 32), generator=torch.Generator().manual_seed(0))
    for _ in range(5):
        for model, optimizer in ((ours, mine), (theirs, reference)):
            model(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    for mine_, theirs_ in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine_, theirs_, rtol=0, atol=1e-7)


@settings(deadline=None, max_examples=20)
@given(rows=st.integers(2, 40), columns=st.integers(2, 40), seed=st.integers(0, 1000))
def test_orthogonalised_matrices_have_singular_values_near_one(rows: int, columns: int, seed: int) -> None:
    matrices = torch.randn(3, rows, columns, generator=torch.Generator().manual_seed(seed))
    singular = torch.linalg.svdvals(orthogonalise(matrices).float())
    # The smallest singular value of a random square matrix may start arbitrarily near 0; the others are drawn to 1.
    assert singular.max() < 1.3
    assert singular.median() > 0.5


def test_stacking_equal_shapes_changes_nothing() -> None:
    matrices = torch.randn(4, 24, 16, generator=torch.Generator().manual_seed(0))
    together = orthogonalise(matrices)
    for index in range(4):
        alone = orthogonalise(matrices[index : index + 1])[0]
        torch.testing.assert_close(together[index].float(), alone.float(), rtol=0, atol=2e-2)


@pytest.mark.parametrize("recipe", ["adamw", "fast"])
def test_every_weight_is_in_exactly_one_group_and_moves(small_spec: ModelSpec, recipe: str) -> None:
    model = build_model(small_spec, 0)
    optimizer = build_optimizer(model, TrainSpec.model_validate({**TRAIN, "recipe": recipe}))
    grouped = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())
    before = [p.detach().clone() for p in model.parameters()]
    ids = torch.arange(64)[None]
    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    assert all(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    kinds = {group["algorithm"] for group in optimizer.param_groups}
    assert kinds == ({"adamw"} if recipe == "adamw" else {"muon", "adamw"})
