"""The system's programs that a guest needs: found, or named with the package that brings them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from slm.corpus.members import printable
from slm.errors import ServingError

#: Programs, and the Debian package of each.
PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86",
    "setpriv": "util-linux",
    "xorriso": "xorriso",
    "grub-mkrescue": "grub-common",
}
#: Writing an image of some hundred megabytes takes seconds.
_PATIENCE = 300.0


def find(name: str) -> str:
    """Return a program's path.

    :raises ServingError: when it is not installed.
    """
    path = shutil.which(name)
    if path is None:
        raise ServingError(f"There is no {name}.", f"Install it: apt-get install {PACKAGES[name]}")
    return path


def run(command: Sequence[str], failing: str) -> str:
    """Run a program to its end; return what it printed.

    :param failing: what could not be done when it fails, as the beginning of a sentence.
    :raises ServingError: then, with what it said last.
    """
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise ServingError(f"{failing}: {command[0]} took longer than {_PATIENCE:.0f} s.") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().split("\n")[-3:]
        raise ServingError("\n  ".join([f"{failing}: {command[0]} says", *map(printable, said)]))
    return done.stdout.decode("utf-8", "replace")
