"""What stops an attempt before the optimizer step, and how a failure is named."""

from __future__ import annotations

import errno
import math
from typing import Literal

from slm.errors import ArtefactError, CorpusError, DiskFullError, TrainingError
from slm.spec import GuardSpec

Diagnosis = Literal[
    "diverged",
    "exploded",
    "stalled",
    "out_of_memory",
    "bad_data",
    "lost_worker",
    "corrupt_checkpoint",
    "disk_full",
    "unknown",
]


class GuardTripped(TrainingError):
    """A guard stopped the attempt at ``step``; the weights are those of the step before."""

    def __init__(self, diagnosis: Diagnosis, what: str) -> None:
        super().__init__(what)
        self.diagnosis: Diagnosis = diagnosis
        self.args = (diagnosis, what)  # what a copy in another process is made from


class Guards:
    """Watches the loss and the gradient norm of every step."""

    def __init__(self, spec: GuardSpec) -> None:
        """Start with no history; after a resume the plateau is watched afresh."""
        self._spec = spec
        self._smooth: float | None = None
        self._lowest = math.inf
        self._lowest_step = 0

    def check(self, step: int, loss: float, gradient_norm: float) -> None:
        """Look at one step's mean loss (nats) and global gradient norm, before the optimizer uses them.

        :raises GuardTripped: when either is not finite, the norm is zero or too large, or the loss no longer falls.
        """
        if not math.isfinite(loss) or not math.isfinite(gradient_norm):
            raise GuardTripped("diverged", f"Step {step}: loss {loss}, gradient norm {gradient_norm}: not finite.")
        if gradient_norm == 0.0:
            # What a ruinous update may leave: every state too large for its norm, nothing finite to learn from.
            raise GuardTripped("diverged", f"Step {step}: loss {loss:.4f}, gradient 0: no weight learns any more.")
        if gradient_norm > self._spec.max_gradient_norm:
            raise GuardTripped(
                "exploded",
                f"Step {step}: gradient norm {gradient_norm:.4g} is above {self._spec.max_gradient_norm:g}.",
            )
        # A time constant of 20 steps: long against the noise of one batch, short against any patience in use.
        self._smooth = loss if self._smooth is None else 0.95 * self._smooth + 0.05 * loss
        if self._smooth < self._lowest:
            self._lowest, self._lowest_step = self._smooth, step
        elif step - self._lowest_step >= self._spec.patience_steps:
            raise GuardTripped(
                "stalled",
                f"Step {step}: the loss has not fallen below {self._lowest:.4f} in {self._spec.patience_steps} steps.",
            )


def diagnose(error: BaseException) -> Diagnosis:
    """Name the class of a failure from the exception that a worker met."""
    if isinstance(error, GuardTripped):
        return error.diagnosis
    if isinstance(error, DiskFullError) or (isinstance(error, OSError) and error.errno == errno.ENOSPC):
        return "disk_full"
    if isinstance(error, CorpusError):
        return "bad_data"
    if isinstance(error, ArtefactError):
        return "corrupt_checkpoint"
    # torch's CPU allocator has no exception type of its own, only a sentence; CUDA's error has both; cuBLAS, which asks
    # the driver for its workspace itself, has a status. A thread that cannot start found no room for its stack.
    memory = (
        "out of memory",
        "can't allocate memory",
        "not enough memory",
        "CUBLAS_STATUS_ALLOC_FAILED",
        "can't start new thread",
    )
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in memory)
    ):
        return "out_of_memory"
    return "unknown"
