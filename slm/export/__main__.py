"""``python -m slm.export``: write a checkpoint in one format, or make a release of an accepted model."""

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
    release = formats.add_parser("release", help="a folder to hand out: bf16, Q8_0, card, lineage, device tables")
    release.add_argument("model", type=Path, help="an accepted model's folder: checkpoints/registry/NAME")
    release.add_argument("export", type=Path, help="what was published of it: runs/BUILD/export")
    release.add_argument("out", type=Path, help="the folder to make")
    arguments = parser.parse_args(argv)
    try:
        if not arguments.out.parent.is_dir():
            raise ArtefactError(f"There is no folder {arguments.out.parent}.", "Make it, or correct the path.")
        out = _release(arguments) if arguments.format == "release" else _gguf(arguments)
    except AutonError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    size = sum(file.stat().st_size for file in ([out] if out.is_file() else out.iterdir()))
    print(f"{out}  {size / 1e6:.1f} MB")
    return 0


def _gguf(arguments: argparse.Namespace) -> Path:
    from slm.export.gguf import export_gguf  # torch is slow to import; what is wrong before is said before

    return export_gguf(arguments.checkpoint, arguments.out, arguments.quant)


def _release(arguments: argparse.Namespace) -> Path:
    from slm.export.release import release  # as above

    return release(arguments.model, arguments.export, arguments.out)


if __name__ == "__main__":
    sys.exit(main())
