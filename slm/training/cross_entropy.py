"""The output head and its cross-entropy in one function, a block of positions at a time.

The logits of a whole micro-batch are the largest thing that a small model with a large vocabulary computes: as fp32,
with their logarithms and gradients, several times all its weights. Here a block's logits become its loss and their
own gradient at once, while they are in the processor's cache, and no other block's are ever there beside them.

The gradient of the summed cross-entropy is softmax(logits) less the target's one-hot vector, whatever comes of the sum
later, so the forward pass can compute it; the backward pass only scales it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from slm.training.memory import IN_CACHE_AT_ONCE, LOGITS_AT_ONCE

#: The target of a position that is not to be learned; what torch's ``cross_entropy`` ignores, too.
IGNORE = -100


def head_loss(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Return the summed cross-entropy (nats, fp32 scalar) of ``targets`` under ``hidden @ weight.T``.

    Products are in autocast's precision where it is on, probabilities in fp32 always.

    :param hidden: ``[positions, dim]``, the last layer's output.
    :param weight: ``[vocabulary, dim]``, the head.
    :param targets: ``[positions]`` ids; :data:`IGNORE` where nothing is to be learned.
    """
    loss: Tensor = _HeadLoss.apply(hidden, weight, targets)  # type: ignore[no-untyped-call]
    return loss


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        ctx.dtypes = hidden.dtype, weight.dtype
        with torch.autocast(device, enabled=False):
            rows, head = hidden.to(dtype), weight.to(dtype)
            of_rows, of_head = torch.empty_like(rows), torch.zeros_like(weight, dtype=torch.float32)
            total = torch.zeros((), dtype=torch.float32, device=hidden.device)
            block = max(1, LOGITS_AT_ONCE // len(head))
            for first in range(0, len(rows), block):
                here = slice(first, first + block)
                logits = rows[here] @ head.T
                part = max(1, IN_CACHE_AT_ONCE // len(head)) if device == "cpu" else len(logits)
                for begin in range(0, len(logits), part):
                    total += _to_gradient(logits[begin : begin + part], targets[here][begin : begin + part])
                torch.mm(logits, head, out=of_rows[here])
                of_head += logits.T @ rows[here]
                del logits  # else they were there beside the next block's
        ctx.save_for_backward(of_rows, of_head)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        of_rows, of_head = ctx.saved_tensors
        of_hidden, of_weight = ctx.dtypes
        return (of_rows * gradients[0]).to(of_hidden), (of_head * gradients[0]).to(of_weight), None


def _to_gradient(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the summed loss of some positions and turn their logits, in place, into its gradient."""
    learned = (targets != IGNORE).unsqueeze(1)
    index = targets.clamp(min=0).unsqueeze(1)
    values = logits.float()
    values = values - values.amax(1, keepdim=True)
    of_target = values.gather(1, index)
    sums = values.exp_().sum(1, keepdim=True)
    loss = ((sums.log() - of_target) * learned).sum()
    values *= learned / sums
    values.scatter_add_(1, index, -learned.float())
    logits.copy_(values)
    return loss
