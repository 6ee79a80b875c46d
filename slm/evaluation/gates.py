"""The gates: what an evaluation must show for a model to be accepted, each with its threshold and what was measured.

A gate compares so that NaN fails it: a figure passes by being inside its bounds, never by not being outside them.
"""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict

from slm.evaluation.figures import Evaluation
from slm.spec import BuildSpec, GateSpec


class Gate(BaseModel):
    """One condition, and whether it holds."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")
    name: str
    #: What is asked for, as a person would write it.
    threshold: str
    value: float
    passed: bool
    detail: str


class Verdict(BaseModel):
    """Accepted when every gate is passed; ``reasons`` says which were not, and why."""

    model_config = ConfigDict(frozen=True)
    accepted: bool
    gates: list[Gate]
    reasons: list[str]


def judge(evaluation: Evaluation, spec: BuildSpec, finished: bool) -> Verdict:
    """Judge an evaluation by the gates of ``spec``.

    :param finished: whether the training reached its end.
    """
    gates = [
        _completed(evaluation, finished),
        _loads(evaluation),
        _size(evaluation, spec),
        *_figures(evaluation, spec),
        *(_benchmark(evaluation, figure, least) for figure, least in spec.gates.benchmark.items()),
    ]
    reasons = [f"{gate.name}: {gate.detail} (asked for: {gate.threshold})" for gate in gates if not gate.passed]
    return Verdict(accepted=not reasons, gates=gates, reasons=reasons)


def _figures(evaluation: Evaluation, spec: BuildSpec) -> list[Gate]:
    """Judge what the model is for: text, or as an edition its answers."""
    gates, score = spec.gates, evaluation.edition
    asked = [_perplexity(evaluation, gates.perplexity)] if gates.perplexity is not None else []
    if spec.corpus.edition is None:
        return [*asked, _coherence(evaluation, spec)]
    if gates.known_ids is not None:
        asked.append(_answers("known_ids", gates.known_ids, (score.known_ids, score.ids) if score else None, "ids"))
    if gates.phrasings is not None:
        asked.append(_answers("phrasings", gates.phrasings, (score.phrasings, score.lines) if score else None, "lines"))
    return asked


def _answers(name: str, wanted: float, found: tuple[float, int] | None, what: str) -> Gate:
    """Compare a share of right answers, of ``(share, asked)``, with the one that is wanted."""
    share, asked = found or (math.nan, 0)
    detail = f"{share:.1%} of {asked:,} {what}" if found else "not measured: the model does not load"
    threshold = f"at least {wanted:.0%} of {what} answered right"
    return Gate(name=name, threshold=threshold, value=share, passed=share >= wanted, detail=detail)


def in_words(gates: GateSpec) -> str:
    """Say what is asked of a model, as far as its spec sets it."""
    asked = [f"test perplexity below {gates.perplexity:g}"] if gates.perplexity is not None else []
    asked += [f"{gates.known_ids:.0%} of known ids"] if gates.known_ids is not None else []
    asked += [f"{gates.phrasings:.0%} of phrasings"] if gates.phrasings is not None else []
    asked += [f"{figure} at least {least:g}" for figure, least in gates.benchmark.items()]
    return ", ".join(asked) or "that it trains, loads and has its size"


def _completed(evaluation: Evaluation, finished: bool) -> Gate:
    loss = evaluation.training_loss
    ended = "the training reached its end" if finished else "the training did not reach its end"
    state = f"training loss {loss:.3f}" if math.isfinite(loss) else f"the training loss is {loss}"
    broken = "" if evaluation.finite_weights else "; weights hold NaN or infinity"
    return Gate(
        name="completed",
        threshold="the training's end, every figure finite",
        value=loss,
        passed=finished and math.isfinite(loss) and evaluation.finite_weights,
        detail=f"{ended}; {state}{broken}",
    )


def _loads(evaluation: Evaluation) -> Gate:
    return Gate(
        name="loads",
        threshold="loads and generates from its files alone",
        value=float(not evaluation.load_problem),
        passed=not evaluation.load_problem,
        detail=evaluation.load_problem or "loaded",
    )


def _size(evaluation: Evaluation, spec: BuildSpec) -> Gate:
    """Compare the weights' file with what the spec's parameters take; its header is a fraction of a per cent."""
    expected = spec.model.parameters * evaluation.parameter_bytes
    off = evaluation.weight_bytes / expected - 1
    tolerance = spec.gates.size_tolerance
    return Gate(
        name="size",
        threshold=f"within {tolerance:.0%} of {expected / 1e6:.2f} MB",
        value=float(evaluation.weight_bytes),
        passed=abs(off) <= tolerance,
        detail=f"{evaluation.weight_bytes / 1e6:.2f} MB, {off:+.1%}",
    )


def _perplexity(evaluation: Evaluation, wanted: float) -> Gate:
    score = evaluation.test
    value = score.perplexity if score else math.nan
    detail = "not measured: the model does not load"
    if score:
        detail = f"{value:.2f} on {score.tokens:,} test tokens; {score.bits_per_byte:.3f} bits per byte"
    return Gate(
        name="perplexity",
        threshold=f"below {wanted:g}",
        value=value,
        passed=value < wanted,
        detail=detail,
    )


def _benchmark(evaluation: Evaluation, figure: str, least: float) -> Gate:
    value = evaluation.benchmark.get(figure, math.nan)
    return Gate(
        name=figure,
        threshold=f"at least {least:g}",
        value=value,
        passed=value >= least,
        detail=f"{value:.3f}" if math.isfinite(value) else "not measured: the benchmark has no such figure",
    )


def _coherence(evaluation: Evaluation, spec: BuildSpec) -> Gate:
    found = evaluation.coherence
    threshold = f"no sample empty, looping or not UTF-8; at least {spec.gates.distinct_trigrams:.0%} distinct 3-grams"
    if found is None:
        detail = "not measured: the model does not load"
        return Gate(name="coherence", threshold=threshold, value=math.nan, passed=False, detail=detail)
    return Gate(
        name="coherence",
        threshold=threshold,
        value=found.distinct_trigrams,
        passed=not (found.empty or found.looping or found.invalid)
        and found.distinct_trigrams >= spec.gates.distinct_trigrams,
        detail=f"{found.distinct_trigrams:.0%} distinct 3-grams, {found.empty} empty, {found.looping} looping, "
        f"{found.invalid} not UTF-8",
    )
