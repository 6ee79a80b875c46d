"""``python -m agents.status [BUILD]``: how the builds stand, read from their folders; Ray need not run."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from agents import console
from agents.builds import build_names, read_state
from agents.dossier import curve_lines
from agents.journal import Entry, Journal
from agents.standing import EXIT, Standing, standing
from agents.state import BuildState
from agents.trials import result_lines
from slm.layout import Layout, here

#: Seconds between two looks of ``--watch``.
_EVERY = 2.0

EPILOG = (
    "exit status, with BUILD: "
    + ", ".join(f"{code} {state}" for state, code in EXIT.items())
    + "; 2 a wrong command or no such build. Without BUILD: 0."
)


def all_states(layout: Layout) -> list[BuildState]:
    """Return every build's state, the one touched last first."""
    return [read_state(layout.build(build)) for build in build_names(layout)]


def main(argv: Sequence[str] | None = None) -> int:
    """Report on all builds, or on one."""
    parser = argparse.ArgumentParser(prog="python -m agents.status", description=__doc__, epilog=EPILOG)
    parser.add_argument("build", nargs="?", help="one build; without it, all of them")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="a JSON list of objects")
    how.add_argument("--watch", action="store_true", help="look again until the build no longer runs")
    how.add_argument("--journal", action="store_true", help="every decision, by whom, and what came of it")
    how.add_argument("--html", type=Path, metavar="FILE", help="write one page with curves, gates, samples and journal")
    arguments = parser.parse_args(argv)
    if not arguments.build and (arguments.watch or arguments.journal or arguments.html):
        parser.error("name a build")
    return console.guarded(lambda: _run(arguments, here()))


def _run(arguments: argparse.Namespace, layout: Layout) -> int:
    if not arguments.build:
        found = [standing(state, layout) for state in all_states(layout)]
        if arguments.json:
            _print_json(found)
        else:
            _show_all(found)
        return 0
    now = standing(read_state(layout.build(arguments.build)), layout)
    if arguments.json:
        _print_json([now])
    elif arguments.journal:
        _show_journal(Journal(layout.build(now.state.build), "status").entries())
    elif arguments.html:
        from agents.page import write_page  # draws with matplotlib, which is slow to import

        write_page(now, layout, arguments.html)
        print(arguments.html)
    elif arguments.watch:
        now = _watch(now, layout)
    else:
        _show_one(now, layout)
    return EXIT[now.state.state]


def _print_json(found: Sequence[Standing]) -> None:
    print(json.dumps([each.describe() for each in found], indent=1, allow_nan=False))


def _show_one(now: Standing, layout: Layout) -> None:
    console.show_build(now.state, layout, [])
    out = Console(highlight=False, soft_wrap=True)
    for line in [*_working(now), *result_lines(now.search), *curve_lines(now.curves)]:
        out.print(console.told(f"  {line}"))
    for entry in Journal(layout.build(now.state.build), "status").entries():
        by = "" if entry.by == "rule" else f" (by {entry.by})"
        came = f" ⇒ {entry.came}" if entry.came else ""
        out.print(console.told(f"  {entry.agent}: {entry.saw} → {entry.decided}{by}{came}"))


def _working(now: Standing) -> list[str]:
    """Say which iteration and attempt is at work, and on what; nothing when the build does not run."""
    if now.state.state != "running":
        return []
    iteration = f"iteration {now.state.iteration} ({now.state.plan.words()}), " if now.state.iterations else ""
    attempt = f", attempt {now.attempt}" if now.attempt else ""
    return [f"{iteration}stage {now.state.stage}{attempt}", *([now.work] if now.work else [])]


def _watch(now: Standing, layout: Layout) -> Standing:
    """Follow a build until it no longer runs: a line at the bottom of a terminal, a line a change elsewhere."""
    out = Console(highlight=False, soft_wrap=True)
    said = ""
    while now.state.state == "running":
        line = " · ".join(_working(now))
        if out.is_terminal:
            print(f"\r\033[K{console.shown(line)[: out.width - 1]}", end="", flush=True)
        elif line != said:
            print(console.shown(line), flush=True)
        said = line
        time.sleep(_EVERY)
        now = standing(read_state(layout.build(now.state.build)), layout)
    if said and out.is_terminal:
        print()
    _show_one(now, layout)
    return now


def _show_journal(entries: Sequence[Entry]) -> None:
    out = Console(highlight=False, soft_wrap=True)
    for entry in entries:
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(entry.time))
        out.print(f"[bold]{when}  {console.told(entry.agent)}[/], by {console.told(entry.by)}")
        for name, text in (("saw", entry.saw), ("decided", entry.decided), ("came of it", entry.came)):
            if text:
                out.print(f"  {name:<11} {console.told(text)}")


def _show_all(found: Sequence[Standing]) -> None:
    out = Console(highlight=False)
    if not found:
        out.print("no builds yet; `python -m agents.manager` makes one")
        return
    table = Table()
    for column in ("build", "state", "stage", "iteration", "gates", "at work", "tag"):
        table.add_column(column)
    for now in found:
        state = now.state
        gates = f"{sum(gate.passed for gate in state.gates)}/{len(state.gates)}" if state.gates else "–"
        work = console.told(now.work) or "–"
        table.add_row(state.build, state.state, state.stage, str(state.iteration), gates, work, state.tag or "–")
    out.print(table)


if __name__ == "__main__":
    sys.exit(main())
