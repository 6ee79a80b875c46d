"""``python -m kernel_interface.query --socket PATH "TEXT"``: ask a running server one question.

``--tcp [HOST:]PORT --token-file FILE`` instead of ``--socket`` asks one on TCP. ``--steps`` goes through the plan that
the answer begins.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kernel_interface.access import address, read_token
from kernel_interface.client import Client, TcpServer
from slm.errors import AutonError


def main(argv: Sequence[str] | None = None) -> int:
    """Ask, print the answer; exit 0 when there is one."""
    parser = argparse.ArgumentParser(prog="python -m kernel_interface.query", description="Ask a running server.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--socket", type=Path, metavar="PATH", help="the Unix socket that the server listens on")
    where.add_argument("--tcp", type=address, metavar="[HOST:]PORT", help="the TCP address that it listens on")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="holds the token that it asks for on TCP")
    parser.add_argument("--json", action="store_true", help="print the result object instead of lines")
    parser.add_argument("--steps", action="store_true", help="go through the plan that the answer begins")
    parser.add_argument("text", help="the question, for example: which driver for pci 8086:100e?")
    arguments = parser.parse_args(argv)
    if bool(arguments.tcp) != bool(arguments.token_file):
        parser.error("--tcp and --token-file go together")
    try:
        tcp = TcpServer(arguments.tcp, read_token(arguments.token_file)) if arguments.tcp else None
        with Client(tcp or arguments.socket) as client:
            for answer in _answers(client, arguments.text, arguments.steps):
                _print(answer, arguments.json)
    except AutonError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _answers(client: Client, text: str, steps: bool) -> Iterator[dict[str, Any]]:
    """Yield the answer, and with ``steps`` those to "next", until the plan is over or waits for something."""
    answer = client.query(text)
    yield answer
    while steps and "plan" in answer and answer["requires_followup"]:
        before, answer = answer["plan"], client.query("next")
        yield answer
        if answer.get("plan") == before:
            return


def _print(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(answer, indent=1, ensure_ascii=False))
        return
    print(f"response    {answer['response']}")
    print(f"action      {answer['action_data'] or '-'}")
    print(f"source      {answer['source']}")
    print(f"confidence  {answer['confidence']:.2f}")


if __name__ == "__main__":
    sys.exit(main())
