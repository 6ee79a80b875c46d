"""``python -m slm.evaluation CHECKPOINT --corpus DIR``: a checkpoint's figures on one split of a corpus.

The validation split is the default, so that nobody spends the test split by accident.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from slm.errors import AutonError
from slm.progress import Progress


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures; exit 0, or an error's own code."""
    parser = argparse.ArgumentParser(prog="python -m slm.evaluation", description="Score a checkpoint.")
    parser.add_argument("checkpoint", type=Path, help="a checkpoint's or an accepted model's folder")
    parser.add_argument("--corpus", type=Path, required=True, help="a corpus's folder")
    parser.add_argument("--split", choices=("val", "test"), default="val", help="test is for the gate (default: val)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args(argv)
    from slm.evaluation.evaluation import score_split  # torch is slow to import; wrong arguments are told before

    try:
        score = score_split(arguments.checkpoint, arguments.corpus, arguments.split, report=_show)
    except AutonError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if arguments.json:
        print(score.model_dump_json(indent=1))
        return 0
    print(f"{arguments.checkpoint} on {arguments.split}, {score.tokens:,} tokens")
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
