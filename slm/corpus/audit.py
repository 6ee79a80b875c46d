"""What is claimed of a finished corpus, checked on its token files themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from slm.corpus.heldout import HeldOut
from slm.corpus.pack import id_type
from slm.errors import CorpusError
from slm.progress import Progress, Reporter
from slm.prompts import BOS

#: Ids decoded at a time.
_STRIDE = 1 << 20


def check_held_out(bins: Path, vocab_size: int, tokenizer: Tokenizer, tables: Path, report: Reporter) -> dict[str, Any]:
    """Decode a token file and look for device ids that are held out for the benchmark.

    :return: ``documents`` and ``characters`` read, and ``found``, which is 0.
    :raises CorpusError: when one stands there.
    """
    finder = HeldOut(tables)
    total = characters = 0
    for document in _documents(bins, vocab_size, tokenizer, report):
        if named := finder.named(document):
            vendor, device = named[0]
            raise CorpusError(
                f"{bins} names {vendor:04x}:{device:04x}, which is held out for the benchmark.",
                "This is a defect of the corpus build; please report it with the spec.",
            )
        total += 1
        characters += len(document)
    return {"documents": total, "characters": characters, "found": 0}


def _documents(bins: Path, vocab_size: int, tokenizer: Tokenizer, report: Reporter) -> Iterator[str]:
    """Yield the texts of a token file, role tags and all, each as it is decoded."""
    ids = np.memmap(bins, dtype=np.dtype(id_type(vocab_size)).newbyteorder("<"), mode="r")
    bos = tokenizer.token_to_id(BOS)
    first = 0
    while first < len(ids):
        block = ids[first : first + _STRIDE]
        starts = np.flatnonzero(block == bos)
        if first + len(block) < len(ids) and len(starts) > 1:
            block, starts = block[: starts[-1]], starts[:-1]  # the last may go on behind
        rows = [piece.tolist() for piece in np.split(block, starts[1:])]
        yield from tokenizer.decode_batch(rows, skip_special_tokens=False)
        first += len(block)
        report(Progress(f"check {bins.stem}", first, len(ids), "tokens"))
