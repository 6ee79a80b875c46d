"""Causal attention for processors: plain batched products over blocks of queries.

Torch's fused attention keeps nothing but its output and computes the scores again on the way back, which is right for
a GPU. On a CPU, in bf16, that kernel takes about twice as long as the products by themselves. This one keeps the
probabilities (``heads · context² / 2`` numbers a sequence and layer), skips the blocks that lie wholly in the future,
and lets grouped queries share their keys without copying them.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, LlamaForCausalLM
from transformers.masking_utils import AttentionMaskInterface

from slm.training.memory import QUERIES_AT_ONCE

_NAME = "causal_blocks"


def use_causal_blocks(model: LlamaForCausalLM) -> None:
    """Let ``model`` compute its attention here: whole sequences, unpadded, without a cache, as in training."""
    AttentionInterface.register(_NAME, _attention)
    AttentionMaskInterface.register(_NAME, _no_mask)
    model.set_attn_implementation(_NAME)


def causal_attention(queries: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
    """Return ``softmax(queries @ keys.T · scale) @ values`` under a causal mask, ``[batch, heads, context, width]``.

    :param queries: ``[batch, heads, context, width]``.
    :param keys: ``[batch, groups, context, width]``; ``heads`` is a multiple of ``groups``. ``values`` likewise.
    """
    out: Tensor = _CausalAttention.apply(queries, keys, values, scale)  # type: ignore[no-untyped-call]
    return out


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    **_: Any,
) -> tuple[Tensor, None]:
    if attention_mask is not None or query.size(2) != key.size(2):
        raise ValueError("causal_blocks attends over whole sequences without a mask or a cache")
    return causal_attention(query, key, value, scaling).transpose(1, 2), None


def _no_mask(*_: Any, **__: Any) -> None:
    """Tell transformers that no mask is wanted."""


class _CausalAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
        batch, heads, context, width = queries.shape
        groups = keys.size(1)
        device = queries.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else queries.dtype
        ctx.dtypes, ctx.scale = (queries.dtype, keys.dtype, values.dtype), scale
        with torch.autocast(device, enabled=False):
            # A group's heads stand side by side, so that one product serves them all.
            q = (queries.to(dtype) * scale).reshape(batch * groups, heads // groups, context, width)
            k = keys.to(dtype).reshape(batch * groups, context, width)
            v = values.to(dtype).reshape(batch * groups, context, width)
            out = torch.empty_like(q)
            future = torch.ones(QUERIES_AT_ONCE, QUERIES_AT_ONCE, dtype=torch.bool, device=queries.device).triu(1)
            kept = []
            for first in range(0, context, QUERIES_AT_ONCE):
                last = min(first + QUERIES_AT_ONCE, context)
                scores = _rows(q, first, last) @ k[:, :last].mT
                own = scores.view(len(q), -1, last - first, last)[..., first:]
                own.masked_fill_(future[: last - first, : last - first], -math.inf)
                probabilities = scores.softmax(-1)
                out[:, :, first:last] = (probabilities @ v[:, :last]).view(len(q), -1, last - first, width)
                kept.append(probabilities)
        ctx.save_for_backward(q, k, v, *kept)
        return out.view(batch, heads, context, width)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, *kept = ctx.saved_tensors
        of_out = gradients[0].to(q.dtype).reshape(q.shape)
        of_q = torch.empty_like(q)
        # Sums over blocks of queries, hence fp32.
        of_k, of_v = torch.zeros_like(k, dtype=torch.float32), torch.zeros_like(v, dtype=torch.float32)
        context, width = q.shape[2:]
        for first, probabilities in zip(range(0, context, QUERIES_AT_ONCE), kept, strict=True):
            last = min(first + QUERIES_AT_ONCE, context)
            mine = _rows(of_out, first, last)
            of_v[:, :last] += probabilities.mT @ mine
            of_scores = torch._softmax_backward_data(mine @ v[:, :last].mT, probabilities, -1, q.dtype)
            of_q[:, :, first:last] = (of_scores @ k[:, :last]).view(len(q), -1, last - first, width)
            of_k[:, :last] += of_scores.mT @ _rows(q, first, last)
        batch, heads = gradients[0].shape[:2]
        groups = len(k) // batch
        return (
            (of_q * ctx.scale).view(batch, heads, context, width).to(ctx.dtypes[0]),
            of_k.view(batch, groups, context, width).to(ctx.dtypes[1]),
            of_v.view(batch, groups, context, width).to(ctx.dtypes[2]),
            None,
        )


def _rows(queries: Tensor, first: int, last: int) -> Tensor:
    """Return some queries of all heads of a group as the rows of one matrix, ``[batch · groups, rows, width]``."""
    return queries[:, :, first:last].reshape(len(queries), -1, queries.size(-1))
