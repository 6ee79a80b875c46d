"""What a training will need, before it starts: memory by micro-batch, and time."""

from __future__ import annotations

from dataclasses import dataclass

from slm.errors import TrainingError
from slm.spec import BuildSpec
from slm.training.compute import RTX_3090_TI, UTILISATION, flops_per_token
from slm.training.engine import matrix_peak, place
from slm.training.memory import Choice, Device, Precision, choices, chosen

#: What Python, torch and DeepSpeed take by themselves in a CPU process (``benchmarks/memory.py`` measures it). On a GPU
#: it is the main memory's business, not the card's.
PROCESS_BYTES: dict[Device, int] = {"cpu": 385_000_000, "gpu": 0}
#: What torch's compiler adds to that in a CPU process, once it has compiled the layers.
COMPILER_BYTES = 50_000_000


@dataclass(frozen=True)
class Plan:
    """A prediction; ``basis`` says what the time is computed from."""

    device: Device
    precision: Precision
    #: Every way to cut the batch into micro-batches, and the one that the training uses.
    choices: list[Choice]
    chosen: Choice
    #: Bytes of one worker's peak: the process itself and what the chosen micro-batch takes.
    memory_bytes: int
    #: What it may take of a GPU, in bytes.
    limit: float
    seconds: float
    basis: str

    @property
    def fits(self) -> bool:
        """Whether the training stays below ``train.device_memory_gb``; a CPU has no such limit here."""
        return self.device == "cpu" or self.memory_bytes < self.limit


def plan(spec: BuildSpec) -> Plan:
    """Predict memory and time of a spec's training; a GPU that is not here is taken to be an RTX 3090 Ti."""
    device: Device
    precision: Precision
    try:
        here = place(spec.train)
        device = "gpu" if here.device.type == "cuda" else "cpu"
        precision = here.precision
        peak = matrix_peak(here)
        basis = f"this {device}'s measured {peak / 1e12:.2f} TFLOP/s"
    except TrainingError:
        device, peak, basis = "gpu", RTX_3090_TI, "an RTX 3090 Ti's 80 TFLOP/s"
        precision = "fp32" if spec.train.precision == "fp32" else "bf16"
    choice = chosen(spec, device, precision)
    process = PROCESS_BYTES[device] + (COMPILER_BYTES if spec.train.compile and device == "cpu" else 0)
    tokens = spec.steps * spec.batch_tokens
    rate = peak * UTILISATION[device] * spec.train.workers
    return Plan(
        device=device,
        precision=precision,
        choices=choices(spec, device, precision),
        chosen=choice,
        memory_bytes=process + choice.memory.total,
        limit=spec.train.device_memory,
        seconds=tokens * flops_per_token(spec) / rate,
        basis=f"{basis} at {UTILISATION[device]:.0%}",
    )
