"""``python -m kernel_interface.query --socket PATH "TEXT"``: ask a running server one question.

``--tcp [HOST:]PORT --token-file FILE`` instead of ``--socket`` asks one on TCP.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

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
    parser.add_argument("text", help="the question, for example: which driver for pci 8086:100e?")
    arguments = parser.parse_args(argv)
    if bool(arguments.tcp) != bool(arguments.token_file):
        parser.error("--tcp and --token-file go together")
    try:
        tcp = TcpServer(arguments.tcp, read_token(arguments.token_file)) if arguments.tcp else None
        with Client(tcp or arguments.socket) as client:
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
