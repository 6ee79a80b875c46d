"""Which of many listed answers a model finds most probable: exact, and with few runs of the model.

The answers stand in a trie of tokens. The most probable beginning is always extended next, so the first answers that
come to their end are the best ones; what is improbable from its first tokens on is never computed. Where a beginning
has only one way on, all of it is computed at once.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from slm.serving.completion import Ranked

#: Gives the logits ``[wanted, vocabulary]`` after each of the last ``wanted`` tokens of a sequence.
Following = Callable[[Sequence[int], int], NDArray[np.float32]]


@dataclass
class _Node:
    children: dict[int, _Node] = field(default_factory=dict)
    #: The answer that ends here.
    answer: str | None = None


class Choices:
    """Listed answers as a trie.

    :param answers: each with its tokens, the end token last; no one's tokens are the beginning of another's.
    """

    def __init__(self, answers: Iterable[tuple[str, Sequence[int]]]) -> None:
        self._root = _Node()
        #: Tokens of the longest.
        self.longest = 0
        for answer, tokens in answers:
            node = self._root
            for token in tokens:
                node = node.children.setdefault(token, _Node())
            node.answer = answer
            self.longest = max(self.longest, len(tokens))

    def ranked(self, following: Following, prompt: Sequence[int], count: int, least: float = 0.0) -> list[Ranked]:
        """Return the ``count`` most probable answers after ``prompt``, best first; fewer when there are fewer.

        :param least: how probable an answer must be to be worth a place; the best one always has its.
        """
        best: list[Ranked] = []
        tie = itertools.count()  # nodes have no order
        open_ends = [(-0.0, next(tie), list[int](), self._root)]
        while open_ends and len(best) < count:
            cost, _, begun, node = heapq.heappop(open_ends)
            if best and math.exp(-cost) < least:  # and so is all that is left
                break
            if node.answer is not None:
                best.append(Ranked(node.answer, math.exp(-cost)))
                continue
            way: list[int] = []
            while len(node.children) == 1:
                ((token, node),) = node.children.items()
                way.append(token)
            read = [*prompt, *begun, *way]
            ended = node.answer is not None  # then the last token need not be read
            rows = following(read[:-1] if ended else read, len(way) + (not ended))
            logs = rows - _sums(rows)
            cost -= float(sum(logs[at, token] for at, token in enumerate(way)))
            if ended:
                heapq.heappush(open_ends, (cost, next(tie), [*begun, *way], node))
            for token, child in node.children.items():
                heapq.heappush(open_ends, (cost - float(logs[-1, token]), next(tie), [*begun, *way, token], child))
        return best


def log_probabilities(logits: NDArray[np.float32], tokens: Sequence[int]) -> list[float]:
    """Return the logarithm of each token's probability, given the logits in its place ``[tokens, vocabulary]``."""
    found: list[float] = (logits[np.arange(len(tokens)), np.asarray(tokens, np.intp)] - _sums(logits)[:, 0]).tolist()
    return found


def _sums(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logarithms of the sums of exponentials, ``[..., 1]``."""
    largest = logits.max(-1, keepdims=True)
    sums: NDArray[np.float32] = largest + np.log(np.exp(logits - largest).sum(-1, keepdims=True))
    return sums
