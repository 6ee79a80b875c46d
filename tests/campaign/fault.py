"""What a fault is: a campaign's build, what the machine must have, and how it must end."""

from __future__ import annotations

import contextlib
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from slm.spec import BuildSpec
from slm.training.outcome import Adjustments
from tests.campaign.scene import Outcome, Reference, Scene, perplexity
from tests.small import SMALL

STEPS = 80
EVERY = 10
#: How much worse than an undisturbed training with the same adjustments an accepted model may be.
BOUND = 1.25
#: Perplexity of undisturbed trainings is about 310, with a tenth of the learning rate 380; of guessing, 1024.
GATE = 500
TRAIN: dict[str, Any] = {
    "recipe": "adamw",
    "tokens": 64 * 8 * STEPS,
    "micro_batch": 8,
    "learning_rate": 1e-2,
    "warmup_steps": 5,
    "schedule": "wsd",
    "precision": "fp32",
    "device": "cpu",
    "log_every": 1,
    "evaluate_every": EVERY,
    "evaluate_tokens": 2000,
    "checkpoint_every": EVERY,
    "guards": {"patience_steps": 40},
}
#: Enough steps for a plateau to be seen in each of three attempts.
LONG: dict[str, Any] = {"tokens": 64 * 8 * 600, "decay_fraction": 0.1, "guards": {"patience_steps": 30}}


def small_build(**train: Any) -> BuildSpec:
    """A build of the small corpus, of some seconds."""
    corpus = {
        "name": "small",
        "tokens": 50_000,
        "shares": {"os_code": 1.0},
        "sources": [{"bucket": "os_code", "origin": {"folder": "a"}, "extract": "text"}],
        "devices": {"kernel": {"folder": "b"}, "exchanges": 0},
    }
    return BuildSpec.model_validate(
        {
            "name": "campaign",
            "model": SMALL.model_dump(),
            "corpus": corpus,
            "train": {**TRAIN, **train},
            "gates": {"perplexity": GATE, "distinct_trigrams": 0.0},
        }
    )


class Fault(ABC):
    """Something that goes wrong in one build. All chance comes from ``rng``."""

    name: ClassVar[str]
    #: Of how many campaigns the attempts run through Ray Train, as in a real build, rather than as processes alone.
    ray_share: ClassVar[float] = 0.0

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.on_ray = rng.random() < self.ray_share
        #: What was drawn, in words.
        self.drew = ""

    @classmethod
    def lacks(cls) -> str:
        """Say what the machine lacks for this fault, if anything."""
        return ""

    @property
    def settings(self) -> dict[str, Any]:
        """Training settings of the spec that the fault is made of."""
        return {}

    def corpus(self, corpus: Path, folder: Path) -> Path:
        """Return the corpus to train on: the one given, or one of its own in ``folder``."""
        return corpus

    @contextlib.contextmanager
    def around(self, home: Path) -> Iterator[None]:
        """Hold what the machine must have while the campaign runs."""
        yield

    @abstractmethod
    def judge(self, scene: Scene, reference: Reference) -> str:
        """Run the build, and say what was wrong with how it ended; nothing when it was right."""


def reported(outcome: Outcome, attempts: int, *diagnoses: str) -> str:
    """Say what is wrong when the build should have been given up after so many attempts, each so diagnosed."""
    right = len(outcome.diagnoses) == attempts and set(outcome.diagnoses) <= set(diagnoses)
    if outcome.report != "gave up" or not right:
        return f"{outcome}; should be reported after {attempts} × {' or '.join(diagnoses)}"
    return ""


def accepted(
    scene: Scene, reference: Reference, outcome: Outcome, *diagnoses: tuple[str, ...], same: bool = False
) -> str:
    """Say what is wrong when the build should have been accepted after failures so diagnosed, with a good model.

    The model is held against an undisturbed training under the adjustments of its last attempt.

    :param diagnoses: for each failed attempt, the diagnoses that are right.
    :param same: whether nothing but time may have been lost: the weights are then the undisturbed ones, bit for bit.
    """
    right = len(outcome.diagnoses) == len(diagnoses) and all(
        found in wanted for found, wanted in zip(outcome.diagnoses, diagnoses, strict=False)
    )
    if outcome.report or not right:
        return f"{outcome}; should be accepted after {[' or '.join(wanted) for wanted in diagnoses]}"
    assert outcome.checkpoint is not None
    adjustments = Adjustments() if same else outcome.attempts[-1].adjustments
    good = reference.checkpoint(scene.spec, adjustments, scene.threads)
    ours, theirs = perplexity(outcome.checkpoint, scene.corpus), perplexity(good, scene.corpus)
    if not ours <= BOUND * theirs:
        return f"BAD MODEL ACCEPTED: perplexity {ours:.1f}, undisturbed {theirs:.1f}"
    weights = [(folder / "model.safetensors").read_bytes() for folder in (outcome.checkpoint, good)]
    if same and weights[0] != weights[1]:
        return "accepted, with other weights than undisturbed"
    return ""
