"""Asks a freshly exported model the spec's questions, as the kernel would: through a server's socket.

The server and the client are the kernel interface's own programs, run as such; the agents import nothing of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from slm.errors import ServingError

_START_SECONDS = 60
_ANSWER_SECONDS = 30


class Answer(BaseModel):
    """One question with what came back."""

    question: str
    response: str
    action: str
    source: str
    #: Nothing where only the answer is known.
    confidence: float | None


def ask_all(export: Path, folder: Path, questions: Sequence[str]) -> list[Answer]:
    """Serve ``export`` on a private socket, ask each question, and stop the server.

    :param folder: the build's folder; the server's log goes there.
    :raises ServingError: when the server does not start or does not answer.
    """
    # Not below the build's folder: a Unix socket's path is limited to 107 bytes.
    with tempfile.TemporaryDirectory(prefix="auton-") as place, open(folder / "serve.log", "wb") as log:
        socket = Path(place) / "kernel.sock"
        command = [sys.executable, "-m", "kernel_interface.serve", "--socket", str(socket), "--model", str(export)]
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            _await(socket, server, Path(log.name))
            return [_ask(socket, question) for question in questions]
        finally:
            server.terminate()
            try:
                server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def ask_flat(flat: Path, questions: Sequence[str]) -> list[Answer]:
    """Ask an edition's flat file as the kernel asks it inside itself; it never says how sure it is."""
    command = [sys.executable, "-m", "slm.edition", str(flat)]
    command += [f"--ask={question}" for question in questions]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_START_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise ServingError(f"{flat} did not answer in {_START_SECONDS} s.") from error
    if done.returncode:
        raise ServingError(f"{flat} does not answer: {done.stderr.strip()}")
    answers = zip(questions, done.stdout.splitlines(), strict=True)
    return [Answer(question=q, response=a, action="", source="model", confidence=None) for q, a in answers]


def _await(socket: Path, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not socket.exists():
        if server.poll() is not None or time.monotonic() > deadline:
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no word"]
            raise ServingError(f"The kernel server did not start: {lines[-1]}", f"Its log is {log}.")
        time.sleep(0.05)


def _ask(socket: Path, question: str) -> Answer:
    command = [sys.executable, "-m", "kernel_interface.query", "--socket", str(socket), "--json", "--", question]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise ServingError(f"The kernel server did not answer {question!r} in {_ANSWER_SECONDS} s.") from error
    if done.returncode:
        raise ServingError(f"The kernel server did not answer {question!r}: {done.stderr.strip()}")
    result = json.loads(done.stdout)
    return Answer(
        question=question,
        response=result["response"],
        action=str(result["action_data"]),
        source=result["source"],
        confidence=result["confidence"],
    )
