"""An edition's checkpoint as the kernel's flat file: the same model, with a row for every spelling of its words.

Input and output share the embedding, so a spelling that has a copy of its word's row reads just as the word does. As an
output it would score just as high; it has the higher id, and of equal scores the kernel takes the first. Since sums may
be taken in another order elsewhere, the copy is a thousandth shorter: the first norm takes that back on the way in, and
on the way out the word itself is ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaForCausalLM

from slm.edition.vocabulary import with_spellings
from slm.export.flat import read_checkpoint
from slm.export.flat_file import FlatModel, write_flat
from slm.export.flat_limits import ANSWER_TOKENS, PROMPT_TOKENS, SPECIAL
from slm.model.llama import config_for
from slm.prompts import EOS, PAD, UNK
from slm.spec import ModelSpec

EMBEDDING = "model.embed_tokens.weight"

#: What a spelling's row is of its word's.
_SHORTER = np.float32(1 - 2**-10)

_UNK, _ENDS = SPECIAL.index(UNK), (SPECIAL.index(PAD), SPECIAL.index(EOS))

#: Lines of one length that are answered together.
_BATCH = 64


def export_edition(checkpoint: Path, out: Path, spellings: int) -> FlatModel:
    """Write the edition in the folder ``checkpoint`` as the flat file ``out``, with ``spellings`` rows at most.

    :returns: what was written.
    :raises ArtefactError: as :func:`slm.export.flat.export_flat` does, and for the larger table, too.
    """
    model = spelled(read_checkpoint(checkpoint), spellings)
    write_flat(model, out)
    return model


def spelled(model: FlatModel, size: int) -> FlatModel:
    """Return ``model`` with rows for spellings, ``size`` rows at most, and without its spare ones."""
    texts, rows = with_spellings([token.decode() for token in model.tokens], size)
    table = model.weights[EMBEDDING][rows]
    table[np.array(rows) != np.arange(len(rows))] *= _SHORTER
    return FlatModel(
        replace(model.shape, vocab=len(texts)),
        {**model.weights, EMBEDDING: table},
        [text.encode() for text in texts],
        np.zeros(len(texts), dtype=np.float32),
    )


def same_answers(checkpoint: FlatModel, flat: FlatModel, lines: Sequence[str]) -> float:
    """Return the share of ``lines`` to which ``flat`` gives the answer that the checkpoint gives to canonical words.

    :param flat: the checkpoint with rows for spellings, as :func:`spelled` makes it, or read from a file.
    """
    _, rows = with_spellings([token.decode() for token in checkpoint.tokens], len(flat.tokens))
    plain, reader = Reader(checkpoint), Reader(flat)
    prompts = [reader.ids(line) for line in lines]
    expected = plain.answer_ids([[rows[index] for index in prompt] for prompt in prompts])
    found = reader.answer_ids(prompts)
    return sum(one == other for one, other in zip(expected, found, strict=True)) / len(lines)


class Reader:
    """Answers lines with a flat model as the kernel does, but with torch and many at a time."""

    def __init__(self, model: FlatModel) -> None:
        """Build the model; its weights are not copied where torch can read them as they are."""
        self._tokens = [token.decode("utf-8", "replace") for token in model.tokens]
        self._ids: dict[bytes, int] = {}
        for index, token in enumerate(model.tokens):
            self._ids.setdefault(token, index)
        self._window = model.shape.window
        self._model = as_llama(model)

    def ids(self, line: str) -> list[int]:
        """Return the ids that the kernel reads of a line."""
        words = [word for word in line.encode().split(b" ") if word]
        return [self._ids.get(word, _UNK) for word in words][:PROMPT_TOKENS]

    def answers(self, lines: Sequence[str]) -> list[str]:
        """Answer every line: greedy, the first of equal scores, until ``<eos>`` or ``<pad>``, 12 tokens at most."""
        return [
            " ".join(self._tokens[index] for index in answer) for answer in self.answer_ids([*map(self.ids, lines)])
        ]

    def answer_ids(self, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        """Return the ids of the answer to each line's ids, the end's not among them; none to an empty line."""
        found: list[list[int]] = [[] for _ in prompts]
        by_length: dict[int, list[int]] = {}
        for number, prompt in enumerate(prompts):
            if prompt:
                by_length.setdefault(len(prompt), []).append(number)
        for length, numbers in sorted(by_length.items()):
            for first in range(0, len(numbers), _BATCH):
                batch = numbers[first : first + _BATCH]
                for number, answer in zip(batch, self._continue([prompts[n] for n in batch], length), strict=True):
                    found[number] = answer
        return found

    @torch.inference_mode()
    def _continue(self, prompts: list[Sequence[int]], length: int) -> list[list[int]]:
        given, cache = torch.tensor(prompts), None
        answers: list[list[int]] = [[] for _ in prompts]
        going = set(range(len(prompts)))
        for _ in range(min(ANSWER_TOKENS, max(0, self._window - 1 - length))):
            out = self._model.model(input_ids=given, past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            chosen = self._model.lm_head(out.last_hidden_state[:, -1]).argmax(-1)
            for number in list(going):
                index = int(chosen[number])
                if index in _ENDS:
                    going.discard(number)
                else:
                    answers[number].append(index)
            if not going:
                break
            given = chosen[:, None]
        return answers


def as_llama(model: FlatModel) -> LlamaForCausalLM:
    """Return a flat model as transformers computes it, in evaluation mode.

    :param model: of a shape that a build may have (:class:`~slm.spec.ModelSpec`).
    """
    shape = model.shape
    spec = ModelSpec(
        layers=shape.layers,
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        dim=shape.dim,
        hidden=shape.hidden,
        vocab_size=shape.vocab,
        context=shape.seq_len,
    )
    with torch.random.fork_rng(devices=[]):
        llama = LlamaForCausalLM(config_for(spec))
    weights = {name: torch.from_numpy(np.array(weight)) for name, weight in model.weights.items()}
    llama.load_state_dict(weights, strict=False)
    llama.train(False)
    return llama
