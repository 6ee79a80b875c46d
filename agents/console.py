"""What a person sees: progress while a build runs, and tables when it has ended."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from agents.questions import Answer
from agents.state import BuildState
from agents.trials import expected_tokens, lengths
from slm.errors import AutonError, Interrupted
from slm.evaluation.gates import in_words
from slm.layout import Layout
from slm.spec import BuildSpec

if TYPE_CHECKING:
    from slm.training.plan import Plan  # brings torch, which a status report does not wait for

#: Seconds between two lines about the same stage where no bar can be drawn (a log file, a Ray job).
_LINE_EVERY = 15.0


def shown(text: str) -> str:
    """Return ``text`` without what a terminal would obey instead of show: a model may write anything."""
    return "".join(character if character.isprintable() or character in "\n\t" else "\ufffd" for character in text)


def told(text: str) -> str:
    """Return text from outside for rich's consoles, which neither they nor the terminal obey."""
    return escape(shown(text))


def error(problem: AutonError) -> None:
    """Say what a person can mend, on standard error."""
    head = "" if isinstance(problem, Interrupted) else "[bold red]error:[/] "
    Console(stderr=True, highlight=False).print(f"{head}{told(str(problem))}", soft_wrap=True)


def guarded(command: Callable[[], int]) -> int:
    """Run a command and return its exit status; what a person can mend is said without a traceback."""
    try:
        return command()
    except AutonError as problem:
        error(problem)
        return problem.exit_code
    except KeyboardInterrupt:
        error(Interrupted("Interrupted.", "The same command continues where it was."))
        return Interrupted.exit_code
    except BrokenPipeError:
        # Whoever read our output has read enough; Python must not try to flush the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


class Follower:
    """Shows a build's events: bars on a terminal, lines elsewhere."""

    def __init__(self) -> None:
        """Look at where standard output goes."""
        self._console = Console(highlight=False)
        self._bars: dict[str, TaskID] = {}
        self._spoken: dict[str, float] = {}
        self._progress = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}"),
            console=self._console,
            refresh_per_second=4,
            disable=not self._console.is_terminal,
        )

    def __enter__(self) -> Self:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop drawing; the bars stay as they were."""
        self._progress.stop()

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self._progress.print(told(text), soft_wrap=True)
        sys.stdout.flush()

    def show(self, events: Iterable[dict[str, Any]]) -> None:
        """Show what has come."""
        for event in events:
            if event["kind"] == "say":
                self.say(f"{event['agent']}: {event['text']}")
            elif self._console.is_terminal:
                self._bar(event)
            else:
                self._line(event)

    def _bar(self, event: dict[str, Any]) -> None:
        stage = event["stage"]
        if stage not in self._bars:
            self._bars[stage] = self._progress.add_task(stage, unit="", text="")
        unit, done, total = _readable(event)
        self._progress.update(self._bars[stage], completed=done, total=total, unit=unit, text=told(event["text"]))

    def _line(self, event: dict[str, Any]) -> None:
        stage, now = event["stage"], time.monotonic()
        ends = event["done"] >= event["total"]
        if not ends and now - self._spoken.get(stage, 0.0) < _LINE_EVERY:
            return
        self._spoken[stage] = now
        unit, done, total = _readable(event)
        self.say(f"{stage}: {done:,} of {total:,} {unit}  {event['text']}".rstrip())


def _readable(event: dict[str, Any]) -> tuple[str, int, int]:
    if event["unit"] == "bytes":
        return "MB", round(event["done"] / 1e6), round(event["total"] / 1e6)
    return event["unit"], round(event["done"]), round(event["total"])


def show_plan(spec: BuildSpec, plan: Plan) -> None:
    """Print what a build would do, without doing it."""
    table = Table(title=f"plan of {spec.build_id}", show_header=False, title_justify="left")
    model, drawn = spec.model, spec.corpus.drawn
    particular = sum(bool(source.arch) for source in drawn)
    tokens = spec.steps * spec.batch_tokens
    rows = [
        ("parameters", f"{model.parameters:,}"),
        (
            "shape",
            f"{model.layers} layers, {model.heads} heads ({model.kv_heads} kv), dim {model.dim}, "
            f"hidden {model.hidden}, vocabulary {model.vocab_size}, context {model.context}",
        ),
        ("corpus", f"{spec.corpus.tokens:,} tokens"),
        (
            "sources",
            "exchanges made from device tables"
            if spec.corpus.edition
            else f"{len(drawn)}, of which {particular} name {spec.corpus.arch} and the others no machine",
        ),
        ("training tokens", f"{tokens:,}, {tokens / spec.corpus.tokens:.2f} times the corpus"),
        ("steps", f"{spec.steps:,} of {spec.batch_tokens:,} tokens"),
        ("workers", f"{spec.train.workers} × {plan.device}, {plan.precision}"),
        ("memory a worker", _memory(plan)),
        ("training time", f"about {_duration(plan.seconds)}, by {plan.basis}"),
        *([("search", _search(spec, plan))] if spec.search else []),
        *([("teaching", f"{spec.teach.tokens:,} tokens of questions and answers")] if spec.teach else []),
        ("gates", f"{in_words(spec.gates)}; review {spec.review}"),
    ]
    if spec.iterate.max_iterations > 1:
        rows.append(("iterations", f"{spec.iterate.max_iterations} at most, each trained anew"))
    if edition := spec.corpus.edition:
        rows.append(("flat file", f"for the {edition.kind}, up to {edition.spellings:,} rows with spellings"))
    for name, value in rows:
        table.add_row(name, value)
    console = Console(highlight=False)
    console.print(table)
    console.print(_choices_table(plan))


def _search(spec: BuildSpec, plan: Plan) -> str:
    assert spec.search is not None
    low, high = spec.search.learning_rate
    batch = f" and a batch of {' or '.join(map(str, spec.search.batch))}" if spec.search.batch else ""
    rounds = ", then ".join(f"{tokens:,}" for tokens in lengths(spec))
    expected, most = expected_tokens(spec)
    return (
        f"{spec.search.trials} trials of {rounds} tokens, for a learning rate × {low:g} to × {high:g}{batch}: "
        f"about {expected:,} tokens, at most {most:,}; {expected / spec.train.tokens:.0%} of the training's, "
        f"about {_duration(plan.seconds * expected / spec.train.tokens)}"
    )


def _memory(plan: Plan) -> str:
    words = f"{plan.memory_bytes / 1e9:.2f} GB with micro-batch {plan.chosen.micro_batch}"
    if process := plan.memory_bytes - plan.chosen.memory.total:
        words += f", {process / 1e9:.2f} of them the process itself"
    if plan.fits:
        return words
    limit = f"train.device_memory_gb={plan.limit / 1e9:g}"
    return f"{words}: more than {limit} allows; try train.zero or train.gradient_checkpointing"


def _choices_table(plan: Plan) -> Table:
    """Lay out what each micro-batch would take of a worker, in GB, a column each; the chosen one is marked."""
    table = Table(title="GB a worker, at the peak of a step", title_justify="left", pad_edge=False)
    table.add_column("micro-batch × accumulation")
    for choice in plan.choices:
        taken = choice == plan.chosen
        name = f"{choice.micro_batch} × {choice.accumulation}"
        table.add_column(f"→ {name}" if taken else name, justify="right", style="bold" if taken else "")
    for part in (field.name for field in fields(plan.chosen.memory)):
        sizes = [getattr(choice.memory, part) for choice in plan.choices]
        if any(sizes):
            table.add_row(part, *(f"{size / 1e9:.2f}" for size in sizes))
    table.add_row("total", *(f"{choice.memory.total / 1e9:.2f}" for choice in plan.choices))
    return table


def _duration(seconds: float) -> str:
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"


def gate_table(state: BuildState) -> Table:
    """Lay out a build's gates."""
    table = Table(title=f"gates of {state.build}", title_justify="left")
    for column in ("gate", "threshold", "measured", "verdict"):
        table.add_column(column)
    for gate in state.gates:
        verdict = "[green]pass[/]" if gate.passed else "[bold red]FAIL[/]"
        table.add_row(gate.name, told(gate.threshold), told(gate.detail), verdict)
    return table


def show_build(state: BuildState, layout: Layout, answers: Sequence[Answer]) -> None:
    """Print how a build ended, where its files are, and what to do next."""
    console = Console(highlight=False, soft_wrap=True)
    python = _short(Path(sys.executable))
    if state.gates:
        console.print(gate_table(state))
    for iteration in state.iterations:
        console.print(told(f"{iteration.words()}{f'; {iteration.why}' if iteration.why else ''}"))
    if state.state == "accepted":
        console.print(
            f"[bold green]accepted[/]: commit {state.commit[:10]}, tag {state.tag} in {_short(layout.registry)}"
        )
        _show_files([Path(state.model) / "model.safetensors", *map(Path, state.exports)])
        for answer in answers:
            console.print(f"\n[bold]{told(answer.question)}[/]")
            action = f"  [action: {answer.action}]" if answer.action else ""
            sure = f", confidence {answer.confidence:.2f}" if answer.confidence is not None else ""
            console.print(told(f"  {answer.response}{action}  ({answer.source}{sure})"))
        export = _short(layout.export(state.build))
        if flat := next((path for path in state.exports if path.endswith(".flat")), None):
            console.print(
                f"\nnext:\n  {python} -m slm.edition {_short(Path(flat))}"
                f'\n  {python} -m slm.edition {_short(Path(flat))} --ask "driver for 8086:10d3"'
                f"\n  {python} -m slm.lineage verify {export}"
            )
            return
        console.print(
            f"\nnext:\n  {python} -m kernel_interface.serve --socket /tmp/auton.sock --model {export}"
            f'\n  {python} -m kernel_interface.query --socket /tmp/auton.sock "driver for pci 8086:10d3"'
            f"\n  {python} -m slm.lineage verify {export}"
        )
    elif state.state == "rejected":
        console.print("[bold red]rejected[/]; nothing was committed:")
        for reason in state.reasons:
            console.print(f"  - {told(reason)}")
    elif state.state == "cancelled":
        console.print(f"cancelled at stage {state.stage}; to go on:")
        console.print(f"  {python} -m agents.manager --resume {state.build}")
    elif state.state == "waiting":
        console.print(
            f"[bold yellow]waiting for review[/]:\n  {python} -m agents.review show {state.build}"
            f"\n  {python} -m agents.review approve {state.build}"
            f'\n  {python} -m agents.review reject {state.build} --reason "…"'
        )
    else:
        console.print(f"{state.state} at stage {state.stage}" + (f": {told(state.error)}" if state.error else ""))


def _show_files(files: Sequence[Path]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for file in files:
        if not file.exists():
            console.print(f"  {_short(file)}  is gone; the same command makes it again")
            continue
        console.print(f"  {_short(file)}  {file.stat().st_size / 1e6:.1f} MB")


def _short(path: Path) -> str:
    """Write a path relative to the working directory when it lies below it."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
