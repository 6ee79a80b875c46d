from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf.quants import dequantize
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from slm.errors import ArtefactError
from slm.export.gguf import encode, export_gguf, interleave_rows, token_table
from slm.export.llama_cpp import LlamaCpp
from slm.prompts import SPECIAL_TOKENS, driver_question, prompt
from slm.spec import Quant


@pytest.fixture(scope="module")
def exported(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_gguf(small_checkpoint, tmp_path_factory.mktemp("gguf") / "model.gguf", "f16")


@pytest.fixture(scope="module")
def llama(exported: Path) -> Iterator[LlamaCpp]:
    with LlamaCpp(exported) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def tokenizer(small_checkpoint: Path) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(small_checkpoint)


TEXTS = [
    "Which driver for PCI 8086:100e class 0200?",
    prompt(driver_question("usb", 0x046D, 0xC52B, name="Unifying Receiver")),
    "<eos><bos><|user|><|assistant|><pad><unk> <bos> x",
    "  leading, trailing and   many spaces  \n\n\t\ttabs\r\nlines",
    "it's we're I'll they've 12345 0x1F 3.14 don't CAN'T",
    "naïve Übergröße 日本語 и кириллица 🐧🖥️ \u200b\u00a0e\u0301",
    "static int __init e1000_init(void)\n{\n\treturn pci_register_driver(&drv);\n}\n",
    "<bo", "<|user", "|>", " ", "\n",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_llama_cpp_splits_text_as_transformers_does(
    text: str, llama: LlamaCpp, tokenizer: PreTrainedTokenizerFast
) -> None:
    assert llama.tokenize(text) == tokenizer.encode(text, add_special_tokens=False)


PIECES = st.one_of(
    st.sampled_from([*SPECIAL_TOKENS, " ", "  ", "\n", "\t", "'s", "'LL", "e1000", "8086:100e", "<", "|>"]),
    # Letters and digits as Unicode knew them when GPT-2 was made; newer ones are classified by newer tables.
    st.text(st.characters(min_codepoint=32, max_codepoint=0x52F, exclude_categories=["Cn", "Cs"]), max_size=8),
)


@given(st.lists(PIECES, max_size=12).map("".join))
@settings(max_examples=300, deadline=None)
def test_any_text_is_split_alike(llama: LlamaCpp, tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    assert llama.tokenize(text) == tokenizer.encode(text, add_special_tokens=False)


def test_what_is_read_already_changes_no_logits(llama: LlamaCpp) -> None:
    """Texts that go on, go back and differ in their middle, against each read from nothing."""
    chance = np.random.default_rng(3)
    ids = chance.integers(6, llama.vocab_size, 40).tolist()
    other = [*ids[:20], *chance.integers(6, llama.vocab_size, 20).tolist()]
    texts = [*(ids[:end] for end in range(1, 41)), ids[:7], ids, other, other[:30], ids[1:], ids]
    for text in texts:
        after = llama.after(text).copy()
        following = llama.following(text, min(3, len(text)))
        np.testing.assert_allclose(after, following[-1], atol=1e-3)
        np.testing.assert_allclose(following, llama.logits(text)[-len(following) :], atol=1e-3)


def test_every_weight_is_in_the_file(exported: Path, small_checkpoint: Path) -> None:
    reader = gguf.GGUFReader(exported)
    weights = load_file(small_checkpoint / "model.safetensors")
    assert len(reader.tensors) == len(weights)
    assert sum(int(t.n_elements) for t in reader.tensors) == sum(w.numel() for w in weights.values())
    found = {t.name: t for t in reader.tensors}
    embedding = dequantize(found["token_embd.weight"].data, found["token_embd.weight"].tensor_type)
    np.testing.assert_allclose(embedding, weights["model.embed_tokens.weight"].numpy(), rtol=1e-3, atol=1e-7)
    assert found["output_norm.weight"].tensor_type == gguf.GGMLQuantizationType.F32
    assert found["blk.0.attn_q.weight"].tensor_type == gguf.GGMLQuantizationType.F16


def test_special_tokens_are_control_and_markers_are_not_added(exported: Path) -> None:
    fields = gguf.GGUFReader(exported).fields
    kinds = fields["tokenizer.ggml.token_type"].contents()
    assert kinds[: len(SPECIAL_TOKENS)] == [gguf.TokenType.CONTROL] * len(SPECIAL_TOKENS)
    assert set(kinds[len(SPECIAL_TOKENS) :]) <= {gguf.TokenType.NORMAL, gguf.TokenType.UNUSED}
    assert fields["tokenizer.ggml.add_bos_token"].contents() is False
    assert [fields[f"tokenizer.ggml.{n}_token_id"].contents() for n in ("bos", "eos", "padding")] == [2, 3, 0]


@given(heads=st.integers(1, 6), half=st.integers(1, 8), columns=st.integers(1, 4), position=st.integers(0, 50))
def test_interleaved_rows_rotate_to_the_same_scores(heads: int, half: int, columns: int, position: int) -> None:
    """Rotating neighbouring pairs after reordering gives each query-key product that half-split rotation gives."""
    random = np.random.default_rng(heads * 100 + half)
    width = 2 * half
    query, key = (random.normal(size=(heads * width, columns)).astype(np.float32) for _ in range(2))
    hidden = random.normal(size=columns).astype(np.float32)
    angles = position * 10_000.0 ** (-np.arange(half) / half)

    def split(weight: np.ndarray) -> np.ndarray:
        head = (weight @ hidden).reshape(heads, width)
        a, b = head[:, :half], head[:, half:]
        return np.concatenate([a * np.cos(angles) - b * np.sin(angles), b * np.cos(angles) + a * np.sin(angles)], 1)

    def pairs(weight: np.ndarray) -> np.ndarray:
        head = (interleave_rows(weight, heads) @ hidden).reshape(heads, half, 2)
        a, b = head[..., 0], head[..., 1]
        return np.stack([a * np.cos(angles) - b * np.sin(angles), b * np.cos(angles) + a * np.sin(angles)], -1)

    plain_key = (key @ hidden).reshape(heads, width)
    paired_key = (interleave_rows(key, heads) @ hidden).reshape(heads, half, 2)
    np.testing.assert_allclose(
        (split(query) * plain_key).sum(1), (pairs(query) * paired_key).sum((1, 2)), rtol=1e-3, atol=1e-3
    )


@given(rows=st.integers(1, 5), blocks=st.integers(1, 4), scale=st.floats(1e-4, 10))
def test_q8_0_is_within_half_a_step(rows: int, blocks: int, scale: float) -> None:
    weight = (np.random.default_rng(rows).normal(size=(rows, 32 * blocks)) * scale).astype(np.float32)
    data, kind = encode(weight, "q8_0")
    assert kind == gguf.GGMLQuantizationType.Q8_0
    step = np.abs(weight.reshape(-1, 32)).max(1, keepdims=True) / 127
    # Half a step of rounding, and the scale's own rounding to half precision (2^-11, or 2^-25 near zero).
    allowed = step * 0.5 + 127 * (step * 2.0**-11 + 2.0**-25)
    assert (np.abs(dequantize(data, kind) - weight).reshape(-1, 32) <= allowed).all()


def test_q8_0_falls_back_where_rows_are_no_whole_blocks() -> None:
    weight = np.ones((3, 33), dtype=np.float32)
    assert encode(weight, "q8_0")[1] == gguf.GGMLQuantizationType.F16
    assert encode(weight[0], "q8_0")[1] == gguf.GGMLQuantizationType.F32


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 7e4])
def test_what_half_precision_cannot_hold_is_refused(value: float) -> None:
    with pytest.raises(ArtefactError, match="half precision"):
        encode(np.full((2, 32), value, dtype=np.float32), "f16")


@pytest.mark.parametrize("quant", ["f16", "q8_0"])
def test_exporting_twice_gives_equal_bytes(small_checkpoint: Path, tmp_path: Path, quant: Quant) -> None:
    first = export_gguf(small_checkpoint, tmp_path / "a.gguf", quant).read_bytes()
    assert export_gguf(small_checkpoint, tmp_path / "b.gguf", quant).read_bytes() == first
    assert sorted(os.listdir(tmp_path)) == ["a.gguf", "b.gguf"]


def test_a_bf16_checkpoint_exports(small_checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(small_checkpoint, tmp_path / "bf16")
    weights = load_file(small_checkpoint / "model.safetensors")
    save_file({k: w.to(torch.bfloat16) for k, w in weights.items()}, tmp_path / "bf16" / "model.safetensors")
    with LlamaCpp(export_gguf(tmp_path / "bf16", tmp_path / "bf16.gguf", "f16")) as loaded:
        assert np.isfinite(loaded.logits([2, 100, 200])).all()


def test_another_tokenizer_is_refused(small_checkpoint: Path, tmp_path: Path) -> None:
    content = json.loads((small_checkpoint / "tokenizer.json").read_text())
    for key, value in (
        ("normalizer", {"type": "NFC"}),
        ("pre_tokenizer", {"type": "Whitespace"}),
        ("pre_tokenizer", {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}),
    ):
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps({**content, key: value}))
        with pytest.raises(ArtefactError, match="GPT-2"):
            token_table(path, 1024)


def test_ids_without_a_token_are_unused_and_ids_without_a_row_are_refused(small_checkpoint: Path) -> None:
    path = small_checkpoint / "tokenizer.json"
    tokens, kinds, _ = token_table(path, 1030)
    assert kinds[1024:] == [gguf.TokenType.UNUSED] * 6
    assert len(set(tokens)) == 1030
    with pytest.raises(ArtefactError, match="vocabulary ends at 1022"):
        token_table(path, 1023)


def test_a_model_of_another_shape_is_refused(small_checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(small_checkpoint, tmp_path / "other")
    config = tmp_path / "other" / "config.json"
    content = json.loads(config.read_text())
    for key, value in (("rope_parameters", {"rope_type": "linear", "factor": 2}), ("model_type", "qwen3")):
        config.write_text(json.dumps({**content, key: value}))
        with pytest.raises(ArtefactError, match="plain Llama"):
            export_gguf(tmp_path / "other", tmp_path / "other.gguf")
    config.write_text(json.dumps({**content, "num_hidden_layers": 3}))
    with pytest.raises(ArtefactError, match="does not fit"):
        export_gguf(tmp_path / "other", tmp_path / "other.gguf")
    assert not (tmp_path / "other.gguf").exists()
