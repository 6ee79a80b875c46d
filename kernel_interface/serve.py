"""``python -m kernel_interface.serve --socket PATH``: serve an exported model to the kernel.

Any combination of transports is served by one process: ``--socket``, ``--tcp`` with ``--token-file``, ``--serial``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kernel_interface.access import Address, address, read_token
from kernel_interface.knowledge import COMPILED, Knowledge
from kernel_interface.logs import configure
from kernel_interface.metrics import exposed
from kernel_interface.model.supervisor import Supervisor
from kernel_interface.server import Server
from kernel_interface.service import Service
from kernel_interface.transports import Transport
from kernel_interface.transports.serial import BAUDS, DEFAULT_BAUD, SerialTransport
from kernel_interface.transports.tcp import TcpTransport
from kernel_interface.transports.unix import UnixTransport
from slm.errors import AutonError, ServingError
from slm.layout import here
from slm.lineage import MANIFEST, check_files
from slm.model.files import FLAT
from slm.serving.confidence import read_calibrations

#: In an export folder: the model's files and the device tables, the preferred first.
MODEL_FILES = ("model-q8_0.gguf", "model-f16.gguf")
TABLES = (COMPILED, "devices.sqlite")
#: How long a server waits for its model before it takes peers without it.
START_SECONDS = 30.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Served:
    """What is to be served, and under which name."""

    name: str
    gguf: Path | None
    tables: Path


def choose(model: Path | None, tables: Path | None, runs: Path | None = None) -> Served:
    """Settle which files are served.

    :param model: an export's or a release's folder, or a GGUF file; None for the newest export below ``runs``
        (:func:`slm.layout.here`'s when not given). Where there is no export either, device tables alone can be served,
        if they are named.
    :raises ServingError: when there is nothing to serve.
    :raises ArtefactError: when an export's files are not those of its manifest.
    """
    if model is None:
        runs = runs or here().runs
        found = sorted(runs.glob(f"*/export/{MANIFEST}"), key=lambda path: path.stat().st_mtime)
        exports = [path for path in found if not path.with_name(FLAT).exists()]  # those the kernel runs by itself
        if not exports:
            if tables is not None:
                return Served(tables.stem, None, tables)
            raise ServingError(
                f"There is no exported model below {runs.resolve()}.",
                "Build one (make run), or name one: --model checkpoints/released/nano.",
            )
        model = exports[-1].parent
    if not model.exists():
        raise ServingError(f"There is no model at {model}.", "Name an export folder or a GGUF file.")
    if not model.is_dir():
        with open(model, "rb") as file:
            if file.read(4) == b"UTON":
                raise ServingError(
                    f"{model} is a flat file, which the kernel runs inside itself.",
                    "Ask it with python -m slm.edition, or boot it with python -m kernel_interface.guest.",
                )
        beside = [path for name in TABLES if (path := model.with_name(name)).is_file()]
        return Served(model.stem, model, tables or (beside or [model.with_name(TABLES[-1])])[0])
    manifest = check_files(model)
    if manifest.kind not in ("export", "release"):
        raise ServingError(f"{model} holds a {manifest.kind}, not an export.", "Name an export or a release.")
    gguf = next((name for name in MODEL_FILES if name in manifest.files), None)
    if gguf is None:
        raise ServingError(f"The export in {model} holds none of {', '.join(MODEL_FILES)}.", "Export the model again.")
    held = next((name for name in TABLES if name in manifest.files), None)
    if tables is None and held is None:
        raise ServingError(f"The export in {model} holds none of {', '.join(TABLES)}.", "Name some with --knowledge.")
    return Served(manifest.name, model / gguf, tables or model / str(held))


@contextlib.contextmanager
def prepared(model: Path | None, tables: Path | None) -> Iterator[tuple[Service, str]]:
    """Load what :func:`choose` settles on; give the service and its name, and unload at the end.

    The model has a process of its own, and some time to load before there is a service without it.

    :raises AutonError: when there is nothing to serve, or the tables cannot be loaded.
    """
    served = choose(model, tables)
    with Supervisor(served.gguf) if served.gguf else contextlib.nullcontext() as engine:
        knowledge = Knowledge(served.tables)  # while the model loads
        if engine is not None and engine.settled(START_SECONDS).state == "loading":
            log.warning("The model takes long to load; until it is ready, rules answer in its place.")
        try:
            calibrations = read_calibrations(served.gguf) if served.gguf else {}
            sure = {who: tasks["driver_select"] for who, tasks in calibrations.items() if "driver_select" in tasks}
            yield Service(knowledge, engine, sure_of_drivers=sure), served.name
        finally:
            knowledge.close()


@contextlib.contextmanager
def in_background(service: Service, *transports: Transport, metrics: Address | None = None) -> Iterator[None]:
    """Serve on ``transports`` from a thread while the block lasts; tell Prometheus at ``metrics``.

    :raises ServingError: when one of them cannot be had.
    """
    server = Server(service)
    stop, ready, loop = asyncio.Event(), threading.Event(), asyncio.new_event_loop()
    failure: list[Exception] = []

    def work() -> None:
        try:
            with exposed(server.metrics, metrics) if metrics else contextlib.nullcontext():
                loop.run_until_complete(server.run(transports, stop, ready.set))
        except Exception as error:  # the caller's to raise
            failure.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=work, name="server")
    thread.start()
    try:
        ready.wait()
        if failure:
            raise failure[0]
        yield
    finally:
        if not failure:
            loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


async def serve(
    service: Service, transports: Sequence[Transport], name: str, metrics: Address | None, log_texts: bool
) -> None:
    """Serve until SIGINT or SIGTERM.

    :param metrics: where Prometheus may ask; None for nowhere.
    :raises ServingError: when a transport or the address cannot be had.
    """
    gc.collect()
    gc.freeze()  # what is loaded stays; to look it through for garbage would hold up every peer for 14 ms
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        stop.set()
        service.close()  # a question that the model is at would hold the end up

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    server = Server(service, log_texts)
    with exposed(server.metrics, metrics) if metrics else contextlib.nullcontext() as where:

        def ready() -> None:
            told = f", metrics on http://{where}/metrics" if where else ""
            print(f"serving {name} on {', '.join(transport.where for transport in transports)}{told}", flush=True)

        await server.run(transports, stop, ready)


def asked_transports(arguments: argparse.Namespace) -> list[Transport]:
    """Make the transports that a command line names.

    :raises ServingError: when the token file is not as it must be.
    """
    transports: list[Transport] = []
    if arguments.socket:
        transports.append(UnixTransport(arguments.socket))
    if arguments.tcp:
        transports.append(TcpTransport(arguments.tcp, read_token(arguments.token_file)))
    if arguments.serial:
        transports.append(SerialTransport(arguments.serial, arguments.baud or DEFAULT_BAUD))
    return transports


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line, load, serve; exit 0 after a signal."""
    parser = argparse.ArgumentParser(prog="python -m kernel_interface.serve", description="Answer the kernel.")
    ways = parser.add_argument_group("transports", "at least one; all of them are served at once")
    ways.add_argument("--socket", type=Path, metavar="PATH", help="a Unix socket to listen on")
    ways.add_argument(
        "--tcp", type=address, metavar="[HOST:]PORT", help="a TCP address to listen on; the loopback without HOST"
    )
    ways.add_argument("--token-file", type=Path, metavar="FILE", help="holds the token that a TCP peer must show")
    ways.add_argument("--serial", type=Path, metavar="DEVICE", help="a serial device or a pty to serve")
    ways.add_argument("--baud", type=int, choices=BAUDS, metavar="N", help=f"its speed; {DEFAULT_BAUD} when not given")
    parser.add_argument(
        "--model", type=Path, help="an export's or a release's folder, or a GGUF file; the newest export when not given"
    )
    parser.add_argument(
        "--knowledge", type=Path, help=f"device tables; {' or '.join(TABLES)} beside the model when not given"
    )
    parser.add_argument(
        "--metrics", type=address, metavar="[HOST:]PORT", help="serve Prometheus here, on the loopback: GET /metrics"
    )
    parser.add_argument("--log-json", action="store_true", help="log JSON objects, one a line, every request too")
    parser.add_argument(
        "--log-text", action="store_true", help="with what was asked in them; without it, no user's text"
    )
    arguments = parser.parse_args(argv)
    if not (arguments.socket or arguments.tcp or arguments.serial):
        parser.error("name at least one of --socket, --tcp and --serial")
    if bool(arguments.tcp) != bool(arguments.token_file):
        parser.error("--tcp and --token-file go together: without a token anybody on the machine could ask")
    if arguments.baud and not arguments.serial:
        parser.error("--baud is the speed of --serial")
    if arguments.log_text and not arguments.log_json:
        parser.error("--log-text is for --log-json")
    configure(arguments.log_json)
    try:
        transports = asked_transports(arguments)
        with prepared(arguments.model, arguments.knowledge) as (service, name):
            asyncio.run(serve(service, transports, name, arguments.metrics, arguments.log_text))
    except AutonError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:  # before the server was up; from then on the signal is its own
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
