"""``python -m slm.corpus build|inspect SPEC``: build the corpus of a build spec, or show what it holds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from slm.corpus.build import build, folder_for
from slm.errors import AutonError
from slm.files import read_json
from slm.layout import here
from slm.progress import Progress
from slm.spec import load_spec


class _Shown:
    """Shows every stage as a bar of its own."""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.stages: dict[str, TaskID] = {}

    def __call__(self, progress: Progress) -> None:
        if progress.stage not in self.stages:
            self.stages[progress.stage] = self.bars.add_task(progress.stage, total=None, text="")
        text = progress.text or _amount(progress)
        total = max(progress.total, 1)
        self.bars.update(self.stages[progress.stage], completed=progress.done, total=total, text=text)


def _amount(progress: Progress) -> str:
    if progress.unit == "bytes":
        return f"{progress.done / 1e6:.0f} of {progress.total / 1e6:.0f} MB"
    return f"{progress.done:g} of {progress.total:g} {progress.unit}" if progress.unit else ""


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if rows and isinstance(rows[0][number], int | float) else "left")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    return table


def show(stats: dict[str, Any], console: Console) -> None:
    """Print a corpus's ``stats.json`` as tables."""
    rows = []
    for split, held in stats["splits"].items():
        for bucket, part in held["buckets"].items():
            share = part["tokens"] / max(held["tokens"], 1)
            repeated = part["documents"] / max(part["different_documents"], 1)
            density = part["bytes"] / max(part["tokens"], 1)
            counts = (part["tokens"], f"{share:.1%}", part["available_tokens"], part["documents"])
            rows.append((split, bucket, *counts, f"{repeated:.2f}", f"{density:.2f}"))
    columns = ("split", "bucket", "tokens", "share", "tokens there were", "documents", "times", "bytes/token")
    console.print(_table(f"The corpus {stats['name']}", columns, rows))
    totals = ", ".join(f"{split} {held['tokens']:,}" for split, held in stats["splits"].items())
    console.print(
        f"tokens: {totals}; vocabulary {stats['vocab_size']:,}, {stats['vocabulary_used']:.1%} of it in use\n"
    )
    sources = [(s["source"], s["bucket"], s["documents"], s["characters"], s["licence"]) for s in stats["sources"]]
    console.print(_table("Sources", ("source", "bucket", "documents", "characters", "licence"), sources))
    if stats["rejected"]:
        console.print(_table("Left out", ("reason", "texts"), list(stats["rejected"].items())))
    for note in stats["notes"]:
        console.print(f"note: {note}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m slm.corpus", description=__doc__)
    parser.add_argument("verb", choices=("build", "inspect"))
    parser.add_argument("spec", type=Path, help="a build spec, such as specs/builds/nano.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="override a value of the spec")
    arguments = parser.parse_args(argv)
    console = Console()
    try:
        spec = load_spec(arguments.spec, arguments.set)
        folder = folder_for(spec.corpus, spec.model.vocab_size, here().processed)
        if arguments.verb == "build":
            columns = (
                TextColumn("{task.description:>12}"),
                BarColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[text]}"),
            )
            with Bars(*columns, console=console) as bars:
                manifest = build(spec.corpus, spec.model.vocab_size, here().raw, folder, _Shown(bars))
            console.print(f"The corpus is complete: {manifest}")
        else:
            show(read_json(folder / "stats.json"), console)
    except AutonError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on where it was.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
