"""Answers that cannot be anything but one of a list: a model's own ranking of them, exact, with probabilities.

The answers stand in a trie of tokens. Its most probable beginnings are extended until no other can become better than
the best answers found, so what comes out is the ranking by probability and not a beam's guess.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from transformers import DynamicCache, LlamaForCausalLM, PreTrainedTokenizerFast

from slm.prompts import EOS, PAD, SPECIAL_TOKENS

_PAD_ID, _EOS_ID = SPECIAL_TOKENS.index(PAD), SPECIAL_TOKENS.index(EOS)

#: So many beginnings go through the model at once, and lists of no more answers at once as a whole.
_AT_ONCE = 24


@dataclass
class _Node:
    children: dict[int, _Node] = field(default_factory=dict)
    #: The answer that ends here.
    answer: str | None = None


class Answers:
    """A list of answers, each with the end mark, as a trie of a tokenizer's tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, answers: Iterable[str]) -> None:
        self._root = _Node()
        self._tokens: dict[str, list[int]] = {}
        #: Tokens of the longest, its end mark included.
        self.longest = 0
        for answer in sorted(set(answers)):
            node = self._root
            tokens = [*tokenizer.encode(answer, add_special_tokens=False), _EOS_ID]
            self._tokens[answer] = tokens
            self.longest = max(self.longest, len(tokens))
            for token in tokens:
                node = node.children.setdefault(token, _Node())
            node.answer = answer

    def ranked(self, model: LlamaForCausalLM, prompt: Sequence[int], count: int) -> list[tuple[str, float]]:
        """Return the ``count`` answers that ``model`` finds most probable after ``prompt``, best first.

        The probability is that of exactly the answer and its end mark among all text: what is missing to 1 is the
        chance that the model would say something else.

        :param prompt: token ids; with the longest answer they must fit the model's context.
        """
        read = Read(model, prompt)
        if len(self._tokens) <= _AT_ONCE:
            sums = read.sums(list(self._tokens.values()))
            both = sorted(zip(self._tokens, sums, strict=True), key=lambda found: (-found[1], found[0]))
            return [(answer, math.exp(log)) for answer, log in both[:count]]
        best: list[tuple[float, str]] = []
        tie = itertools.count()  # nodes have no order
        open_ends = [(-0.0, next(tie), list[int](), self._root)]
        while open_ends and (len(best) < count or -open_ends[0][0] > best[count - 1][0]):
            taken = [heapq.heappop(open_ends) for _ in range(min(_AT_ONCE, len(open_ends)))]
            for (cost, _, begun, node), logs in zip(taken, read.next([end[2] for end in taken]), strict=True):
                for token, child in node.children.items():
                    log = float(logs[token]) - cost
                    if child.answer is not None:
                        best.append((log, child.answer))
                    else:
                        heapq.heappush(open_ends, (-log, next(tie), [*begun, token], child))
            best.sort(key=lambda found: (-found[0], found[1]))
        return [(answer, math.exp(log)) for log, answer in best[:count]]


class Read:
    """A prompt that a model has read, once, and may go on from in many ways."""

    def __init__(self, model: LlamaForCausalLM, prompt: Sequence[int]) -> None:
        """Read it.

        :param prompt: token ids, at least one.
        """
        self._model = model
        with torch.inference_mode():
            read = model.model(input_ids=torch.tensor([list(prompt)], device=model.device), use_cache=True)
            self._logs = self._head(read.last_hidden_state[:, -1])
        self._layers = [(layer.keys, layer.values) for layer in read.past_key_values.layers]

    def next(self, begun: Sequence[Sequence[int]]) -> torch.Tensor:
        """Return the log-probabilities of what comes after each beginning of an answer, ``[beginnings, vocabulary]``.

        :param begun: token ids; either all are empty, or none is.
        """
        if not all(begun):
            return self._logs.expand(len(begun), -1)
        hidden = self._hidden(begun)
        return self._head(hidden[range(len(begun)), [len(row) - 1 for row in begun]])

    def sums(self, answers: Sequence[Sequence[int]]) -> list[float]:
        """Return the log-probability of each answer, of at least two tokens."""
        logs = self._head(self._hidden([answer[:-1] for answer in answers]))
        return [
            float(self._logs[0, answer[0]] + logs[row, range(len(answer) - 1), list(answer[1:])].sum())
            for row, answer in enumerate(answers)
        ]

    def _hidden(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Return the last layer's output for what may come next, ``[rows, length, dim]``."""
        longest = max(map(len, rows))
        # Padding stands behind, where causal attention does not look.
        ids = torch.tensor([[*row, *[_PAD_ID] * (longest - len(row))] for row in rows], device=self._model.device)
        with torch.inference_mode():
            past = DynamicCache([tuple(each.expand(len(rows), -1, -1, -1) for each in pair) for pair in self._layers])
            read = self._model.model(input_ids=ids, past_key_values=past, use_cache=True)
            hidden: torch.Tensor = read.last_hidden_state
            return hidden

    def _head(self, hidden: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            logs: torch.Tensor = self._model.lm_head(hidden).float().log_softmax(-1).cpu()
            return logs
