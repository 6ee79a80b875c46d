"""``python -m slm.training SPEC``: train without agents, in this one process, on a corpus that is there already."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from slm.corpus import folder_for
from slm.errors import AutonError, CorpusError
from slm.layout import here
from slm.lineage import MANIFEST
from slm.machine import restart_with, training_environment
from slm.progress import Progress
from slm.spec_file import load_spec
from slm.training.outcome import TrainingPaths


def main(argv: Sequence[str] | None = None) -> int:
    """Train a spec's model, or continue; print where the best checkpoint is."""
    parser = argparse.ArgumentParser(prog="python -m slm.training", description=main.__doc__)
    parser.add_argument("spec", type=Path)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="a.b=c", help="override a key")
    parser.add_argument("--corpus", type=Path, help="the corpus folder; without it, the spec's")
    parser.add_argument("--out", type=Path, help="where checkpoints go; without it, runs/BUILD/training")
    arguments = parser.parse_args(argv)
    try:
        spec = load_spec(arguments.spec, arguments.overrides)
        if (workers := spec.train.workers) > 1:
            # One process does what many would: the same batch, in more parts. The build's name is another.
            parts = f"train.accumulation={workers * spec.train.accumulation}"
            spec = load_spec(arguments.spec, [*arguments.overrides, "train.workers=1", parts])
        from slm.training.loop import train  # torch is slow to import; what is wrong with a spec is said before

        layout = here()
        folder = arguments.corpus or folder_for(spec.corpus, spec.model.vocab_size, layout.processed)
        if not (folder / MANIFEST).is_file():
            raise CorpusError(f"{folder} holds no corpus.", f"Build it: python -m slm.corpus build {arguments.spec}")
        out = arguments.out or layout.training(spec.build_id)
        TrainingPaths(out).failure.unlink(missing_ok=True)  # of an earlier attempt
        result = train(spec, folder, out, report=_print)
    except AutonError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; the same command continues from the last checkpoint", file=sys.stderr)
        return 130
    print(f"best: step {result.step}, validation perplexity {result.validation_perplexity:.2f}: {result.checkpoint}")
    return 0


def _print(progress: Progress) -> None:
    print(f"{progress.done:>6.0f}/{progress.total:.0f} {progress.unit}  {progress.text}", flush=True)


if __name__ == "__main__":
    restart_with(training_environment())
    sys.exit(main())
