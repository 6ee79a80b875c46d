"""The page, laid out with Gradio: what is read again while it is open, and what its buttons do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from agents import standing
from agents.ui import views
from agents.ui.asking import LONGEST, ask, models
from agents.ui.decisions import LONGEST_NAME, LONGEST_REASON, Decisions, Verb
from slm.corpus.report.markup import Html, element
from slm.errors import AutonError, BuildError
from slm.layout import Layout

TITLE = "AUTON builds"

#: Seconds between two looks at the builds' folders.
_EVERY = 2.0

_FONTS = ["system-ui", "sans-serif"]
_MONOSPACE = ["ui-monospace", "monospace"]

#: Text in a live region, which a screen reader reads out when it changes.
_SAID = '<div role="status" aria-live="polite">${value}</div>'

CSS = """
:focus-visible { outline: 3px solid #2563eb !important; outline-offset: 2px !important; }
.dark :focus-visible { outline-color: #93c5fd !important; }
/* Gradio hides its clocks by making them transparent, and screen readers go on reading them. */
[data-testid=status-tracker] { display: none !important; }
button[role=tab][aria-selected=true] { color: #1d4ed8 !important; font-weight: 600; }
.dark button[role=tab][aria-selected=true] { color: #93c5fd !important; }
.gradio-container { width: 100%; max-width: 80rem !important; margin: 0 auto !important; }
.gradio-container table { border: 0 !important; border-collapse: collapse; width: auto; margin: .3rem 0 1rem; }
.gradio-container :is(th, td, tr) { border: 0 !important; }
.gradio-container :is(th, td) {
  padding: .2rem .7rem !important; text-align: left; vertical-align: top;
  border-bottom: 1px solid #8888 !important; }
.gradio-container td.n { text-align: right; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
.gradio-container svg[role=img] { width: 100%; max-width: 54rem; height: auto; }
.gradio-container svg[role=img] text { font-family: system-ui, sans-serif !important; }
.gradio-container pre { white-space: pre-wrap; overflow-wrap: anywhere; padding: .5rem; border: 1px solid #8888; }
.samples table { width: 100%; table-layout: fixed; }
.samples td { white-space: pre-wrap; overflow-wrap: anywhere; }
.samples th:first-child { width: 20%; }
.samples td:first-child { font-weight: 600; }
"""


def theme() -> gr.themes.Base:
    """Return the page's theme; its fonts are the system's, since any other would have to be fetched."""
    return gr.themes.Default(primary_hue="blue", font=_FONTS, font_mono=_MONOSPACE).set(
        # Dark enough for white letters.
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_cancel_background_fill="#b91c1c",
        button_cancel_background_fill_hover="#991b1b",
        button_cancel_background_fill_dark="#b91c1c",
    )


def screen(layout: Layout, place: Path, deciding: str) -> gr.Blocks:
    """Lay out the page.

    :param place: a folder of the page's own, for the log of what it asks.
    :param deciding: the name that a decision is given by, unless another one is written; may be empty.
    """
    decisions = Decisions(layout)

    def look(chosen: str | None, one: str | None, other: str | None, before: dict[str, Any]) -> dict[Any, Any]:
        """Read everything again, and send what has changed.

        All that depends on what is chosen comes from here: what events of their own would bring could overtake it.
        """
        found = views.listed(layout)
        names = [each.build for each in found]
        # What was asked before the first answer came knows of no choice yet; it must not undo one made since.
        chosen = chosen or before.get("chosen")
        picked = chosen not in names
        if picked and chosen:
            chosen = None  # it is gone; another one is a person's to choose
        elif picked:
            waiting = (each.build for each in found if each.state == "waiting")
            chosen = next(waiting, names[0] if names else None)
        view = views.views(layout, chosen or "")
        this = next((each for each in found if each.build == chosen), None)
        state = this.state if this else ""
        there = views.evaluated(layout, found)
        checkpoints = list(there)
        pairs = [(name, there[name]) if name and name in there else None for name in (one, other)]
        sent: dict[str, Any] = {
            "build": names,
            "state": element("p", f"{chosen} is {_in_words(state)}.") if chosen else "",
            "builds": views.builds(found),
            "summary": view.summary,
            "curves": view.curves,
            "gates": view.gates,
            "journal": view.journal,
            "review": view.review,
            "decided": _decided(decisions, chosen or "", state),
            "words": _words(decisions, chosen or ""),
            "left": checkpoints,
            "right": checkpoints,
            "compared": views.side_by_side(*pairs),
            "model": list(models(layout)),
        }
        changed = {name for name, value in sent.items() if name not in before or before[name] != value}
        updates = {parts[name]: _update(name, sent[name], first=name not in before) for name in changed}
        if picked:
            updates[build] = gr.update(choices=names, value=chosen)
        iteration = this.now.state.iteration if this and this.now else 0
        return {shown: {"chosen": chosen, "iteration": iteration, **sent}, **updates}

    def decide(verb: Verb, seen: dict[str, Any], build: str | None, by: str, reason: str, final: bool) -> Html:
        try:
            if build != seen.get("chosen"):
                raise BuildError(f"The page does not show {build} yet.", "Look at its model before you decide.")
            decisions.begin(verb, build or "", seen.get("iteration", 0), by, reason, final)
        except AutonError as error:
            return _problem(error)
        return element("p", f"{_DOING[verb]} {build}, by {by} …")

    def approve(seen: dict[str, Any], build: str | None, by: str, reason: str) -> Html:
        return decide("approve", seen, build, by, reason, False)

    def reject(seen: dict[str, Any], build: str | None, by: str, reason: str, final: bool) -> Html:
        return decide("reject", seen, build, by, reason, final)

    def put(model: str | None, question: str) -> Iterator[tuple[Html, Html]]:
        yield element("p", f"Asking {model} …"), Html("")
        try:
            answered = ask(layout, model or "", question, place)
        except AutonError as error:
            yield _problem(error), Html("")
        else:
            yield element("p", f"Answered: {answered.answer.response}"), views.answer(answered)

    with gr.Blocks(title=TITLE, analytics_enabled=False) as blocks:
        shown = gr.State({})
        gr.HTML(element("h1", TITLE))
        builds = gr.HTML()
        build = gr.Dropdown(label="Build", choices=[], filterable=False)
        state = gr.HTML(html_template=_SAID)
        with gr.Tab("Progress"), gr.Row():
            with gr.Column(scale=2, min_width=300):
                summary = gr.HTML()
            with gr.Column(scale=3, min_width=400):
                curves = gr.HTML()
        with gr.Tab("Gates"):
            gates = gr.HTML()
        with gr.Tab("Journal"):
            journal = gr.HTML()
        with gr.Tab("Review"):
            review = gr.HTML()
            by = gr.Textbox(deciding, label="Your name, which is committed", max_length=LONGEST_NAME)
            reason = gr.Textbox(
                label="Reason: needed to reject, and to approve although a gate failed", max_length=LONGEST_REASON
            )
            final = gr.Checkbox(label="When rejected, try no other plan", value=False)
            with gr.Row():
                approving = gr.Button("Approve", variant="primary")
                rejecting = gr.Button("Reject", variant="stop")
            begun = gr.HTML(html_template=_SAID)
            decided = gr.HTML(html_template=_SAID)
            words = gr.HTML()
        with gr.Tab("Samples"):
            with gr.Row():
                left = gr.Dropdown(label="One checkpoint", choices=[], filterable=False)
                right = gr.Dropdown(label="Another checkpoint", choices=[], filterable=False)
            compared = gr.HTML()
        with gr.Tab("Ask a model"):
            model = gr.Dropdown(label="Model", choices=[], filterable=False)
            question = gr.Textbox(
                label="Hardware question", placeholder="which driver for pci 8086:10d3?", max_length=LONGEST
            )
            asking = gr.Button("Ask", variant="primary")
            told = gr.HTML(html_template=_SAID)
            answered = gr.HTML()

        # By the names that `look` gives to what it sends.
        parts = {
            "build": build,
            "state": state,
            "builds": builds,
            "summary": summary,
            "curves": curves,
            "gates": gates,
            "journal": journal,
            "review": review,
            "decided": decided,
            "words": words,
            "left": left,
            "right": right,
            "compared": compared,
            "model": model,
        }
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        for happens in (blocks.load, build.change, left.change, right.change, gr.Timer(_EVERY).tick):
            happens(look, [build, left, right, shown], [shown, *parts.values()], **quiet)
        approving.click(approve, [shown, build, by, reason], begun, **quiet)
        rejecting.click(reject, [shown, build, by, reason, final], begun, **quiet)
        for happens in (asking.click, question.submit):
            happens(put, [model, question], [told, answered], **quiet)
    return blocks


_DOING: dict[Verb, str] = {"approve": "Approving", "reject": "Rejecting"}


def _in_words(state: str) -> str:
    return "waiting for review" if state == "waiting" else state


def _update(name: str, value: Any, first: bool) -> Any:
    """Return what Gradio changes a component by."""
    if name == "build":
        return gr.update(choices=value)
    if name in ("left", "right", "model"):
        # The first look chooses; after it, only a person does.
        number = 1 if name == "right" else 0
        return gr.update(choices=value, **({"value": value[min(number, len(value) - 1)]} if first and value else {}))
    return value


def _decided(decisions: Decisions, build: str, state: str) -> Html:
    """Say how the decision ended that was given here on a build, in a sentence."""
    if decisions.is_running(build):
        return element("p", f"The decision on {build} is being carried out.")
    code = decisions.ended(build)
    if code is None:
        return Html("")
    ends = {standing.EXIT[state]: _in_words(state) for state in ("accepted", "rejected", "waiting")}
    if code in ends:
        return element("p", f"The decision on {build} was carried out; it is {ends[code]}.")
    # It may have been taken, and what came after it failed: the build's own state tells.
    found = f"The command for the decision on {build} ended with an error; the build is {_in_words(state)}."
    return element("p", f"{found} {_problem_in(decisions.words(build))}")


def _problem_in(words: str) -> str:
    """Return what a command said was wrong."""
    return next((line for line in words.splitlines() if line.startswith("error:")), "Its words are below.")


def _words(decisions: Decisions, build: str) -> Html:
    words = decisions.words(build)
    return Html(f"{element('h3', 'What carrying it out said')}{element('pre', words)}") if words else Html("")


def _problem(error: AutonError) -> Html:
    return element("p", f"Not done. {error.what} {error.to_do}".rstrip())
