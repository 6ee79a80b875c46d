"""Device tables compiled for look-up: an export carries them, so that its server need not compile at each start."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from slm.errors import BuildError

#: Compiling takes a second or two.
_SECONDS = 300


def compile_tables(database: Path, out: Path) -> None:
    """Compile ``database`` (a ``devices.sqlite``) into the file ``out``, with the kernel's side's own program.

    :raises BuildError: when that fails.
    """
    with tempfile.TemporaryDirectory(prefix=".tables-", dir=out.parent) as place:
        folder = Path(place) / "tables"
        command = [sys.executable, "-m", "kernel_interface.knowledge", "build", str(folder), "--tables", str(database)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            raise BuildError(f"Compiling {database} took more than {_SECONDS} s.", "Run the build again.") from error
        if done.returncode:
            raise BuildError(f"{database} cannot be compiled: {done.stderr.strip()}", "Run the build again.")
        os.replace(folder / out.name, out)
