from __future__ import annotations

from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from slm.training.schedule import learning_rate_factor

schedules = st.sampled_from(["cosine", "wsd"])


@given(steps=st.integers(2, 5000), warmup=st.integers(0, 500), schedule=schedules, final=st.floats(0, 1))
def test_it_rises_then_never_rises_again_and_stays_within_bounds(
    steps: int, warmup: int, schedule: Literal["cosine", "wsd"], final: float
) -> None:
    warmup = min(warmup, steps // 2)
    factors = [learning_rate_factor(step, steps, warmup, schedule, 0.4, final) for step in range(steps)]
    assert all(0 <= factor <= 1 + 1e-9 for factor in factors)
    assert factors[:warmup] == sorted(factors[:warmup])
    assert factors[warmup:] == sorted(factors[warmup:], reverse=True)
    if warmup:
        assert factors[warmup - 1] == 1


def test_cosine_is_torchs() -> None:
    import torch

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=100, eta_min=0.1)
    for step in range(100):
        assert abs(learning_rate_factor(step, 100, 0, "cosine", 1, 0.1) - float(reference.get_last_lr()[0])) < 1e-9
        optimizer.step()
        reference.step()
