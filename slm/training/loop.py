"""The training loop: read, forward, backward, guard, step, log, evaluate, save.

Every worker calls :func:`train` with the same arguments. Rank 0 alone evaluates, writes checkpoints and reports.
"""

from __future__ import annotations

import contextlib
import json
import math
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from torch.utils.tensorboard import SummaryWriter

from slm.errors import ArtefactError, TrainingError
from slm.evaluation.coherence import BEGINNINGS, continued, load_tokenizer, tokens_of
from slm.evaluation.perplexity import evaluate_split
from slm.files import append_line, exclusive_lock, read_json, write_json
from slm.lineage import read_manifest
from slm.model.llama import build_model
from slm.progress import Progress, Reporter, silent
from slm.spec import BuildSpec
from slm.training.aside import latest, set_beginning_aside, set_strangers_aside
from slm.training.attention import use_causal_blocks
from slm.training.checkpoint import CheckpointStore, TrainingState, take_snapshot
from slm.training.compiled import compile_layers, lacking
from slm.training.compute import model_flops
from slm.training.cross_entropy import IGNORE
from slm.training.data import PackedTokens, check_corpus
from slm.training.engine import Placement, from_first, gather_bytes, gather_text, matrix_peak, place, start_engine
from slm.training.guards import Guards, GuardTripped, diagnose
from slm.training.memory import chosen
from slm.training.optimizer import build_optimizer
from slm.training.outcome import Adjustments, Failure, TrainingPaths, TrainingResult, check_build, finished
from slm.training.schedule import learning_rate_factor
from slm.training.zero import PartitionedMuonAdamW, clip, gradient_norm

#: How much the model writes of each beginning at an evaluation.
SAMPLE_TOKENS = 24


def train(
    spec: BuildSpec,
    corpus: Path,
    folder: Path,
    adjustments: Adjustments | None = None,
    device: Literal["cpu", "gpu"] | None = None,
    report: Reporter = silent,
    samples: bool = True,
) -> TrainingResult:
    """Train the spec's model on ``corpus`` until its last step, going on from the newest good checkpoint.

    :param corpus: the corpus folder (``train.bin``, ``val.bin``, tokenizer, manifest).
    :param folder: where checkpoints, logs and the result go; a finished training there is returned at once.
    :param device: where the launcher has placed this worker; without it, as the spec says and this process finds.
    :param samples: whether the model also writes a little at each evaluation, for people who follow it.
    :raises TrainingError: when a guard stops it; ``failure.json`` then names the diagnosis. Or when the folder holds
        the finished training of another build.
    """
    folder = folder.resolve()
    if (done := finished(folder, corpus)) is not None:
        check_build(done.checkpoint, spec.training_id)
        return done
    placement = place(spec.train, device)
    paths = TrainingPaths(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder) if placement.rank == 0 else contextlib.nullcontext():
        run: _Run | None = None
        try:
            run = _Run(spec, corpus.resolve(), paths, adjustments or Adjustments(), placement, report, samples)
            try:
                return run.run()
            finally:
                # However it ended, whoever holds the folder next finds nothing half written.
                run.close()
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # a panic in a library written in Rust is no Exception
            began_from = run.resumed_from.name if run is not None and run.resumed_from is not None else None
            failure = Failure(diagnosis=diagnose(error), detail=str(error), began_from=began_from)
            # Where there are others, Ray ends all of them soon after the first has failed: the launcher's task then.
            if placement.world_size == 1:
                failure = set_beginning_aside(paths, failure)
            paths.note(failure)
            raise


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the training's folder, so that a worker that outlived its launcher cannot write beside its successor.

    Such a worker ends within seconds of Ray's noticing, hence the patience.

    :raises TrainingError: when another process still holds it after two minutes.
    """
    try:
        with exclusive_lock(folder / "lock", patience=120.0):
            yield
    except TimeoutError:
        raise TrainingError(
            f"Another process trains in {folder}.", "End it, then run the same command again."
        ) from None


class _Run:
    """One attempt, from the newest good checkpoint to the last step."""

    def __init__(
        self,
        spec: BuildSpec,
        corpus: Path,
        paths: TrainingPaths,
        adjustments: Adjustments,
        placement: Placement,
        report: Reporter,
        samples: bool,
    ) -> None:
        train_spec = spec.train
        self.spec, self.paths, self.placement, self.report = spec, paths, placement, report
        self.corpus = corpus
        self.adjustments = adjustments
        self.samples = samples
        self.planned = chosen(spec, "gpu" if placement.device.type == "cuda" else "cpu", placement.precision)
        # The largest part that the plan's micro-batch can be cut into; the launcher's plan, for a device that it does
        # not see, may have been of another.
        wanted = max(1, self.planned.micro_batch // adjustments.micro_batch_divisor)
        self.micro_batch = next(size for size in range(wanted, 0, -1) if self.planned.micro_batch % size == 0)
        self.accumulation = self.planned.accumulation * self.planned.micro_batch // self.micro_batch
        self.batch = train_spec.micro_batch * train_spec.accumulation * train_spec.workers
        self.short_steps = min(round(train_spec.context_warmup * spec.steps), spec.steps - 1)
        self.warmup = min(round(train_spec.warmup_steps * adjustments.warmup_scale), max(1, spec.steps // 2))

        if self.leads:
            check_corpus(corpus)
        self.data = PackedTokens(corpus, "train", spec.model.context, spec.model.vocab_size, train_spec.seed)
        self.model = build_model(spec.model, train_spec.seed)
        self.model.to(placement.device)
        if placement.device.type == "cpu":
            if self.lines_apart:  # plain products: torch's fused attention, given a mask, takes longer there
                self.model.set_attn_implementation("eager")
            else:
                use_causal_blocks(self.model)
        if train_spec.gradient_checkpointing:
            self.model.gradient_checkpointing_enable()
        self.optimizer = build_optimizer(self.model, train_spec)
        if train_spec.zero:
            self.optimizer = PartitionedMuonAdamW(self.optimizer)
        for group in self.optimizer.param_groups:
            group["top_lr"] *= adjustments.learning_rate_scale
        self.store = CheckpointStore(paths.checkpoints, corpus, train_spec.keep_checkpoints)
        self.guards = Guards(train_spec.guards)
        self.state = TrainingState(step=0, sequences=0, loss=math.nan, validation_perplexity=None)
        self.resumed_from: Path | None = None
        self.writer: SummaryWriter | None = None

    @property
    def lines_apart(self) -> bool:
        """Whether a row holds lines of an edition, which do not see each other."""
        return self.spec.corpus.edition is not None

    @property
    def leads(self) -> bool:
        """Whether this worker writes and reports."""
        return self.placement.rank == 0

    def run(self) -> TrainingResult:
        spec, placement = self.spec, self.placement
        self.engine = start_engine(
            self.model,
            self.optimizer,
            placement,
            self.micro_batch,
            self.accumulation,
            spec.train.zero,
            self.lines_apart,
        )
        self.peak = matrix_peak(placement)
        # After everything that draws random numbers of its own, so that a resumed state is the uninterrupted one.
        torch.manual_seed(spec.train.seed + placement.rank)
        words: list[str] = []
        if (step := self._newest(words.append)) is not None:
            self.resumed_from = newest = self.store.at(step)
            self.state = self.store.restore(newest, self.model, self.optimizer, placement)
            if spec.train.zero:
                self.engine.optimizer.refresh_fp32_params()  # each worker's part has copies of its own of the weights
            words.append(f"going on from checkpoint {newest.name}")
        elif words:
            words.append("no checkpoint is left to go on from: starting from the first step")
        if self.leads:
            # What a lost attempt drew beyond its last checkpoint is drawn anew.
            self.writer = SummaryWriter(str(self.paths.folder / "tensorboard"), purge_step=self.state.step + 1)
        words.append(
            f"{spec.model.parameters / 1e6:.2f} M parameters, {spec.steps} steps of {spec.batch_tokens} tokens, "
            f"micro-batch {self.micro_batch} × {self.accumulation}, "
            f"{placement.precision} on {placement.world_size} × {placement.device.type}, recipe {spec.train.recipe}"
        )
        if spec.train.compile:
            words.append(self._compile())
        if placement.device.type == "cuda" and (needs := self.planned.memory.total) >= spec.train.device_memory:
            limit = f"train.device_memory_gb={spec.train.device_memory_gb:g}"
            words.append(f"by the plan it needs {needs / 1e9:.1f} GB, more than {limit} allows")
        self._say("train", "; ".join(words))

        since, since_step, losses = time.perf_counter(), self.state.step, 0.0
        for step in range(self.state.step, spec.steps):
            self.store.check()
            factor = learning_rate_factor(
                step,
                spec.steps,
                self.warmup,
                spec.train.schedule,
                spec.train.decay_fraction,
                spec.train.final_fraction,
            )
            for group in self.optimizer.param_groups:
                group["lr"] = group["top_lr"] * factor
            loss, norm = self._step(step)
            losses += loss
            done = step + 1
            self.state = TrainingState(
                step=done, sequences=self.state.sequences + self.batch, loss=loss, validation_perplexity=None
            )
            if done % spec.train.log_every == 0 or done == spec.steps:
                now = time.perf_counter()  # what the log takes counts, with the steps after it
                self._log(done, losses / (done - since_step), norm, factor, (done - since_step) / (now - since))
                since, since_step, losses = now, done, 0.0
            last = done == spec.steps
            if last or done % spec.train.evaluate_every == 0:
                began = time.perf_counter()
                # Compiled code is for the shapes of a step; an evaluation has many, each met once or twice.
                with torch.compiler.set_stance("force_eager"):
                    self._evaluate(done)
                since += time.perf_counter() - began
            if last or done % spec.train.checkpoint_every == 0:
                began = time.perf_counter()
                self._save()
                waited = time.perf_counter() - began
                since += waited
                self._write(done, {"save_seconds": waited})
        return self._finish()

    def close(self) -> None:
        """Wait for what is still being written, and end the threads that write."""
        try:
            self.store.close()
        finally:
            if self.writer is not None:
                self.writer.close()

    def _compile(self) -> str:
        """Let the layers be compiled on every worker or on none, and return the words for it."""
        reasons = gather_text(lacking(self.placement.device) or "", self.placement)
        for rank, reason in enumerate(reasons):
            if reason:
                where = f"worker {rank}: " if self.placement.world_size > 1 else ""
                return f"layers are not compiled (train.compile): {where}{reason}"
        compile_layers(self.model)
        return "compiling the layers, half a minute the first time"

    def _newest(self, say: Callable[[str], None]) -> int | None:
        """Return the step to go on from, if any. Rank 0 looks for all: what each saw of a shared disk might differ."""
        found = None
        if self.leads:
            set_strangers_aside(self.paths.checkpoints, self.corpus, self.spec.training_id, say)
            found = latest(self.paths.checkpoints, say)
        step = from_first(int(found.name.removeprefix("step-")) if found is not None else -1, self.placement)
        return step if step >= 0 else None

    def _step(self, step: int) -> tuple[float, float]:
        """Run one optimizer step; return its mean loss (nats a token) and gradient norm, both over all workers."""
        spec, placement = self.spec, self.placement
        inputs, targets = self.data.rows(self.state.sequences, self.batch)
        # Every worker knows the whole batch's count of targets, so that the mean is over exactly those, however the
        # batch is cut. The engine divides by accumulation and workers; multiply those back.
        counted = int((targets != IGNORE).sum())
        scale = self.accumulation * placement.world_size / counted
        total = torch.zeros((), device=placement.device)
        for micro in range(self.accumulation):
            first = (micro * placement.world_size + placement.rank) * self.micro_batch
            rows = slice(first, first + self.micro_batch)
            mine = (block[rows].view(-1, self._context(step)).to(placement.device) for block in (inputs, targets))
            loss = self.engine(*mine)
            self.engine.backward(loss * scale)
            total += loss.detach()
            if micro < self.accumulation - 1:
                self.engine.step()
        if placement.world_size > 1:
            torch.distributed.all_reduce(total)
        mean = float(total) / counted
        if spec.train.zero:
            norm = gradient_norm(self.engine.optimizer)
        else:
            norm = torch.nn.utils.get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None])
        self.guards.check(step, mean, float(norm))
        if spec.train.zero:
            clip(self.engine.optimizer, spec.train.clip_norm, norm)
        else:
            torch.nn.utils.clip_grads_with_norm_(self.model.parameters(), spec.train.clip_norm, norm)
        self.engine.step()
        return mean, float(norm)

    def _context(self, step: int) -> int:
        """Return the context of optimizer step ``step`` (0-based)."""
        return self.spec.model.context // (2 if step < self.short_steps else 1)

    def _log(self, step: int, loss: float, norm: float, factor: float, steps_per_second: float) -> None:
        if not self.leads:
            return
        spec = self.spec
        tokens_per_second = steps_per_second * spec.batch_tokens
        as_trained = spec.model.model_copy(update={"context": self._context(step - 1)})
        utilisation = model_flops(as_trained) * tokens_per_second / (self.peak * self.placement.world_size)
        if self.placement.device.type == "cuda":
            memory = torch.cuda.max_memory_allocated(self.placement.device)
        else:
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        top = self.optimizer.param_groups[0]["top_lr"]
        figures = {
            "loss": loss,
            "learning_rate": top * factor,
            "gradient_norm": norm,
            "tokens_per_second": tokens_per_second,
            "mfu": utilisation,
            "memory_gb": memory / 1e9,
        }
        self._write(step, figures)
        left = (spec.steps - step) / steps_per_second
        self.report(
            Progress(
                "train",
                step,
                spec.steps,
                "steps",
                f"loss {loss:.3f}, {tokens_per_second:,.0f} tokens/s, MFU {utilisation:.0%}, "
                f"{int(left // 60)}:{int(left % 60):02d} left",
            )
        )

    def _evaluate(self, step: int) -> None:
        if not self.leads:
            return
        split = read_manifest(self.corpus).info
        score = evaluate_split(
            self.model,
            self.corpus / "val.bin",
            split["dtype"],
            self.spec.model.context,
            split["splits"]["val"]["bytes"],
            max_tokens=self.spec.train.evaluate_tokens,
            lines_apart=self.lines_apart,
        )
        self.state = self.state.model_copy(update={"validation_perplexity": score.perplexity})
        self._write(step, {"validation_perplexity": score.perplexity, "validation_bits_per_byte": score.bits_per_byte})
        if math.isnan(score.perplexity):
            # Before the save, so that a retry goes on from weights that can be measured.
            raise GuardTripped(
                "diverged", f"Step {step}: the validation perplexity is not a number; nothing was saved."
            )
        self._say("validate", f"perplexity {score.perplexity:.2f}, {score.bits_per_byte:.3f} bits per byte")
        if self.samples:
            self._sample(step)
        self.model.train()

    def _sample(self, step: int) -> None:
        """Let the model write a little, for people who follow it: in ``samples.jsonl`` and in TensorBoard."""
        tokenizer = load_tokenizer(self.corpus)
        beginnings = self.spec.questions if self.lines_apart else BEGINNINGS
        for number, beginning in enumerate(beginnings):
            if len(tokens_of(tokenizer, beginning)) + SAMPLE_TOKENS > self.spec.model.context:
                continue
            # What training attends with knows no cache.
            text = continued(self.model, tokenizer, beginning, number, SAMPLE_TOKENS, cached=False)
            append_line(self.paths.samples, json.dumps({"step": step, "prompt": beginning, "text": text}))
            if self.writer is not None:
                self.writer.add_text(f"sample {number}", f"{beginning} … {text}", step)

    def _save(self) -> None:
        everyone = {"rank": gather_bytes(torch.get_rng_state(), self.placement)}
        if self.placement.device.type == "cuda":
            everyone["cuda"] = gather_bytes(torch.cuda.get_rng_state(self.placement.device), self.placement)
        if isinstance(self.optimizer, PartitionedMuonAdamW):
            self.optimizer.collect()
        if not self.leads:
            return
        if not all(bool(weight.isfinite().all()) for weight in self.model.parameters()):
            raise GuardTripped("diverged", f"Step {self.state.step}: weights are not finite; nothing was saved.")
        random = {f"{kind}{rank}": value for kind, states in everyone.items() for rank, value in enumerate(states)}
        self.store.wait()  # before the copy is made: one at most lies beside the training
        self.store.save(
            take_snapshot(self.model, self.optimizer.state_dict(), random, self.state), self.spec.training_id
        )

    def _finish(self) -> TrainingResult:
        self.store.wait()
        # Only rank 0 has measured; the others' result is never read.
        best, state = self.paths.checkpoints, self.state
        if self.leads:
            found = self.store.best(lambda words: self._say("train", words))
            if found is None:
                raise ArtefactError(f"{self.paths.checkpoints} holds no whole checkpoint with a measured perplexity.")
            best, state = found, TrainingState.model_validate(read_json(found / "state.json"))
        result = TrainingResult(
            checkpoint=best,
            step=state.step,
            steps=self.spec.steps,
            loss=state.loss,
            validation_perplexity=state.validation_perplexity or math.nan,
            precision=self.placement.precision,
        )
        if self.leads:
            write_json(self.paths.result, result.model_dump(mode="json"))
        return result

    def _write(self, step: int, figures: dict[str, Any]) -> None:
        if not self.leads:
            return
        append_line(self.paths.log, json.dumps({"step": step, **figures}))
        if self.writer is not None:
            for name, value in figures.items():
                self.writer.add_scalar(name, value, step)

    def _say(self, stage: str, text: str) -> None:
        if self.leads:
            self.report(Progress(stage, self.state.step, self.spec.steps, "steps", text))
