"""The machine that a guest runs on: QEMU, without network and display, its serial port ours, ended whatever happens."""

from __future__ import annotations

import contextlib
import math
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kernel_interface.guest.programs import find
from kernel_interface.guest.stream import Descriptor
from slm.corpus.members import printable
from slm.errors import GuestError
from slm.export.flat_limits import MIB, ram_needed

#: Memory for GRUB and whatever else the kernel needs, and what it is rounded up to, in bytes.
_ROOM, _STEP = 32 * MIB, 64 * MIB
#: How much of what QEMU says an error shows, in bytes: a failure of KVM comes with all registers.
_SHOWN = 300
#: How long QEMU has to end when it is asked to, in seconds.
_END_SECONDS = 5.0


def memory(model_bytes: int) -> int:
    """Return how much memory a machine gets for a model of so many bytes, in MiB."""
    return math.ceil((ram_needed(model_bytes) + _ROOM) / _STEP) * _STEP // MIB


def command(iso: Path, mebibytes: int, accelerator: str, serial: int) -> list[str]:
    """Return QEMU's command line: a PC that boots ``iso``, its first serial port the socket with descriptor ``serial``.

    :param accelerator: ``tcg``, QEMU's emulation, or ``kvm``, this machine's own processor.

    A reset ends it, and so does our own end, however we end.

    :raises ServingError: when a program is missing.
    """
    return [
        *(find("setpriv"), "--pdeathsig", "KILL", "--"),
        *(find("qemu-system-x86_64"), "-nodefaults", "-no-user-config"),
        *("-machine", "pc", "-accel", accelerator, "-m", f"{mebibytes}M"),
        # Raw, whatever it looks like: another format may name files of ours that the guest could then read.
        *("-drive", f"file={str(iso.resolve()).replace(',', ',,')},format=raw,media=cdrom,readonly=on"),
        *("-boot", "d", "-no-reboot"),
        *("-vga", "std", "-display", "none", "-nic", "none", "-monitor", "none"),
        *("-chardev", f"socket,id=console,fd={serial}", "-serial", "chardev:console"),
    ]


@contextlib.contextmanager
def running(iso: Path, mebibytes: int, accelerator: str) -> Iterator[Descriptor]:
    """Run a machine while the block lasts; give the stream of its serial port.

    :raises ServingError: when a program is missing.
    :raises GuestError: of the block; with what QEMU said, where that may be why.
    """
    ours, its = socket.socketpair()
    with ours, tempfile.TemporaryFile() as log:
        with its:
            process = subprocess.Popen(
                command(iso, mebibytes, accelerator, its.fileno()),
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,  # Ctrl-C is ours to handle
            )
        try:
            yield Descriptor(ours.fileno())
        except GuestError as error:
            log.seek(0)
            if said := printable(" ".join(log.read(_SHOWN).decode("utf-8", "replace").split())):
                raise GuestError(f"{error.what} QEMU says: {said}", error.to_do) from error
            raise
        finally:
            process.terminate()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
