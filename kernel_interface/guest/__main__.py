"""``python -m kernel_interface.guest --iso ISO_OR_KERNEL --model FLAT --ask FILE``: ask a model inside the kernel.

The image, or the one that ``AUTON_KERNEL_ISO`` names, boots in QEMU with the model as its Multiboot2 module; every line
of the file is typed at its prompt, and what comes back is shown. Without ``--model`` an image is booted as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kernel_interface.guest.console import Console, loaded
from kernel_interface.guest.image import bootable
from kernel_interface.guest.lines import answer_seconds, boot_seconds, own_state, read_lines
from kernel_interface.guest.qemu import memory, running
from slm.corpus.members import printable
from slm.errors import AutonError, GuestError, Interrupted
from slm.export.flat_file import read_flat
from slm.export.flat_limits import ADVISED_PARAMETERS

#: What the command tells a shell: the model answered every line; rules answered; nothing could be tried; the guest did
#: not boot, or left a line without an answer.
MODEL, RULES, FAILED, SILENT = range(4)


@dataclass(frozen=True)
class Row:
    """A line, what came back, perhaps several lines or none, and from whom: ``model``, ``rules`` or ``kernel``."""

    line: str
    answer: str
    seconds: float
    source: str


@dataclass
class Session:
    """What became of a guest: ``rows`` are those that were answered before ``error``, if there is one."""

    model_loaded: bool | None = None
    boot_seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    error: str = ""

    def status(self) -> int:
        """Return the exit status that it calls for."""
        if self.error or not all(row.answer for row in self.rows):
            return SILENT
        return MODEL if self.model_loaded else RULES


def converse(console: Console, lines: Sequence[str], parameters: int, model_bytes: int, session: Session) -> None:
    """Wait for the prompt, then ask line by line; ``session`` holds what came of it, as far as the guest goes along.

    :param parameters: of the guest's model, which decide how long an answer may take.
    :raises GuestError: when it goes along no further.
    """
    booted = console.boot(boot_seconds(model_bytes))
    session.model_loaded, session.boot_seconds = loaded(booted.text), booted.seconds
    for line in lines:
        answer = console.ask(line, answer_seconds(line, parameters))
        source = "kernel" if own_state(line) else "model" if session.model_loaded else "rules"
        session.rows.append(Row(line, answer.text, answer.seconds, source))


def table(session: Session) -> str:
    """Write a session as lines of even columns, and a line that sums it up."""
    cells = [("line", "answer", "seconds", "source")]
    for row in session.rows:
        first, *more = row.answer.split("\n")
        cells.append((row.line, first or "-", f"{row.seconds:.1f}", row.source))
        cells += [("", text, "", "") for text in more]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    if session.model_loaded is not None:
        verdict = "the model was loaded" if session.model_loaded else "the model was not loaded: rules answer"
        lines.append(f"prompt after {session.boot_seconds:.1f} s; {verdict}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Boot, ask, show; exit 0 when the model was loaded and every line got an answer, 1 when rules answered.

    2: nothing could be tried: the image, the model, the lines or a program is missing or wrong. 3: the guest did not
    boot, or left a line without an answer.
    """
    parser = argparse.ArgumentParser(prog="python -m kernel_interface.guest", description=main.__doc__)
    parser.add_argument(
        "--iso",
        type=Path,
        metavar="ISO_OR_KERNEL",
        default=os.environ.get("AUTON_KERNEL_ISO"),
        help="an ISO, or a kernel with a Multiboot2 header; $AUTON_KERNEL_ISO when not given",
    )
    parser.add_argument("--model", type=Path, metavar="FLAT", help="a flat model file; the image as it is without one")
    parser.add_argument("--ask", type=Path, required=True, metavar="FILE", help="the lines to type, in UTF-8")
    parser.add_argument("--kvm", action="store_true", help="run it on this machine's processor, not an emulated one")
    parser.add_argument("--json", action="store_true", help="print an object instead of a table")
    arguments = parser.parse_args(argv)
    if arguments.iso is None:
        parser.error("name an image with --iso, or in the environment as AUTON_KERNEL_ISO")
    try:
        lines = read_lines(arguments.ask)
        model = read_flat(arguments.model) if arguments.model else None  # the kernel would refuse it without a word
        # An image that is booted as it is may hold the largest model there is, but none larger than itself.
        size = model.size if model else arguments.iso.stat().st_size
        parameters = model.shape.parameters if model else ADVISED_PARAMETERS
        accelerator = "kvm" if arguments.kvm else "tcg"
        with tempfile.TemporaryDirectory(prefix="auton-guest-") as folder:
            iso, notes = bootable(arguments.iso, arguments.model, Path(folder))
            notes += [
                f"{line!r} has {words!r} in it, so the kernel answers it from its own state, not the model"
                for line in lines
                if (words := own_state(line))
            ]
            for note in notes:
                print(f"note: {printable(note)}", file=sys.stderr)
            print(f"booting {arguments.iso} with {memory(size)} MiB under {accelerator}", file=sys.stderr, flush=True)
            session = Session()
            try:
                with running(iso, memory(size), accelerator) as stream:
                    converse(Console(stream), lines, parameters, size, session)
            except GuestError as error:
                session.error = str(error)
    except AutonError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return Interrupted.exit_code
    print(json.dumps(asdict(session), indent=1, ensure_ascii=False) if arguments.json else table(session))
    if session.error:
        print(f"error: {session.error}", file=sys.stderr)
    return session.status()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the machine and its image are cleared away
    sys.exit(main())
