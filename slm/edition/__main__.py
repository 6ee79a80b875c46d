"""``python -m slm.edition FLAT``: ask an edition what it knows, or a line of your own."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from slm.errors import ArtefactError, AutonError
from slm.export.flat_limits import MAX_VOCAB


def main(argv: Sequence[str] | None = None) -> int:
    """Print the shares of ids and of phrasings that get a right answer, or the answers to your own lines.

    Exit status: 0, or 1 when the file or the tables cannot be read.
    """
    parser = argparse.ArgumentParser(prog="python -m slm.edition", description=main.__doc__)
    parser.add_argument(
        "model", type=Path, help="a flat file, or the folder of a release or of an edition's checkpoint"
    )
    parser.add_argument("--ask", action="append", metavar="LINE", help="answer this line, as the kernel would")
    parser.add_argument("--tables", type=Path, help="a devices.sqlite; without it, the one beside the flat file")
    parser.add_argument("--json", action="store_true", help="print the figures and all that is kept of misses as JSON")
    arguments = parser.parse_args(argv)
    try:
        from slm.edition.evaluation import load, score_edition  # torch is slow to import
        from slm.edition.flat import Reader

        flat = arguments.model / "model.flat"  # of a release's folder
        model = load(flat if flat.is_file() else arguments.model, MAX_VOCAB)
        if arguments.ask:
            answers = list(Reader(model).answers(arguments.ask))
            pairs = [{"line": line, "answer": answer} for line, answer in zip(arguments.ask, answers, strict=True)]
            print(json.dumps(pairs, indent=1, ensure_ascii=False) if arguments.json else "\n".join(answers))
            return 0
        tables = arguments.tables or (flat if flat.is_file() else arguments.model).parent / "devices.sqlite"
        if not tables.is_file():
            raise ArtefactError(f"There are no device tables at {tables}.", "Name a devices.sqlite with --tables.")
        score = score_edition(model, tables)
    except AutonError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if arguments.json:
        print(score.model_dump_json(indent=1))
        return 0
    print(f"{arguments.model}")
    print(f"  known ids  {score.known_ids:7.1%} of {score.ids} have the exact answer")
    print(f"  phrasings  {score.phrasings:7.1%} of {score.lines} have a right answer")
    for miss in score.misses:
        print(f"  wrong: {miss.line!a} got {miss.answer!a}, not {' or '.join(map(ascii, miss.right))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
