"""``python -m slm.export``: write a checkpoint in one format, check a flat file, or make a release of a model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from slm.errors import ArtefactError, AutonError
from slm.spec import Quant


def main(argv: Sequence[str] | None = None) -> int:
    """Export one file or one release; exit 0, or an error's own code."""
    parser = argparse.ArgumentParser(prog="python -m slm.export", description="Export a model.")
    formats = parser.add_subparsers(dest="format", required=True)
    gguf = formats.add_parser("gguf", help="a file for llama.cpp")
    gguf.add_argument("checkpoint", type=Path, help="a checkpoint's or an accepted model's folder")
    gguf.add_argument("out", type=Path, help="the file to write")
    gguf.add_argument("--quant", choices=get_args(Quant), default="f16", help="how weights are stored (default: f16)")
    flat = formats.add_parser("flat", help="a file that the AUTON kernel itself runs")
    flat.add_argument("checkpoint", type=Path, nargs="?", help="a checkpoint's or an accepted model's folder")
    flat.add_argument("out", type=Path, nargs="?", help="the file to write")
    flat.add_argument("--check", type=Path, metavar="FILE", help="read a flat file instead, and say what it holds")
    release = formats.add_parser("release", help="a folder to hand out: bf16, Q8_0, card, lineage, device tables")
    release.add_argument("model", type=Path, help="an accepted model's folder: checkpoints/registry/NAME")
    release.add_argument("export", type=Path, help="what was published of it: runs/BUILD/export")
    release.add_argument("out", type=Path, help="the folder to make")
    arguments = parser.parse_args(argv)
    if arguments.format == "flat":
        given = [arguments.checkpoint is not None, arguments.out is not None, arguments.check is not None]
        if given not in ([True, True, False], [False, False, True]):
            flat.error("name a checkpoint and the file to write, or --check FILE")
    try:
        if arguments.out is not None:
            _require_place(arguments.out, folder=arguments.format == "release")
        out, facts = {"gguf": _gguf, "flat": _flat, "release": _release}[arguments.format](arguments)
    except AutonError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    size = sum(file.stat().st_size for file in ([out] if out.is_file() else out.iterdir()))
    print("\n".join([f"{out}  {size / 1e6:.1f} MB", *facts]))
    return 0


def _require_place(out: Path, folder: bool) -> None:
    """Raise unless something can be written at ``out``; a release says itself that its folder is there already."""
    if not out.parent.is_dir():
        raise ArtefactError(f"There is no folder {out.parent}.", "Make it, or correct the path.")
    if out.is_dir() and not folder:
        raise ArtefactError(f"{out} is a folder.", "Name the file to write.")


def _gguf(arguments: argparse.Namespace) -> tuple[Path, list[str]]:
    from slm.export.gguf import export_gguf  # torch is slow to import; what is wrong before is said before

    return export_gguf(arguments.checkpoint, arguments.out, arguments.quant), []


def _flat(arguments: argparse.Namespace) -> tuple[Path, list[str]]:
    from slm.export.flat_file import FlatModel, read_flat

    model: FlatModel
    if arguments.check is not None:
        model = read_flat(arguments.check)
    else:
        from slm.export.flat import export_flat  # as above

        model = export_flat(arguments.checkpoint, arguments.out)
    return arguments.check or arguments.out, [f"  {line}" for line in model.facts()]


def _release(arguments: argparse.Namespace) -> tuple[Path, list[str]]:
    from slm.export.release import release  # as above

    return release(arguments.model, arguments.export, arguments.out), []


if __name__ == "__main__":
    sys.exit(main())
