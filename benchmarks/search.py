"""What a search brings a build whose learning rate is wrong by ten times, in equal wall time, the search included.

    python -m benchmarks.search specs/builds/nano.yaml --out /tmp/search [--tokens 3600000] [--set search.trials=9]

Rows, each in a process of its own: both learning rates ten times and a tenth of the spec's, as they are and with a
search, and the spec's own rates. A row without a search trains on ``--tokens``. A searched one has as many seconds as
the row of its wrong rates took: it searches through Ray Tune as a build does, then trains on what it could read in the
seconds that are left, at the speed of that row, with a schedule fitted to it. So the two of a pair come one after the
other, and a neighbour's load falls on both. Ray's own start is not counted: a build has it anyway. The score is that of
the first million validation tokens.

``--out`` keeps each finished row: the same command goes on with those that are missing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from agents import cluster
from agents.plan import Changes, planned
from agents.search import run_search
from agents.trials import winner
from benchmarks.training import validation_score
from slm.corpus import folder_for
from slm.files import read_json, write_json
from slm.layout import Layout, here
from slm.machine import processors, training_environment
from slm.spec import BuildSpec
from slm.spec_file import load_spec

#: Each row's factor on the spec's rates, and whether it searches.
ROWS = {
    "rates × 10": (10.0, False),
    "rates × 10, searched": (10.0, True),
    "rates ÷ 10": (0.1, False),
    "rates ÷ 10, searched": (0.1, True),
    "the spec's own rates": (1.0, False),
}


def main() -> None:
    """Run the rows that are missing, each in a process of its own, and print all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", type=Path)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="a.b=c")
    parser.add_argument("--corpus", type=Path, help="without it, the spec's")
    parser.add_argument("--tokens", type=int, help="of a row without a search; without it, the spec's")
    parser.add_argument("--out", type=Path, required=True, help="a folder for what has been measured")
    parser.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        run_row(arguments)
        return
    print(f"{'':<22} {'search':>7} {'in all':>7} {'tokens':>10} {'rate ×':>7} {'bits per byte':>14} {'load':>6}")
    for name in ROWS:
        if not _file(arguments.out, name).exists():
            command = [sys.executable, "-m", "benchmarks.search", *sys.argv[1:], "--row", name]
            if subprocess.run(command, env={**os.environ, **training_environment()}).returncode:
                raise SystemExit(f"{name} failed")
        row = read_json(_file(arguments.out, name))
        print(
            f"{name:<22} {row['search_seconds']:>5.0f} s {row['seconds']:>5.0f} s {row['tokens']:>10,} "
            f"{row['factor']:>7.3g} {row['bits_per_byte']:>14.4f} {row['load']:>6.1f}",
            flush=True,
        )


def run_row(arguments: argparse.Namespace) -> None:
    """Measure one row and write it down."""
    from slm.model.llama import load_model

    factor, searches = ROWS[arguments.row]
    spec = wrong_by(load_spec(arguments.spec, ["search={}", *arguments.overrides]), factor, arguments.tokens)
    corpus = arguments.corpus or folder_for(spec.corpus, spec.model.vocab_size, here().processed)
    folder = arguments.out.resolve() / arguments.row.replace(" ", "-")
    shutil.rmtree(folder, ignore_errors=True)  # of a row that was cut off
    row: dict[str, Any] = {"search_seconds": 0.0, "factor": factor, "trials": []}
    if searches:
        plain = read_json(_file(arguments.out, arguments.row.removesuffix(", searched")))
        spec, found = searched(spec, corpus, folder, plain)
        row |= found | {"factor": factor * found["factor"]}
    else:
        spec = spec.model_copy(update={"search": None})
    result, seconds = trained(spec, corpus, folder / "training")
    score = validation_score(load_model(result), spec, corpus)
    row |= {
        "seconds": row["search_seconds"] + seconds,
        "tokens": spec.steps * spec.batch_tokens,
        "bits_per_byte": score.bits_per_byte,
        "load": os.getloadavg()[2],
        "processors": processors(),
    }
    write_json(_file(arguments.out, arguments.row), row)


def wrong_by(spec: BuildSpec, factor: float, tokens: int | None) -> BuildSpec:
    """Return ``spec`` with both rates times ``factor``, for a training on ``tokens`` that is not given up.

    A build's patience ends a training whose rates are ten times too high; a person may see it through.
    """
    rates = {name: getattr(spec.train, name) * factor for name in ("learning_rate", "matrix_learning_rate")}
    patient = spec.train.guards.model_copy(update={"patience_steps": tokens or spec.train.tokens})
    train = spec.train.model_copy(update={**rates, "tokens": tokens or spec.train.tokens, "guards": patient})
    return spec.model_copy(update={"train": train})


def searched(spec: BuildSpec, corpus: Path, folder: Path, plain: dict[str, Any]) -> tuple[BuildSpec, dict[str, Any]]:
    """Search, and return the plan for the seconds that are left of those that the row ``plain`` took."""
    cluster.connect("local", Layout(folder))
    try:
        began = time.perf_counter()
        rounds = run_search(spec, corpus, folder)
        took = time.perf_counter() - began
    finally:
        cluster.disconnect()
    best = winner(rounds)
    changes = Changes(found=best.values) if best else Changes()
    left = plain["tokens"] * max(0.0, 1 - took / plain["seconds"])
    plan = planned(spec, changes.model_copy(update={"tokens": max(spec.batch_tokens, int(left))}))
    found = {
        "search_seconds": took,
        "search_tokens": sum(each.tokens for each in rounds),
        "factor": best.values.learning_rate if best else 1.0,
        "trials": [each.model_dump(mode="json") for each in rounds],
    }
    return plan, found


def trained(spec: BuildSpec, corpus: Path, folder: Path) -> tuple[Path, float]:
    """Train in this process; return the checkpoint, and the seconds from the first step's preparations to the end."""
    import torch

    from slm.training.loop import train

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", processors())))
    began = time.perf_counter()
    result = train(spec, corpus, folder)
    return result.checkpoint, time.perf_counter() - began


def _file(out: Path, row: str) -> Path:
    return out.resolve() / f"{row.replace(' ', '-')}.json"


if __name__ == "__main__":
    main()
