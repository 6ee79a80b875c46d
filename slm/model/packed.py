"""Rows that hold several lines side by side, each of which is to see only itself.

In the kernel edition's rows a line ends with ``<eos>`` (:mod:`slm.edition.corpus`); what fills a row is ``<pad>``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from slm.prompts import EOS, SPECIAL_TOKENS

#: What a file of ids may be accompanied by (``train.learned`` beside ``train.bin``): a byte for each id, 1 where it is
#: to be learned, 0 where it is given.
LEARNED = ".learned"

_EOS_ID = SPECIAL_TOKENS.index(EOS)


def positions_in_line(inputs: Tensor) -> Tensor:
    """Return every token's place in its own line, ``[rows, context]``: 0 at a row's start and after each ``<eos>``.

    transformers takes places that start anew for lines of their own, and keeps each from seeing the others, as long as
    there is no cache (``use_cache=False``).
    """
    context = inputs.size(1)
    places = torch.arange(context, device=inputs.device).expand_as(inputs)
    begins = torch.zeros_like(inputs)
    begins[:, 1:] = torch.where(inputs[:, :-1] == _EOS_ID, places[:, 1:], 0)
    return places - begins.cummax(1).values
