"""``python -m agents.status [BUILD] [--json]``: how the builds stand, read from their folders; Ray need not run."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agents import console
from agents.builds import read_state
from agents.journal import Journal
from agents.state import BuildState
from slm.layout import Layout, here


def describe(state: BuildState) -> dict[str, Any]:
    """Return a build's state as other programs read it."""
    content = state.model_dump(mode="json")
    keys = ("build", "spec", "state", "stage", "commit", "tag", "exports", "error")
    gates = [
        # JSON has no NaN, which is what a model that does not load measures.
        {**{key: gate[key] for key in ("name", "threshold", "passed")}, "value": finite(gate["value"])}
        for gate in content["gates"]
    ]
    return {**{key: content[key] for key in keys}, "gates": gates}


def finite(value: float) -> float | None:
    """Return ``value``, or nothing when it is no finite number."""
    return value if math.isfinite(value) else None


def all_states(layout: Layout) -> list[BuildState]:
    """Return every build's state, the one touched last first."""
    files = sorted(layout.runs.glob("*/build.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    return [read_state(file.parent) for file in files]


def main(argv: Sequence[str] | None = None) -> int:
    """Report on all builds, or on one."""
    parser = argparse.ArgumentParser(prog="python -m agents.status", description=__doc__)
    parser.add_argument("build", nargs="?", help="one build; without it, all of them")
    parser.add_argument("--json", action="store_true", help="a JSON list of objects")
    arguments = parser.parse_args(argv)
    return console.guarded(lambda: _run(arguments, here()))


def _run(arguments: argparse.Namespace, layout: Layout) -> int:
    states = [read_state(layout.build(arguments.build))] if arguments.build else all_states(layout)
    if arguments.json:
        print(json.dumps([describe(state) for state in states], indent=1, allow_nan=False))
    elif arguments.build:
        _show_one(states[0], layout)
    else:
        _show_all(states)
    return 0


def _show_one(state: BuildState, layout: Layout) -> None:
    console.show_build(state, layout, [])
    out = Console(highlight=False, soft_wrap=True)
    journal = Journal(layout.build(state.build), "status")
    if state.state == "running" and (progress := journal.latest()):
        out.print(escape(f"  {progress}"))
    for entry in journal.entries():
        by = "" if entry.by == "rule" else f" (by {entry.by})"
        out.print(escape(f"  {entry.agent}: {entry.saw} → {entry.decided}{by}"))


def _show_all(states: Sequence[BuildState]) -> None:
    out = Console(highlight=False)
    if not states:
        out.print("no builds yet; `python -m agents.manager` makes one")
        return
    table = Table()
    for column in ("build", "state", "stage", "gates", "tag"):
        table.add_column(column)
    for state in states:
        gates = f"{sum(gate.passed for gate in state.gates)}/{len(state.gates)}" if state.gates else "–"
        table.add_row(state.build, state.state, state.stage, gates, state.tag or "–")
    out.print(table)


if __name__ == "__main__":
    sys.exit(main())
