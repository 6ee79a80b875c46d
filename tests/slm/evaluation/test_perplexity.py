from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slm.errors import ArtefactError
from slm.evaluation.perplexity import BOS_ID, _batches, evaluate_split
from slm.lineage import read_manifest
from slm.model.llama import build_model, load_model
from slm.spec import ModelSpec


def val_bytes(corpus: Path) -> int:
    return int(read_manifest(corpus).info["splits"]["val"]["bytes"])


@given(st.integers(2, 300), st.integers(1, 40), st.integers(1, 5))
def test_every_token_after_the_first_is_a_target_once(length: int, context: int, batch: int) -> None:
    ids = np.arange(length, dtype="<u2")
    pairs = list(_batches(ids, context, batch))
    assert torch.cat([targets.flatten() for _, targets in pairs]).tolist() == list(range(1, length))
    for inputs, targets in pairs:
        assert inputs.shape == targets.shape
        assert inputs.shape[1] <= context and inputs.shape[0] <= batch
        assert torch.equal(inputs + 1, targets)


def test_loss_is_that_of_transformers_on_the_same_windows(small_checkpoint: Path, small_corpus: Path) -> None:
    model, context = load_model(small_checkpoint), 64
    score = evaluate_split(model, small_corpus / "val.bin", "uint16", context, val_bytes(small_corpus))
    ids = torch.from_numpy(np.fromfile(small_corpus / "val.bin", dtype="<u2").astype(np.int64))
    nats, counted = 0.0, 0
    for start in range(0, len(ids) - 1, context):
        window = ids[start : start + context + 1]
        labels = window.masked_fill(window == BOS_ID, -100)  # transformers shifts them itself
        kept = int((labels[1:] != -100).sum())
        with torch.no_grad():
            nats += float(model(input_ids=window[None], labels=labels[None]).loss) * kept
        counted += kept
    assert score.tokens == counted
    assert score.perplexity == pytest.approx(math.exp(nats / counted), rel=1e-4)
    assert score.bits_per_byte == pytest.approx(nats / math.log(2) / val_bytes(small_corpus), rel=1e-4)


@given(batch=st.integers(1, 9))
@settings(max_examples=4, deadline=None)
def test_batching_changes_nothing(small_checkpoint: Path, small_corpus: Path, batch: int) -> None:
    model, path = load_model(small_checkpoint), small_corpus / "val.bin"
    whole = evaluate_split(model, path, "uint16", 64, 1000, max_tokens=1500)
    other = evaluate_split(model, path, "uint16", 64, 1000, max_tokens=1500, batch=batch)
    assert other.tokens == whole.tokens
    assert other.perplexity == pytest.approx(whole.perplexity, rel=1e-5)
    assert abs(other.top1 - whole.top1) <= 1 / whole.tokens


def test_later_tokens_change_no_earlier_prediction(small_checkpoint: Path, small_corpus: Path, tmp_path: Path) -> None:
    model, path = load_model(small_checkpoint), small_corpus / "val.bin"
    ids = np.fromfile(path, dtype="<u2")[:40]
    for name, tail in (("a", [700, 701]), ("b", [800, 900, 1000])):
        np.append(ids, tail).astype("<u2").tofile(tmp_path / name)
    first, second = (evaluate_split(model, tmp_path / name, "uint16", 64, 100, max_tokens=39) for name in ("a", "b"))
    assert first.perplexity == second.perplexity


def test_figures_of_a_uniform_model_are_known(small_spec: ModelSpec, small_corpus: Path) -> None:
    model = build_model(small_spec, seed=0)
    with torch.no_grad():
        model.model.embed_tokens.weight.zero_()
    score = evaluate_split(model, small_corpus / "val.bin", "uint16", 64, val_bytes(small_corpus))
    assert score.perplexity == pytest.approx(small_spec.vocab_size, rel=1e-5)


def test_top5_contains_top1(small_checkpoint: Path, small_corpus: Path) -> None:
    score = evaluate_split(load_model(small_checkpoint), small_corpus / "val.bin", "uint16", 64, 1000)
    assert 0 < score.top1 < score.top5 < 1


def test_a_diverged_model_scores_nan_and_is_never_right(small_spec: ModelSpec, small_corpus: Path) -> None:
    model = build_model(small_spec, seed=0)
    with torch.no_grad():
        model.model.norm.weight[0] = math.nan
    score = evaluate_split(model, small_corpus / "val.bin", "uint16", 64, 1000, max_tokens=500)
    assert math.isnan(score.perplexity) and math.isnan(score.bits_per_byte)
    assert score.top1 == score.top5 == 0


def test_cut_text_is_scaled_by_its_share_of_tokens(small_checkpoint: Path, small_corpus: Path, tmp_path: Path) -> None:
    model = load_model(small_checkpoint)
    ids = np.fromfile(small_corpus / "val.bin", dtype="<u2")[:601]
    np.tile(ids, 2).tofile(tmp_path / "twice")
    ids.tofile(tmp_path / "once")
    once = evaluate_split(model, tmp_path / "once", "uint16", 64, 2000)
    cut = evaluate_split(model, tmp_path / "twice", "uint16", 64, 4000, max_tokens=600)
    assert cut.bits_per_byte == pytest.approx(once.bits_per_byte)


def test_the_mode_of_the_model_is_given_back(small_checkpoint: Path, small_corpus: Path) -> None:
    model = load_model(small_checkpoint).train(True)
    evaluate_split(model, small_corpus / "val.bin", "uint16", 64, 1000, max_tokens=100)
    assert model.training


def test_wide_ids_are_read_and_wrong_files_named(small_checkpoint: Path, small_corpus: Path, tmp_path: Path) -> None:
    model, path = load_model(small_checkpoint), tmp_path / "split.bin"
    ids = np.fromfile(small_corpus / "val.bin", dtype="<u2")[:200]
    ids.astype("<u4").tofile(path)
    ids.tofile(tmp_path / "narrow.bin")
    wide = evaluate_split(model, path, "uint32", 64, 1000)
    assert wide == evaluate_split(model, tmp_path / "narrow.bin", "uint16", 64, 1000)
    for content, dtype, message in (
        (b"", "uint16", "missing or empty"),
        (b"abc", "uint16", "no whole number"),
        (b"\x02\x00", "uint16", "too few"),
        (b"\xff\xff\x02\x00", "uint16", "65535"),
        (b"\x02\x00\x03\x00", "int8", "int8"),
    ):
        path.write_bytes(content)
        with pytest.raises(ArtefactError, match=message):
            evaluate_split(model, path, dtype, 64, 1000)
