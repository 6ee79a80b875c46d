"""How well a model predicts a split: perplexity, bits per byte, and how often the right token comes first.

Perplexity depends on the tokenizer, since it is per token; bits per byte does not, so models with different
vocabularies compare by it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import LlamaForCausalLM

from slm.errors import ArtefactError
from slm.evaluation.figures import SplitScore
from slm.model.packed import LEARNED, positions_in_line
from slm.progress import Progress, Reporter, silent
from slm.prompts import BOS, SPECIAL_TOKENS

#: Tokens that go through the model at once, and through the output head at once: bounds on memory.
BATCH_TOKENS = 8192
HEAD_TOKENS = 1024

BOS_ID = SPECIAL_TOKENS.index(BOS)

Ids = NDArray[np.uint16] | NDArray[np.uint32]


def evaluate_split(
    model: LlamaForCausalLM,
    bin_path: Path,
    dtype: str,
    context: int,
    text_bytes: int,
    max_tokens: int | None = None,
    batch: int | None = None,
    lines_apart: bool = False,
    report: Reporter = silent,
) -> SplitScore:
    """Score ``model`` on a packed split, in fp32.

    The file is cut into windows of ``context`` targets that neither overlap nor leave a gap: a window's last target
    is the next one's first input, so every token after the first is predicted exactly once. A document's opening
    mark is input but no counted target: it always follows an end mark, and would flatter.

    :param dtype: ``uint16`` or ``uint32``, the ids' width in the file.
    :param text_bytes: UTF-8 bytes of the split's text; scaled by the share of tokens when ``max_tokens`` cuts it.
    :param batch: windows at once; the result does not depend on it.
    :param lines_apart: whether the split is an edition's rows: only what its ``.learned`` file marks is counted, and no
        line sees another (:mod:`slm.model.packed`).
    :raises ArtefactError: when the file holds no two tokens, or an id beyond the model's vocabulary.
    """
    ids = read_ids(bin_path, dtype, model.config.vocab_size)
    used = ids if max_tokens is None else ids[: max_tokens + 1]
    total = len(used) - 1
    if total < 1:
        raise ArtefactError(f"{bin_path} holds {len(ids)} tokens, too few to predict any.", "Prepare a larger corpus.")
    batch = batch or max(1, BATCH_TOKENS // context)
    marks = np.fromfile(bin_path.with_suffix(LEARNED), np.uint8, len(used)) if lines_apart else None
    device = next(model.parameters()).device
    was_training = model.training
    model.train(False)
    nats, top1, top5, counted, seen = 0.0, 0, 0, 0, 0
    try:
        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            for inputs, targets in _batches(used, context, batch, marks):
                places = positions_in_line(inputs).to(device) if lines_apart else None
                for losses, ranks in _predict(model, inputs.to(device), targets.to(device), places):
                    nats += float(losses.double().sum())
                    top1 += int((ranks < 1).sum())
                    top5 += int((ranks < 5).sum())
                    counted += losses.numel()
                seen += targets.numel()
                report(Progress("evaluate", seen, total, "tokens"))
    finally:
        model.train(was_training)
    mean = nats / counted if counted else math.nan
    return SplitScore(
        perplexity=math.exp(mean) if not mean > 700 else math.inf,
        bits_per_byte=nats / math.log(2) / (text_bytes * len(used) / len(ids)),
        top1=top1 / counted if counted else math.nan,
        top5=top5 / counted if counted else math.nan,
        tokens=counted,
    )


def read_ids(bin_path: Path, dtype: str, vocab_size: int) -> Ids:
    """Map a packed split of little-endian ids.

    :raises ArtefactError: when it is missing, cut off, or has an id that the model does not know.
    """
    kind: Literal["<u2", "<u4"] = "<u2" if dtype == "uint16" else "<u4"
    path = Path(bin_path)
    if dtype not in ("uint16", "uint32"):
        raise ArtefactError(f"{path} is said to hold {dtype}; ids are uint16 or uint32.")
    if not path.is_file() or path.stat().st_size == 0:
        raise ArtefactError(f"{path} is missing or empty.", "Prepare the corpus again.")
    if path.stat().st_size % np.dtype(kind).itemsize:
        raise ArtefactError(f"{path} is no whole number of {dtype} ids.", "Prepare the corpus again.")
    ids: Ids = np.memmap(path, dtype=kind, mode="r")
    if (largest := int(ids.max())) >= vocab_size:
        raise ArtefactError(
            f"{path} has the id {largest}; the model's vocabulary ends at {vocab_size - 1}.",
            "Model and corpus do not belong together.",
        )
    return ids


def _batches(
    ids: Ids, context: int, batch: int, marks: NDArray[np.uint8] | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield inputs and targets ``[windows, length]``: whole windows, ``batch`` at a time, then what is left over.

    :param marks: one for each id; a target with mark 0 becomes ``<bos>``, which is not counted.
    """
    targets = len(ids) - 1
    whole = targets // context
    spans = [(first, min(batch, whole - first), context) for first in range(0, whole, batch)]
    if targets % context:
        spans.append((whole, 1, targets % context))
    for first, windows, length in spans:
        start = first * context
        flat = torch.from_numpy(ids[start : start + windows * length + 1].astype(np.int64))
        following = flat[1:]
        if marks is not None:
            given = torch.from_numpy(marks[start + 1 : start + windows * length + 1] == 0)
            following = following.masked_fill(given, BOS_ID)
        yield flat[:-1].view(windows, length), following.view(windows, length)


def _predict(
    model: LlamaForCausalLM, inputs: Tensor, targets: Tensor, places: Tensor | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each counted target's negative log-likelihood and rank (0: the first guess), some tokens at a time."""
    hidden = model.model(input_ids=inputs, position_ids=places, use_cache=False).last_hidden_state.flatten(0, 1)
    wanted = targets.flatten()
    keep = wanted != BOS_ID
    for states, answers in zip(
        torch.split(hidden[keep], HEAD_TOKENS), torch.split(wanted[keep], HEAD_TOKENS), strict=True
    ):
        logits = model.lm_head(states).float()
        right = logits.gather(1, answers[:, None])
        # A NaN is above nothing; without the second test a diverged model would be right every time.
        ranks = (logits > right).sum(1).masked_fill(right.isnan().squeeze(1), logits.shape[1])
        yield functional.cross_entropy(logits, answers, reduction="none"), ranks
