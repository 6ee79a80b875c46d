"""``python -m slm.corpus build|inspect|sample|report SPEC``: make the corpus of a build spec, or show what it holds."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from slm.corpus.build import build, changed_since, folder_for
from slm.corpus.mix import SPLITS
from slm.corpus.report.examples import sample
from slm.corpus.report.markup import printable
from slm.errors import ArtefactError, AutonError
from slm.files import read_json
from slm.layout import here
from slm.lineage import MANIFEST
from slm.progress import Progress
from slm.spec import BUCKETS, BuildSpec
from slm.spec_file import load_spec


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
        # Text: a name from outside may look like rich's markup.
        table.add_row(*(Text(printable(f"{cell:,}" if isinstance(cell, int) else str(cell))) for cell in row))
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
    columns = ("split", "bucket", "tokens", "share", "available", "documents", "times", "bytes/token")
    console.print(_table(f"The corpus {stats['name']}", columns, rows))
    totals = ", ".join(f"{split} {held['tokens']:,}" for split, held in stats["splits"].items())
    console.print(
        f"tokens: {totals}; vocabulary {stats['vocab_size']:,}, {stats['vocabulary_used']:.1%} of it in use\n"
    )
    sources = [(s["source"], s["bucket"], s["documents"], s["characters"], s["licence"]) for s in stats["sources"]]
    console.print(_table("Sources", ("source", "bucket", "documents", "characters", "licence"), sources))
    if stats["rejected"]:
        console.print(_table("Left out", ("reason", "texts"), list(stats["rejected"].items())))
    for decision in stats["decisions"]:
        console.print(f"decided: {decision}", markup=False)
    for note in stats["notes"]:
        console.print(Text(f"note: {note}"))


def _print_sample(rows: Sequence[dict[str, Any]]) -> None:
    """Print documents, or rejected texts, each below a line for each of its fields."""
    for row in rows:
        for field in ("source", "version", "licence", "path", "bucket", "reason"):
            if row.get(field) is not None:
                print(f"{field:>8}: {printable(row[field])}")
        print(f"\n{printable(row['text'])}\n\n{'-' * 72}")


def _finished(folder: Path, spec: BuildSpec, arguments: argparse.Namespace) -> Path:
    """Return ``folder`` when the corpus in it is complete."""
    if (folder / MANIFEST).is_file():
        return folder
    changes = [word for setting in arguments.set for word in ("--set", setting)]
    command = shlex.join(["python", "-m", "slm.corpus", "build", str(arguments.spec), *changes])
    found = "begun, but not complete" if folder.exists() else "not built"
    raise ArtefactError(f"The corpus {spec.corpus.name} is {found} ({folder}).", f"Build it: {command}")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 1 or more")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m slm.corpus", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="build|inspect|sample|report")

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        added.add_argument("spec", type=Path, metavar="SPEC", help="a build spec, such as specs/builds/nano.yaml")
        added.add_argument("--set", action="append", default=[], metavar="a.b=c", help="override a value of the spec")
        return added

    verb("build", "make the corpus, or go on with it")
    verb("inspect", "print what it holds")
    shown = verb("sample", "print some of its documents, or of the texts left out")
    shown.add_argument("--bucket", choices=BUCKETS, help="of this bucket only")
    which = shown.add_mutually_exclusive_group()
    which.add_argument("--split", choices=SPLITS, help="of this split only")
    which.add_argument("--rejected", metavar="REASON", help="texts left out for this reason, such as 'too short'")
    shown.add_argument("-n", type=_count, default=5, metavar="N", help="how many (default: 5)")
    shown.add_argument("--seed", type=int, default=0, help="another seed draws others (default: 0)")
    page = verb("report", "write a page with pictures about it")
    page.add_argument("--out", type=Path, metavar="FILE", help="where; without it, report.html beside the corpus")
    return parser


def _run(arguments: argparse.Namespace, console: Console) -> None:
    spec = load_spec(arguments.spec, arguments.set)
    folder = folder_for(spec.corpus, spec.model.vocab_size, here().processed)
    match arguments.verb:
        case "build":
            columns = (
                TextColumn("{task.description:>12}"),
                BarColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[text]}", markup=False),
            )
            with Bars(*columns, console=console) as bars:
                manifest = build(spec.corpus, spec.model.vocab_size, here().raw, folder, _Shown(bars))
            console.print(f"The corpus is complete: {manifest}")
            for name in changed_since(folder):
                console.print(
                    f"note: the folder {name} has changed since; for a corpus of what it holds now, change "
                    f"corpus.name, or delete {folder} if no model was made from it",
                    markup=False,
                )
        case "inspect":
            show(read_json(_finished(folder, spec, arguments) / "stats.json"), console)
        case "sample":
            drawn = sample(
                _finished(folder, spec, arguments),
                spec.corpus,
                bucket=arguments.bucket,
                split=arguments.split,
                rejected=arguments.rejected,
                count=arguments.n,
                seed=arguments.seed,
            )
            _print_sample(drawn)
        case "report":
            from slm.corpus.report.page import write_report  # matplotlib is slow to import, and only this needs it

            console.print(f"The report: {write_report(_finished(folder, spec, arguments), arguments.out)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        _run(arguments, Console())
        sys.stdout.flush()
    except AutonError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # whoever read has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on where it was.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
