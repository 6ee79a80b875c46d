"""The faults: what each does to a build, by real means, and the only ends that are right after it."""

from __future__ import annotations

import contextlib
import math
import random
import resource
import shutil
import subprocess
import tempfile
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file

from slm.lineage import MANIFEST
from tests.campaign.fault import EVERY, LONG, STEPS, Fault, accepted, reported
from tests.campaign.scene import Reference, Scene, altered_corpus, rewrite_manifest
from tests.small import SMALL


class Killed(Fault):
    name = "worker kill -9"
    ray_share = 0.4

    def judge(self, scene: Scene, reference: Reference) -> str:
        at, times = self.rng.randrange(1, STEPS - 10), self.rng.choice([1, 1, 2, 3])
        self.drew = f"step {at}, {times} ×"

        def kill(attempt: int) -> None:
            if (worker := scene.worker()) and attempt <= times and scene.reached(at):
                worker.kill()

        scene.during = kill
        outcome = scene.build()
        if times == 3:
            return reported(outcome, 3, "lost_worker")
        return accepted(scene, reference, outcome, *[("lost_worker",)] * times, same=True)


class Flipped(Fault):
    name = "flipped byte in a checkpoint"

    def judge(self, scene: Scene, reference: Reference) -> str:
        at, both = self.rng.randrange(2 * EVERY + 2, STEPS - 5), self.rng.random() < 0.3
        flipped: list[Path] = []

        def kill(attempt: int) -> None:
            if attempt == 1 and (worker := scene.worker()) and scene.reached(at):
                worker.kill()

        def flip(attempt: int) -> None:
            if attempt == 2:
                for folder in scene.checkpoints()[-2 if both else -1 :]:
                    file = self.rng.choice(sorted(path for path in folder.iterdir() if path.is_file()))
                    content = bytearray(file.read_bytes())
                    content[self.rng.randrange(len(content))] ^= 1 << self.rng.randrange(8)
                    file.write_bytes(content)
                    flipped.append(file)

        scene.during, scene.before = kill, flip
        outcome = scene.build()
        self.drew = f"step {at}, " + ", ".join(f"{file.parent.name}/{file.name}" for file in flipped)
        # A byte of a manifest's remarks may pass unseen: it hashes the other files, not itself.
        unsaid = [
            file
            for file in flipped
            if file.name != MANIFEST and not scene.said(f"{file.parent.name} is damaged and is passed over")
        ]
        if unsaid:
            return f"{outcome}; no word of {unsaid}"
        return accepted(scene, reference, outcome, ("lost_worker",), same=True)


class FlippedBest(Fault):
    name = "flipped byte in the result"

    def judge(self, scene: Scene, reference: Reference) -> str:
        first = scene.build()
        if wrong := accepted(scene, reference, first, same=True):
            return wrong
        assert first.checkpoint is not None
        file = first.checkpoint / self.rng.choice(["model.safetensors", "optimizer.pt", "config.json"])
        self.drew = f"{file.parent.name}/{file.name}"
        content = bytearray(file.read_bytes())
        content[self.rng.randrange(len(content))] ^= 1 << self.rng.randrange(8)
        file.write_bytes(content)
        return accepted(scene, reference, scene.build(), same=True)


class Spoilt(Fault):
    """A checkpoint whose manifest holds and whose weights do not: what a step that went wrong unseen leaves."""

    right: ClassVar[tuple[str, ...]]
    #: Whether the ruin may take until after the next checkpoint to show, and so all attempts.
    may_report: ClassVar[bool] = False

    @abstractmethod
    def spoil(self, folder: Path) -> None:
        """Alter the files of a checkpoint."""

    def judge(self, scene: Scene, reference: Reference) -> str:
        at = self.rng.randrange(EVERY + 2, STEPS - 5)
        self.drew = f"step {at}" + self.drew

        def kill(attempt: int) -> None:
            if attempt == 1 and (worker := scene.worker()) and scene.reached(at) and scene.saved():
                worker.kill()

        def spoil(attempt: int) -> None:
            if attempt == 2:
                self.spoil(scene.checkpoints()[-1])
                rewrite_manifest(scene.checkpoints()[-1])

        scene.during, scene.before = kill, spoil
        outcome = scene.build()
        if self.may_report and not reported(outcome, 3, "lost_worker", *self.right):
            return ""
        if not scene.said("led straight here and is set aside"):
            return f"{outcome}; the spoilt checkpoint was not set aside"
        return accepted(scene, reference, outcome, ("lost_worker",), self.right)


class NotANumber(Spoilt):
    name = "NaN loss"
    right = ("diverged",)

    def spoil(self, folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        victim = self.rng.choice(sorted(weights))
        weights[victim].view(-1)[self.rng.randrange(weights[victim].numel())] = math.nan
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


class Exploding(Spoilt):
    name = "exploding gradient"
    right = ("exploded", "diverged")

    def spoil(self, folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        for name, value in weights.items():
            if name == "model.norm.weight":
                value *= 10 ** self.rng.uniform(4, 8)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


class RuinousMoments(Spoilt):
    name = "exploding update"
    may_report = True
    right = ("exploded", "diverged")

    def spoil(self, folder: Path) -> None:
        # The step's own loss and gradient are fine; what it leaves is not.
        state = torch.load(folder / "optimizer.pt", weights_only=True)
        factor = 10 ** self.rng.uniform(6, 12)
        for moments in state["state"].values():
            moments["exp_avg"] *= factor
        torch.save(state, folder / "optimizer.pt")


class Plateau(Fault):
    name = "plateau"

    @property
    def settings(self) -> dict[str, Any]:
        return LONG

    def corpus(self, corpus: Path, folder: Path) -> Path:
        seed = self.rng.randrange(2**32)

        def noise(tokens: npt.NDArray[np.uint16]) -> None:
            tokens[:] = np.random.default_rng(seed).integers(4, SMALL.vocab_size, len(tokens))

        return altered_corpus(corpus, folder, noise)

    def judge(self, scene: Scene, reference: Reference) -> str:
        outcome = scene.build()
        # Noise can look like progress until the last step; the gates then see that nothing was learned.
        if outcome.report == "gates perplexity" and set(outcome.diagnoses) == {"stalled"}:
            return ""
        return reported(outcome, 3, "stalled")


class OutOfMemory(Fault):
    """A limit on the worker's memory (``RLIMIT_DATA``), lasting, as that of a machine is.

    Above what a worker has before its first step, a whole micro-batch takes about 230 MB, half of one 120.
    """

    name = "out of memory"
    ray_share = 0.4

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.megabytes = rng.choice([25, 160])

    @property
    def settings(self) -> dict[str, Any]:
        return {"micro_batch": 128, "tokens": 64 * 128 * 20}

    def judge(self, scene: Scene, reference: Reference) -> str:
        self.drew = f"{self.megabytes} MB"

        def limit(attempt: int) -> None:
            if (worker := scene.worker()) and scene.began():
                bound = worker.memory_info().data + self.megabytes * 2**20
                resource.prlimit(worker.pid, resource.RLIMIT_DATA, (bound, bound))

        scene.during = limit
        outcome = scene.build()
        if "out_of_memory" not in outcome.diagnoses:
            return f"{outcome}; should have run out of memory"
        # A thread that finds no room for its stack says nothing of memory: that attempt is rightly unknown.
        right = ("out_of_memory", "unknown")
        if self.megabytes < 100:
            return reported(outcome, 3, *right)
        # How much the allocator holds back differs from run to run; a second halving may be needed.
        return accepted(scene, reference, outcome, *[right] * max(1, min(2, len(outcome.diagnoses))))


@contextlib.contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """Have a real file system of 64 MB at ``folder``."""
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


class FullDisk(Fault):
    name = "full disk on save"

    @classmethod
    def lacks(cls) -> str:
        refused = contextlib.suppress(subprocess.CalledProcessError)
        with tempfile.TemporaryDirectory() as folder, refused, _disk(Path(folder)):
            return ""
        return "the right to mount a small file system, which is root's (or: unshare --user --map-root-user --mount)"

    @contextlib.contextmanager
    def around(self, home: Path) -> Iterator[None]:
        home.mkdir(parents=True)
        with _disk(home):
            yield

    def judge(self, scene: Scene, reference: Reference) -> str:
        at = self.rng.randrange(1, STEPS - EVERY - 1)
        ballast = scene.home / "ballast"
        left = self.rng.choice([0, 4096, 100_000, 400_000])
        self.drew = f"step {at}, {left} bytes left"

        def fill(attempt: int) -> None:
            if scene.reached(at):
                with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
                    while (free := shutil.disk_usage(scene.home).free) > left:
                        file.write(bytes(min(free - left, 2**20)))

        scene.during = fill
        outcome = scene.build()
        # The agents' records may lie on the full disk too; then the error itself is the report.
        if outcome.report != "DiskFullError" and (wrong := reported(outcome, 1, "disk_full")):
            return wrong
        ballast.unlink()
        scene.during = lambda attempt: None
        return accepted(scene, reference, scene.build(), same=True)


class Poisoned(Fault):
    name = "poisoned data shard"

    def corpus(self, corpus: Path, folder: Path) -> Path:
        return altered_corpus(corpus, folder, lambda tokens: None)

    def judge(self, scene: Scene, reference: Reference) -> str:
        when = self.rng.choice(["before the start", "while it trains", "while it trains, then a kill"])
        token = self.rng.choice([self.rng.randrange(SMALL.vocab_size), 60_000])
        at = self.rng.randrange(1, STEPS // 2)
        self.drew = f"token {token} {when}, step {at}"

        def strike() -> None:
            tokens = np.memmap(scene.corpus / "train.bin", dtype="<u2", mode="r+")
            first = self.rng.randrange(len(tokens) // 2)
            tokens[first : first + len(tokens) // 3] = token

        def strike_at_step(attempt: int) -> None:
            if attempt == 1 and scene.reached(at):
                strike()
                # After the next save is due: it must not count, whether or not the attempt lives to say so.
                if "kill" in when and (worker := scene.worker()) and scene.reached((at // EVERY + 1) * EVERY + 1):
                    worker.kill()

        whole = (scene.corpus / "train.bin").read_bytes()
        if when == "before the start":
            strike()
        else:
            scene.during = strike_at_step
        outcome = scene.build()
        killed = "kill" in when and outcome.diagnoses[:1] == ["lost_worker"]
        wrong = reported(outcome, 2, "lost_worker", "bad_data") if killed else reported(outcome, 1, "bad_data")
        if wrong or outcome.diagnoses[-1] != "bad_data":
            return wrong or f"{outcome}; the damage was not named"
        # Mended, it goes on, and with nothing of what was learned from the poison.
        (scene.corpus / "train.bin").write_bytes(whole)
        scene.during = lambda attempt: None
        return accepted(scene, reference, scene.build(), same=True)


class TooFast(Fault):
    name = "absurd learning rate: too high"

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.rate = rng.choice([1e3, 1e6, 1e30])

    @property
    def settings(self) -> dict[str, Any]:
        return {"learning_rate": self.rate}

    def judge(self, scene: Scene, reference: Reference) -> str:
        self.drew = f"{self.rate:g}"
        return reported(scene.build(), 3, "diverged", "exploded", "stalled")


class TooFastByRepairs(Fault):
    """A rate so high that one repair, or two, make of it one that trains.

    Under a guard of 12 the gradient explodes within ten steps, so before the first checkpoint. Whether it still does
    at 0.3 of the rate hangs on the processor's arithmetic; at 0.09 it does not. The loss takes longer to fall at such a
    rate than the plateau's guard would wait elsewhere.
    """

    name = "learning rate too high by one repair or two"

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.rate = rng.choice([2.0, 3.0])

    @property
    def settings(self) -> dict[str, Any]:
        return {"learning_rate": self.rate, "guards": {"patience_steps": STEPS, "max_gradient_norm": 12.0}}

    def judge(self, scene: Scene, reference: Reference) -> str:
        self.drew = f"{self.rate:g}"
        outcome = scene.build()
        repairs = min(max(len(outcome.diagnoses), 1), 2)
        if wrong := accepted(scene, reference, outcome, *[("exploded",)] * repairs):
            return wrong
        scale = outcome.attempts[-1].adjustments.learning_rate_scale
        return "" if math.isclose(scale, 0.3**repairs) else f"{outcome}; learning rate × {scale:g}"


class TooSlow(Fault):
    name = "absurd learning rate: too low"

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.rate = rng.choice([1e-9, 1e-12])

    @property
    def settings(self) -> dict[str, Any]:
        return {"learning_rate": self.rate, **LONG}

    def judge(self, scene: Scene, reference: Reference) -> str:
        self.drew = f"{self.rate:g}"
        return reported(scene.build(), 3, "stalled")


FAULTS: tuple[type[Fault], ...] = (
    NotANumber,
    Exploding,
    RuinousMoments,
    Plateau,
    OutOfMemory,
    Killed,
    FullDisk,
    Flipped,
    FlippedBest,
    Poisoned,
    TooFast,
    TooFastByRepairs,
    TooSlow,
)
