"""Packed tokens, read in a seeded order that depends on nothing but the position asked for.

The order is a function of (seed, position), so the whole data cursor is one number, and a resumed run, or one with
another micro-batch or number of workers, reads the very next sequence.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from slm.errors import ArtefactError, CorpusError
from slm.lineage import check_files, read_manifest
from slm.model.packed import LEARNED
from slm.prompts import BOS, SPECIAL_TOKENS
from slm.training.cross_entropy import IGNORE

_BOS_ID = SPECIAL_TOKENS.index(BOS)


def check_corpus(corpus: Path) -> None:
    """Hold every file of a corpus against its manifest, so that nothing is learned from a damaged one.

    :raises CorpusError: naming the first file that differs.
    """
    try:
        check_files(corpus)
    except ArtefactError as error:
        raise CorpusError(f"The corpus is damaged: {error.what}", "Build the corpus again.") from error


class PackedTokens:
    """A ``.bin`` file of token ids, cut into sequences of ``context`` tokens with their targets."""

    def __init__(self, corpus: Path, split: str, context: int, vocab_size: int, seed: int) -> None:
        """Map ``corpus/split.bin``; nothing is read yet.

        :raises CorpusError: when the file holds less than one sequence.
        """
        self.path = corpus / f"{split}.bin"
        manifest = read_manifest(corpus)
        dtype = np.dtype(manifest.info["dtype"]).newbyteorder("<")
        self._tokens: npt.NDArray[np.integer] = np.memmap(self.path, dtype=dtype, mode="r")
        # Beside an edition's file: which of its tokens are to be learned.
        marks = self.path.with_suffix(LEARNED)
        self._learned = np.memmap(marks, dtype=np.uint8, mode="r") if marks.name in manifest.files else None
        self.context = context
        self.vocab_size = vocab_size
        self.seed = seed
        self.sequences = (len(self._tokens) - 1) // context
        if self.sequences < 1:
            raise CorpusError(
                f"{self.path} holds {len(self._tokens)} tokens, less than one sequence of {context}.",
                "Give the corpus more text, or the model a shorter context.",
            )

    def rows(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """Return inputs and targets ``[count, context]`` (int64) of ``count`` sequences from position ``first``.

        Positions run on past the end of the file: every epoch has an order of its own. The start of a document
        (``<bos>``) is given, never predicted, so it is no target; nor is a line of an edition, whose answers are.

        :raises CorpusError: when a token lies outside the vocabulary.
        """
        windows = np.empty((count, self.context + 1), dtype=np.int64)
        given = np.zeros((count, self.context), dtype=bool)
        for row in range(count):
            epoch, place = divmod(first + row, self.sequences)
            start = int(_order(self.seed, epoch, self.sequences)[place]) * self.context
            windows[row] = self._tokens[start : start + self.context + 1]
            if self._learned is not None:
                given[row] = self._learned[start + 1 : start + self.context + 1] == 0
        if (highest := int(windows.max())) >= self.vocab_size:
            raise CorpusError(
                f"{self.path} holds the token {highest}; the vocabulary ends at {self.vocab_size - 1}.",
                "The file is damaged or belongs to another tokenizer: delete the corpus folder and build it again.",
            )
        block = torch.from_numpy(windows)
        targets = block[:, 1:].clone()
        targets[(targets == _BOS_ID) | torch.from_numpy(given)] = IGNORE
        return block[:, :-1].contiguous(), targets


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, sequences: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(sequences)
