"""What a training holds in memory at its peak, reckoned from the spec, and the largest micro-batch that fits a card.

A step has moments at which one thing or another is largest; each is summed up, and the peak is the largest sum. The
sums are those of this loop on torch's and DeepSpeed's code as it runs, not rules of thumb: the activations are the
tensors that autograd saves (a test counts them), and ``benchmarks/memory.py`` holds the whole against real processes.
For a general account see Korthikanti et al., Reducing Activation Recomputation (arXiv:2205.05198), section 4, and for
the state of the optimizer and its division Rajbhandari et al., ZeRO (arXiv:1910.02054), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

from slm.spec import BuildSpec, ModelSpec, TrainSpec

#: Logits that are held at once, in the products' precision (:mod:`slm.training.cross_entropy`).
LOGITS_AT_ONCE = 1 << 25
#: Of these, the ones that become probabilities at once, in fp32: on a CPU, what fits its cache.
IN_CACHE_AT_ONCE = 1 << 18
#: How many queries are looked at together (:mod:`slm.training.attention`).
QUERIES_AT_ONCE = 128

#: How many gradients ZeRO joins into one message between workers (as many fp32 numbers are held for it).
REDUCE_BUCKET = 25_000_000
#: As many DeepSpeed joins at stage 0; not to be changed there.
_PLAIN_BUCKET = 500_000_000

#: From here on the C library takes each block from the system, and gives it back (glibc's DEFAULT_MMAP_THRESHOLD_MAX).
_LARGE_BLOCK = 32 * 2**20
#: Gaps in the C library's heap, as a share of what comes and goes in it: measured, from 0.3 to 0.5, and once 0.7
#: (``benchmarks/memory.py``).
_GAPS = 0.40

Device = Literal["cpu", "gpu"]
Precision = Literal["bf16", "fp32"]


@dataclass(frozen=True)
class Memory:
    """Bytes that one worker holds at its peak, by what they hold; the process itself is not among them."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    #: What the moment of the peak needs besides: temporaries, messages between workers.
    workspace: int
    #: The copy of weights and optimizer state that a checkpoint is written from, on the host, while training goes on.
    snapshot: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True)
class Choice:
    """A micro-batch with its accumulation, the batch being the spec's, and what it takes."""

    micro_batch: int
    accumulation: int
    memory: Memory


def choices(spec: BuildSpec, device: Device, precision: Precision) -> list[Choice]:
    """Return every way to cut the spec's batch into micro-batches, the smallest first, each with its memory."""
    rows = spec.train.micro_batch * spec.train.accumulation
    return [
        Choice(micro, rows // micro, peak(spec.model, spec.train, micro, rows // micro, device, precision))
        for micro in range(1, rows + 1)
        if rows % micro == 0
    ]


def chosen(spec: BuildSpec, device: Device, precision: Precision) -> Choice:
    """Return what a training uses: on a GPU the largest micro-batch below ``train.device_memory_gb``, else its own.

    The limit is the spec's and not the card's, so that all workers, and a plan made elsewhere, choose alike. Where none
    fits a GPU it is the smallest: a card may be larger than the limit, and a smaller one says so itself.
    On a CPU small micro-batches suit the cache, so the spec's stands.
    """
    every = choices(spec, device, precision)
    if device == "cpu":
        return next(choice for choice in every if choice.micro_batch == spec.train.micro_batch)
    return next((choice for choice in reversed(every) if choice.memory.total < spec.train.device_memory), every[0])


def peak(
    model: ModelSpec, train: TrainSpec, micro_batch: int, accumulation: int, device: Device, precision: Precision
) -> Memory:
    """Predict what the largest of a training's :func:`moments` holds.

    On a CPU the C library gives blocks below 32 MB back to the system only from the end of its heap. So the process
    keeps what small blocks took at their largest moment, with gaps between those that come and go, and the large ones,
    which are the logits, come on top of it.
    """
    *steps, saving = moments(model, train, micro_batch, accumulation, device, precision)
    if device == "gpu":
        return max(*steps, saving, key=lambda memory: memory.total)
    logits = 0
    if _block_bytes(model, micro_batch * model.context, precision) >= _LARGE_BLOCK:
        logits = max(memory.logits for memory in steps)
        steps = [replace(memory, logits=0) for memory in steps]
    small = max(steps, key=lambda memory: memory.total)
    passing = small.gradients + small.activations + small.logits + small.workspace
    kept = replace(small, logits=small.logits + logits, workspace=small.workspace + int(_GAPS * passing))
    return max(kept, saving, key=lambda memory: memory.total)


def moments(
    model: ModelSpec, train: TrainSpec, micro_batch: int, accumulation: int, device: Device, precision: Precision
) -> list[Memory]:
    """Sum up each moment of a step at which something is largest, and last the copying of state for a checkpoint.

    The steps are those from the second on: the first lacks the optimizer's state. On a CPU a checkpoint is being
    written meanwhile, where the training is long enough for one.
    """
    workers, zero = train.workers, train.zero
    parameters, tokens = model.parameters, micro_batch * model.context
    embedding, stream = 4 * _embedding(model), 4 * tokens * model.dim
    # ZeRO steps a copy of its own of each worker's part of the weights.
    weights = 4 * parameters + (4 * parameters // workers if zero else 0)
    optimizer = optimizer_bytes(model, train)
    whole = 4 * parameters
    kept = whole // workers if zero == 2 else whole
    before = kept if accumulation > 1 else 0
    bucket = min(whole, 4 * REDUCE_BUCKET) if zero else 0
    exchange = min(whole, 4 * _PLAIN_BUCKET) if workers > 1 and not zero else 0
    saved = activation_bytes(model, tokens, device, precision, train.gradient_checkpointing, train.compile)
    # When the loss is computed, the last norm's output is there, and autocast still holds its copies of all matrices.
    forward = saved + stream + (_casts(model, precision) if train.gradient_checkpointing else 0)
    head = head_bytes(model, tokens, precision)
    # A CPU adds bf16 to fp32 by way of a copy, a GPU does not.
    part = (6 if device == "cpu" and precision == "bf16" else _width(precision)) * _embedding(model)
    layer = _layer_bytes(model, tokens, device, precision, train.compile) + _casts(model, precision) // model.layers
    again = layer if train.gradient_checkpointing else 0
    backward = _layer_backward_bytes(model, tokens, precision)
    # The last checkpoint is written when there is no further step.
    saves = train.checkpoint_every < train.tokens // (accumulation * tokens * workers)
    snapshot = snapshot_bytes(model, train) if device == "cpu" else 0

    def moment(gradients: int, activations: int = 0, logits: int = 0, workspace: int = 0) -> Memory:
        return Memory(weights, gradients, optimizer, activations, logits, workspace, snapshot if saves else 0)

    return [
        # A block of logits becomes probabilities.
        moment(before, forward, logits_bytes(model, tokens, device, precision), head),
        # Its part of the head's gradient is added to the others'.
        moment(before, forward, _block_bytes(model, tokens, precision), head + part),
        # The last layer's backward pass: the head's gradient waits to be joined with the embedding's.
        moment(before, saved + again, workspace=embedding + backward + bucket),
        # The first layer is done: all other gradients are there; the embedding's is made twice, then joined, and added
        # to that of the micro-batches before.
        moment(kept, workspace=stream + (2 if before else 1) * embedding + bucket),
        # Workers exchange gradients.
        moment(kept, workspace=exchange + bucket),
        # The optimizer steps; under ZeRO with a copy of its part of the gradients, and the last message's.
        moment(
            whole // workers if zero else whole,
            workspace=step_bytes(model, train) + bucket + (whole // workers if zero else 0),
        ),
        # State is gathered and copied for a checkpoint, and be it the last; no gradients are left.
        Memory(weights, 0, optimizer, 0, 0, save_bytes(model, train, device), snapshot),
    ]


def optimizer_bytes(model: ModelSpec, train: TrainSpec) -> int:
    """Bytes of the optimizer's moments (fp32): two a weight for AdamW, one for Muon; spread from ZeRO 1 on."""
    matrices = matrix_parameters(model)
    moments = 2 * model.parameters - (matrices if train.recipe == "fast" else 0)
    return 4 * moments // (train.workers if train.zero else 1)


def step_bytes(model: ModelSpec, train: TrainSpec) -> int:
    """Bytes that the optimizer's step takes for a while, beside its state.

    AdamW's ``foreach`` form makes one more vector as long as its largest parameter group. Muon holds the updates of the
    matrices of one shape in fp32, their stack, and about four bf16 stacks within an iteration.
    """
    adamw_group = model.parameters if train.recipe == "adamw" else _embedding(model)
    parts = train.workers if train.zero else 1
    adamw = 4 * adamw_group // parts
    if train.recipe == "adamw":
        return adamw
    kv = model.head_dim * model.kv_heads
    shapes: dict[tuple[int, int], int] = {}
    for rows, columns, count in (
        (model.dim, model.dim, 2),
        (kv, model.dim, 2),
        (model.hidden, model.dim, 2),
        (model.dim, model.hidden, 1),
    ):
        shapes[rows, columns] = shapes.get((rows, columns), 0) + count
    largest = max(rows * columns * count for (rows, columns), count in shapes.items()) * model.layers
    # Under ZeRO a part's own matrices, and the bf16 update of all of them.
    muon = 16 * largest // parts + (2 * matrix_parameters(model) if train.zero else 0)
    return max(adamw, muon)


def snapshot_bytes(model: ModelSpec, train: TrainSpec) -> int:
    """Bytes of rank 0's copy of all weights and the whole optimizer's state, from which a checkpoint is written."""
    return 4 * model.parameters + optimizer_bytes(model, train.model_copy(update={"zero": 0}))


def save_bytes(model: ModelSpec, train: TrainSpec, device: Device) -> int:
    """Bytes that rank 0 takes for a while to gather the optimizer's state for a checkpoint: none at ZeRO stage 0.

    On a GPU the parts of one vector. They are joined in main memory, where the whole state lies until it is copied.
    """
    if not train.zero:
        return 0
    if device == "cpu":
        return optimizer_bytes(model, train.model_copy(update={"zero": 0}))
    return 4 * (model.parameters if train.recipe == "adamw" else max(matrix_parameters(model), _embedding(model)))


def logits_bytes(model: ModelSpec, tokens: int, device: Device, precision: Precision) -> int:
    """Bytes of a block of logits and of what becomes of them (:mod:`slm.training.cross_entropy`) at their largest.

    That is when their row's largest is taken from them: the results are fp32, and what it is taken from is too, which
    in bf16 is a copy. On a CPU it is done for as many at a time as its cache holds.
    """
    part = _positions(model, tokens)
    if device == "cpu":
        part = min(part, max(1, IN_CACHE_AT_ONCE // model.vocab_size))
    return _block_bytes(model, tokens, precision) + (8 if precision == "bf16" else 4) * part * model.vocab_size


def head_bytes(model: ModelSpec, tokens: int, precision: Precision) -> int:
    """Bytes that the output head takes beside its logits while the loss is computed.

    Kept until the backward pass: the gradients to its input and, in fp32, to its matrix. Besides autocast's copies of
    both, and the targets.
    """
    copies = 2 * (tokens * model.dim + _embedding(model)) if precision == "bf16" else 0
    return _width(precision) * tokens * model.dim + 4 * _embedding(model) + copies + 8 * tokens


def _positions(model: ModelSpec, tokens: int) -> int:
    return min(tokens, max(1, LOGITS_AT_ONCE // model.vocab_size))


def _block_bytes(model: ModelSpec, tokens: int, precision: Precision) -> int:
    return _width(precision) * _positions(model, tokens) * model.vocab_size


def activation_bytes(
    model: ModelSpec, tokens: int, device: Device, precision: Precision, checkpointing: bool, compiled: bool
) -> int:
    """Bytes that autograd saves in the forward pass of a micro-batch of ``tokens`` positions, up to the output head.

    :param tokens: of whole sequences.
    :param compiled: whether the layers are (:mod:`slm.training.compiled`).
    """
    if checkpointing:
        layers = model.layers * 4 * tokens * model.dim
    else:
        # Once for all layers, sines and cosines of a sequence's positions.
        layers = model.layers * _layer_bytes(model, tokens, device, precision, compiled) + _casts(model, precision)
        layers += 8 * model.context * model.head_dim
    # Token ids; the last norm's input, normalised values and statistic.
    return layers + 8 * tokens + tokens * (8 * model.dim + 4)


def _layer_bytes(model: ModelSpec, tokens: int, device: Device, precision: Precision, compiled: bool) -> int:
    """Bytes that autograd saves for one layer, matrices' bf16 copies aside.

    The two norms save their fp32 input, the normalised values and a statistic a row. In fp32 queries, keys and values
    share the norm's output, as gate and up do; autocast casts it anew for each of the five. The feed-forward saves its
    gate, the gate's SiLU, the up projection, and their product. Attention saves queries, keys, values and output; and
    on a GPU a logarithm a head (FlashAttention, arXiv:2205.14135), on a CPU the probabilities
    (:mod:`slm.training.attention`).

    A compiled layer computes again what is cheap. It saves its fp32 input, a statistic for each norm, what the matrices
    are multiplied with, each once, what attention added to the stream, and of the feed-forward three of the four.
    """
    dim, hidden, kv, width = model.dim, model.hidden, model.head_dim * model.kv_heads, _width(precision)
    if compiled:
        row = 4 * dim + 2 * 4 + width * (5 * dim + 2 * kv + 3 * hidden)
    else:
        casts = 5 if precision == "bf16" else 2
        row = 2 * (8 * dim + 4) + casts * width * dim + width * (2 * dim + 2 * kv + 4 * hidden)
    attention = 4 * tokens * model.heads
    if device == "cpu":
        attention = tokens // model.context * width * model.heads * _probabilities(model.context)
    return tokens * row + attention


def _probabilities(context: int) -> int:
    """How many probabilities a head holds for a sequence: of each block of queries up to the last one's own key."""
    ends = [min(first + QUERIES_AT_ONCE, context) for first in range(0, context, QUERIES_AT_ONCE)]
    return sum((end - first) * end for first, end in zip([0, *ends], ends, strict=False))


def _layer_backward_bytes(model: ModelSpec, tokens: int, precision: Precision) -> int:
    """Bytes of gradients to activations in the feed-forward's backward pass: one of the stream's width, two of its own.

    One of the two has the place of a product that was saved, and that nothing needs any more.
    """
    return tokens * (_width(precision) * model.hidden + 4 * model.dim)


def matrix_parameters(model: ModelSpec) -> int:
    """Weights in the layers' matrices: all but the embedding and the norms."""
    kv = model.head_dim * model.kv_heads
    return model.layers * (2 * model.dim * (model.dim + kv) + 3 * model.dim * model.hidden)


def _casts(model: ModelSpec, precision: Precision) -> int:
    """Bytes of autocast's bf16 copies of the layers' matrices, which autograd saves."""
    return 2 * matrix_parameters(model) if precision == "bf16" else 0


def _embedding(model: ModelSpec) -> int:
    return model.vocab_size * model.dim


def _width(precision: Precision) -> int:
    return 2 if precision == "bf16" else 4
