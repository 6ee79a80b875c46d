"""How fast a tier trains: beside transformers' Trainer, beside a bare loop, and to the same bits per byte.

    python -m benchmarks.training speed specs/builds/nano.yaml [--steps 100] [--rounds 2]
    python -m benchmarks.training overhead specs/builds/nano.yaml [--steps 100] [--rounds 2]
    python -m benchmarks.training quality specs/builds/nano.yaml --tokens 3600000 --ours 1000000 1300000

Every contestant is a process of its own, on the same data in the same order, from the same initial weights, with the
same batch, all of it on one worker. ``speed`` and ``overhead`` go through all of them in turn, round by round, so that
a neighbour's load falls on each, and compare within a round. All have the environment of our trainings (large pages,
freed memory kept), which the Trainer would not have by itself. Loading, compiling and the first steps are not counted
in a speed; everything is counted in the time to a quality, compiling from nothing too. Speeds are medians over windows
of ten steps at the whole context; ours logs once a window, where a build logs every ``train.log_every`` steps.

- ``speed``: tokens a second of the Trainer in several settings (bf16 autocast, with and without ``torch.compile``,
  every micro-batch of the same batch), and ours (recipe ``fast`` through DeepSpeed). The Trainer has AdamW.
- ``overhead``: ours through Ray Train as the TrainingAgent starts it (the agents themselves wait meanwhile), ours
  started by hand, and a bare loop over the same model, optimizer and data.
- ``quality``: the Trainer's AdamW in its fastest setting, its learning rate and then its second beta the best of runs
  of a quarter of the steps (the best for all of them may be another), trained on ``--tokens``; then ours on fewer
  tokens, with all that the spec asks for. Wall time to a validation score that is as good; ours at a worse score is no
  comparison, and has none.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from slm.corpus import folder_for
from slm.evaluation.figures import SplitScore
from slm.layout import Layout, here
from slm.lineage import read_manifest
from slm.machine import processors, training_environment
from slm.spec import BuildSpec
from slm.spec_file import load_spec
from slm.training.compute import model_flops

#: Steps that are timed together. The first such window is not counted: caches, allocators and compilers settle.
WINDOW = 10
#: The learning rates among which the Trainer's is chosen.
RATES = (1e-3, 2e-3, 4e-3)
#: The second betas among which the Trainer's is chosen.
BETAS = (0.95, 0.99)


def with_steps(spec: BuildSpec, steps: int, whole: bool) -> BuildSpec:
    """Return ``spec`` with so many steps, logged by windows, never evaluated or saved but at the end.

    :param whole: whether it is a training with all that belongs to it, rather than steps that are alike.
    """
    batch = spec.batch_tokens // spec.train.workers
    changes: dict[str, Any] = {"tokens": steps * batch, "log_every": WINDOW, "workers": 1}
    changes |= {"evaluate_every": steps, "checkpoint_every": steps}
    if not whole:
        changes["context_warmup"] = 0
    return spec.model_copy(update={"train": spec.train.model_copy(update=changes)})


def main() -> None:
    """Run one comparison, or, in a process of its own, one contestant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "overhead", "quality", "run"])
    parser.add_argument("spec", type=Path)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="a.b=c")
    parser.add_argument("--corpus", type=Path, help="without it, the spec's")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=3_600_000)
    parser.add_argument("--ours", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--settings", type=json.loads, default={}, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    spec = load_spec(arguments.spec, arguments.overrides)
    corpus = arguments.corpus or folder_for(spec.corpus, spec.model.vocab_size, here().processed)
    if arguments.what == "run":
        print(json.dumps(contestant(spec, corpus, arguments.settings)))
        return

    def run(**settings: Any) -> dict[str, Any]:
        environment = {**os.environ, **training_environment()}
        command = [sys.executable, "-m", "benchmarks.training", "run", str(arguments.spec), "--corpus", str(corpus)]
        command += itertools.chain(*(("--set", override) for override in arguments.overrides))
        command += ["--settings", json.dumps(settings)]
        with tempfile.TemporaryDirectory() as compiled:
            if settings.get("from_nothing"):
                environment["TORCHINDUCTOR_CACHE_DIR"] = compiled
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise SystemExit(f"{settings} failed:\n{done.stderr[-2000:]}")
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result

    match arguments.what:
        case "speed":
            compare(trainers(spec) | {"ours": {"kind": "ours"}}, arguments, run)
        case "overhead":
            compare({kind: {"kind": kind} for kind in ("bare", "ours", "ray")}, arguments, run)
        case "quality":
            quality(spec, arguments, run)


def trainers(spec: BuildSpec) -> dict[str, dict[str, Any]]:
    """Return the Trainer's settings worth trying: every micro-batch that makes up the batch, compiled and not."""
    sequences = spec.train.micro_batch * spec.train.accumulation
    sizes = [size for size in (1, 2, 4, 8, 16) if size <= sequences and sequences % size == 0]
    plain = {f"Trainer, micro-batch {size}": {"kind": "trainer", "micro_batch": size} for size in sizes}
    return plain | {f"{name}, compiled": {**settings, "compiled": True} for name, settings in plain.items()}


def compare(
    contestants: dict[str, dict[str, Any]], arguments: argparse.Namespace, run: Callable[..., dict[str, Any]]
) -> None:
    """Run all contestants in turn, round by round; print medians over the rounds of what was found within each."""
    rounds: list[dict[str, dict[str, Any]]] = []
    for _ in range(arguments.rounds):
        rounds.append({})
        for name, settings in contestants.items():
            rounds[-1][name] = run(steps=arguments.steps, **settings)
            print(f"  {name}: {_rate(rounds[-1][name]):,.0f}", file=sys.stderr)
    last = next(reversed(contestants))
    print(f"{'':<34} {'tokens/s':>9} {'last / this':>12} {'share of peak':>14} {'loss':>7}")
    for name in contestants:
        results = [found[name] for found in rounds]
        rate = statistics.median(map(_rate, results))
        share = statistics.median(_rate(one) * one["flops_a_token"] / one["peak"] for one in results)
        against = statistics.median(_rate(found[last]) / _rate(found[name]) for found in rounds)
        print(f"{name:<34} {rate:>9,.0f} {against:>11.2f}× {share:>13.0%} {results[-1]['loss']:>7.3f}")


def _rate(result: dict[str, Any]) -> float:
    rate: float = WINDOW * result["batch_tokens"] / statistics.median(result["window_seconds"])
    return rate


def quality(spec: BuildSpec, arguments: argparse.Namespace, run: Callable[..., dict[str, Any]]) -> None:
    """Find the Trainer's fastest setting and its best learning rate, train it, then train ours on fewer tokens.

    The rate is chosen on a quarter of the tokens, and the sweep goes on while the best lies at its edge.
    """
    batch = spec.batch_tokens // spec.train.workers
    steps = arguments.tokens // batch
    speeds = {}
    for name, settings in (trainers(spec) | {"ours": {"kind": "ours"}}).items():
        speeds[name] = _rate(run(steps=arguments.steps, **settings))
        print(f"{name}: {speeds[name]:,.0f} tokens/s", flush=True)
    fastest = max(trainers(spec), key=lambda name: speeds[name])
    trainer = trainers(spec)[fastest]

    def tried(**tuned: float) -> float:
        found: float = run(steps=steps // 4, scored=True, **tuned, **trainer)["bits_per_byte"]
        said = ", ".join(f"{name} {value:g}" for name, value in tuned.items())
        print(f"{fastest}, {steps // 4} steps, {said}: {found:.4f} bits per byte", flush=True)
        return found

    scores = {rate: tried(learning_rate=rate, beta=BETAS[0]) for rate in RATES}
    while (rate := min(scores, key=lambda rate: scores[rate])) in (min(scores), max(scores)):
        further = rate / 2 if rate == min(scores) else rate * 2
        scores[further] = tried(learning_rate=further, beta=BETAS[0])
    betas = {BETAS[0]: scores[rate]} | {beta: tried(learning_rate=rate, beta=beta) for beta in BETAS[1:]}
    beta = min(betas, key=lambda beta: betas[beta])
    whole = run(steps=steps, learning_rate=rate, beta=beta, scored=True, from_nothing=True, **trainer)
    rows = [(f"{fastest}, {rate:g}, {beta:g}", steps, whole)]
    for tokens in arguments.ours:
        wanted = tokens // batch
        rows.append(("ours", wanted, run(kind="ours", steps=wanted, scored=True, from_nothing=True)))
    for name, count, result in rows:
        print(
            f"{name:<42} {count * batch:>10,} tokens {result['seconds']:>7.0f} s "
            f"{result['bits_per_byte']:.4f} bits per byte, {verdict(whole, result)}",
            flush=True,
        )


def verdict(first: dict[str, Any], result: dict[str, Any]) -> str:
    """Say how much faster a result was than the first, where its bits per byte are as good; else that they are not."""
    if not result["bits_per_byte"] <= first["bits_per_byte"]:
        return "the first's score is not reached"
    return f"{first['seconds'] / result['seconds']:.2f}× as fast"


def contestant(spec: BuildSpec, corpus: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Train as ``settings`` say; return the seconds of every window but the first, and what ratios come from."""
    import torch

    from slm.training.engine import matrix_peak, place

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", processors())))
    placement = place(spec.train)
    peak = matrix_peak(placement, seconds=1.0)
    kinds = {"trainer": with_trainer, "bare": bare, "ours": ours, "ray": through_ray}
    with tempfile.TemporaryDirectory() as folder:
        steps = with_steps(spec, settings["steps"], whole=settings.get("scored", False))
        began = time.perf_counter()
        result = kinds[settings["kind"]](steps, corpus, Path(folder), settings)
        result["seconds"] = time.perf_counter() - began
        model = result.pop("model", None)
        if settings.get("scored"):
            result["bits_per_byte"] = validation_score(model, spec, corpus).bits_per_byte
    return {**result, "batch_tokens": steps.batch_tokens, "peak": peak, "flops_a_token": model_flops(spec.model)}


def validation_score(model: Any, spec: BuildSpec, corpus: Path) -> SplitScore:
    """Score a model on the first million validation tokens."""
    from slm.evaluation.perplexity import evaluate_split

    info = read_manifest(corpus).info
    return evaluate_split(
        model, corpus / "val.bin", info["dtype"], spec.model.context, info["splits"]["val"]["bytes"], 1_000_000
    )


def with_trainer(spec: BuildSpec, corpus: Path, folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Train with transformers' Trainer: AdamW, cosine schedule, bf16 autocast."""
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    from slm.model.llama import build_model
    from slm.training.data import PackedTokens
    from slm.training.engine import place

    data = PackedTokens(corpus, "train", spec.model.context, spec.model.vocab_size, spec.train.seed)
    steps, sequences = settings["steps"], spec.batch_tokens // spec.model.context

    class Rows(torch.utils.data.Dataset[dict[str, Any]]):
        def __len__(self) -> int:
            return int(steps * sequences)

        def __getitem__(self, position: int) -> dict[str, Any]:
            inputs, targets = data.rows(position, 1)
            # Targets are shifted already; without labels the Trainer would compute no loss.
            return {"input_ids": inputs[0], "labels": targets[0], "shift_labels": targets[0]}

    class Clock(TrainerCallback):  # type: ignore[misc] # transformers has no types
        marks: list[float] = []  # noqa: RUF012

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.marks.append(time.perf_counter())

    class InOrder(Trainer):  # type: ignore[misc] # transformers has no types
        def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
            return torch.utils.data.SequentialSampler(Rows())

    micro_batch = settings.get("micro_batch", spec.train.micro_batch)
    model = build_model(spec.model, spec.train.seed)
    bf16 = place(spec.train).precision == "bf16"
    trainer = InOrder(
        model=model,
        args=TrainingArguments(
            output_dir=str(folder),
            per_device_train_batch_size=micro_batch,
            gradient_accumulation_steps=sequences // micro_batch,
            max_steps=steps,
            learning_rate=settings.get("learning_rate", spec.train.learning_rate),
            lr_scheduler_type="cosine",
            warmup_steps=min(100, steps // 10),
            weight_decay=spec.train.weight_decay,
            adam_beta1=spec.train.betas[0],
            adam_beta2=settings.get("beta", spec.train.betas[1]),
            max_grad_norm=spec.train.clip_norm,
            gradient_checkpointing=spec.train.gradient_checkpointing,
            optim="adamw_torch_fused",
            bf16=bf16,
            use_cpu=place(spec.train).device.type == "cpu",
            torch_compile=settings.get("compiled", False),
            remove_unused_columns=False,
            disable_tqdm=True,
            report_to=[],
            save_strategy="no",
            logging_steps=steps,
        ),
        train_dataset=Rows(),
        callbacks=[Clock()],
    )
    began = time.perf_counter()
    loss = trainer.train().training_loss
    return {"window_seconds": _windows([began, *Clock.marks]), "loss": loss, "model": model}


def bare(spec: BuildSpec, corpus: Path, folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Train without engine, guards, logs or checkpoints: what the model and the optimizer take by themselves."""
    import torch

    from slm.model.llama import build_model
    from slm.training.attention import use_causal_blocks
    from slm.training.compiled import compile_layers, lacking
    from slm.training.cross_entropy import IGNORE
    from slm.training.data import PackedTokens
    from slm.training.engine import LossModule, place
    from slm.training.memory import chosen
    from slm.training.optimizer import build_optimizer

    placement = place(spec.train)
    data = PackedTokens(corpus, "train", spec.model.context, spec.model.vocab_size, spec.train.seed)
    model = build_model(spec.model, spec.train.seed).to(placement.device)
    if placement.device.type == "cpu":
        use_causal_blocks(model)
    if spec.train.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    if spec.train.compile:
        if why_not := lacking(placement.device):
            raise SystemExit(f"The layers cannot be compiled: {why_not}")
        compile_layers(model)
    module, optimizer = LossModule(model), build_optimizer(model, spec.train)
    sequences = spec.train.micro_batch * spec.train.accumulation
    micro_batch = chosen(spec, "cpu" if placement.device.type == "cpu" else "gpu", placement.precision).micro_batch
    marks, losses = [time.perf_counter()], []
    for step in range(settings["steps"]):
        inputs, targets = (part.to(placement.device) for part in data.rows(step * sequences, sequences))
        counted = int((targets != IGNORE).sum())
        total = 0.0
        for rows in _slices(sequences, micro_batch):
            with torch.autocast(placement.device.type, torch.bfloat16, enabled=placement.precision == "bf16"):
                loss = module(inputs[rows], targets[rows])
            (loss / counted).backward()
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(model.parameters(), spec.train.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(total / counted)
        marks.append(time.perf_counter())
    return {"window_seconds": _windows(marks), "loss": statistics.mean(losses), "model": model}


def _slices(rows: int, size: int) -> Iterator[slice]:
    return (slice(first, first + size) for first in range(0, rows, size))


def ours(spec: BuildSpec, corpus: Path, folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Train with the product's loop, started by hand."""
    from slm.model.llama import load_model
    from slm.training.loop import train

    result = train(spec, corpus, folder)
    return {**_logged(spec, folder), "model": load_model(result.checkpoint)}


def through_ray(spec: BuildSpec, corpus: Path, folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Train as the agents do."""
    from agents import cluster
    from slm.training.outcome import Adjustments

    cluster.connect("local", Layout(folder))
    try:
        cluster.run_training(spec, corpus, folder / "training", folder / "journal", Adjustments(), 1)
    finally:
        cluster.disconnect()
    return _logged(spec, folder / "training")


def _logged(spec: BuildSpec, folder: Path) -> dict[str, Any]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [line for line in lines if "loss" in line]
    whole = [line for line in steps if line["step"] % WINDOW == 0]
    seconds = [WINDOW * spec.batch_tokens / line["tokens_per_second"] for line in whole]
    return {"window_seconds": seconds[1:], "loss": statistics.mean(line["loss"] for line in steps)}


def _windows(marks: list[float]) -> list[float]:
    """Return the seconds of every whole window but the first, from the times at which the steps began and ended."""
    return [after - before for before, after in itertools.pairwise(marks[::WINDOW])][1:]


if __name__ == "__main__":
    main()
