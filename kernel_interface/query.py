"""``python -m kernel_interface.query --socket PATH "TEXT"``: ask a running server one question."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from kernel_interface.client import Client
from slm.errors import AutonError


def main(argv: Sequence[str] | None = None) -> int:
    """Ask, print the answer; exit 0 when there is one."""
    parser = argparse.ArgumentParser(prog="python -m kernel_interface.query", description="Ask a running server.")
    parser.add_argument("--socket", type=Path, required=True, help="the Unix socket that the server listens on")
    parser.add_argument("--json", action="store_true", help="print the result object instead of lines")
    parser.add_argument("text", help="the question, for example: which driver for pci 8086:100e?")
    arguments = parser.parse_args(argv)
    try:
        with Client(arguments.socket) as client:
            answer = client.query(arguments.text)
    except AutonError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if arguments.json:
        print(json.dumps(answer, indent=1, ensure_ascii=False))
    else:
        print(f"response    {answer['response']}")
        print(f"action      {answer['action_data'] or '-'}")
        print(f"source      {answer['source']}")
        print(f"confidence  {answer['confidence']:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
