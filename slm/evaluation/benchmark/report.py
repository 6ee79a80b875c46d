"""The results of a benchmark for people: tables in a terminal, and one HTML page with pictures in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from slm.corpus.report.markup import Html, bullets, document, element, joined, printable, table
from slm.corpus.report.pictures import picture
from slm.errors import BenchmarkError
from slm.evaluation.benchmark.predictor import RANKED
from slm.evaluation.benchmark.results import Bin, Group, Results, TaskScore, os_average
from slm.files import atomic_write
from slm.spec import TASKS, Task

#: What each task is about, and the figures that are shown of it, by their names in :class:`Group`.
_TITLES: dict[Task, str] = {
    "driver_select": "Which driver?",
    "identify": "What is it?",
    "device_tree": "Which driver, by device tree?",
    "intent": "Which intent?",
    "sub_command": "Which sub-command?",
    "command_completion": "What is the command's next word?",
    "install_steps": "In which order?",
}
_RANKED_FIGURES = ("top1", "top3", "unknown", "honest", "ece", "ece_calibrated")
_FIGURES: dict[Task, tuple[str, ...]] = {
    **dict.fromkeys(RANKED, _RANKED_FIGURES),
    "identify": ("vendor", "type", "name_f1", "top1", "unknown", "honest"),
    "install_steps": ("tau", "exact", "unknown"),
}
#: The one figure of a task that stands for it in a picture.
_MAIN: dict[Task, str] = {**dict.fromkeys(TASKS, "top1"), "identify": "name_f1", "install_steps": "tau"}
_WORDS = {
    "top1": "top-1",
    "top3": "top-3",
    "name_f1": "name F1",
    "ece": "calibration error",
    "ece_calibrated": "calibrated",
}
_COLOURS = ("#4c8eda", "#e08a1e", "#3fa66b", "#c65d9e", "#8c7ae6", "#b5a642", "#4db6ac", "#d9534f")


def show(results: Results, console: Console) -> None:
    """Print a table for each task: a line a predictor and set."""
    for task in results.tasks:
        shown = Table(title=_TITLES[task], title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        lines = rows(results, task)
        for place, column in enumerate(("set", "who", "n", *map(_word, _FIGURES[task]))):
            widest = max(map(len, [column, *(line[place] for line in lines)]))  # a narrow terminal cuts no number
            shown.add_column(column, justify="left" if place < 2 else "right", min_width=widest, max_width=widest)
        for line in lines:
            shown.add_row(*(Text(printable(cell)) for cell in line))
        console.print(shown, crop=False)
        console.print()
    if averages := _averages(results):
        console.print(Text(f"operating-system average: {averages}"))
    for note in results.notes:
        console.print(Text(f"note: {note}"))


def rows(results: Results, task: Task) -> list[list[str]]:
    """Return a task's table: set, who, n and the figures; the sets first, then all items together."""
    takers = [(name, scores[task]) for name, scores in results.everyone.items() if task in scores]
    if not takers:
        return [["all", "", f"{results.tasks[task].n:,}", *("" for _ in _FIGURES[task])]]
    sets = sorted({name for _, score in takers for name in score.sets})
    found = [
        [label, name, f"{group.n:,}", *(_figure(group, figure) for figure in _FIGURES[task])]
        for label in sets
        for name, score in takers
        if (group := score.sets.get(label))
    ]
    if len(sets) != 1:
        found += [
            ["all", name, f"{score.n:,}", *(_figure(score, figure) for figure in _FIGURES[task])]
            for name, score in takers
        ]
    return found


def write_report(results: Results, out: Path) -> None:
    """Write the page: one file that loads nothing and runs nothing.

    :raises BenchmarkError: when it cannot be written.
    """
    try:
        with atomic_write(out, "w") as file:
            file.write(page(results))
    except OSError as error:
        raise BenchmarkError(f"{out} cannot be written: {error.strerror}.", "Choose another file.") from error


def page(results: Results) -> str:
    """Return the whole page."""
    who = f" of {results.predictor}" if results.predictor else ""
    facts = table(
        ("what", "which"),
        [
            ("Benchmark", results.benchmark),
            ("SHA-256", results.sha256),
            ("Measured", ", ".join(results.everyone) or "nobody"),
            ("Operating-system average", _averages(results) or "not measured: it takes four tasks"),
        ],
    )
    said = (
        "An item without an answer counts as wrong. Behind the figures stand 95 % bootstrap intervals; of several "
        "right answers any will do. “honest” is the share of the items not answered rightly where “unknown” was said."
    )
    parts: list[Html] = [facts, element("p", said), *([bullets(results.notes)] if results.notes else [])]
    parts += [_task(results, task) for task in results.tasks]
    return document(f"The hardware benchmark{who}", joined(parts))


def _averages(results: Results) -> str:
    found = {name: average for name, scores in results.everyone.items() if (average := os_average(scores)) is not None}
    return ", ".join(f"{name} {average:.3f}" for name, average in found.items())


def _task(results: Results, task: Task) -> Html:
    columns = ("set", "who", "n", *(_word(figure) for figure in _FIGURES[task]))
    parts: list[Html] = [element("h2", _TITLES[task])]
    takers = {name: scores[task] for name, scores in results.everyone.items() if task in scores}
    if takers:
        parts.append(_bars(task, takers))
    parts.append(table(columns, rows(results, task)))
    if any(score.bins for score in takers.values()) and task in RANKED:
        parts.append(_reliability(task, takers))
    if any(score.answers for score in takers.values()):
        parts += [element("h3", "By right answer"), _by_answer(takers)]
    return joined(parts)


def _by_answer(takers: dict[str, TaskScore]) -> Html:
    answers = sorted({answer for score in takers.values() for answer in score.answers})
    lines = []
    for answer in answers:
        groups = [score.answers.get(answer) for score in takers.values()]
        n = next(group.n for group in groups if group)
        lines.append([answer, n, *(_share(group.top1) if group else "" for group in groups)])
    return table(("answer", "n", *(f"{name}, top-1" for name in takers)), lines)


def _bars(task: Task, takers: dict[str, TaskScore]) -> Html:
    """Draw the task's main figure of everyone by set, with intervals."""
    main = _MAIN[task]
    sets = sorted({name for score in takers.values() for name in score.sets}) or ["all"]
    width = 0.8 / len(takers)

    def draw(axes: Axes) -> None:
        for number, (name, score) in enumerate(takers.items()):
            groups = [score.sets.get(label, score if label == "all" else None) for label in sets]
            places = [place + width * (number - (len(takers) - 1) / 2) for place in range(len(sets))]
            drawn = [(place, group) for place, group in zip(places, groups, strict=True) if group]
            values = [getattr(group, main) or 0.0 for _, group in drawn]
            spans = [
                getattr(group, f"{main}_interval") or (value, value)
                for (_, group), value in zip(drawn, values, strict=True)
            ]
            errors = [
                [max(value - low, 0.0) for value, (low, _) in zip(values, spans, strict=True)],
                [max(high - value, 0.0) for value, (_, high) in zip(values, spans, strict=True)],
            ]
            axes.bar(
                [place for place, _ in drawn],
                values,
                width,
                yerr=errors,
                label=name,
                color=_COLOURS[number % len(_COLOURS)],
                error_kw={"ecolor": "#808080", "elinewidth": 1, "capsize": 2},
            )
        axes.set_xticks(range(len(sets)), sets)
        axes.set_ylabel(_word(main))
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=4)

    return picture(f"bars-{task}", f"{_TITLES[task]} {_word(main)} of everyone, by set", draw)


def _reliability(task: Task, takers: dict[str, TaskScore]) -> Html:
    """Draw the share that was right over the confidence, as it came and calibrated."""

    def line(axes: Axes, bins: Sequence[Bin], colour: str, style: str, label: str) -> None:
        axes.plot([b.confidence for b in bins], [b.right for b in bins], style, color=colour, label=label, markersize=3)

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], ":", color="#9e9e9e")
        for number, (name, score) in enumerate(takers.items()):
            colour = _COLOURS[number % len(_COLOURS)]
            line(axes, score.bins, colour, "o--" if score.bins_calibrated else "o-", name)
            if score.bins_calibrated:
                line(axes, score.bins_calibrated, colour, "o-", f"{name}, calibrated")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_xlabel("confidence")
        axes.set_ylabel("share right")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))

    return picture(f"reliability-{task}", f"{_TITLES[task]} Share of right answers by confidence", draw, (7.5, 3.6))


def _word(figure: str) -> str:
    return _WORDS.get(figure, figure)


def _figure(group: Group, figure: str) -> str:
    value = getattr(group, figure)
    span = getattr(group, f"{figure}_interval", None)
    return _share(value) + (f" [{span[0]:.2f}, {span[1]:.2f}]" if span else "")


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
