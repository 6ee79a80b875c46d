"""Head and loss in one function against torch's own, whatever the blocks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from slm.training import cross_entropy
from slm.training.cross_entropy import IGNORE, head_loss


def case(positions: int = 37, dim: int = 16, vocabulary: int = 53) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(positions)
    hidden = torch.randn(positions, dim, generator=generator, requires_grad=True)
    weight = torch.randn(vocabulary, dim, generator=generator, requires_grad=True)
    targets = torch.randint(0, vocabulary, (positions,), generator=generator)
    targets[::5] = IGNORE
    return hidden, weight, targets


def gradients(loss: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(3.0 * loss, of)


@pytest.mark.parametrize("at_once", [1, 53 * 2, 53 * 10 + 7, 1 << 20])
@pytest.mark.parametrize("in_cache", [1, 53 * 3, 1 << 20])
def test_loss_and_gradients_are_torchs_own_in_blocks_of_any_size(
    at_once: int, in_cache: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_entropy, "LOGITS_AT_ONCE", at_once)
    monkeypatch.setattr(cross_entropy, "IN_CACHE_AT_ONCE", in_cache)
    hidden, weight, targets = case()
    reference = functional.cross_entropy(hidden @ weight.T, targets, ignore_index=IGNORE, reduction="sum")
    loss = head_loss(hidden, weight, targets)
    torch.testing.assert_close(loss, reference)
    for ours, theirs in zip(gradients(loss, hidden, weight), gradients(reference, hidden, weight), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_it_is_the_derivative_of_itself() -> None:
    hidden, weight, targets = case(positions=6, dim=4, vocabulary=7)
    inputs = (hidden.detach().double().requires_grad_(), weight.detach().double().requires_grad_())
    # Probabilities are fp32 whatever the input is, hence the wide step and tolerance.
    assert torch.autograd.gradcheck(
        lambda h, w: head_loss(h, w, targets).double(), inputs, eps=1e-2, atol=2e-2, rtol=1e-2
    )


def test_in_bf16_it_is_as_near_to_exact_as_torch_is() -> None:
    hidden, weight, targets = case(positions=400, dim=64, vocabulary=900)
    exact = functional.cross_entropy(hidden @ weight.T, targets, ignore_index=IGNORE, reduction="sum")
    with torch.autocast("cpu", torch.bfloat16):
        theirs = functional.cross_entropy((hidden @ weight.T).float(), targets, ignore_index=IGNORE, reduction="sum")
        ours = head_loss(hidden, weight, targets)
    truth = gradients(exact, hidden, weight)
    for true, our, their in zip(truth, gradients(ours, hidden, weight), gradients(theirs, hidden, weight), strict=True):
        assert our.dtype == true.dtype
        assert (our - true).norm() < 1.2 * (their - true).norm()


def test_where_nothing_is_to_be_learned_there_is_no_loss_and_no_gradient() -> None:
    hidden, weight, targets = case()
    loss = head_loss(hidden, weight, torch.full_like(targets, IGNORE))
    assert loss == 0
    assert all(not gradient.any() for gradient in gradients(loss, hidden, weight))
