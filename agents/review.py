"""``python -m agents.review list|show|approve|reject``: a person's answer to builds that wait for one."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from agents import console
from agents.builds import load_build, read_state
from agents.dossier import curve_lines, read_dossier, spec_lines
from agents.manager import finish
from agents.state import Decision
from agents.status import all_states
from agents.stores import store_of
from slm.errors import BuildError, UsageError
from slm.layout import Layout, here


def main(argv: Sequence[str] | None = None) -> int:
    """List the builds that wait, show one, approve it (it is then committed and exported) or reject it."""
    parser = argparse.ArgumentParser(prog="python -m agents.review", description=main.__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="the builds that wait for review")
    for verb, what in (
        ("show", "gates, curves, samples, lineage, and the last accepted model beside it"),
        ("approve", "accept: commit, tag and export; needs --reason when a gate failed"),
        ("reject", "reject; needs --reason"),
    ):
        sub = verbs.add_parser(verb, help=what)
        sub.add_argument("build")
        if verb != "show":
            sub.add_argument("--reason", default="", help="goes into the journal and the commit")
            sub.add_argument("--iteration", type=int, metavar="N", help="which iteration's model; the waiting one's")
            sub.add_argument("--by", metavar="NAME", help="who decides; your user name when not said")
            sub.add_argument("--address", metavar="auto|local|HOST", help="the Ray cluster; local starts one here")
        if verb == "reject":
            sub.add_argument("--final", action="store_true", help="try no other plan, whatever the spec allows")
    arguments = parser.parse_args(argv)
    return console.guarded(lambda: _run(arguments, here()))


def _run(arguments: argparse.Namespace, layout: Layout) -> int:
    match arguments.verb:
        case "list":
            return _list(layout)
        case "show":
            return _show(layout, arguments.build)
        case verb:
            final = verb == "reject" and arguments.final
            by, reason = _line(getpass.getuser() if arguments.by is None else arguments.by), _line(arguments.reason)
            decision = Decision(approved=verb == "approve", by=by, reason=reason, final=final)
            return _decide(layout, arguments.build, decision, arguments.iteration, arguments.address)


def _line(text: str) -> str:
    """Bring a text into one line: in the commit, and in the card's lists, a line of its own says something else."""
    return " ".join(text.split())


def _list(layout: Layout) -> int:
    waiting = [state.build for state in all_states(layout) if state.state == "waiting"]
    print("\n".join(waiting) if waiting else "no build waits for review")
    return 0


def _show(layout: Layout, build: str) -> int:
    state = read_state(layout.build(build))
    dossier = read_dossier(state, layout)
    out = Console(highlight=False, soft_wrap=True)
    for line in [*spec_lines(state, layout), *curve_lines(dossier.curves)]:
        out.print(console.told(line))
    console.show_build(state, layout, [])
    if dossier.figures:
        comparison = Table(title="beside the last accepted model of its name", title_justify="left")
        for column in ("figure", state.build, dossier.last or "none other"):
            comparison.add_column(console.told(column))
        for figure in dossier.figures:
            comparison.add_row(*map(console.told, figure))
        out.print(comparison)
    for row in dossier.lineage:
        out.print(console.told(f"{row.kind:<11} {row.name:<28} {row.files:>3} files {row.megabytes:>8.1f} MB"))
    if dossier.broken:
        out.print(console.told(f"lineage: {dossier.broken}"))
    written = dossier.evaluation.coherence if dossier.evaluation else None
    for sample in written.samples if written else []:
        out.print(f"\n[bold]{console.told(sample.prompt)}[/]{console.told(sample.text)}")
    return 0


def _decide(layout: Layout, build: str, decision: Decision, iteration: int | None, address: str | None) -> int:
    state = read_state(layout.build(build))
    if state.state != "waiting":
        raise BuildError(f"The build {build} is {state.state}; it does not wait for review.")
    if iteration not in (None, state.iteration):
        raise BuildError(
            f"Iteration {state.iteration} of {build} waits for review, not iteration {iteration}.",
            "Look at its model before you decide.",
        )
    decision = decision.model_copy(update={"iteration": state.iteration})
    failed = [gate.name for gate in state.gates if not gate.passed]
    if not decision.by:
        raise UsageError("A decision needs the name of who gives it.", "Add --by NAME; it goes into the commit.")
    if not decision.approved and not decision.reason:
        raise UsageError("A rejection needs a reason.", 'Add --reason "…"; it goes into the journal.')
    if decision.approved and failed and not decision.reason:
        raise UsageError(
            f"Gates failed ({', '.join(failed)}); to approve all the same needs a reason.",
            'Add --reason "…"; it goes into the commit.',
        )
    if (address or os.environ.get("RAY_ADDRESS") or "local") == "local":
        store_of(layout, build)  # which says so at once where this environment names another store than the build's
    spec = load_build(layout, build)
    return finish(spec, layout, address, decision)


if __name__ == "__main__":
    sys.exit(main())
