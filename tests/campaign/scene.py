"""One campaign: a real TrainingAgent at work in a home of its own while a fault strikes, and what came of it."""

from __future__ import annotations

import contextlib
import json
import math
import multiprocessing
import os
import shutil
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from agents.cluster import name_failure, run_training
from agents.journal import Journal
from agents.reviewer_agent import ReviewerAgent
from agents.state import Attempt
from agents.training_agent import Launch, TrainingAgent
from slm.errors import AutonError
from slm.files import sha256_file, write_json
from slm.layout import Layout
from slm.lineage import MANIFEST, FileEntry, read_manifest
from slm.machine import processors
from slm.spec import BuildSpec
from slm.training.loop import train
from slm.training.outcome import Adjustments, TrainingPaths, TrainingResult, finished
from tests.processes import command

# DeepSpeed chooses its accelerator on import, which the server of processes does beforehand.
os.environ["DS_ACCELERATOR"] = "cpu"
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["deepspeed", "tests.campaign.scene"])


@dataclass(frozen=True)
class Outcome:
    """How a build ended: in an accepted checkpoint, or in a report."""

    attempts: list[Attempt]
    #: What was reported: the agent's giving up, the gates that failed, or the error raised; nothing when accepted.
    report: str = ""
    #: An error that ended the build outside of an attempt.
    error: AutonError | None = None
    checkpoint: Path | None = None

    def __str__(self) -> str:
        failed = f" after [{', '.join(self.diagnoses)}]" if self.diagnoses else ""
        return f"reported: {self.report}{failed}" if self.report else f"accepted{failed}"

    @property
    def diagnoses(self) -> list[str]:
        """Of the attempts that failed, in their order."""
        return [attempt.diagnosis for attempt in self.attempts if attempt.diagnosis is not None]


class Scene:
    """A home folder, a spec, a corpus, and the hands that a fault has on them."""

    def __init__(self, home: Path, spec: BuildSpec, corpus: Path, on_ray: bool) -> None:
        """Prepare nothing yet; ``on_ray`` launches attempts as builds do, else each is a process of its own."""
        self.home, self.spec, self.corpus = home, spec, corpus
        self.paths = TrainingPaths(Layout(home).training(spec.build_id))
        self.run = Layout(home).build(spec.build_id)
        self.doing = "preparing"
        #: How each :meth:`build` ended.
        self.outcomes: list[Outcome] = []
        self._start: Launch = run_training if on_ray else self._fork
        self._on_ray = on_ray
        self._child: int | None = None
        #: Workers of earlier attempts, which take a moment to go, and where their log ends.
        self._seen: set[int] = set()
        self._log_start = 0
        self._events_start = 0
        #: What went wrong in the injection itself.
        self.broken = ""
        self._over = threading.Event()
        #: What happens before attempt N, and during it.
        self.before: Callable[[int], None] = lambda attempt: None
        self.during: Callable[[int], None] = lambda attempt: None

    def build(self) -> Outcome:
        """Have the agents train, as often as they see fit, and review, as the Manager does."""
        outcome = self._build()
        self.outcomes.append(outcome)
        return outcome

    def _build(self) -> Outcome:
        spec = self.spec.model_dump(mode="json")
        attempts: list[Attempt] = []
        try:
            state = TrainingAgent(str(self.home), spec, self._launch).train(str(self.corpus))
            attempts = state.attempts
            if state.gave_up:
                return Outcome(attempts, "gave up")
            self.doing = "review"
            review = ReviewerAgent(str(self.home), spec).review(state.checkpoint, str(self.corpus))
        except AutonError as error:
            return Outcome(attempts, type(error).__name__, error)
        # So small a model loops now and then; how well it writes is not what faults are about.
        failed = [gate.name for gate in review.gates if not gate.passed and gate.name != "coherence"]
        return Outcome(attempts, f"gates {', '.join(failed)}" if failed else "", checkpoint=Path(state.checkpoint))

    def _launch(
        self, spec: BuildSpec, corpus: Path, folder: Path, journal: Path, adjustments: Adjustments, attempt: int
    ) -> TrainingResult:
        self.doing = f"attempt {attempt}"
        self.before(attempt)
        self._over.clear()
        self._child = None
        self._log_start = self.paths.log.stat().st_size if self.paths.log.exists() else 0
        self._events_start = self._events.stat().st_size if self._events.exists() else 0
        watcher = threading.Thread(target=self._watch, args=(attempt,), daemon=True)
        watcher.start()
        try:
            return self._start(spec, corpus, folder, journal, adjustments, attempt)
        finally:
            self._over.set()
            watcher.join()

    def _watch(self, attempt: int) -> None:
        try:
            self.during(attempt)
        except (psutil.NoSuchProcess, ProcessLookupError):
            pass  # it ended first
        except Exception:
            self.broken = traceback.format_exc()

    def _fork(
        self, spec: BuildSpec, corpus: Path, folder: Path, journal: Path, adjustments: Adjustments, attempt: int
    ) -> TrainingResult:
        paths = TrainingPaths(folder)
        paths.failure.unlink(missing_ok=True)
        here, there = _PROCESSES.Pipe(duplex=False)
        words = (spec.model_dump_json(), str(corpus), str(folder), str(journal), adjustments.model_dump_json(), there)
        process = _PROCESSES.Process(target=_work, args=words, daemon=True)
        process.start()
        there.close()
        self._child = process.pid
        try:
            failures = [here.recv()]
        except EOFError:
            failures = []
        process.join()
        if process.exitcode or failures[0] is not None:
            raise name_failure(paths, failures)
        result = finished(folder, self.corpus)
        assert result is not None, "the attempt ended well and left nothing"
        return result

    def worker(self) -> psutil.Process | None:
        """Return the process that trains, once there is one; nothing when the attempt is over first."""
        while not self._over.wait(0.005):
            if self._child is not None:
                return psutil.Process(self._child)
            if self._on_ray:
                for process in psutil.Process().children(recursive=True):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        if process.pid not in self._seen and "RayTrainWorker" in command(process):
                            self._seen.add(process.pid)
                            return process
        return None

    @property
    def _events(self) -> Path:
        return self.run / "events.jsonl"

    def began(self) -> bool:
        """Wait for the attempt to say that its first step comes; False when it ended first."""
        while not self._over.wait(0.002):
            if self._events.exists():
                with open(self._events, "rb") as file:
                    file.seek(self._events_start)
                    if b'"stage": "train"' in file.read():
                        return True
        return False

    def reached(self, step: int) -> bool:
        """Wait for the attempt to log ``step`` or a later one; False when it ended first."""
        while not self._over.wait(0.002):
            if self.step() >= step:
                return True
        return False

    def saved(self) -> bool:
        """Wait for a complete checkpoint: one may still be being written; False when the attempt ended first."""
        while not self._over.wait(0.002):
            if self.checkpoints():
                return True
        return False

    def step(self) -> int:
        """The last step that this attempt has logged."""
        if not self.paths.log.exists():
            return 0
        with open(self.paths.log, "rb") as file:
            file.seek(self._log_start)
            lines = [line for line in file if line.endswith(b"\n")]
        return int(json.loads(lines[-1])["step"]) if lines else 0

    @property
    def threads(self) -> int:
        """How many threads an attempt computes with."""
        return processors() if self._on_ray else 1

    def checkpoints(self) -> list[Path]:
        """Complete checkpoints, oldest first."""
        return sorted(path.parent for path in self.paths.checkpoints.glob(f"step-*/{MANIFEST}"))

    def said(self, text: str) -> bool:
        """Whether the journal or the events have ``text``."""
        files = [self.run / "journal.jsonl", self._events]
        return any(text in file.read_text(encoding="utf-8") for file in files if file.exists())


def _work(spec: str, corpus: str, folder: str, journal: str, adjustments: str, back: Connection) -> None:
    torch.set_num_threads(1)
    report = Journal(Path(journal), "training").progress
    try:
        train(
            BuildSpec.model_validate_json(spec),
            Path(corpus),
            Path(folder),
            Adjustments.model_validate_json(adjustments),
            report=report,
        )
    except Exception as error:
        back.send(error)
        raise SystemExit(1) from None
    back.send(None)


class Reference:
    """Fault-free trainings, which accepted models are held against."""

    def __init__(self, folder: Path, corpus: Path) -> None:
        self._folder, self._corpus = folder, corpus
        self._known: dict[str, Path] = {}

    def checkpoint(self, spec: BuildSpec, adjustments: Adjustments, threads: int) -> Path:
        """Train ``spec`` with ``adjustments`` from the start, undisturbed, in this process; once.

        :param threads: as many as the training has that it is held against: on some processors the order in which a
            sum is taken hangs on them.
        """
        key = f"{spec.build_id}-{len(self._known)}"
        name = f"{spec.build_id} {threads} {adjustments.model_dump_json()}"
        if name not in self._known:
            before = torch.get_num_threads()
            torch.set_num_threads(threads)
            try:
                self._known[name] = train(spec, self._corpus, self._folder / key, adjustments, device="cpu").checkpoint
            finally:
                torch.set_num_threads(before)
        return self._known[name]


def perplexity(checkpoint: Path, corpus: Path) -> float:
    """Compute a checkpoint's validation perplexity with nothing of ours; NaN when its weights are not finite."""
    if not all(bool(value.isfinite().all()) for value in load_file(checkpoint / "model.safetensors").values()):
        return math.nan
    disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    context = model.config.max_position_embeddings
    ids = np.fromfile(corpus / "val.bin", dtype="<u2").astype(np.int64)
    rows = torch.from_numpy(ids[: len(ids) // context * context]).view(-1, context)
    with torch.no_grad():
        return math.exp(float(model(input_ids=rows, labels=rows).loss))


def altered_corpus(corpus: Path, out: Path, change: Callable[[npt.NDArray[np.uint16]], None]) -> Path:
    """Copy a corpus with other training tokens, of which its manifest knows."""
    shutil.copytree(corpus, out)
    tokens = np.fromfile(out / "train.bin", dtype="<u2")
    change(tokens)
    tokens.tofile(out / "train.bin")
    rewrite_manifest(out)
    return out


def rewrite_manifest(folder: Path) -> None:
    """Make an altered artefact whole: its manifest hashes what is there now."""
    manifest = read_manifest(folder)
    files = {
        name: FileEntry(sha256=sha256_file(folder / name), bytes=(folder / name).stat().st_size)
        for name in manifest.files
    }
    write_json(folder / MANIFEST, manifest.model_copy(update={"files": files}).model_dump(exclude_none=True))
