"""Attention over blocks of queries against torch's own and transformers' whole model."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from slm.model.llama import build_model
from slm.spec import ModelSpec
from slm.training.attention import causal_attention, use_causal_blocks


def torchs_own(inputs: list[Tensor], scale: float) -> Tensor:
    queries, keys, values = inputs
    return functional.scaled_dot_product_attention(queries, keys, values, is_causal=True, scale=scale, enable_gqa=True)


def ours_of(inputs: list[Tensor], scale: float) -> Tensor:
    queries, keys, values = inputs
    return causal_attention(queries, keys, values, scale)


@pytest.mark.parametrize("context", [1, 2, 127, 128, 129, 300])
@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (4, 2), (3, 1)])
def test_values_and_gradients_are_torchs_own(context: int, heads: int, groups: int) -> None:
    generator = torch.Generator().manual_seed(context)
    shapes = [(2, count, context, 8) for count in (heads, groups, groups)]
    inputs = [torch.randn(shape, generator=generator, requires_grad=True) for shape in shapes]
    gradient = torch.randn(shapes[0], generator=generator)
    ours = ours_of(inputs, 0.3)
    theirs = torchs_own(inputs, 0.3)
    torch.testing.assert_close(ours, theirs)
    for our, their in zip(
        torch.autograd.grad(ours, inputs, gradient), torch.autograd.grad(theirs, inputs, gradient), strict=True
    ):
        torch.testing.assert_close(our, their, rtol=1e-4, atol=1e-5)


def test_in_bf16_it_is_as_near_to_exact_as_torch_is() -> None:
    generator = torch.Generator().manual_seed(1)
    exact = [torch.randn(2, count, 260, 32, generator=generator, requires_grad=True) for count in (4, 2, 2)]
    rounded = [tensor.detach().bfloat16().requires_grad_() for tensor in exact]
    gradient = torch.randn(2, 4, 260, 32, generator=generator)
    true = torchs_own(exact, 0.2)
    theirs = torchs_own(rounded, 0.2)
    ours = ours_of(rounded, 0.2)
    results = [
        torch.autograd.grad(out, of, gradient.to(out.dtype))
        for out, of in ((true, exact), (ours, rounded), (theirs, rounded))
    ]
    for truth, our, their in zip(*results, strict=True):
        assert (our - truth).norm() < 1.5 * (their - truth).norm()


def test_a_model_says_the_same_with_it(small_spec: ModelSpec) -> None:
    ids = torch.randint(0, small_spec.vocab_size, (3, small_spec.context), generator=torch.Generator().manual_seed(2))
    model = build_model(small_spec, 0)
    before = model(input_ids=ids, use_cache=False).logits
    content = model.config.to_dict()
    use_causal_blocks(model)
    torch.testing.assert_close(model(input_ids=ids, use_cache=False).logits, before)
    assert model.config.to_dict() == content  # nothing of it is saved


def test_a_cache_or_a_mask_is_refused(small_spec: ModelSpec) -> None:
    model = build_model(small_spec, 0)
    use_causal_blocks(model)
    first = model(input_ids=torch.ones(1, 4, dtype=torch.long), use_cache=True)
    with pytest.raises(ValueError, match="without a mask or a cache"):
        model(input_ids=torch.ones(1, 1, dtype=torch.long), past_key_values=first.past_key_values)
