"""An iteration's plan: the spec with some of it changed, and what a change must not exceed."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, ValidationError

from slm.spec import BoundsSpec, Bucket, BuildSpec, IterateSpec

_RATES = ("learning_rate", "matrix_learning_rate")


class Found(BaseModel):
    """What the best trial of a search had (:mod:`agents.trials`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    #: Both learning rates, as a factor of the spec's.
    learning_rate: float
    #: Sequences a step.
    batch: int

    def words(self) -> str:
        """Say it as a person would."""
        return f"learning rate × {self.learning_rate:.3g}, batch {self.batch}"


class Changes(BaseModel):
    """Where a plan differs from its build's spec; all of it against the spec, not against the plan before."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    #: What was found before the first iteration. It stays, and the learning rate of a later plan is a factor of it.
    found: Found | None = None
    #: ``train.tokens``.
    tokens: int | None = None
    #: Both learning rates, as a factor of the spec's, or of those found.
    learning_rate: float | None = None
    #: ``corpus.shares``.
    shares: dict[Bucket, float] | None = None
    #: ``corpus.tokens``.
    text: int | None = None
    #: ``model.layers``.
    layers: int | None = None

    def words(self) -> str:
        """Say the changes as a person would."""
        mix = ", ".join(f"{bucket} {share:.0%}" for bucket, share in (self.shares or {}).items())
        said = [
            f"{self.found.words()} (searched)" if self.found is not None else "",
            f"{self.tokens:,} training tokens" if self.tokens is not None else "",
            f"learning rate × {self.learning_rate:g}" if self.learning_rate is not None else "",
            f"mix {mix}" if mix else "",
            f"a corpus of {self.text:,} tokens" if self.text is not None else "",
            f"{self.layers} layers" if self.layers is not None else "",
        ]
        return ", ".join(filter(None, said)) or "as specified"


def planned(spec: BuildSpec, changes: Changes) -> BuildSpec:
    """Return the spec of a plan; without changes the build's own.

    What is measured on stays the spec's: validation and test have its mix and its size, whatever training reads.

    :raises ValidationError: when the changes make no spec.
    """
    if changes == Changes():
        return spec
    content = spec.model_dump(mode="json", exclude={"iterate": True, "search": True})
    train, corpus, model = content["train"], content["corpus"], content["model"]
    if changes.found is not None:
        for rate in _RATES:
            train[rate] *= changes.found.learning_rate
        train["micro_batch"], train["accumulation"] = cut(changes.found.batch // spec.train.workers, spec)
    if changes.tokens is not None:
        train["tokens"] = changes.tokens
    if changes.learning_rate is not None:
        for rate in _RATES:
            train[rate] *= changes.learning_rate
    if changes.layers is not None:
        model["layers"] = changes.layers
    if changes.shares is not None or changes.text is not None:
        corpus.setdefault("measured", {"shares": corpus["shares"], "tokens": corpus["tokens"]})
        corpus["shares"] = corpus["shares"] if changes.shares is None else changes.shares
        corpus["tokens"] = corpus["tokens"] if changes.text is None else changes.text
    return BuildSpec.model_validate(content)


def cut(sequences: int, spec: BuildSpec) -> tuple[int, int]:
    """Cut a worker's sequences of a step: into micro-batches no larger than the spec's, and how many of them."""
    sizes = range(min(spec.train.micro_batch, sequences), 0, -1)
    micro_batch = next(size for size in sizes if sequences % size == 0)
    return micro_batch, sequences // micro_batch


class Left(BaseModel):
    """What is left of a build's budget, and how fast it trains; without a budget, infinite."""

    model_config = ConfigDict(frozen=True)
    tokens: float = math.inf
    seconds: float = math.inf
    #: Training tokens a second of the last iteration, and its weights; None when it did not get to a log line.
    rate: float | None = None
    parameters: int = 0

    def lacks(self, plan: BuildSpec) -> str:
        """Say what a plan's training needs that is not left; nothing when all is."""
        if plan.train.tokens > self.tokens:
            return f"it needs {plan.train.tokens:,} training tokens, and {max(0, self.tokens):,.0f} are left"
        if self.seconds <= 0:
            return "no time is left"
        if self.rate and math.isfinite(self.seconds):
            needed = plan.train.tokens / self.rate * plan.model.parameters / self.parameters
            if needed > self.seconds:
                return f"it needs about {needed / 3600:.2f} h of training, and {self.seconds / 3600:.2f} h are left"
        return ""


def left_of(iterate: IterateSpec, used_tokens: int, used_seconds: float, rate: float | None, parameters: int) -> Left:
    """Return what is left of a budget."""
    budget = iterate.budget
    return Left(
        tokens=math.inf if budget.tokens is None else budget.tokens - used_tokens,
        seconds=math.inf if budget.hours is None else budget.hours * 3600 - used_seconds,
        rate=rate,
        parameters=parameters,
    )


def problems(spec: BuildSpec, before: Changes, after: Changes, left: Left) -> list[str]:
    """Say in words why a plan must not follow another; nothing when it may.

    :param before: the changes of the iteration that was rejected.
    :param after: those proposed.
    """
    if after == before:
        return ["it changes nothing"]
    found = [*_outside(spec, spec.iterate.bounds, after), *_backwards(spec, before, after)]
    if found:
        return found
    try:
        plan = planned(spec, after)
    except ValidationError as error:
        return [str(item["msg"]).removeprefix("Value error, ") for item in error.errors()]
    most = spec.iterate.bounds.size * spec.model.parameters
    if plan.model.parameters > most:
        found.append(f"{after.layers} layers are {plan.model.parameters:,} weights; at most {most:,.0f}")
    if lack := left.lacks(plan):
        found.append(lack)
    return found


def _outside(spec: BuildSpec, bounds: BoundsSpec, after: Changes) -> list[str]:
    found = []
    for name, value, own, factor in (
        ("train.tokens", after.tokens, spec.train.tokens, bounds.tokens),
        ("corpus.tokens", after.text, spec.corpus.tokens, bounds.text),
    ):
        if value is not None and value > own * factor:
            found.append(f"{name} {value:,} is above {own * factor:,.0f}, {factor:g} times the spec's")
    low, high = bounds.learning_rate
    if after.learning_rate is not None and not low <= after.learning_rate <= high:
        found.append(f"learning rate × {after.learning_rate:g} is outside × {low:g} to × {high:g}")
    if after.shares is None:
        return found
    own_shares = spec.corpus.shares
    if after.shares.keys() != own_shares.keys():
        found.append(f"the mix must name {', '.join(own_shares)}")
    elif not abs(sum(after.shares.values()) - 1) < 1e-9:
        found.append(f"the mix adds up to {sum(after.shares.values()):g}, not 1")
    else:
        for bucket, share in after.shares.items():
            own_share = own_shares[bucket]
            if not (0 < share < 1 if own_share else share == 0) or abs(share - own_share) > bounds.share + 1e-9:
                found.append(f"{bucket} {share:.3f} is more than {bounds.share:g} from the spec's {own_share:.3f}")
    return found


def _backwards(spec: BuildSpec, before: Changes, after: Changes) -> list[str]:
    """Tokens, text and layers only grow: what was rejected with more of them is not tried with less."""
    return [
        f"{name} {value:,} is not above the last plan's {now:,}"
        for name, value, was, own in (
            ("train.tokens", after.tokens, before.tokens, spec.train.tokens),
            ("corpus.tokens", after.text, before.text, spec.corpus.tokens),
            ("model.layers", after.layers, before.layers, spec.model.layers),
        )
        if value != was and (value is None or value <= (now := own if was is None else was))
    ]
