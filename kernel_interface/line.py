"""The line in which requests wait: bounded, urgent ones first, and fair when it is full.

A full line refuses whoever has the most requests in it, not whoever happens to come next: a peer that floods the
server is answered FULL, and the others keep their places.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class _Place(Generic[T]):
    peer: Hashable
    item: T


class Line(Generic[T]):
    """A line of at most ``length`` items, for use on one event loop."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._urgent: deque[_Place[T]] = deque()
        self._usual: deque[_Place[T]] = deque()
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        """How many items wait."""
        return len(self._urgent) + len(self._usual)

    def put(self, peer: Hashable, item: T, urgent: bool) -> T | None:
        """Add an item; return the one that has no place any more, if the line was full.

        That is the new one, unless another peer has more items waiting than this one: then that one's newest goes,
        an urgent one last.
        """
        refused: T | None = None
        if len(self) >= self._length:
            counts = Counter(place.peer for place in (*self._urgent, *self._usual))
            greediest, most = counts.most_common(1)[0]
            if counts[peer] >= most:
                return item
            refused = self._drop_newest(greediest)
        (self._urgent if urgent else self._usual).append(_Place(peer, item))
        self._filled.set()
        return refused

    async def get(self) -> T:
        """Take the next item, waiting for one: urgent ones first, otherwise in the order of their coming."""
        while not self:
            self._filled.clear()
            await self._filled.wait()
        return (self._urgent or self._usual).popleft().item

    def take_out(self, which: Callable[[T], bool]) -> list[T]:
        """Take every item out of the line for which ``which`` holds, and return them."""
        taken: list[T] = []
        for line in (self._urgent, self._usual):
            places = list(line)
            line.clear()
            for place in places:
                if which(place.item):
                    taken.append(place.item)
                else:
                    line.append(place)
        return taken

    def _drop_newest(self, peer: Hashable) -> T:
        for line in (self._usual, self._urgent):
            for at in range(len(line) - 1, -1, -1):
                if line[at].peer == peer:
                    item = line[at].item
                    del line[at]
                    return item
        raise AssertionError("the peer has nothing in the line")
