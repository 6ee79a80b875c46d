"""What a training will need, before it starts: memory, time and the share of each."""

from __future__ import annotations

from dataclasses import dataclass

from slm.errors import TrainingError
from slm.spec import BuildSpec
from slm.training.engine import matrix_peak, place

#: An RTX 3090 Ti's dense bf16 rate with fp32 accumulation (FLOP/s), from NVIDIA's GA102 whitepaper.
_RTX_3090_TI = 80e12
#: The share of the matrix peak that such small models reach; measured figures are in ``docs/notebook.md``.
_UTILISATION = {"cpu": 0.25, "gpu": 0.35}

#: What Python, torch and DeepSpeed take by themselves in a CPU process: a nano training's peak (0.88 GB) less the sums
#: below. On a GPU it is the main memory's business, not the card's.
_PROCESS_BYTES = {"cpu": 700_000_000, "gpu": 0}


@dataclass(frozen=True)
class Plan:
    """A prediction; ``basis`` says what the time is computed from."""

    device: str
    precision: str
    #: Bytes of weights, gradients and optimizer state of one worker.
    state_bytes: int
    #: Bytes of one worker's peak: the process itself, the state, a save's copy, the activations of one micro-batch.
    memory_bytes: int
    seconds: float
    basis: str


def plan(spec: BuildSpec) -> Plan:
    """Predict memory and time of a spec's training; a GPU that is not here is taken to be an RTX 3090 Ti."""
    try:
        here = place(spec.train)
        device = "gpu" if here.device.type == "cuda" else "cpu"
        precision = here.precision
        peak = matrix_peak(here)
        basis = f"this {device}'s measured {peak / 1e12:.2f} TFLOP/s"
    except TrainingError:
        device, peak, basis = "gpu", _RTX_3090_TI, "an RTX 3090 Ti's 80 TFLOP/s"
        precision = "fp32" if spec.train.precision == "fp32" else "bf16"
    state = state_bytes(spec)
    # On the host a save's copy of weights and optimizer state lies beside them.
    copy = state - 4 * spec.model.parameters if device == "cpu" else 0
    flops_per_token = 6 * spec.model.parameters + 12 * spec.model.layers * spec.model.dim * spec.model.context
    recomputation = 4 / 3 if spec.train.gradient_checkpointing else 1
    tokens = spec.steps * spec.batch_tokens
    rate = peak * _UTILISATION[device] * spec.train.workers
    return Plan(
        device=device,
        precision=precision,
        state_bytes=state,
        memory_bytes=_PROCESS_BYTES[device] + state + copy + activation_bytes(spec, precision),
        seconds=tokens * flops_per_token * recomputation / rate,
        basis=f"{basis} at {_UTILISATION[device]:.0%}",
    )


def state_bytes(spec: BuildSpec) -> int:
    """Bytes of fp32 weights and gradients, and of the optimizer's moments: two for AdamW, one for Muon."""
    model = spec.model
    if spec.train.recipe == "adamw":
        return 16 * model.parameters
    embedding = model.vocab_size * model.dim
    return 12 * model.parameters + 4 * embedding


def activation_bytes(spec: BuildSpec, precision: str) -> int:
    """Bytes kept for the backward pass of one micro-batch, plus the logits with their gradient.

    Per token and layer: the two norms' inputs and outputs, queries, keys, values, attention's and the feed-forward's
    products, in the products' precision but for the fp32 residual stream. Checkpointing keeps one layer's and each
    layer's input.
    """
    model, tokens = spec.model, spec.train.micro_batch * spec.model.context
    width = 2 if precision == "bf16" else 4
    kv = model.head_dim * model.kv_heads
    layer = tokens * (width * (4 * model.dim + 2 * kv + 4 * model.hidden) + 4 * 6 * model.dim)
    if spec.train.gradient_checkpointing:
        layers = layer + model.layers * tokens * model.dim * 4
    else:
        layers = model.layers * layer
    logits = tokens * model.vocab_size * (width + 4 + 4)
    return layers + logits
