"""``python -m slm.corpus build|inspect|sample|report SPEC``: make the corpus of a build spec, or show what it holds."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from slm.corpus.build import build, changed_since, document_stats, folder_for
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

#: Where no bars can be drawn, a stage says at most so often (seconds) where it stands.
_LINE_EVERY = 10.0


class _Shown:
    """Shows every stage as a bar of its own; in lines where the output is no terminal."""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.stages: dict[str, TaskID] = {}
        self.said: dict[str, float] = {}

    def __call__(self, progress: Progress) -> None:
        if not self.bars.console.is_terminal:
            self._say(progress)
            return
        if progress.stage not in self.stages:
            self.stages[progress.stage] = self.bars.add_task(progress.stage, total=None, text="")
        text = progress.text or _amount(progress)
        total = max(progress.total, 1)
        self.bars.update(self.stages[progress.stage], completed=progress.done, total=total, text=text)

    def _say(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.done < progress.total and now - self.said.get(progress.stage, -_LINE_EVERY) < _LINE_EVERY:
            return
        self.said[progress.stage] = now
        words = f"{progress.stage}: {_amount(progress)}  {progress.text}".rstrip()
        print(words, flush=True)


def _amount(progress: Progress) -> str:
    if progress.unit == "bytes":
        return f"{progress.done / 1e6:.0f} of {progress.total / 1e6:.0f} MB"
    return f"{progress.done:g} of {progress.total:g} {progress.unit}" if progress.unit else ""


class _Number(str):
    """A cell that is a number, ready to print."""


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Lay out a table; where it is wider than the terminal, words are folded and numbers stay whole."""
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for number, column in enumerate(columns):
        cells = [row[number] for row in rows]
        numbers = bool(cells) and all(isinstance(cell, _Number) for cell in cells)
        widest = max(map(len, [*cells, *column.split()])) if numbers else None
        table.add_column(
            column, justify="right" if numbers else "left", overflow="fold", min_width=widest, max_width=widest
        )
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))  # Text: a name from outside may look like rich's markup
    return table


def show(stats: dict[str, Any], console: Console) -> None:
    """Print a corpus's ``stats.json`` as tables; without splits, what is known of its documents."""
    tables = [_split_table(stats)] if "splits" in stats else []
    sources = [
        (s["source"], s["bucket"], _Number(f"{s['documents']:,}"), _Number(f"{s['characters']:,}"), s["licence"])
        for s in stats["sources"]
    ]
    tables.append(_table("Sources", ("source", "bucket", "documents", "characters", "licence"), sources))
    if stats["rejected"]:
        rejected = [(reason, _Number(f"{count:,}")) for reason, count in stats["rejected"].items()]
        tables.append(_table("Left out", ("reason", "texts"), rejected))
    for table in tables:
        console.print(table, crop=False)
        console.print()
    if "splits" in stats:
        totals = ", ".join(f"{split} {held['tokens']:,}" for split, held in stats["splits"].items())
        console.print(
            f"tokens: {totals}; vocabulary {stats['vocab_size']:,}, {stats['vocabulary_used']:.1%} of it in use"
        )
        show_remarks(stats, console)


def _split_table(stats: dict[str, Any]) -> Table:
    rows = []
    for split, held in stats["splits"].items():
        for bucket, part in held["buckets"].items():
            numbers = (
                f"{part['tokens']:,}",
                f"{part['tokens'] / max(held['tokens'], 1):.1%}",
                f"{part['available_tokens']:,}",
                f"{part['documents']:,}",
                f"{part['documents'] / max(part['different_documents'], 1):.2f}",
                f"{part['bytes'] / max(part['tokens'], 1):.2f}",
            )
            rows.append((split, bucket, *map(_Number, numbers)))
    columns = ("split", "bucket", "tokens", "share", "available", "documents", "times", "bytes a token")
    return _table(f"The corpus {stats['name']}", columns, rows)


def show_remarks(stats: dict[str, Any], console: Console) -> None:
    """Print what was decided about a corpus, and what it lacks."""
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
    found = "begun, but not complete" if folder.exists() else "not built"
    raise ArtefactError(f"The corpus {spec.corpus.name} is {found} ({folder}).", f"Build it: {_command(arguments)}")


def _with_documents(folder: Path, spec: BuildSpec, arguments: argparse.Namespace) -> Path:
    """Return ``folder`` when the corpus in it has its documents at least, and say so when that is all."""
    if (folder / MANIFEST).is_file() or not (folder / "documents" / MANIFEST).is_file():
        return _finished(folder, spec, arguments)
    print(
        f"note: The corpus {spec.corpus.name} is not complete ({folder}); this is of the documents that it has.\n"
        f"  → Complete it: {_command(arguments)}",
        file=sys.stderr,
    )
    return folder


def _command(arguments: argparse.Namespace) -> str:
    """Write the command that builds the corpus asked for."""
    changes = [word for setting in arguments.set for word in ("--set", setting)]
    return shlex.join(["python", "-m", "slm.corpus", "build", str(arguments.spec), *changes])


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
    if spec.corpus.edition is not None and arguments.verb in ("sample", "report"):
        raise ArtefactError("An edition's corpus holds exchanges, and no documents to show.", "See `inspect`.")
    match arguments.verb:
        case "build":
            columns = (
                TextColumn("{task.description:>12}"),
                BarColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[text]}", markup=False),
            )
            with Bars(*columns, console=console, disable=not console.is_terminal) as bars:
                manifest = build(spec.corpus, spec.model.vocab_size, here().raw, folder, _Shown(bars))
            console.print(f"The corpus is complete: {manifest}")
            show_remarks(read_json(folder / "stats.json"), console)
            for name in changed_since(folder):
                console.print(
                    f"note: the folder {name} has changed since; for a corpus of what it holds now, change "
                    f"corpus.name, or delete {folder} if no model was made from it",
                    markup=False,
                )
        case "inspect":
            _with_documents(folder, spec, arguments)
            whole = (folder / MANIFEST).is_file()
            show(read_json(folder / "stats.json") if whole else document_stats(folder), console)
        case "sample":
            drawn = sample(
                _with_documents(folder, spec, arguments),
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
