from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slm.errors import CorpusError
from slm.training.cross_entropy import IGNORE
from slm.training.data import PackedTokens

VOCABULARY = 1024


def test_an_epoch_reads_every_sequence_once(small_corpus: Path) -> None:
    data = PackedTokens(small_corpus, "train", 64, VOCABULARY, seed=3)
    inputs, _ = data.rows(0, data.sequences)
    tokens = np.fromfile(small_corpus / "train.bin", dtype="<u2").astype(np.int64)
    expected = tokens[: data.sequences * 64].reshape(-1, 64)
    assert sorted(map(tuple, inputs.tolist())) == sorted(map(tuple, expected.tolist()))
    again, _ = data.rows(data.sequences, data.sequences)
    assert not torch.equal(inputs, again)
    assert sorted(map(tuple, again.tolist())) == sorted(map(tuple, inputs.tolist()))


@settings(deadline=None, max_examples=30)
@given(first=st.integers(0, 500), cuts=st.lists(st.integers(1, 7), min_size=1, max_size=6))
def test_the_order_depends_on_the_position_alone(small_corpus: Path, first: int, cuts: list[int]) -> None:
    whole = PackedTokens(small_corpus, "train", 64, VOCABULARY, seed=1).rows(first, sum(cuts))[0]
    position, parts = first, []
    for cut in cuts:
        parts.append(PackedTokens(small_corpus, "train", 64, VOCABULARY, seed=1).rows(position, cut)[0])
        position += cut
    assert torch.equal(torch.cat(parts), whole)


def test_targets_are_the_next_tokens_and_document_starts_are_none(small_corpus: Path) -> None:
    data = PackedTokens(small_corpus, "train", 64, VOCABULARY, seed=0)
    inputs, targets = data.rows(0, 50)
    shifted = inputs[:, 1:]
    expected = torch.where(shifted == 2, torch.full_like(shifted, IGNORE), shifted)
    assert torch.equal(targets[:, :-1], expected)
    assert (targets == IGNORE).any()
    assert not (targets == 2).any()


def test_a_poisoned_token_is_refused(small_corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    shutil.copytree(small_corpus, folder)
    tokens = np.fromfile(folder / "train.bin", dtype="<u2")
    tokens[:] = 60_000
    tokens.tofile(folder / "train.bin")
    with pytest.raises(CorpusError, match="60000; the vocabulary ends at 1023"):
        PackedTokens(folder, "train", 64, VOCABULARY, seed=0).rows(0, 1)


def test_too_little_text_is_said(small_corpus: Path) -> None:
    with pytest.raises(CorpusError, match="less than one sequence"):
        PackedTokens(small_corpus, "val", 10_000_000, VOCABULARY, seed=0)
