"""A search's trials: which are made, what of each is written down, and which is the best.

``search.jsonl`` in the build's folder has a line for each round of a trial that has ended. It is all that a search
which was cut off needs to go on: the trials are the same every time, and a round that is written down is not trained
again.
"""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from agents.plan import Changes, Found, planned
from slm.files import append_line
from slm.spec import LEAST_TRIAL_STEPS, BuildSpec
from slm.training.guards import Diagnosis

#: The best rate of a training falls with its length, as its tokens to the power of minus this. nano's best over 10
#: steps is 2.2 times its rate over 1757, over 50 steps 1.9 times (docs/notebook.md).
HORIZON = 0.15
#: More rounds than these would begin with ever shorter ones.
MOST_ROUNDS = 3


class Trial(BaseModel):
    """One point of the search."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    number: int
    values: Found


class Round(BaseModel):
    """One training of a trial, from its first step to the end of a schedule of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    trial: int
    #: Counted from 1.
    round: int
    values: Found
    tokens: int
    seconds: float
    #: On the validation split; None when it did not get to its end.
    bits_per_byte: float | None = None
    #: Why it did not.
    ended: Diagnosis | None = None

    def words(self) -> str:
        """Say what it was, and what came of it."""
        came = f"{self.bits_per_byte:.4f} bits per byte" if self.bits_per_byte is not None else self.ended
        return f"trial {self.trial} ({self.values.words()}), {self.tokens:,} tokens: {came}"


class Record:
    """A search's ``search.jsonl``."""

    def __init__(self, folder: Path) -> None:
        """Read and write below the build's ``folder``."""
        self._path = folder / "search.jsonl"

    def add(self, ended: Round) -> None:
        """Write a round down."""
        append_line(self._path, ended.model_dump_json())

    def rounds(self) -> list[Round]:
        """Return the rounds that have ended, in that order; a line that a crash cut short is passed over."""
        found: dict[tuple[int, int], Round] = {}
        for line in (
            self._path.read_text(encoding="utf-8", errors="replace").splitlines() if self._path.exists() else []
        ):
            with contextlib.suppress(ValueError):
                ended = Round.model_validate_json(line)
                found.setdefault((ended.trial, ended.round), ended)
        return list(found.values())


def proposed(spec: BuildSpec) -> list[Trial]:
    """Return a search's trials: the spec's own values, then as many drawn as there are left, by the training's seed.

    The logarithm of the rates' bounds is cut into equal parts, and one factor is drawn from each: evenly distributed,
    and never all from one end.
    """
    search = spec.search
    assert search is not None
    draw = random.Random(spec.train.seed)
    own = spec.batch_tokens // spec.model.context
    low, high = map(math.log, search.learning_rate)
    parts = search.trials - 1
    factors = [math.exp(low + (part + draw.random()) * (high - low) / parts) for part in range(parts)]
    draw.shuffle(factors)
    batches = search.batch or [own]
    drawn = [Found(learning_rate=float(f"{factor:.4g}"), batch=draw.choice(batches)) for factor in factors]
    values = [Found(learning_rate=1.0, batch=own), *drawn]
    return [Trial(number=number, values=each) for number, each in enumerate(values, 1)]


def lengths(spec: BuildSpec) -> list[int]:
    """Return the tokens of each round, the first and shortest first."""
    search = spec.search
    assert search is not None
    least = LEAST_TRIAL_STEPS * spec.model.context * max([spec.batch_tokens // spec.model.context, *search.batch])
    found = [spec.trial_tokens]
    while len(found) < MOST_ROUNDS and found[0] // search.reduction >= least:
        found.insert(0, found[0] // search.reduction)
    return found


def expected_tokens(spec: BuildSpec) -> tuple[int, int]:
    """Return about how many training tokens a search takes, and how many at the most."""
    search = spec.search
    assert search is not None
    expected, going = 0, search.trials
    for tokens in lengths(spec):
        expected += going * tokens
        going = _going_on(going, search.reduction)
    return expected, search.trials * sum(lengths(spec))


def _going_on(trials: int, reduction: int) -> int:
    """Return how many of so many trials, in a random order, go on to the next round.

    More than one in ``reduction``: each is held against those before it, and the first against none.
    """
    others = range(2, trials + 1)
    return round(1 + sum(1 / reduction + (1 - 2 / reduction) / place for place in others))


def trial_spec(spec: BuildSpec, values: Found, tokens: int) -> BuildSpec:
    """Return the build spec of one round of a trial: the training that the values would have, on few tokens.

    Its rates are as much higher as suits its length, and its whole schedule is a share of its steps, the warm-up too.
    It is measured once, at its end, on no more than half as many validation tokens as it was trained on. One worker
    takes the whole batch.
    """
    plan = planned(spec, Changes(found=values))
    steps = max(1, tokens // plan.batch_tokens)
    higher = (plan.train.tokens / tokens) ** HORIZON
    train = plan.train.model_copy(
        update={
            "tokens": tokens,
            "learning_rate": plan.train.learning_rate * higher,
            "matrix_learning_rate": plan.train.matrix_learning_rate * higher,
            "warmup_steps": round(plan.train.warmup_steps * steps / plan.steps),
            "accumulation": plan.train.accumulation * plan.train.workers,
            "workers": 1,
            "zero": 0,
            "compile": False,  # it takes as long as a trial
            "evaluate_every": steps,
            "evaluate_tokens": min(plan.train.evaluate_tokens, tokens // 2),
            "checkpoint_every": steps,
            "keep_checkpoints": 1,
        }
    )
    return plan.model_copy(update={"train": train})


def winner(rounds: Iterable[Round]) -> Round | None:
    """Return the best of the longest rounds that any trial has come to the end of; nothing when none has."""
    measured = [each for each in rounds if each.bits_per_byte is not None]
    furthest = max((each.round for each in measured), default=0)
    last = [each for each in measured if each.round == furthest]
    return min(last, key=lambda each: (each.bits_per_byte or math.inf, each.trial), default=None)


def result_lines(rounds: Sequence[Round]) -> list[str]:
    """Say what came of every trial, the best first: the last round that it ended."""
    last = {each.trial: each for each in sorted(rounds, key=lambda each: each.round)}
    best = winner(rounds)
    ranked = sorted(
        last.values(),
        key=lambda each: (each != best, -each.round, math.inf if each.bits_per_byte is None else each.bits_per_byte),
    )
    return [f"{each.words()}{' ← the best' if each == best else ''}" for each in ranked]
