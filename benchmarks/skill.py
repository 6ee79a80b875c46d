"""How hardware skill grows with what is remembered: ``python -m benchmarks.skill BENCHMARK CORPUS``.

Of a benchmark's training devices a quarter, a half and all are remembered, without any model, and asked what the
benchmark asks of drivers; of its phrases likewise, for intents. (A taught model remembers the validation items, too.)
The same seed draws the shares, each a part of the next. A curve that still rises says that more devices or phrases
would help; a flat one that they would not.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from slm.corpus.devices import DATABASE
from slm.evaluation.benchmark.devices import drivers_told
from slm.evaluation.benchmark.generate import BENCHMARK, TRAINING, VALIDATION
from slm.evaluation.benchmark.items import DriverSelect, IntentPhrase, Item, SubCommandPhrase, read_items
from slm.evaluation.benchmark.neighbours import WithNeighbours
from slm.evaluation.benchmark.predictor import Abstaining
from slm.evaluation.benchmark.run import run
from slm.spec import Task

_SHARES = (0.25, 0.5, 1.0)


class Silent(Abstaining):
    """A model that finds every answer equally likely, so that only what is remembered counts."""

    name = "nothing"
    tasks: Collection[Task] = ("driver_select", "intent", "sub_command")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.skill", description=__doc__)
    parser.add_argument("benchmark", type=Path, help="a folder made by slm.evaluation.benchmark build")
    parser.add_argument("corpus", type=Path, help="the corpus that it was made of")
    arguments = parser.parse_args(argv)
    training, validation, asked = (read_items(arguments.benchmark / name) for name in (TRAINING, VALIDATION, BENCHMARK))
    kinds = (DriverSelect, IntentPhrase, SubCommandPhrase)
    known = [item for item in training if isinstance(item, kinds)]
    random.Random(0).shuffle(known)
    asked = [item for item in asked if isinstance(item, (DriverSelect, IntentPhrase))]
    told = drivers_told(arguments.corpus / "devices" / DATABASE)
    for share in _SHARES:
        _row(share, known[: round(share * len(known))], validation, asked, told)
    return 0


def _row(
    share: float,
    known: Sequence[Item],
    validation: Sequence[Item],
    asked: Sequence[Item],
    told: Mapping[str, Mapping[str, str]],
) -> None:
    helped = WithNeighbours.learnt(Silent(), known, validation, told)
    scores = run(asked, helped).tasks
    figures = [
        f"{name} {group.top1:.3f} / {group.top3:.3f}"
        for task in ("driver_select", "intent")
        for name, group in scores[task].sets.items()
        if group.top1 is not None and group.top3 is not None and "newer-driver" not in name
    ]
    print(f"{share:4.0%} of what is remembered ({len(known):,} items): {'; '.join(figures)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
