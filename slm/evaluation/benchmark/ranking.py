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
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from slm.prompts import EOS, PAD, SPECIAL_TOKENS

_PAD_ID, _EOS_ID = SPECIAL_TOKENS.index(PAD), SPECIAL_TOKENS.index(EOS)

#: So many beginnings go through the model at once.
_AT_ONCE = 8


@dataclass
class _Node:
    children: dict[int, _Node] = field(default_factory=dict)
    #: The answer that ends here.
    answer: str | None = None


class Answers:
    """A list of answers, each with the end mark, as a trie of a tokenizer's tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, answers: Iterable[str]) -> None:
        self._root = _Node()
        #: Tokens of the longest, its end mark included.
        self.longest = 0
        for answer in sorted(set(answers)):
            node = self._root
            tokens = [*tokenizer.encode(answer, add_special_tokens=False), _EOS_ID]
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
        best: list[tuple[float, str]] = []
        tie = itertools.count()  # nodes have no order
        open_ends = [(-0.0, next(tie), list[int](), self._root)]
        while open_ends and (len(best) < count or -open_ends[0][0] > best[count - 1][0]):
            taken = [heapq.heappop(open_ends) for _ in range(min(_AT_ONCE, len(open_ends)))]
            for (cost, _, begun, node), logs in zip(
                taken, _next(model, prompt, [end[2] for end in taken]), strict=True
            ):
                for token, child in node.children.items():
                    log = float(logs[token]) - cost
                    if child.answer is not None:
                        best.append((log, child.answer))
                    else:
                        heapq.heappush(open_ends, (-log, next(tie), [*begun, token], child))
            best.sort(key=lambda found: (-found[0], found[1]))
        return [(answer, math.exp(log)) for log, answer in best[:count]]


def _next(model: LlamaForCausalLM, prompt: Sequence[int], begun: Sequence[Sequence[int]]) -> torch.Tensor:
    """Return the log-probabilities of what comes next, ``[beginnings, vocabulary]``."""
    rows = [[*prompt, *each] for each in begun]
    longest = max(map(len, rows))
    # Padding stands behind, where causal attention does not look.
    ids = torch.tensor([row + [_PAD_ID] * (longest - len(row)) for row in rows], device=model.device)
    last = torch.tensor([len(row) - 1 for row in rows], device=model.device)
    with torch.inference_mode():
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
        logits = model.lm_head(hidden[torch.arange(len(rows), device=model.device), last]).float()
        logs: torch.Tensor = logits.log_softmax(-1).cpu()
        return logs
