"""The report's pictures: SVG to be set into a page, readable on light and on dark."""

from __future__ import annotations

import html
import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullFormatter

from slm.corpus.report.markup import Html, printable
from slm.spec import BUCKETS

#: Of middle lightness, apart from each other to colour-blind eyes too.
COLOURS: dict[str, str] = dict(zip(BUCKETS, ("#4c8eda", "#e08a1e", "#3fa66b", "#c65d9e"), strict=True))
_MORE = ("#4c8eda", "#e08a1e", "#3fa66b", "#c65d9e", "#8c7ae6", "#b5a642", "#4db6ac", "#d9534f", "#9e9e9e", "#a1785c")

#: Stands for the page's own text colour, which the picture takes from where it is set.
_INK = "#010203"
_STYLE: dict[Any, Any] = {
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": _INK,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "legend.frameon": False,
    "savefig.transparent": True,
    "svg.fonttype": "none",
    "text.color": _INK,
    "text.parse_math": False,  # names from outside may hold a dollar sign
    "xtick.color": _INK,
    "ytick.color": _INK,
}
_LONGEST_LABEL = 48


def picture(name: str, caption: str, draw: Callable[[Axes], None], size: tuple[float, float] = (7.5, 3.2)) -> Html:
    """Draw on new axes and return the SVG, with ``caption`` for those who cannot see it.

    :param name: a word that is unique in the page; the ids inside the SVG begin with it.
    :param size: in inches.
    """
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot())
        out = io.StringIO()
        with warnings.catch_warnings():
            # The browser draws the letters, with fonts of its own.
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            figure.savefig(out, format="svg")
    return _embed(out.getvalue(), name, caption)


def _embed(svg: str, name: str, caption: str) -> Html:
    """Take an SVG file's root element: no prolog, no metadata, no names that belong to another picture."""
    root = re.search(r'<svg\b[^>]*\bviewBox="([^"]*)"[^>]*>', svg)
    assert root is not None
    inside = re.sub(r"(?s)<metadata>.*?</metadata>|<style\b.*?</style>|<!--.*?-->", "", svg[root.end() :])
    inside = re.sub(r'\bid="', f'id="{name}-', inside)
    inside = re.sub(r'(href="|url\()#', rf"\1#{name}-", inside).replace(_INK, "currentColor")
    label = html.escape(printable(caption))
    return Html(f'<svg role="img" aria-label="{label}" viewBox="{root[1]}">{inside}')


def mix(splits: Mapping[str, Any], shares: Mapping[str, float]) -> Html:
    """Draw, for each bucket of the training split, the tokens wished for, got and there."""
    train = splits["train"]
    buckets = [bucket for bucket in BUCKETS if bucket in train["buckets"]]

    def draw(axes: Axes) -> None:
        places = range(len(buckets))
        series = {
            "wished for": [shares[bucket] * train["wanted_tokens"] for bucket in buckets],
            "got (with repetition)": [train["buckets"][bucket]["tokens"] for bucket in buckets],
            "there, each once": [train["buckets"][bucket]["available_tokens"] for bucket in buckets],
        }
        for number, ((label, values), colour) in enumerate(
            zip(series.items(), ("#9e9e9e", "#4c8eda", "#3fa66b"), strict=True)
        ):
            axes.bar([place + 0.27 * (number - 1) for place in places], values, 0.25, label=label, color=colour)
        axes.set_xticks(list(places), buckets)
        axes.set_ylabel("tokens")
        _numbers(axes.yaxis)
        axes.legend()

    return picture("mix", "Tokens of the training split by bucket: wished for, got, and there", draw)


def lengths(counted: Mapping[str, Sequence[Sequence[int]]]) -> Html:
    """Draw the documents of each bucket by length; ``counted`` has (shortest, documents) of half octaves."""

    def draw(axes: Axes) -> None:
        for bucket, rows in counted.items():
            edges = [row[0] for row in rows] + [round(rows[-1][0] * 2**0.5) + 1]
            axes.stairs([row[1] for row in rows], edges, label=bucket, color=COLOURS.get(bucket), linewidth=1.5)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("characters")
        axes.set_ylabel("documents")
        _numbers(axes.xaxis, axes.yaxis)
        axes.legend()

    return picture("lengths", "Documents by length in characters, for each bucket", draw)


def zipf(points: Sequence[Sequence[int]], exponent: float | None, scale: float | None) -> Html:
    """Draw how often the tokens stand in the training text against their rank, with the fitted power law."""

    def draw(axes: Axes) -> None:
        ranks = [point[0] for point in points]
        axes.plot(ranks, [point[1] for point in points], ".", color="#4c8eda", label="tokens")
        if exponent is not None and scale is not None:
            line = [max(scale * rank**-exponent, 0.5) for rank in ranks]
            axes.plot(ranks, line, color="#e08a1e", label=f"rank^-{exponent:.2f}", linewidth=1)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("rank")
        axes.set_ylabel("times in the training text")
        _numbers(axes.xaxis, axes.yaxis)
        axes.legend()

    return picture("zipf", "Frequency of tokens by rank, both logarithmic", draw)


def stacked(name: str, caption: str, counts: Mapping[str, Mapping[str, int]], unit: str) -> Html:
    """Draw one horizontal bar a row of ``counts`` (label → part → number), largest on top."""
    parts = sorted({part for row in counts.values() for part in row})
    labels = sorted(counts, key=lambda label: sum(counts[label].values()))

    def draw(axes: Axes) -> None:
        left = [0] * len(labels)
        for number, part in enumerate(parts):
            values = [counts[label].get(part, 0) for label in labels]
            axes.barh(range(len(labels)), values, 0.7, left=left, label=_short(part), color=_MORE[number % len(_MORE)])
            left = [base + value for base, value in zip(left, values, strict=True)]
        axes.set_yticks(range(len(labels)), [_short(label) for label in labels])
        axes.set_xlabel(unit)
        _numbers(axes.xaxis)
        axes.legend()

    return picture(name, caption, draw, (7.5, 0.9 + 0.24 * len(labels)))


def quality(counted: Mapping[str, Sequence[int]]) -> Html:
    """Draw the documents of each bucket by quality, in equal parts of 0 to 1."""

    def draw(axes: Axes) -> None:
        for bucket, rows in counted.items():
            edges = [number / len(rows) for number in range(len(rows) + 1)]
            axes.stairs(rows, edges, label=bucket, color=COLOURS.get(bucket), linewidth=1.5)
        axes.set_xlabel("quality")
        axes.set_ylabel("documents")
        _numbers(axes.yaxis)
        axes.legend()

    return picture("quality", "Documents by quality, for each bucket", draw)


def _numbers(*axes: Axis) -> None:
    """Write an axis' numbers as 100, 10k, 2M; the default for logarithms is mathematical type, which is off here."""
    for axis in axes:
        axis.set_major_formatter(EngFormatter(sep=""))
        axis.set_minor_formatter(NullFormatter())


def _short(label: str) -> str:
    """Shorten a label in its middle: what a source's kind and its last words are, both matter."""
    text = printable(label).replace("\n", " ")
    half = _LONGEST_LABEL // 2
    return text if len(text) <= _LONGEST_LABEL else f"{text[: half - 1]}…{text[-half:]}"
