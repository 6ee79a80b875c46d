"""``python -m slm.evaluation MODEL``: a checkpoint's figures on one split of a corpus, or a model's on a benchmark.

    python -m slm.evaluation CHECKPOINT --corpus DIR [--split test]
    python -m slm.evaluation CHECKPOINT_OR_GGUF --benchmark FILE.jsonl [--knowledge on]

The validation split is the default, so that nobody spends the test split by accident.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from slm.corpus.devices import DATABASE as DEVICES
from slm.errors import AutonError
from slm.progress import Progress


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures; exit 0, or an error's own code."""
    parser = argparse.ArgumentParser(prog="python -m slm.evaluation", description="Score a model.")
    parser.add_argument("model", type=Path, help="a checkpoint's or an accepted model's folder, or a GGUF file")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--corpus", type=Path, help="a corpus's folder")
    what.add_argument("--benchmark", type=Path, metavar="FILE", help="a file of items, one JSON object a line")
    parser.add_argument("--split", choices=("val", "test"), default="val", help="test is for the gate (default: val)")
    parser.add_argument(
        "--knowledge",
        choices=("on", "off"),
        default="off",
        help="whether device tables answer first for the ids in them (default: off)",
    )
    parser.add_argument("--tables", type=Path, help=f"the device tables; {DEVICES} beside the model when not given")
    parser.add_argument("--no-baselines", action="store_true", help="the model alone, without what it is held against")
    parser.add_argument("--html", type=Path, metavar="OUT", help="also write a benchmark's page with pictures here")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args(argv)
    if arguments.tables and arguments.knowledge == "off":
        parser.error("--tables are for --knowledge on")
    if arguments.benchmark and arguments.split == "test":
        parser.error("--split is for --corpus")
    if arguments.corpus and (arguments.html or arguments.knowledge == "on" or arguments.no_baselines):
        parser.error("--html, --knowledge and --no-baselines are for --benchmark")
    try:
        return _benchmark(arguments) if arguments.benchmark else _split(arguments)
    except AutonError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("Interrupted; nothing was written.", file=sys.stderr)
        return 130


def _benchmark(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from slm.evaluation.benchmark.judged import judge
    from slm.evaluation.benchmark.report import show, write_report

    beside = arguments.model if arguments.model.is_dir() else arguments.model.parent
    tables = (arguments.tables or beside / DEVICES) if arguments.knowledge == "on" else None
    results = judge(arguments.model, arguments.benchmark, tables, not arguments.no_baselines, _show)
    if arguments.html:
        write_report(results, arguments.html)
    if arguments.json:
        print(results.to_json(), end="")
    else:
        show(results, Console())
    return 0


def _split(arguments: argparse.Namespace) -> int:
    from slm.evaluation.evaluation import score_split  # torch is slow to import; wrong arguments are told before

    score = score_split(arguments.model, arguments.corpus, arguments.split, report=_show)
    if arguments.json:
        print(score.model_dump_json(indent=1))
        return 0
    print(f"{arguments.model} on {arguments.split}, {score.tokens:,} tokens")
    print(f"  perplexity     {score.perplexity:10.3f}")
    print(f"  bits per byte  {score.bits_per_byte:10.4f}")
    print(f"  top-1          {score.top1:10.2%}")
    print(f"  top-5          {score.top5:10.2%}")
    return 0


def _show(progress: Progress) -> None:
    if sys.stderr.isatty():
        end = "\n" if progress.done >= progress.total else ""
        print(f"\r{progress.stage} {progress.done / progress.total:4.0%}", end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
