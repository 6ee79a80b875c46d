"""How much a training computes, and how fast: what plans of time stand on. Nothing here needs torch."""

from __future__ import annotations

from slm.spec import BuildSpec, ModelSpec
from slm.training.memory import Device

#: An RTX 3090 Ti's dense bf16 rate with fp32 accumulation (FLOP/s), from NVIDIA's GA102 whitepaper.
RTX_3090_TI = 80e12
#: The share of the matrix peak that such small models reach. On two CPU cores nano was measured at 43 %, alone on the
#: machine (``docs/notebook.md``); the GPU's is an assumption.
UTILISATION: dict[Device, float] = {"cpu": 0.40, "gpu": 0.35}


def model_flops(model: ModelSpec) -> int:
    """FLOPs of the forward and backward pass for one token: 6 a weight, and attention's products; what MFU counts.

    PaLM (arXiv:2204.02311), appendix B, which counts attention to all of the context, future tokens too.
    """
    return 6 * model.parameters + 12 * model.layers * model.dim * model.context


def flops_per_token(spec: BuildSpec) -> float:
    """FLOPs that a training computes for one token, on average over its steps (``train.context_warmup``).

    With checkpointing it goes forward twice, a third more.
    """
    short = spec.model.model_copy(update={"context": spec.model.context // 2})
    share = spec.train.context_warmup
    once = share * model_flops(short) + (1 - share) * model_flops(spec.model)
    return once * (4 / 3 if spec.train.gradient_checkpointing else 1)
