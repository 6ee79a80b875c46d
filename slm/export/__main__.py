"""``python -m slm.export FORMAT CHECKPOINT OUT``: write a checkpoint in one format, without publishing it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from slm.errors import ArtefactError, AutonError
from slm.spec import Quant


def main(argv: Sequence[str] | None = None) -> int:
    """Export one file; exit 0, or an error's own code."""
    parser = argparse.ArgumentParser(prog="python -m slm.export", description="Export a checkpoint.")
    formats = parser.add_subparsers(dest="format", required=True)
    gguf = formats.add_parser("gguf", help="a file for llama.cpp")
    gguf.add_argument("checkpoint", type=Path, help="a checkpoint's or an accepted model's folder")
    gguf.add_argument("out", type=Path, help="the file to write")
    gguf.add_argument("--quant", choices=get_args(Quant), default="f16", help="how weights are stored (default: f16)")
    arguments = parser.parse_args(argv)
    try:
        if not arguments.out.parent.is_dir():
            raise ArtefactError(f"There is no folder {arguments.out.parent}.", "Make it, or correct the path.")
        from slm.export.gguf import export_gguf  # torch is slow to import; what is wrong above is said before

        out = export_gguf(arguments.checkpoint, arguments.out, arguments.quant)
    except AutonError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{out}  {out.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
