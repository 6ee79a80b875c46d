"""``python -m kernel_interface.discover``: which drivers a machine's devices need, compared with those they have.

    python -m kernel_interface.discover --knowledge TABLES         # this machine, with a server of its own
    python -m kernel_interface.discover --socket PATH              # this machine, a running server
    lspci -nn -k > FILE; python -m kernel_interface.discover --lspci FILE

Every device goes through the kernel's discovery dialogue, over a socket as the kernel's own would.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from kernel_interface.client import Client
from kernel_interface.machine import Found, read_lspci, read_lsusb, read_sysfs
from kernel_interface.serve import in_background, prepared
from kernel_interface.transports.unix import UnixTransport
from slm.corpus.members import printable
from slm.errors import AutonError, Interrupted

#: What the command tells a shell: every bound driver is the proposed one; some are others; no devices or no server;
#: no device has a driver to compare with.
AGREE, DIFFER, FAILED, NOTHING = range(4)

_NAME_WIDTH = 48


@dataclass(frozen=True)
class Row:
    """One device: what the answers say, what the machine has, and the ``verdict``.

    ``agrees``; ``differs``; ``built in`` (the driver is part of the kernel, so that there is no module to load),
    ``unbound`` (the machine has no driver for it) and ``unknown`` (the source does not say), which count as neither.
    """

    place: str
    device: str
    identified: str
    proposed: str
    bound: str
    source: str
    confidence: float
    verdict: str


def judged(proposed: str, found: Found) -> str:
    """Compare a proposed driver with what serves the device; ``-`` and ``_`` are the same in a module's name."""
    if found.driver is None:
        return "unknown"
    if not found.driver:
        return "unbound"
    if proposed and _plain(proposed) in {_plain(name) for name in (found.driver, *found.modules)}:
        return "agrees"
    return "differs" if found.modules else "built in"


def discover(client: Client, devices: Sequence[Found]) -> list[Row]:
    """Announce every device, those that are alike once."""
    answers = {summary: client.discovered(summary) for summary in dict.fromkeys(found.summary for found in devices)}
    rows = []
    for found in devices:
        identify, select = answers[found.summary]
        proposed = str(select["action_data"])
        module = found.modules[0] if len(found.modules) == 1 else ""
        bound = found.driver or ""
        rows.append(
            Row(
                place=found.place,
                device=f"{found.device.bus} {found.device.id}",
                identified=str(identify["response"]),
                proposed=proposed,
                bound=f"{bound} ({module})" if bound and module and _plain(module) != _plain(bound) else bound,
                source=str(select["source"]),
                confidence=float(select["confidence"]),
                verdict=judged(proposed, found),
            )
        )
    return rows


def table(rows: Sequence[Row]) -> str:
    """Write the rows as lines of even columns, and a line that sums them up."""
    cells = [("place", "device", "identified as", "proposed", "bound", "source", "sure", "verdict")]
    for row in rows:
        name = printable(row.identified)
        name = name if len(name) <= _NAME_WIDTH else name[: _NAME_WIDTH - 1] + "…"
        fields = (row.place, row.device, name, row.proposed or "-", row.bound or "-", row.source)
        cells.append((*fields, f"{row.confidence:.2f}", row.verdict))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    verdicts = [row.verdict for row in rows]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(sorted(verdicts)))
    return "\n".join([*lines, f"{len(rows)} devices: {counts}"])


def status(rows: Sequence[Row]) -> int:
    """Return the exit status that the rows call for."""
    verdicts = {row.verdict for row in rows}
    return DIFFER if "differs" in verdicts else AGREE if "agrees" in verdicts else NOTHING


def main(argv: Sequence[str] | None = None) -> int:
    """Ask and compare; exit 0 when every bound driver is the proposed one, 1 when some differ.

    2: there are no devices or there is no server. 3: no device has a driver to compare with.
    """
    parser = argparse.ArgumentParser(prog="python -m kernel_interface.discover", description=main.__doc__)
    parser.add_argument("--root", type=Path, help="where the machine's file system begins; / when not given")
    parser.add_argument("--lspci", type=Path, metavar="FILE", help="read what 'lspci -nn -k' printed instead of sysfs")
    parser.add_argument("--lsusb", type=Path, metavar="FILE", help="read what 'lsusb' printed instead of sysfs")
    parser.add_argument("--json", action="store_true", help="print objects instead of a table")
    parser.add_argument("--socket", type=Path, help="ask the server on this socket instead of starting one")
    parser.add_argument("--model", type=Path, help="what a server of its own serves, as for kernel_interface.serve")
    parser.add_argument("--knowledge", type=Path, help="its device tables, as for kernel_interface.serve")
    arguments = parser.parse_args(argv)
    if arguments.root and (arguments.lspci or arguments.lsusb):
        parser.error("--root reads sysfs; --lspci and --lsusb are read instead of it")
    if arguments.socket and (arguments.model or arguments.knowledge):
        parser.error("the server on --socket has its own --model and --knowledge")
    try:
        devices = read_lspci(arguments.lspci) if arguments.lspci else []
        devices += read_lsusb(arguments.lsusb) if arguments.lsusb else []
        if not (arguments.lspci or arguments.lsusb):
            devices = read_sysfs(arguments.root or Path("/"))
        with _server(arguments) as path, Client(path) as client:
            rows = discover(client, devices)
    except AutonError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return Interrupted.exit_code
    print(json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False) if arguments.json else table(rows))
    return status(rows)


@contextlib.contextmanager
def _server(arguments: argparse.Namespace) -> Iterator[Path]:
    """Give the socket of the server to ask: the named one, or one that lives as long as this command."""
    if arguments.socket:
        yield arguments.socket
        return
    with tempfile.TemporaryDirectory() as folder, prepared(arguments.model, arguments.knowledge) as (service, _):
        path = Path(folder) / "slm.sock"
        with in_background(service, UnixTransport(path)):
            yield path


def _plain(name: str) -> str:
    return name.replace("-", "_")


if __name__ == "__main__":
    sys.exit(main())
