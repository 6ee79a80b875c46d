"""``python -m slm.adapt CHECKPOINT --benchmark DIR --corpus DIR --out DIR``: train a model on questions and answers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from slm.errors import ArtefactError, AutonError, SpecError
from slm.machine import restart_with, training_environment
from slm.progress import Progress


def main(argv: Sequence[str] | None = None) -> int:
    """Train, and print what became of the validation perplexity; exit 0, or an error's own code."""
    parser = argparse.ArgumentParser(prog="python -m slm.adapt", description=main.__doc__)
    parser.add_argument("checkpoint", type=Path, help="the model to begin with: a checkpoint's or a release's folder")
    parser.add_argument("--benchmark", type=Path, required=True, help="a benchmark's folder, with training.jsonl")
    parser.add_argument("--corpus", type=Path, required=True, help="the corpus that the model was trained on")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write the new checkpoint to")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="a=b", help="a setting")
    arguments = parser.parse_args(argv)
    try:
        from slm.adapt.sft import fine_tune
        from slm.spec import TeachSpec

        if arguments.out.exists():
            raise ArtefactError(f"{arguments.out} is there already.", "Delete it, or name another folder.")
        try:
            settings = TeachSpec.model_validate(_parsed(arguments.overrides))
        except ValidationError as error:
            known = ", ".join(TeachSpec.model_fields)
            said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise SpecError(f"--set is wrong: {said}.", f"Settings: {known}.") from None
        done = fine_tune(
            arguments.checkpoint, arguments.benchmark, arguments.corpus, arguments.out, settings, report=_print
        )
    except AutonError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        return 130
    change = done.after.perplexity / done.before.perplexity - 1
    print(f"validation perplexity {done.before.perplexity:.2f} → {done.after.perplexity:.2f} ({change:+.1%})")
    print(done.checkpoint)
    return 0


def _parsed(overrides: Sequence[str]) -> dict[str, Any]:
    return {key: yaml.safe_load(value) for key, _, value in (override.partition("=") for override in overrides)}


def _print(progress: Progress) -> None:
    print(f"{progress.done:>9,.0f} of {progress.total:,.0f} {progress.unit}  {progress.text}", flush=True)


if __name__ == "__main__":
    restart_with(training_environment())
    sys.exit(main())
