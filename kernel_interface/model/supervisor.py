"""Keeps the model's process: starts it, waits for it, asks it, ends it when it is stuck, and starts it again.

The process may crash, hang, eat memory or never load; whoever asks gets an answer or an error in the time that they
give.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from kernel_interface.model.channel import Channel, ChannelError, Question, Reply, Started
from slm.errors import ServingError
from slm.evaluation.benchmark.device import Device
from slm.serving.completion import AbandonedError, Completion, Ranked, Ranking, UnavailableError

log = logging.getLogger(__name__)

State = Literal["none", "loading", "ready", "down"]
STATES: tuple[State, ...] = ("none", "loading", "ready", "down")

#: How long a model may take to load.
LOAD_SECONDS = 120.0
#: The waits before it is started again: the first, how much longer each next one is, the longest. One that was ready
#: for so long as the last of them begins anew.
FIRST_DELAY, GROWTH, LONGEST_DELAY, STEADY_SECONDS = 0.1, 2.0, 30.0, 60.0
#: How much sooner than its asker the process gives a question up. A model that is only slow then says so itself; one
#: that does not is stuck, and is ended.
STUCK_SECONDS = 0.5
_DOWN = "The model is down, and will be started again."
#: How long a process that is asked in no hurry may take.
PATIENCE = 600.0


@dataclass(frozen=True)
class Status:
    """How the model is, and how often it has been started again."""

    state: State
    restarts: int


class Supervisor:
    """A model in a process of its own, for use in a ``with`` block; it is asked as an engine is.

    While it is being loaded, or is down, every question is answered with an error at once.

    :param gguf: the model file.
    :param load_seconds: how long it may take to load.
    """

    def __init__(self, gguf: Path, load_seconds: float = LOAD_SECONDS) -> None:
        self._command = [sys.executable, "-m", "kernel_interface.model.process", str(gguf)]
        self._load_seconds = load_seconds
        #: Held by who asks: one question at a time.
        self._asking = threading.Lock()
        #: Guards what follows, and tells of its changes.
        self._changed = threading.Condition()
        self._state: State = "loading"
        self._restarts = 0
        self._excuse = "The model is still being loaded."
        self._channel: Channel | None = None
        #: Since when the model is ready, on the monotonic clock; None before it was.
        self._ready_since: float | None = None
        self._stuck = False
        self._closing = False
        self._questions = 0
        self._thread = threading.Thread(target=self._supervise, name="supervisor")

    def __enter__(self) -> Self:
        """Start the process; it is not waited for."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self.close()
        self._thread.join()

    def close(self) -> None:
        """End the process, and whoever asks it; nothing is asked any more. Leaving the block waits for the rest."""
        with self._changed:
            self._closing = True
            if self._channel is not None:
                self._channel.end()
            self._changed.notify_all()

    def status(self) -> Status:
        """Return how the model is."""
        with self._changed:
            return Status(self._state, self._restarts)

    def settled(self, seconds: float) -> Status:
        """Wait until the model is ready or down, for at most ``seconds``; return how it is then."""
        with self._changed:
            self._changed.wait_for(lambda: self._state != "loading", seconds)
            return Status(self._state, self._restarts)

    def complete(self, prompt: str, max_tokens: int, seconds: float | None = None) -> Completion:
        """Ask the process; as :meth:`slm.serving.engine.Engine.complete`.

        :raises AbandonedError: when ``seconds`` have passed; a process that is stuck is ended.
        :raises UnavailableError: at once when the model is not ready.
        :raises ServingError: when its process ends, or refuses the question.
        """
        reply = self._asked(Question(number=0, prompt=_plain(prompt), max_tokens=max_tokens, seconds=0.0), seconds)
        return Completion(reply.text, reply.logprobs, reply.finished, reply.prompt_tokens)

    def drivers(
        self, prompt: str, choices: Sequence[str], about: Device | None = None, seconds: float | None = None
    ) -> Ranking:
        """Ask the process; as :meth:`slm.serving.engine.Engine.drivers`, with the errors of :meth:`complete`."""
        if not choices:
            raise ValueError("a ranking needs at least one choice")
        question = Question(number=0, prompt=_plain(prompt), choices=tuple(choices), seconds=0.0, about=about)
        reply = self._asked(question, seconds)
        return Ranking([Ranked(text, probability) for text, probability in reply.ranked], reply.weighed)

    def _asked(self, question: Question, seconds: float | None) -> Reply:
        """Ask a question, once it has its number and its time."""
        until = time.monotonic() + (PATIENCE if seconds is None else seconds)
        if not self._asking.acquire(timeout=max(0.0, until - time.monotonic())):
            raise AbandonedError("The model was busy all the time.")
        try:
            with self._changed:
                channel = self._channel if self._state == "ready" else None
                if channel is None:
                    raise UnavailableError(self._excuse)
            own = until - time.monotonic() - STUCK_SECONDS
            if own <= 0:
                raise AbandonedError("There was too little time left to ask the model.")
            self._questions += 1
            reply = self._replied(
                channel, question.model_copy(update={"number": self._questions, "seconds": own}), until
            )
        finally:
            self._asking.release()
        if reply.abandoned:
            raise AbandonedError(reply.error)
        if reply.error:
            raise ServingError(reply.error)
        return reply

    def _replied(self, channel: Channel, question: Question, until: float) -> Reply:
        try:
            channel.send(question, max(0.001, until - time.monotonic()))
            reply = channel.receive(Reply, until - time.monotonic())
            if reply.number != question.number:
                raise ChannelError("The reply is to another question.")
        except TimeoutError as error:
            self._stuck = True
            self._give_up(channel)
            raise AbandonedError("The model's process is stuck.") from error
        except ChannelError as error:
            self._give_up(channel)
            raise ServingError("Its process ended.") from error
        return reply

    def _give_up(self, channel: Channel) -> None:
        """Let nobody ask a process any more, and have it ended; who asked it still holds the others back."""
        with self._changed:
            self._set("down", _DOWN)
        channel.end()

    def _supervise(self) -> None:
        """Let the process live again and again, until the supervisor is closed."""
        delay = FIRST_DELAY
        while True:
            why = self._live()
            # How long the model took to load says nothing about how steady it is.
            if self._ready_since is not None and time.monotonic() - self._ready_since >= STEADY_SECONDS:
                delay = FIRST_DELAY
            with self._changed:
                if self._closing:
                    return
                self._set("down", _DOWN)
                log.error("%s Without the model, rules answer. It is started again in %g s.", why, delay)
                if self._changed.wait_for(lambda: self._closing, delay):
                    return
                self._restarts += 1
                self._set("loading", "The model is being loaded again.")
            delay = min(LONGEST_DELAY, GROWTH * delay)

    def _live(self) -> str:
        """Start the process, wait until it ends, and return why it did."""
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            return f"The model's process cannot be started: {error.strerror}."
        channel = Channel(ours)
        try:
            # A group of its own: what a terminal sends its programs is the server's to handle. But the same session:
            # Linux shares processors out among sessions first, and has let a new one wait for a minute.
            process = subprocess.Popen(
                self._command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                process_group=0,
                # Else devices would be weighed on all processors, the server's among them.
                env={"OPENBLAS_NUM_THREADS": "1", **os.environ},
            )
        except OSError as error:
            channel.close()
            return f"The model's process cannot be started: {error.strerror}."
        finally:
            theirs.close()
        with self._changed:
            self._stuck = False
            self._ready_since = None
            self._channel = channel
            if self._closing:
                channel.end()
        why = self._load(channel, process.pid)
        if not why:
            _wait_for_the_end(ours)
        process.kill()
        status = process.wait()
        with self._asking, self._changed:  # nobody is waiting at the channel any more
            self._set("down", _DOWN)
            self._channel = None
            channel.close()
        if self._stuck:
            return f"The model's process {process.pid} was stuck, and was ended."
        return why or f"The model's process {process.pid} ended: {_described(status)}."

    def _load(self, channel: Channel, process: int) -> str:
        """Wait until the model is loaded; return what is wrong, if anything is."""
        begun = time.monotonic()
        try:
            error = channel.receive(Started, self._load_seconds).error
        except TimeoutError:
            return f"The model did not load within {self._load_seconds:g} s."
        except ChannelError:
            channel.end()
            return ""  # its end says more
        if error:
            return f"The model does not load: {error}"
        log.info("The model is ready: process %d, loaded in %.1f s.", process, time.monotonic() - begun)
        with self._changed:
            self._ready_since = time.monotonic()
            self._set("ready", "")
        return ""

    def _set(self, state: State, excuse: str) -> None:
        self._state, self._excuse = state, excuse
        self._changed.notify_all()


def _wait_for_the_end(connection: socket.socket) -> None:
    """Wait until either side has ended the connection; what is said on it is left to others."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    while not poll.poll():
        pass


def _plain(text: str) -> str:
    """Return text that UTF-8 can write."""
    return text.encode(errors="replace").decode()


def _described(status: int) -> str:
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"it was ended by {signal.Signals(-status).name}"
    return f"its exit status was {status}"
