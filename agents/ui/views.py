"""What the page shows: markup in which everything foreign is text; a damaged build is a row that says so."""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agents import page
from agents.builds import build_names, read_state
from agents.curves import Curves
from agents.dossier import Dossier, read_dossier, read_evaluation
from agents.standing import Standing, standing
from agents.ui.asking import Answered
from slm.corpus.report.markup import Html, element, facts, joined, table
from slm.errors import AutonError
from slm.evaluation.figures import Sample
from slm.layout import Layout

#: What reading a damaged folder raises: our own words, the system's, or those of whoever parses what is no longer so.
_DAMAGE = (AutonError, OSError, ValueError, KeyError, TypeError, AttributeError)

#: Matplotlib's settings belong to the process, and Gradio answers in threads.
_drawing = threading.Lock()

#: Where an answer is from, by the server's word for it.
_SOURCES = {
    "knowledge": "the device tables beside the model",
    "model": "the model itself",
    "rules": "the kernel interface's rules, without the model",
}


@dataclass(frozen=True)
class Listed:
    """A build's folder: how it stands, or why that cannot be told."""

    build: str
    now: Standing | None
    damage: str = ""

    @property
    def state(self) -> str:
        """The build's state in a word."""
        return self.now.state.state if self.now else "damaged"


@dataclass(frozen=True)
class Views:
    """One build as the page shows it."""

    summary: Html
    curves: Html
    gates: Html
    journal: Html
    #: What a person reads before deciding.
    review: Html


def listed(layout: Layout) -> list[Listed]:
    """Read all builds, the one touched last first."""
    return [_listed(layout, build) for build in build_names(layout)]


def builds(found: Sequence[Listed]) -> Html:
    """List the builds, a row each."""
    if not found:
        return _titled(("Builds", element("p", "None yet; python -m agents.manager makes one.")))
    return _titled(("Builds", table(("build", "state", "stage", "iteration", "gates", "at work"), map(_row, found))))


def views(layout: Layout, build: str) -> Views:
    """Read all that is shown of one build."""
    if build not in build_names(layout):
        return _nothing("No build is chosen.")
    try:
        now = standing(read_state(layout.build(build)), layout)
        dossier = read_dossier(now.state, layout)
        gates = _titled(("Gates", page.gates(dossier)), ("Beside the last accepted model", page.comparison(dossier)))
        iterations = [("Iterations", page.iterations(dossier))] if dossier.state.iterations else []
        if now.search:
            iterations.insert(0, ("Search", page.search(now)))
        return Views(
            summary=page.summary(now),
            curves=_pictures(dossier),
            gates=joined([gates, _titled(*iterations, ("Lineage", page.lineage(dossier)))]),
            journal=_titled(("Journal", page.journal(dossier))),
            review=joined([gates, _titled(("Samples", page.samples(dossier)))]),
        )
    except _DAMAGE as error:
        return _nothing(f"{build} cannot be read: {_words(error)}")


def evaluated(layout: Layout, found: Sequence[Listed]) -> dict[str, Path]:
    """Return the evaluations that have samples, by the name to choose them by: a build's, or one of its iterations'."""
    there = {}
    for build in (each.build for each in found):
        first = layout.build(build) / "evaluation.json"
        if first.exists():
            there[f"{build}, iteration 1"] = first
        later = first.parent.glob("iterations/*/evaluation.json")
        for path in sorted(later, key=lambda path: (len(path.parent.name), path.parent.name)):  # 2 before 10
            there[f"{build}, iteration {path.parent.name}"] = path
    return there


def side_by_side(left: tuple[str, Path] | None, right: tuple[str, Path] | None) -> Html:
    """Put the samples of two checkpoints beside each other, a row for each beginning that either went on from."""
    if left is None or right is None:
        return element("p", "Choose two checkpoints that were evaluated.")
    told = [_texts(path) for _, path in (left, right)]
    prompts = list(dict.fromkeys(prompt for texts in told for prompt in texts))
    if not prompts:
        return element("p", "Neither has samples.")
    rows = [(prompt, *(texts.get(prompt, "–") for texts in told)) for prompt in prompts]
    return Html(f'<div class="samples">{table(("beginning", left[0], right[0]), rows)}</div>')


def answer(answered: Answered) -> Html:
    """Show an answer, and where it is from."""
    got = answered.answer
    sure = "it does not say" if got.confidence is None else f"{got.confidence:.0%}"
    return facts(
        [
            ("Question", got.question),
            ("Answer", got.response or "nothing"),
            ("Action", got.action or "–"),
            ("From", _SOURCES.get(got.source, got.source)),
            ("Confidence", sure),
            ("Model", answered.model),
        ]
    )


def _listed(layout: Layout, build: str) -> Listed:
    try:
        return Listed(build, standing(read_state(layout.build(build)), layout))
    except _DAMAGE as error:
        return Listed(build, None, _words(error))


def _row(each: Listed) -> tuple[object, ...]:
    if each.now is None:
        return (each.build, each.state, "–", "–", "–", f"cannot be read: {each.damage}")
    state = each.now.state
    passed = f"{sum(gate.passed for gate in state.gates)} of {len(state.gates)} passed" if state.gates else "–"
    return (each.build, each.state, state.stage, state.iteration, passed, each.now.work or "–")


def _titled(*sections: tuple[str, Html]) -> Html:
    return joined(part for title, content in sections for part in (element("h2", title), content))


def _nothing(why: str) -> Views:
    said = element("p", why)
    return Views(summary=said, curves=Html(""), gates=said, journal=said, review=said)


def _words(error: Exception) -> str:
    """Say in a line what is wrong; pydantic's words are many lines, of which the first says what."""
    said = error.what if isinstance(error, AutonError) else f"{type(error).__name__}: {error}"
    return said.splitlines()[0] if said else type(error).__name__


def _texts(path: Path) -> dict[str, str]:
    try:
        found = read_evaluation(path)
    except _DAMAGE:
        found = None
    samples: Sequence[Sample] = found.coherence.samples if found and found.coherence else ()
    return {sample.prompt: sample.text for sample in samples}


def _pictures(dossier: Dossier) -> Html:
    return _drawn(tuple((name, curves.model_dump_json()) for name, curves in page.named_curves(dossier)))


@functools.lru_cache(8)
def _drawn(curves: tuple[tuple[str, str], ...]) -> Html:
    """Draw curves, given as JSON; the same are asked for again and again while nothing happens."""
    with _drawing:
        return page.pictures([(name, Curves.model_validate_json(content)) for name, content in curves])
