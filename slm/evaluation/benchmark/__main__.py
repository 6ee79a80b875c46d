"""``python -m slm.evaluation.benchmark build|check|baselines``: make a benchmark, look for leaks, run the baselines."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from slm.errors import ArtefactError, AutonError, BenchmarkError
from slm.files import atomic_write, sha256_file
from slm.layout import here
from slm.progress import Progress

#: As many leaks are shown.
_SHOWN = 20


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; exit 0, or an error's own code; 1 when ``check`` found a leak."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = {"build": _build, "check": _check, "baselines": _baselines}[arguments.verb](arguments)
    except AutonError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("Interrupted; nothing was written.", file=sys.stderr)
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m slm.evaluation.benchmark", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="build|check|baselines")
    build = verbs.add_parser("build", help="make the benchmark of a corpus")
    build.add_argument("corpus", type=Path, metavar="CORPUS", help="a finished corpus's folder")
    build.add_argument("out", type=Path, metavar="OUT", help="the folder to make, such as datasets/benchmarks/NAME")
    kernel = "a package's name or glob, or a folder with modules.alias or kernel modules"
    build.add_argument("--newer", metavar="KERNEL", help=f"ask about devices that only this kernel knows: {kernel}")
    build.add_argument("--device-tree", metavar="KERNEL", help="ask about compatible strings of this kernel, likewise")
    build.add_argument("--seed", type=int, default=0, help="another seed words phrases otherwise (default: 0)")
    check = verbs.add_parser("check", help="say whether a corpus's training text gives answers away")
    check.add_argument("file", type=Path, metavar="FILE", help="a file of items")
    check.add_argument("corpus", type=Path, metavar="CORPUS", help="a finished corpus's folder")
    baselines = verbs.add_parser("baselines", help="score the baselines on a file of items")
    baselines.add_argument("file", type=Path, metavar="FILE", help="a file of items, such as OUT/benchmark.jsonl")
    baselines.add_argument(
        "--training", type=Path, metavar="FILE", help="items to fit on (default: training.jsonl beside FILE)"
    )
    baselines.add_argument(
        "--validation",
        type=Path,
        metavar="FILE",
        help="items to calibrate on (default: validation.jsonl beside FILE; without any, nothing is calibrated)",
    )
    baselines.add_argument("--json", type=Path, metavar="OUT", help="also write the results here")
    baselines.add_argument("--html", type=Path, metavar="OUT", help="also write a page with pictures here")
    return parser


def _build(arguments: argparse.Namespace) -> int:
    from slm.evaluation.benchmark.generate import build_benchmark
    from slm.lineage import read_manifest

    manifest = build_benchmark(
        arguments.corpus,
        arguments.out,
        here().raw,
        _show,
        newer=arguments.newer,
        device_tree=arguments.device_tree,
        seed=arguments.seed,
    )
    info = read_manifest(manifest).info
    for task, groups in info["items"].items():
        print(f"{task:<20}" + ", ".join(f"{name} {n:,}" for name, n in groups.items()))
    for task, groups in info["left_out_for_leaks"].items():
        shown = ", ".join(f"{name} {n:,}" for name, n in groups.items())
        print(f"left out, because training text gives the answer away: {task} {shown}")
    print(f"The benchmark: {manifest.parent}")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from slm.evaluation.benchmark.generate import check
    from slm.evaluation.benchmark.items import dump, read_items

    items = read_items(arguments.file)
    leaks = check(items, arguments.corpus, _show)
    for leak in leaks[:_SHOWN]:
        print(f"{leak.path} gives away {dump(items[leak.item])}")
    if len(leaks) > _SHOWN:
        print(f"and {len(leaks) - _SHOWN:,} more")
    print(f"{len(leaks):,} of {len(items):,} items stand in the training text of {arguments.corpus}")
    return 1 if leaks else 0


def _baselines(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from slm.evaluation.benchmark.baselines import Regression, fitted
    from slm.evaluation.benchmark.generate import TRAINING, VALIDATION
    from slm.evaluation.benchmark.items import read_items
    from slm.evaluation.benchmark.predictor import installed
    from slm.evaluation.benchmark.report import show, write_report
    from slm.evaluation.benchmark.run import run, without

    items = read_items(arguments.file)
    training = _beside(arguments.training, arguments.file, TRAINING)
    if training is None:
        raise BenchmarkError(
            f"There is no {TRAINING} beside {arguments.file} to fit baselines on.",
            "Name one with --training: python -m slm.evaluation.benchmark build CORPUS OUT writes OUT/training.jsonl.",
        )
    validation = _beside(arguments.validation, arguments.file, VALIDATION)
    known, notes = without(read_items(training), items)
    held, _ = without(read_items(validation) if validation else [], items)
    takers = [*installed(), *fitted(known, {item.task for item in items}, _show)]
    notes += [remark for taker in takers if isinstance(taker, Regression) for remark in taker.remarks]
    results = run(
        items,
        None,
        takers,
        held,
        benchmark=str(arguments.file),
        sha256=sha256_file(arguments.file),
        notes=notes,
        report=_show,
    )
    show(results, Console())
    if arguments.json:
        try:
            with atomic_write(arguments.json, "w") as file:
                file.write(results.to_json())
        except OSError as error:
            raise ArtefactError(f"{arguments.json} cannot be written: {error.strerror}.") from error
    if arguments.html:
        write_report(results, arguments.html)
    return 0


def _beside(named: Path | None, file: Path, name: str) -> Path | None:
    if named is not None:
        return named
    beside = file.with_name(name)
    return beside if beside.is_file() else None


def _show(progress: Progress) -> None:
    if sys.stderr.isatty():
        end = "\n" if progress.done >= progress.total else ""
        text = f"{progress.stage}: {progress.done:,.0f} {progress.unit} {progress.text}".rstrip()
        print(f"\r{text:<78}", end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
