"""``python -m agents.ui``: serve the page to this machine's browsers."""

from __future__ import annotations

import argparse
import getpass
import importlib.util
import ipaddress
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from agents import console
from slm.errors import ServingError
from slm.layout import Layout, here
from slm.token_file import read_token

_HOST, _PORT = "127.0.0.1", 7860
#: Bytes of a token file.
_MOST = 4096


def main(argv: Sequence[str] | None = None) -> int:
    """Serve a page that shows builds, takes decisions on those that wait for one, and asks models; until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m agents.ui", description=main.__doc__)
    parser.add_argument("--host", default=_HOST, help="where to listen; beyond this machine only with --token-file")
    parser.add_argument("--port", type=int, default=_PORT, help=f"{_PORT} when not said; 0 for any that is free")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="the password that browsers must show")
    arguments = parser.parse_args(argv)
    return console.guarded(lambda: _run(arguments, here()))


def _run(arguments: argparse.Namespace, layout: Layout) -> int:
    if importlib.util.find_spec("gradio") is None:
        raise ServingError("The page needs the package gradio.", "Install it: pip install -e '.[ui]'.")
    token = read_token(arguments.token_file, _MOST) if arguments.token_file else None
    with (
        _listening(arguments.host, arguments.port, token) as listening,
        tempfile.TemporaryDirectory(prefix="auton-ui-") as place,
    ):
        _serve(layout, Path(place), listening, arguments.host, token)
    return 0


def _listening(host: str, port: int, token: bytes | None) -> socket.socket:
    """Listen, so that whoever reads the address can come at once.

    :raises ServingError: when that is beyond this machine without a token, or cannot be.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        if token is None and not ipaddress.ip_address(address[0]).is_loopback:
            raise ServingError(
                f"{host} can be reached from other machines, and whoever opens the page can accept a model.",
                "Name a --token-file, or leave --host out and come through ssh -L.",
            )
        return socket.create_server(address[:2], family=family)
    except (OSError, OverflowError) as error:
        raise ServingError(f"The page cannot listen on {host} port {port}: {error}.", "Choose another.") from error


def _serve(layout: Layout, place: Path, listening: socket.socket, host: str, token: bytes | None) -> None:
    # Read when Gradio is imported: nothing is told to its makers, and its files are nobody else's.
    os.environ.update(GRADIO_ANALYTICS_ENABLED="False", GRADIO_TEMP_DIR=str(place), HF_HUB_OFFLINE="1")
    import uvicorn

    from agents.ui.asking import ASKING
    from agents.ui.site import site

    deciding = "" if token else getpass.getuser()
    app = site(layout, place, host, deciding, token)
    address, port = listening.getsockname()[:2]
    print(f"the builds of {layout.home} at http://{f'[{address}]' if ':' in address else address}:{port}/", flush=True)
    config = uvicorn.Config(
        app, log_level="warning", ws="none", proxy_headers=False, server_header=False, timeout_graceful_shutdown=1
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        with ASKING:
            pass


def _end(_number: int, _frame: object) -> None:
    """End as a command that has done what it should; uvicorn raises a signal again once it has closed."""
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
