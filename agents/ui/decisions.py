"""Carries decisions out: ``python -m agents.review``, in a process of its own, which the page's end does not end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Literal

from agents.builds import build_names, held
from slm.errors import BuildError
from slm.layout import Layout

Verb = Literal["approve", "reject"]

#: Characters of a reason and of a name.
LONGEST_REASON = 1000
LONGEST_NAME = 80
#: Of a command's words, so many bytes are shown, from the end.
_TAIL = 8192


class Decisions:
    """The decisions that were given on this page."""

    def __init__(self, layout: Layout) -> None:
        """Decide on builds of ``layout``."""
        self._layout = layout
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._one_at_a_time = threading.Lock()

    def begin(self, verb: Verb, build: str, iteration: int, by: str, reason: str, final: bool = False) -> None:
        """Begin to carry a decision about an iteration's model out; :meth:`words` tells how that goes.

        :raises BuildError: when it cannot begin. Whether the decision is one that may be taken, the command says.
        """
        if build not in build_names(self._layout):
            raise BuildError("No build is chosen.", "Choose one of the list.")
        for what, text, most in (("reason", reason, LONGEST_REASON), ("name", by, LONGEST_NAME)):
            if len(text) > most:
                raise BuildError(f"The {what} has {len(text):,} characters; {most:,} are the most.", "Shorten it.")
            if "\0" in text:
                raise BuildError(f"The {what} holds a character that no command can be given.", "Write it again.")
        command = [sys.executable, "-m", "agents.review", verb, build, f"--iteration={iteration}"]
        command += [f"--by={by}", f"--reason={reason}"]
        command += ["--final"] * final
        with self._one_at_a_time:
            if self._is_running(build) or held(self._layout.build(build)):
                raise BuildError(f"A decision on {build} is being carried out.", "Wait for its end.")
            try:
                with open(self._log(build), "wb") as log:
                    self._running[build] = subprocess.Popen(
                        command,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        env={**os.environ, "AUTON_HOME": str(self._layout.home)},
                        start_new_session=True,
                    )
            except OSError as error:
                raise BuildError(f"The decision on {build} cannot begin: {error}.", "Look at the folder.") from error

    def words(self, build: str) -> str:
        """Return the last words of the command that carries out the last decision on a build; empty without one."""
        if build not in build_names(self._layout):
            return ""
        try:
            with open(self._log(build), "rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - _TAIL))
                return log.read().decode(errors="replace")
        except OSError:
            return ""

    def ended(self, build: str) -> int | None:
        """Return the exit status of the decision given here on a build; nothing without one, or while it runs."""
        with self._one_at_a_time:
            process = self._running.get(build)
            return None if process is None else process.poll()

    def is_running(self, build: str) -> bool:
        """Say whether a decision given here on a build is being carried out."""
        with self._one_at_a_time:
            return self._is_running(build)

    def _is_running(self, build: str) -> bool:
        process = self._running.get(build)
        return process is not None and process.poll() is None

    def _log(self, build: str) -> Path:
        return self._layout.build(build) / "decision.log"
