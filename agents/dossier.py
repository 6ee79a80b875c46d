"""All that a person reads of a build before judging it: curves, samples, the last accepted model beside it, lineage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from agents.builds import load_build
from agents.curves import Curves, read_curves, thinned
from agents.journal import Entry, Journal
from agents.state import BuildState
from slm.errors import AutonError
from slm.evaluation.figures import Evaluation
from slm.evaluation.gates import in_words
from slm.files import read_json
from slm.layout import Layout
from slm.lineage import read_manifest, trace
from slm.training.outcome import TrainingPaths

_BARS = "▁▂▃▄▅▆▇█"


class Figure(NamedTuple):
    """One figure of this model and, where there is one, of the last accepted model of its name."""

    name: str
    this: str
    last: str


class LineageRow(NamedTuple):
    """One link of the chain behind a checkpoint."""

    kind: str
    name: str
    files: int
    megabytes: float


@dataclass(frozen=True)
class Dossier:
    """A build as its files tell of it; what is not there yet is empty."""

    state: BuildState
    curves: Curves
    #: The curves of the iterations before, with their numbers.
    earlier: list[tuple[int, Curves]]
    evaluation: Evaluation | None
    #: The last accepted model's build; empty when there is none, or it is this one.
    last: str
    figures: list[Figure]
    lineage: list[LineageRow]
    #: Why the lineage cannot be told, or what of it is not here.
    broken: str
    journal: list[Entry]


def read_dossier(state: BuildState, layout: Layout) -> Dossier:
    """Read a build's files."""
    place = layout.iteration(state.build, state.iteration)
    evaluation = read_evaluation(place / "evaluation.json")
    last, before = _last_accepted(state, layout)
    lineage, broken = _lineage(state)
    return Dossier(
        state=state,
        curves=curves_of(state, layout, state.iteration),
        earlier=[(number, curves_of(state, layout, number)) for number in range(1, state.iteration)],
        evaluation=evaluation,
        last=last,
        figures=_figures(evaluation, before),
        lineage=lineage,
        broken=broken,
        journal=Journal(layout.build(state.build), "status").entries(),
    )


def curves_of(state: BuildState, layout: Layout, iteration: int) -> Curves:
    """Read the curves of one iteration."""
    return read_curves(TrainingPaths(layout.training(state.build, iteration)).log)


def spark(values: Sequence[float], width: int = 40) -> str:
    """Draw values as a line of bars, the lowest to the highest."""
    shown = [value for value in thinned(values, width) if math.isfinite(value)]
    if not shown:
        return ""
    low, span = min(shown), max(shown) - min(shown)
    return "".join(_BARS[round((value - low) / span * (len(_BARS) - 1)) if span else 0] for value in shown)


def curve_lines(curves: Curves) -> list[str]:
    """Say both curves, a line each."""
    lines = []
    if curves.loss:
        losses = [loss for _, loss in curves.loss]
        lines.append(f"training loss    {losses[0]:8.3f} {spark(losses)} {losses[-1]:.3f} at step {curves.steps:,}")
    if curves.validation:
        bits = [figure for _, _, figure in curves.validation]
        step, perplexity, last = curves.validation[-1]
        lines.append(
            f"validation bits  {bits[0]:8.3f} {spark(bits)} {last:.3f} at step {step:,}, perplexity {perplexity:.2f}"
        )
    return lines


def read_evaluation(path: Path) -> Evaluation | None:
    """Read an ``evaluation.json``; nothing when there is none yet, or it is of another version."""
    try:
        return Evaluation.model_validate(read_json(path))
    except (AutonError, ValidationError):
        return None


def _last_accepted(state: BuildState, layout: Layout) -> tuple[str, Evaluation | None]:
    folder = layout.registry / state.spec
    try:
        build = read_manifest(folder).name
    except AutonError:
        return "", None
    return ("", None) if build == state.build else (build, read_evaluation(folder / "evaluation.json"))


def _figures(this: Evaluation | None, last: Evaluation | None) -> list[Figure]:
    def of(evaluation: Evaluation | None) -> list[tuple[str, str]]:
        if evaluation is None:
            return []
        test, written, answered = evaluation.test, evaluation.coherence, evaluation.edition
        return [
            ("weights, MB", f"{evaluation.weight_bytes / 1e6:.2f}"),
            ("test perplexity", f"{test.perplexity:.2f}" if test else "not measured"),
            ("test bits per byte", f"{test.bits_per_byte:.4f}" if test else "not measured"),
            ("next token top-1", f"{test.top1:.1%}" if test else "not measured"),
            ("next token top-5", f"{test.top5:.1%}" if test else "not measured"),
            *([("distinct 3-grams", f"{written.distinct_trigrams:.0%}")] if written else []),
            *([("known ids", f"{answered.known_ids:.1%}")] if answered else []),
            *([("phrasings", f"{answered.phrasings:.1%}")] if answered else []),
            *((figure, f"{value:.3f}") for figure, value in evaluation.benchmark.items() if figure.endswith("top1")),
        ]

    before = dict(of(last))
    return [Figure(name, value, before.get(name, "–")) for name, value in of(this)]


def _lineage(state: BuildState) -> tuple[list[LineageRow], str]:
    if not state.checkpoint:
        return [], "no checkpoint yet"
    try:
        links, missing = trace(Path(state.checkpoint))
    except AutonError as error:
        return [], error.what
    return [LineageRow(link.kind, link.name, link.files, link.bytes / 1e6) for link in links], "; ".join(missing)


def spec_lines(state: BuildState, layout: Layout) -> list[str]:
    """Say what the build makes, in a few words; nothing when its spec is of another version."""
    try:
        spec = load_build(layout, state.build)
    except AutonError:
        return []
    return [
        f"{spec.model.parameters / 1e6:.2f} M parameters, {spec.train.tokens:,} training tokens, {in_words(spec.gates)}"
    ]
