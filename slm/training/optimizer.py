"""The optimizers of the two recipes.

``adamw`` is AdamW on every weight. ``fast`` is Muon on the matrices of the layers and AdamW on the rest (embedding and
norms), in one torch optimizer, because the DeepSpeed engine steps exactly one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from slm.spec import TrainSpec

# Coefficients of the quintic iteration in Keller Jordan's Muon (2024): they push singular values near 1 in few steps.
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Replace each matrix by about its nearest semi-orthogonal one, through Newton–Schulz iterations in bf16.

    :param matrices: ``[count, rows, columns]``; equal shapes share the batched products.
    :return: the same shape, in bf16; singular values lie near 1 (0.7 to 1.2), not exactly at it.
    """
    a, b, c = _NEWTON_SCHULZ
    x: Tensor = matrices.bfloat16()
    tall = x.size(-2) > x.size(-1)
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x.mT @ x if tall else x @ x.mT  # of the shorter side
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, x, polynomial, beta=a) if tall else torch.baddbmm(x, polynomial, x, beta=a)
    return x


class MuonAdamW(torch.optim.Optimizer):
    """Muon for parameter groups with ``algorithm: muon``, AdamW for those with ``algorithm: adamw``.

    Muon: Nesterov momentum, orthogonalised; scaled by ``sqrt(max(1, rows / columns))``; decoupled weight decay.
    """

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        """Take groups that each name their ``algorithm`` and its settings."""
        super().__init__(list(groups), defaults={})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        if closure is not None:
            raise TypeError("MuonAdamW takes no closure")
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if group["algorithm"] == "muon":
                self._muon(group, parameters)
            else:
                self._adamw(group, parameters)

    def _muon(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        by_shape: dict[torch.Size, list[Tensor]] = {}
        for parameter in parameters:
            by_shape.setdefault(parameter.shape, []).append(parameter)
        for shape, same in by_shape.items():
            updates = []
            for parameter in same:
                assert parameter.grad is not None
                state = self.state[parameter]
                momentum = state.setdefault("momentum", torch.zeros_like(parameter))
                momentum.lerp_(parameter.grad, 1 - group["momentum"])
                updates.append(parameter.grad.lerp(momentum, group["momentum"]))
            directions = orthogonalise(torch.stack(updates)).float()
            scale = max(1.0, shape[0] / shape[1]) ** 0.5
            for parameter, direction in zip(same, directions, strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(direction, alpha=-group["lr"] * scale)

    def _adamw(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["step"] = torch.zeros((), dtype=torch.float32)
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
        adamw(
            params=parameters,
            grads=[p.grad for p in parameters if p.grad is not None],
            exp_avgs=[self.state[p]["exp_avg"] for p in parameters],
            exp_avg_sqs=[self.state[p]["exp_avg_sq"] for p in parameters],
            max_exp_avg_sqs=[],
            state_steps=[self.state[p]["step"] for p in parameters],
            foreach=True,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )


def build_optimizer(model: nn.Module, spec: TrainSpec) -> MuonAdamW:
    """Sort the model's parameters into groups by recipe.

    Norm gains are never decayed; the embedding (tied to the head) is, as in the reference recipe. Each group keeps its
    top learning rate in ``top_lr``, which the loop multiplies by the schedule's factor.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    gains = [p for _, p in named if p.ndim < 2]
    embeddings = [p for name, p in named if p.ndim >= 2 and "embed_tokens" in name]
    matrices = [p for name, p in named if p.ndim >= 2 and "embed_tokens" not in name]

    def adamw_group(parameters: list[nn.Parameter], decay: float) -> dict[str, Any]:
        return {
            "params": parameters,
            "algorithm": "adamw",
            "lr": spec.learning_rate,
            "top_lr": spec.learning_rate,
            "betas": spec.betas,
            "eps": 1e-8,
            "weight_decay": decay,
        }

    if spec.recipe == "adamw":
        return MuonAdamW([adamw_group(matrices + embeddings, spec.weight_decay), adamw_group(gains, 0.0)])
    muon = {
        "params": matrices,
        "algorithm": "muon",
        "lr": spec.matrix_learning_rate,
        "top_lr": spec.matrix_learning_rate,
        "momentum": 0.95,
        "weight_decay": spec.weight_decay,
    }
    return MuonAdamW([muon, adamw_group(embeddings, spec.weight_decay), adamw_group(gains, 0.0)])
