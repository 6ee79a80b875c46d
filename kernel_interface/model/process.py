"""``python -m kernel_interface.model.process GGUF``: the model's process, which the server starts.

Its standard input is its end of the socket pair (:mod:`.channel`). It loads the model and what is remembered beside it,
says so, and answers one question after the other. When the server's end closes, however the server ended, so does the
process, in the middle of a question too.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import queue
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from kernel_interface.model.channel import Channel, ChannelError, Question, Reply, Started
from slm.errors import ArtefactError, ServingError
from slm.model.files import NEIGHBOURS
from slm.serving.completion import AbandonedError, Memory
from slm.serving.engine import Engine

#: Linux's prctl(2): the signal that a process gets when its parent ends.
_PR_SET_PDEATHSIG = 1
#: How willingly Linux ends this process where memory runs out, between -1000 and 1000; the server has 0.
_OOM_SCORE = 500


def main(argv: Sequence[str] | None = None) -> int:
    """Load, answer until the server's end closes; exit 1 when the model does not load."""
    parser = argparse.ArgumentParser(prog="python -m kernel_interface.model.process", description="Run a model.")
    parser.add_argument("gguf", type=Path, help="the model file")
    arguments = parser.parse_args(argv)
    try:
        channel = Channel(socket.socket(fileno=0))
    except OSError:
        parser.error("standard input is no socket: the server starts this program (python -m kernel_interface.serve)")
    _go_first()
    questions: queue.SimpleQueue[Question] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(channel, questions), name="listen", daemon=True).start()
    try:
        try:
            engine = Engine(arguments.gguf)
            engine.memory = _beside(arguments.gguf)
        except (ServingError, ArtefactError) as error:
            channel.send(Started(error=f"{error.what} {error.to_do}"))
            return error.exit_code
        channel.send(Started(error=""))
        while True:
            channel.send(_answered(engine, questions.get()))
    except ChannelError:  # the server has gone
        return 0


def _beside(gguf: Path) -> Memory | None:
    """Return what a taught model remembers of devices; None for another.

    :raises ArtefactError: when the file is not what it should be.
    """
    file = gguf.with_name(NEIGHBOURS)
    if not file.is_file():
        return None
    # Only now: nothing else of a model's process needs scikit-learn.
    from slm.evaluation.benchmark.neighbours import RememberedDrivers

    return RememberedDrivers.read(file)


def _go_first() -> None:
    """End with the server, even stopped or stuck; and before it, where memory runs out."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE))


def _listen(channel: Channel, questions: queue.SimpleQueue[Question]) -> None:
    """Take questions; end the process at once when no more can come, whatever the model is doing."""
    try:
        while True:
            questions.put(channel.receive(Question))
    except ChannelError:
        os._exit(0)


def _answered(engine: Engine, question: Question) -> Reply:
    number = question.number
    try:
        if question.choices:
            drivers, weighed = engine.drivers(question.prompt, question.choices, question.about, question.seconds)
            return Reply(
                number=number, ranked=tuple((text, probability) for text, probability in drivers), weighed=weighed
            )
        said = engine.complete(question.prompt, question.max_tokens, question.seconds)
    except AbandonedError as error:
        return Reply(number=number, error=error.what, abandoned=True)
    except ServingError as error:
        return Reply(number=number, error=error.what)
    return Reply(
        number=number,
        text=said.text,
        logprobs=said.logprobs,
        finished=said.finished,
        prompt_tokens=said.prompt_tokens,
    )


if __name__ == "__main__":
    sys.exit(main())
