"""A build as one page: it loads nothing, runs nothing, and escapes whatever models, people and advisers wrote."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from agents.curves import Curves
from agents.dossier import Dossier, read_dossier
from agents.standing import Standing, clock
from agents.trials import result_lines
from slm.corpus.report.markup import Html, document, element, facts, joined, safe, table
from slm.corpus.report.pictures import picture
from slm.errors import BuildError
from slm.files import atomic_write
from slm.layout import Layout


def write_page(now: Standing, layout: Layout, out: Path) -> None:
    """Write the page of a build to ``out``.

    :raises BuildError: when that cannot be written.
    """
    content = page(now, read_dossier(now.state, layout))
    try:
        with atomic_write(out, "w") as file:
            file.write(content)
    except OSError as error:
        raise BuildError(f"{out} cannot be written: {error.strerror}.", "Choose another file.") from error


def page(now: Standing, dossier: Dossier) -> str:
    """Return the whole page."""
    sections = [
        summary(now),
        element("p", f"Read at {_at(time.time())}."),
        _section("Search", search(now)) if now.search else Html(""),
        _section("Curves", pictures(named_curves(dossier))),
        _section("Gates", gates(dossier)),
        _section("Iterations", iterations(dossier)) if dossier.state.iterations else Html(""),
        _section("Beside the last accepted model", comparison(dossier)),
        _section("Samples", samples(dossier)),
        _section("Lineage", lineage(dossier)),
        _section("Journal", journal(dossier)),
    ]
    return document(f"The build {dossier.state.build}", joined(sections))


def _section(title: str, content: Html) -> Html:
    return Html(f"<section>\n{element('h2', title)}\n{content}\n</section>")


def summary(now: Standing) -> Html:
    """Say how a build stands."""
    state, loss, bits = now.state, now.curves.loss, now.curves.validation
    rows = [
        ("State", state.state),
        ("Stage", state.stage),
        ("Iteration", f"{state.iteration}: {state.plan.words()}"),
        ("Attempt", now.attempt or "–"),
        ("At work", now.work or "–"),
        ("Time left in the stage", "–" if now.seconds_left is None else clock(now.seconds_left)),
        ("Training loss", f"{loss[-1][1]:.3f} nats a token at step {loss[-1][0]:,}" if loss else "–"),
        ("Validation", f"{bits[-1][2]:.4f} bits per byte at step {bits[-1][0]:,}" if bits else "–"),
        ("Commit", f"{state.commit[:10]}, tag {state.tag}" if state.commit else "–"),
        ("Reasons", "; ".join(state.reasons) or "–"),
        ("Error", state.error or "–"),
    ]
    return facts(rows)


def named_curves(dossier: Dossier) -> list[tuple[str, Curves]]:
    """Return the curves of all iterations, with their names."""
    numbered = [*dossier.earlier, (dossier.state.iteration, dossier.curves)]
    return [(f"iteration {number}", curves) for number, curves in numbered]


def pictures(drawn: Sequence[tuple[str, Curves]]) -> Html:
    """Draw curves, each with its name where there are several."""
    several = len(drawn) > 1

    def loss(axes: Axes) -> None:
        for name, curves in drawn:
            if curves.loss:
                axes.plot(*zip(*curves.loss, strict=True), label=name if several else "training", linewidth=1)
        axes.set(xlabel="step", ylabel="training loss, nats a token")
        axes.legend()

    def validation(axes: Axes) -> None:
        for name, curves in drawn:
            if curves.validation:
                points = [(step, bits) for step, _, bits in curves.validation]
                axes.plot(*zip(*points, strict=True), marker="o", label=name if several else "validation", linewidth=1)
        axes.set(xlabel="step", ylabel="validation, bits per byte")
        axes.legend()

    made = []
    if any(curves.loss for _, curves in drawn):
        made.append(picture("loss", f"Training loss by step. {_last(drawn[-1][1])}", loss))
    if any(curves.validation for _, curves in drawn):
        made.append(picture("validation", f"Validation bits per byte by step. {_last(drawn[-1][1])}", validation))
    return joined(made) if made else element("p", "Nothing was trained yet.")


def _last(curves: Curves) -> str:
    return f"The last step is {curves.steps}."


def gates(dossier: Dossier) -> Html:
    """List the gates."""
    rows = [(gate.name, gate.threshold, gate.detail, "pass" if gate.passed else "FAIL") for gate in dossier.state.gates]
    return table(("gate", "threshold", "measured", "verdict"), rows)


def search(now: Standing) -> Html:
    """List the trials of the search before the training, the best first."""
    return joined([element("p", line) for line in result_lines(now.search)])


def iterations(dossier: Dossier) -> Html:
    """List the plans so far, and what came of each."""
    rows = [
        (
            each.number,
            each.changes.words(),
            f"{each.why} ({each.by})" if each.why else each.by,
            each.tokens,
            "–" if each.bits_per_byte is None else f"{each.bits_per_byte:.4f}",
            ", ".join(each.failed) or "–",
        )
        for each in dossier.state.iterations
    ]
    return table(("iteration", "plan", "why", "tokens", "validation bits per byte", "gates failed"), rows)


def comparison(dossier: Dossier) -> Html:
    """Put the figures beside those of the last accepted model."""
    if not dossier.figures:
        return element("p", "Nothing was measured yet.")
    other = dossier.last or "no other accepted model"
    return table(("figure", dossier.state.build, other), dossier.figures)


def samples(dossier: Dossier) -> Html:
    """Show how the model went on from some beginnings."""
    written = dossier.evaluation.coherence if dossier.evaluation else None
    if written is None:
        return element("p", "None.")
    return joined(
        Html(f"<pre>{element('strong', sample.prompt)}{safe(sample.text)}</pre>") for sample in written.samples
    )


def lineage(dossier: Dossier) -> Html:
    """List what the checkpoint was made from."""
    rows = [(row.kind, row.name, row.files, f"{row.megabytes:.1f} MB") for row in dossier.lineage]
    said = [element("p", dossier.broken)] if dossier.broken else []
    return joined([table(("kind", "name", "files", "size"), rows), *said])


def journal(dossier: Dossier) -> Html:
    """List every decision."""
    rows = [
        (_at(entry.time), entry.agent, entry.saw, entry.decided, entry.by, entry.came or "–")
        for entry in dossier.journal
    ]
    return table(("when", "agent", "saw", "decided", "by", "what came of it"), rows)


def _at(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
