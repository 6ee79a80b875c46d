"""How much a training computes, and how fast: what plans of time stand on. Nothing here needs torch."""

from __future__ import annotations

from slm.spec import BuildSpec
from slm.training.memory import Device

#: An RTX 3090 Ti's dense bf16 rate with fp32 accumulation (FLOP/s), from NVIDIA's GA102 whitepaper.
RTX_3090_TI = 80e12
#: The share of the matrix peak that such small models reach. On two CPU cores nano was measured at 43 %, alone on the
#: machine (``docs/notebook.md``); the GPU's is an assumption.
UTILISATION: dict[Device, float] = {"cpu": 0.40, "gpu": 0.35}


def flops_per_token(spec: BuildSpec) -> float:
    """FLOPs of the forward and backward pass for one token: 6 a weight, and attention's products.

    PaLM (arXiv:2204.02311), appendix B. Checkpointing goes forward twice: a third more.
    """
    flops = 6 * spec.model.parameters + 12 * spec.model.layers * spec.model.dim * spec.model.context
    return flops * 4 / 3 if spec.train.gradient_checkpointing else flops
