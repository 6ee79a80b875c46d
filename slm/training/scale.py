"""``python -m slm.training.scale [SPEC|TIER]``: what a training costs on more GPUs, and where more stop helping.

A model of one step on N GPUs, from the spec and the links between them; nothing is measured. The batch is the spec's
as long as every GPU has a sequence of it; on more GPUs than that it grows. Sources:

* communication: ring all-reduce (Patarasuk and Yuan, 2009, Bandwidth optimal all-reduce algorithms for clusters of
  workstations) and ZeRO (Rajbhandari et al., arXiv:1910.02054, section 7);
* FLOPs: PaLM (arXiv:2204.02311), appendix B;
* the critical batch: Kaplan et al. (arXiv:2001.08361), section 5.1, after McCandlish et al. (arXiv:1812.06162).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from slm.errors import AutonError, SpecError
from slm.spec import BuildSpec
from slm.spec_file import load_spec
from slm.training.compute import RTX_3090_TI, UTILISATION, flops_per_token
from slm.training.memory import chosen, matrix_parameters, optimizer_bytes

SPECS = Path("specs/builds")
STAGES = (0, 1, 2)

#: Doubling the GPUs that saves less than this share of the time to the same loss no longer counts as scaling.
WORTH_DOUBLING = 0.2


@dataclass(frozen=True)
class Cluster:
    """GPUs and the links between them.

    :raises SpecError: when a figure is not above 0, or the utilisation is above 1.
    """

    #: Dense bf16 FLOP/s of a GPU, and the share of it that a training of such models reaches.
    flops: float = RTX_3090_TI
    utilisation: float = UTILISATION["gpu"]
    gpus_per_node: int = 8
    #: Bytes a second, one way, of the slowest link in a node's ring. PCIe 4.0 x16 is 31.5e9 less protocol; an NVLink
    #: bridge between two RTX 3090 Ti is 56e9.
    inside: float = 25e9
    #: The same of a node's network card: 25 Gb/s Ethernet.
    between: float = 25e9 / 8
    #: Seconds that a message takes besides its bytes, inside a node and between nodes.
    inside_latency: float = 5e-6
    between_latency: float = 30e-6

    def __post_init__(self) -> None:
        """Refuse nonsense, naming every figure of it."""
        wrong = [
            f"{field.name} is {getattr(self, field.name):g}, not above 0"
            for field in dataclasses.fields(self)
            if not getattr(self, field.name) > 0 or math.isinf(getattr(self, field.name))
        ]
        if self.utilisation > 1:
            wrong.append(f"utilisation is {self.utilisation:g}, above 1")
        if wrong:
            raise SpecError(f"This cluster cannot be: {'; '.join(wrong)}.")

    def link(self, gpus: int) -> tuple[float, float]:
        """Return bytes a second and latency of the slowest link in a ring of ``gpus``.

        A ring crosses each node's network card once each way, so its links all carry the same, and the slowest counts.
        """
        if gpus <= self.gpus_per_node:
            return self.inside, self.inside_latency
        return min(self.inside, self.between), self.between_latency


@dataclass(frozen=True)
class Scale:
    """One training on ``gpus`` GPUs; bytes and seconds are for one GPU and one step where nothing else is said."""

    gpus: int
    micro_batch: int
    accumulation: int
    batch_tokens: int
    steps: int
    flops: float
    compute_seconds: float
    #: Bytes that a GPU sends (it receives as many), by ZeRO stage, at the micro-batch of each.
    sent: dict[int, float]
    #: At the spec's stage.
    communication_seconds: float
    #: Left of those when gradients travel while the last micro-batch still goes backward.
    exposed_seconds: float
    #: What more GPUs take from perfect speed-up: the share of a step that computes, without and with that overlap.
    efficiency: float
    efficiency_overlapped: float
    #: Memory by ZeRO stage, at the micro-batch of each.
    memory: dict[int, int]
    checkpoint_bytes: int
    checkpoint_bytes_per_hour: float
    #: Tokens that each worker reads a second: every worker reads the whole batch, to count its targets.
    data_bytes_per_second: float
    hours: float
    #: Passes over the corpus.
    epochs: float
    #: Hours to the loss that the spec's own batch reaches: larger batches need more tokens for it.
    hours_to_same_loss: float


def critical_batch(loss: float) -> float:
    """Return the batch (tokens) at which a training to ``loss`` (nats a token) needs twice the fewest steps and tokens.

    B = 2.1e8 / loss^(1/0.21), fitted on web text with a vocabulary of 50 257 (arXiv:2001.08361, equation 5.3): right to
    a factor of perhaps two elsewhere.
    """
    return 2.1e8 / math.pow(loss, 1 / 0.21)


def ring_seconds(sent: float, passes: float, gpus: int, cluster: Cluster) -> float:
    """Return the seconds of ring collectives in which each GPU sends ``sent`` bytes.

    :param passes: rounds of N - 1 messages: 1 for a reduce-scatter or an all-gather, 2 for an all-reduce.
    """
    bandwidth, latency = cluster.link(gpus)
    return sent / bandwidth + passes * (gpus - 1) * latency


def sent_bytes(spec: BuildSpec, gpus: int, zero: int, accumulation: int) -> float:
    """Return the bytes that each GPU sends for one step.

    Each pass of a ring sends (N-1)/N of what it is about. Under ZeRO Muon gathers its bf16 directions besides.
    """
    muon = 2 * matrix_parameters(spec.model) if zero and spec.train.recipe == "fast" else 0
    return (sum(_passes(zero, accumulation)) * 4 * spec.model.parameters + muon) * (gpus - 1) / gpus


def _passes(zero: int, accumulation: int) -> tuple[int, int]:
    """Return how often fp32 gradients, and then weights, go around the ring in a step.

    An all-reduce is two passes (a reduce-scatter, an all-gather). Stage 0 has one; stage 1 gathers the stepped weights
    besides; stage 2 reduces each micro-batch's gradients. ZeRO's paper has stages 1 and 2 reduce-scatter, which is a
    pass less; DeepSpeed joins the parts of all workers in one message and all-reduces it.
    """
    return (2 * accumulation if zero == 2 else 2), (1 if zero else 0)


def _critical(spec: BuildSpec) -> float:
    """Return the critical batch in tokens, at the gate's perplexity.

    :raises SpecError: when the spec has no such gate.
    """
    if spec.gates.perplexity is None:
        raise SpecError(f"{spec.name} has no gate on perplexity to reckon from.", "Give --critical-batch.")
    return critical_batch(math.log(spec.gates.perplexity))


def scale(spec: BuildSpec, gpus: int, cluster: Cluster, critical: float | None = None) -> Scale:
    """Predict the spec's training on ``gpus`` GPUs.

    :param critical: the critical batch in tokens; without it, :func:`critical_batch` at the gate's perplexity.
    :raises SpecError: when the number of GPUs is none, or the critical batch is not above 0.
    """
    if gpus < 1:
        raise SpecError(f"A training on {gpus} GPUs cannot be; give at least 1.")
    if critical is None:
        critical = _critical(spec)
    if not critical > 0:
        raise SpecError(f"A critical batch of {critical:g} tokens cannot be; it must be above 0.")
    model, own = spec.model, spec.batch_tokens
    share = math.ceil(own // model.context / gpus)  # sequences for each GPU
    choices = {stage: chosen(_on(spec, gpus, share, stage), "gpu", _precision(spec)) for stage in STAGES}
    memory = {stage: choice.memory.total for stage, choice in choices.items()}
    micro, accumulation = choices[spec.train.zero].micro_batch, choices[spec.train.zero].accumulation
    batch = share * gpus * model.context
    steps = max(1, spec.train.tokens // batch)
    flops = flops_per_token(spec) * share * model.context
    compute = flops / (cluster.flops * cluster.utilisation)
    sent = {stage: sent_bytes(spec, gpus, stage, choice.accumulation) for stage, choice in choices.items()}
    gradients, weights = _passes(spec.train.zero, accumulation)
    communication = ring_seconds(sent[spec.train.zero], gradients + weights, gpus, cluster) if gpus > 1 else 0.0
    # Two thirds of a micro-batch's time are its backward pass; gradients, not weights, can travel meanwhile.
    travelling = communication * gradients / (gradients + weights)
    exposed = communication - min(travelling, compute * 2 / 3 / (1 if spec.train.zero == 2 else accumulation))
    step = compute + communication
    checkpoint = 4 * model.parameters + optimizer_bytes(model, _on(spec, 1, 1, 0).train)
    tokens = spec.train.tokens * (1 + batch / critical) / (1 + own / critical)
    return Scale(
        gpus=gpus,
        micro_batch=micro,
        accumulation=accumulation,
        batch_tokens=batch,
        steps=steps,
        flops=flops,
        compute_seconds=compute,
        sent=sent,
        communication_seconds=communication,
        exposed_seconds=exposed,
        efficiency=compute / step,
        efficiency_overlapped=compute / (compute + exposed),
        memory=memory,
        checkpoint_bytes=checkpoint,
        checkpoint_bytes_per_hour=checkpoint * 3600 / (step * spec.train.checkpoint_every),
        data_bytes_per_second=batch * (2 if model.vocab_size <= 65_536 else 4) / step,
        hours=steps * step / 3600,
        epochs=steps * batch / spec.corpus.tokens,
        hours_to_same_loss=tokens / batch * step / 3600,
    )


def where_it_stops(spec: BuildSpec, cluster: Cluster, critical: float | None = None) -> str:
    """Say in a sentence up to how many GPUs a training scales, and what ends it."""
    gpus = 1
    while True:
        here, twice = (scale(spec, count, cluster, critical) for count in (gpus, 2 * gpus))
        saved = 1 - twice.hours_to_same_loss / here.hours_to_same_loss
        if saved < WORTH_DOUBLING:
            break
        gpus *= 2
    waits, waited = (1 - found.efficiency for found in (twice, here))
    reasons = []
    if waits > waited + 0.05:
        several = " between machines" if here.gpus <= cluster.gpus_per_node < twice.gpus else ""
        reasons.append(f"{waits:.0%} of each step would be communication{several} ({waited:.0%} before)")
    if twice.batch_tokens > here.batch_tokens:
        limit = critical or _critical(spec)
        reasons.append(
            f"each GPU is down to one sequence, and a batch of {twice.batch_tokens:,} tokens (critical: about "
            f"{limit:,.0f}) leaves {twice.steps:,} steps"
        )
    verdict = f"{2 * gpus} would save {saved:.0%} of the time" if saved >= 0.005 else f"{2 * gpus} would save nothing"
    return f"{spec.name} scales to {gpus} GPU{'s' if gpus > 1 else ''}: {verdict}, because {' and '.join(reasons)}."


def _precision(spec: BuildSpec) -> Literal["bf16", "fp32"]:
    return "fp32" if spec.train.precision == "fp32" else "bf16"


def _on(spec: BuildSpec, gpus: int, share: int, zero: int) -> BuildSpec:
    train = {"workers": gpus, "zero": zero, "micro_batch": share, "accumulation": 1}
    return spec.model_copy(update={"train": spec.train.model_copy(update=train)})


def table(spec: BuildSpec, scales: Sequence[Scale], clusters: Sequence[Cluster], critical: float | None) -> Table:
    """Lay out a row a figure and a column a number of GPUs."""
    result = Table(title=f"{spec.name}, {spec.model.parameters / 1e6:.1f} M parameters", title_justify="left")
    first = f"{clusters[0].between * 8 / 1e9:g} Gb/s"
    result.add_column("on GPUs")
    for found in scales:
        result.add_column(str(found.gpus), justify="right")

    def row(name: str, show: Callable[[Scale], str], of: Sequence[Scale] = scales) -> None:
        result.add_row(name, *(show(found) for found in of))

    row("sequences a GPU: micro-batch × accumulation", lambda s: f"{s.micro_batch} × {s.accumulation}")
    row("batch, tokens", lambda s: f"{s.batch_tokens:,}")
    row("steps", lambda s: f"{s.steps:,}")
    row("TFLOP a GPU and step", lambda s: f"{s.flops / 1e12:,.1f}")
    row(f"compute, s a step ({clusters[0].utilisation:.0%} of the peak)", lambda s: f"{s.compute_seconds:.3f}")
    for stage in STAGES:
        result.add_row(f"sent, MB a GPU and step, ZeRO {stage}", *(f"{s.sent[stage] / 1e6:,.0f}" for s in scales))
    for cluster in clusters:
        at = f"{cluster.between * 8 / 1e9:g} Gb/s"
        there = [scale(spec, found.gpus, cluster, critical) for found in scales]
        row(f"communication, s a step, {at}", lambda s: f"{s.communication_seconds:.3f}", there)
        row(f"efficiency, {at}", lambda s: f"{s.efficiency:.0%}", there)
        row(f"efficiency overlapped, {at}", lambda s: f"{s.efficiency_overlapped:.0%}", there)
        row(f"hours, {at}", lambda s: f"{s.hours:.3g}", there)
        row(f"hours to the same loss, {at}", lambda s: f"{s.hours_to_same_loss:.3g}", there)
    for stage in STAGES:
        result.add_row(f"memory a GPU, GB, ZeRO {stage}", *(_gigabytes(s.memory[stage], spec) for s in scales))
    row("checkpoint, GB", lambda s: f"{s.checkpoint_bytes / 1e9:.2f}")
    row(f"checkpoints, GB an hour, {first}", lambda s: f"{s.checkpoint_bytes_per_hour / 1e9:.2f}")
    row(f"reading, KB/s a worker, {first}", lambda s: f"{s.data_bytes_per_second / 1e3:,.0f}")
    row("passes over the corpus", lambda s: f"{s.epochs:.1f}")
    return result


def _gigabytes(size: int, spec: BuildSpec) -> str:
    return f"{size / 1e9:.1f}" if size < spec.train.device_memory else f"{size / 1e9:.1f}, too much"


def _spec(name: str) -> BuildSpec:
    tier = SPECS / f"{name}.yaml"
    if not Path(name).suffix and not tier.is_file():
        known = ", ".join(sorted(path.stem for path in SPECS.glob("*.yaml")))
        raise SpecError(f"There is no tier {name}.", f"Name one of {known}, or a spec's file.")
    return load_spec(Path(name) if Path(name).suffix else tier)


def main(argv: Sequence[str] | None = None) -> int:
    """Print what a training would cost on more GPUs, and where it stops scaling; without a spec, for every tier."""
    parser = argparse.ArgumentParser(prog="python -m slm.training.scale", description=main.__doc__)
    parser.add_argument("spec", nargs="?", metavar="SPEC|TIER", help="a spec's file, or a tier such as medium")
    parser.add_argument("--gpus", type=int, nargs="+", default=[8, 64, 512], metavar="N")
    parser.add_argument("--json", action="store_true", help="figures instead of tables, at the first --ethernet")
    parser.add_argument("--tflops", type=float, default=Cluster.flops / 1e12, help="a GPU's dense bf16 rate")
    parser.add_argument("--mfu", type=float, default=Cluster.utilisation, help="the share of it that is reached")
    parser.add_argument("--gpus-per-node", type=int, default=Cluster.gpus_per_node)
    parser.add_argument(
        "--inside", type=float, default=Cluster.inside / 1e9, help="GB/s in a node (an NVLink bridge: 56)"
    )
    parser.add_argument("--ethernet", type=float, nargs="+", default=[25, 10, 100], help="Gb/s between nodes")
    parser.add_argument("--critical-batch", type=float, help="tokens; without it, from the gate's perplexity")
    arguments = parser.parse_args(argv)
    try:
        clusters = [
            Cluster(
                flops=arguments.tflops * 1e12,
                utilisation=arguments.mfu,
                gpus_per_node=arguments.gpus_per_node,
                inside=arguments.inside * 1e9,
                between=speed * 1e9 / 8,
            )
            for speed in arguments.ethernet
        ]
        names = [arguments.spec] if arguments.spec else [path.stem for path in sorted(SPECS.glob("*.yaml"))]
        specs = [_spec(name) for name in names]
        for spec in specs if arguments.spec else (tier for tier in specs if tier.corpus.edition is None):
            scales = [scale(spec, gpus, clusters[0], arguments.critical_batch) for gpus in arguments.gpus]
            sentence = where_it_stops(spec, clusters[0], arguments.critical_batch)
            if arguments.json:
                figures = [dataclasses.asdict(found) for found in scales]
                print(json.dumps({"spec": spec.name, "scales": figures, "where_it_stops": sentence}))
            else:
                console = Console(highlight=False)
                console.print(table(spec, scales, clusters, arguments.critical_batch))
                console.print(
                    f"With {clusters[0].between * 8 / 1e9:g} Gb/s between nodes, {sentence}\n", soft_wrap=True
                )
    except AutonError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
