"""Where the corpus's work is done: worker processes here, or whatever else maps a function over items in order."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from slm.errors import CorpusError
from slm.machine import processors

Item = TypeVar("Item")
Result = TypeVar("Result")


class Executor(Protocol):
    """Maps functions over items on several processors.

    Functions and items cross to other processes, perhaps on other machines that share the folders: a function is a
    module's own, an item a path or a batch of some megabytes.
    """

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield ``function(item)`` of each item in the order of the items, a few of them ahead of the reader."""
        ...


class Processes(AbstractContextManager["Processes"]):
    """Worker processes on this machine, one a processor unless told otherwise; to be used in a ``with`` block."""

    def __init__(self, workers: int | None = None) -> None:
        """Start the processes with the first work that comes.

        :param workers: how many; with 1 the work is done here, in the caller's process.
        """
        self._workers = workers or processors()
        self._pool: ProcessPoolExecutor | None = None

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes; what they have not begun is dropped."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield results in order (see :class:`Executor`)."""
        if self._workers == 1:
            yield from map(function, items)
            return
        if self._pool is None:
            context = multiprocessing.get_context("spawn")  # a fork would copy the locks of our caller's threads
            self._pool = ProcessPoolExecutor(self._workers, mp_context=context, initializer=_obey_parent)
        running: deque[Future[Any]] = deque()
        for item in items:
            running.append(self._pool.submit(function, item))
            while len(running) > 2 * self._workers:
                yield self._result(running.popleft())
        while running:
            yield self._result(running.popleft())

    @staticmethod
    def _result(future: Future[Any]) -> Any:
        try:
            return future.result()
        except BrokenProcessPool as error:
            raise CorpusError(
                "A worker process was killed, most likely because the machine ran out of memory.",
                "Free some, and run the same command again; it goes on where it was.",
            ) from error


def _obey_parent() -> None:
    """Make a worker process leave Ctrl-C to its parent, and end when its parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
