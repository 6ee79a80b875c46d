"""The DeepSpeed engine around our model and optimizer, the same on one CPU and on many GPUs."""

from __future__ import annotations

import atexit
import os
import time
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import LlamaForCausalLM

from slm.errors import TrainingError
from slm.model.packed import positions_in_line
from slm.spec import TrainSpec
from slm.training.cross_entropy import IGNORE, head_loss
from slm.training.memory import REDUCE_BUCKET
from slm.training.optimizer import MuonAdamW
from slm.training.zero import check_layout


class LossModule(nn.Module):
    """The model with its loss: what the engine wraps, so that a step is one forward call."""

    def __init__(self, model: LlamaForCausalLM, lines_apart: bool = False) -> None:
        """Wrap ``model``; its parameters stay its own.

        :param lines_apart: whether a row's lines are kept from seeing each other (:mod:`slm.model.packed`).
        """
        super().__init__()
        self.model = model
        self.lines_apart = lines_apart

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the summed cross-entropy (nats, fp32 scalar) of ``targets`` ``[rows, context]`` given ``inputs``."""
        places = positions_in_line(inputs) if self.lines_apart else None
        hidden = self.model.model(input_ids=inputs, position_ids=places, use_cache=False).last_hidden_state
        hidden, targets = hidden.flatten(0, 1), targets.flatten()
        if self.lines_apart:
            # Most tokens of an edition are given, and the head is the dearest part: it sees what is learned alone.
            learned = targets != IGNORE
            hidden, targets = hidden[learned], targets[learned]
        return head_loss(hidden, self.model.lm_head.weight, targets)


@dataclass(frozen=True)
class Placement:
    """Where and in what precision this process trains."""

    device: torch.device
    precision: Literal["bf16", "fp32"]
    rank: int
    world_size: int


def place(spec: TrainSpec, device: Literal["cpu", "gpu"] | None = None) -> Placement:
    """Choose device and precision as the spec says, from what this process finds.

    :param device: where the launcher has placed this worker, which then decides.
    :raises TrainingError: when the spec demands a GPU and there is none.
    """
    gpu = torch.cuda.is_available()
    wanted = device or spec.device
    if wanted == "gpu" and not gpu:
        raise TrainingError(
            "The spec asks for a GPU (train.device: gpu), and this worker has none.",
            "Run on a machine with a GPU, or try --set train.device=cpu (slow for larger tiers).",
        )
    use_gpu = gpu and wanted != "cpu"
    if spec.precision != "auto":
        precision = spec.precision
    elif use_gpu:  # emulated bf16 is slower than fp32
        precision = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    else:
        # These two instruction sets multiply bf16 natively.
        features = torch.cpu.get_capabilities()
        precision = "bf16" if features.get("avx512_bf16") or features.get("amx_bf16") else "fp32"
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    return Placement(
        device=torch.device("cuda", local_rank) if use_gpu else torch.device("cpu"),
        precision=precision,
        rank=int(os.environ.get("RANK", "0")),
        world_size=int(os.environ.get("WORLD_SIZE", "1")),
    )


def start_engine(
    model: LlamaForCausalLM,
    optimizer: MuonAdamW,
    placement: Placement,
    micro_batch: int,
    accumulation: int,
    zero: Literal[0, 1, 2],
    lines_apart: bool = False,
) -> Any:
    """Wrap model and optimizer in a DeepSpeed engine.

    Parameters stay fp32; ``bf16`` autocasts the products. Clipping is the loop's, which needs the norm beforehand.

    :param optimizer: from stage 1 on a :class:`~slm.training.zero.PartitionedMuonAdamW`.
    :param zero: the ZeRO stage; every worker holds all weights on all of them.
    :param lines_apart: see :class:`LossModule`.

    :raises TrainingError: when DeepSpeed would step another optimizer than the one given.
    """
    if placement.device.type == "cpu":
        # Without this word DeepSpeed takes an NVIDIA driver library for a GPU, or guesses.
        os.environ["DS_ACCELERATOR"] = "cpu"
    # A single process started by hand lacks what a launcher sets; without them DeepSpeed looks for MPI.
    for key, value in {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "0",
    }.items():
        os.environ.setdefault(key, value)
    import deepspeed  # after the environment is set: it chooses its accelerator on import
    from deepspeed.ops import __compatible_ops__

    # Else initialising the process group compiles a shared-memory extension, for over a minute.
    __compatible_ops__["deepspeed_shm_comm"] = False
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": micro_batch,
        "gradient_accumulation_steps": accumulation,
        "zero_optimization": {
            "stage": zero,
            # The loop takes the norm itself, before anything steps.
            "compute_grad_norm": zero == 0,
            "reduce_bucket_size": REDUCE_BUCKET,
        },
        "zero_allow_untested_optimizer": True,  # it knows only its own; tests hold ours equal on every stage
        "gradient_clipping": 0.0,
        "steps_per_print": 10**9,
    }
    if placement.precision == "bf16":
        # No module's gradients travel in bf16: ZeRO must not change what is learnt.
        config["torch_autocast"] = {"enabled": True, "dtype": "bfloat16", "lower_precision_safe_modules": []}
    backend = "gloo" if placement.device.type == "cpu" else "nccl"
    if not torch.distributed.is_initialized():
        deepspeed.init_distributed(dist_backend=backend, verbose=False)
        # A group left to the interpreter's end may outlive what its threads need, which aborts a finished worker.
        atexit.register(_leave_group)
    engine, stepped, _, _ = deepspeed.initialize(
        model=LossModule(model, lines_apart), optimizer=optimizer, config=config
    )
    # A single worker has nobody to reduce with; DeepSpeed would copy all gradients there and back.
    engine.enable_backward_allreduce = placement.world_size > 1 or zero > 0
    actual = getattr(stepped, "optimizer", stepped)
    if actual is not optimizer:
        raise TrainingError(f"DeepSpeed would step a {type(actual).__name__} instead of the recipe's optimizer.")
    if zero:
        check_layout(stepped, model)
    return engine


def _leave_group() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def gather_bytes(value: Tensor, placement: Placement) -> list[Tensor]:
    """Collect one equally sized uint8 tensor from every worker, in rank order."""
    if placement.world_size == 1:
        return [value]
    here = value.to(placement.device)
    everyone = [torch.empty_like(here) for _ in range(placement.world_size)]
    torch.distributed.all_gather(everyone, here)
    return [item.cpu() for item in everyone]


def gather_text(text: str, placement: Placement, size: int = 200) -> list[str]:
    """Collect a text from every worker, in rank order, each cut to ``size`` bytes."""
    mine = torch.frombuffer(bytearray(text.encode()[:size].ljust(size)), dtype=torch.uint8)
    return [bytes(item.tolist()).decode(errors="ignore").strip() for item in gather_bytes(mine, placement)]


def from_first(value: int, placement: Placement) -> int:
    """Return rank 0's number to every worker."""
    if placement.world_size == 1:
        return value
    there = torch.tensor(value, device=placement.device)
    torch.distributed.broadcast(there, 0)
    return int(there)


def matrix_peak(placement: Placement, size: int = 1024, seconds: float = 0.1) -> float:
    """Measure the device's dense matrix rate in FLOP/s, in the training's precision: what MFU is a share of."""
    dtype = torch.bfloat16 if placement.precision == "bf16" else torch.float32
    size = size if placement.device.type == "cpu" else 8 * size
    left = torch.randn(size, size, device=placement.device, dtype=dtype)
    right = torch.randn(size, size, device=placement.device, dtype=dtype)

    def products(count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            left @ right
        if placement.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    products(2)
    once = products(1)
    count = max(1, int(seconds / max(once, 1e-6)))
    return count * 2 * size**3 / products(count)
