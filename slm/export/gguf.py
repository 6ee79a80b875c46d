"""A checkpoint as one GGUF file for llama.cpp: weights, shape and tokenizer.

The layout is llama.cpp's own for its architecture ``llama``. Two things differ from a Hugging Face checkpoint:

- llama.cpp rotates neighbouring pairs of a head's dimensions where Hugging Face rotates the first half against the
  second, so the rows of every query and key matrix are reordered (:func:`interleave_rows`);
- the tokenizer is stored as lists of tokens, kinds and merges under the pre-tokenizer name ``gpt-2``, which stands
  for byte-level BPE with GPT-2's splitting expression. Any other tokenizer is refused, because llama.cpp would
  split text differently without a word.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from slm.errors import ArtefactError
from slm.files import atomic_write, read_json
from slm.lineage import read_manifest
from slm.model.files import WEIGHTS
from slm.model.llama import NORM_EPS, ROPE_THETA, spec_of
from slm.prompts import BOS, EOS, PAD, SPECIAL_TOKENS
from slm.spec import ModelSpec, Quant

FILE_TYPES = {"f16": gguf.LlamaFileType.MOSTLY_F16, "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0}

#: Values of one Q8_0 block, which share a scale; a row must be a whole number of blocks.
Q8_0_BLOCK = 32

#: Hugging Face's names inside ``model.layers.N.`` and llama.cpp's inside ``blk.N.``.
LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def export_gguf(checkpoint: Path, out: Path, quant: Quant = "f16") -> Path:
    """Write the model in the folder ``checkpoint`` as the file ``out``, which appears whole or not at all.

    In ``f16`` matrices are half precision; in ``q8_0`` they are 8-bit blocks where rows divide into blocks, and half
    precision elsewhere. Norms stay fp32 in both.

    :returns: ``out``.
    :raises ArtefactError: when the checkpoint is no plain Llama with a byte-level BPE tokenizer, or a weight is not
        finite in half precision.
    """
    checkpoint, out = Path(checkpoint), Path(out)
    spec = spec_of(checkpoint)
    writer = gguf.GGUFWriter(path=None, arch="llama")
    _add_shape(writer, spec, _name(checkpoint), quant)
    _add_tokenizer(writer, checkpoint, spec)
    for name, weight in _weights(checkpoint, spec):
        data, kind = encode(weight, quant, name)
        writer.add_tensor(name, data, raw_dtype=kind)
    with atomic_write(out) as file:
        writer.write_header_to_file(Path(file.name))
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return out


def interleave_rows(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Reorder a projection's rows from half-split to interleaved rotary dimensions.

    Inside each head of ``[heads * head_dim, dim]``, rows ``0 … d/2-1, d/2 … d-1`` become ``0, d/2, 1, d/2+1, …``.
    """
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def encode(
    weight: NDArray[np.float32], quant: Quant, name: str = "a weight"
) -> tuple[NDArray[Any], gguf.GGMLQuantizationType]:
    """Encode one tensor as ``quant`` has it, and say how: norms in F32, a row that is no whole number of blocks in F16.

    :raises ArtefactError: when a value is not finite, or too large for half precision.
    """
    if not np.isfinite(weight).all() or np.abs(weight).max(initial=0) > np.finfo(np.float16).max:
        raise ArtefactError(f"{name} holds values that half precision cannot.", "Build it again.")
    if weight.ndim == 1:
        return weight, gguf.GGMLQuantizationType.F32
    if quant == "q8_0" and weight.shape[-1] % Q8_0_BLOCK == 0:
        return gguf.quantize(weight, gguf.GGMLQuantizationType.Q8_0), gguf.GGMLQuantizationType.Q8_0
    return weight.astype(np.float16), gguf.GGMLQuantizationType.F16


def _name(checkpoint: Path) -> str:
    """The artefact's name; a bare model folder without a manifest goes by its folder's."""
    return read_manifest(checkpoint).name if (checkpoint / "manifest.json").is_file() else checkpoint.resolve().name


def _add_shape(writer: gguf.GGUFWriter, spec: ModelSpec, name: str, quant: Quant) -> None:
    writer.add_name(name)
    writer.add_file_type(FILE_TYPES[quant])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(spec.layers)
    writer.add_context_length(spec.context)
    writer.add_embedding_length(spec.dim)
    writer.add_feed_forward_length(spec.hidden)
    writer.add_head_count(spec.heads)
    writer.add_head_count_kv(spec.kv_heads)
    writer.add_key_length(spec.head_dim)
    writer.add_value_length(spec.head_dim)
    writer.add_rope_dimension_count(spec.head_dim)
    writer.add_rope_freq_base(ROPE_THETA)
    writer.add_layer_norm_rms_eps(NORM_EPS)
    writer.add_vocab_size(spec.vocab_size)


def _add_tokenizer(writer: gguf.GGUFWriter, checkpoint: Path, spec: ModelSpec) -> None:
    tokens, kinds, merges = token_table(checkpoint / "tokenizer.json", spec.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(SPECIAL_TOKENS.index(BOS))
    writer.add_eos_token_id(SPECIAL_TOKENS.index(EOS))
    writer.add_pad_token_id(SPECIAL_TOKENS.index(PAD))
    writer.add_add_bos_token(False)  # a prompt carries its own markers
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)


def token_table(path: Path, vocab_size: int) -> tuple[list[str], list[gguf.TokenType], list[str]]:
    """Read a ``tokenizer.json`` into llama.cpp's tokens and kinds, one per id, and merges (``left right``).

    Ids that the model has and the tokenizer does not become unused tokens.

    :raises ArtefactError: when it is not GPT-2's byte-level BPE, or has ids that the model lacks.
    """
    content = read_json(path)
    model, splitter = content["model"], content.get("pre_tokenizer") or {}
    gpt2 = (
        model["type"] == "BPE"
        and not model.get("byte_fallback")
        and content.get("normalizer") is None
        and splitter.get("type") == "ByteLevel"
        and splitter.get("use_regex", True)
        and not splitter.get("add_prefix_space", True)
    )
    if not gpt2:
        raise ArtefactError(
            f"{path} is not GPT-2's byte-level BPE (no normalizer, ByteLevel splitting, no prefix space).",
            "llama.cpp would split text differently; train the tokenizer again.",
        )
    tokens = [f"[unused{index}]" for index in range(vocab_size)]
    kinds = [gguf.TokenType.UNUSED] * vocab_size
    special = {entry["id"]: entry for entry in content["added_tokens"]}
    known = {index: entry["content"] for index, entry in special.items()}
    known.update((index, text) for text, index in model["vocab"].items())
    if max(known) >= vocab_size:
        raise ArtefactError(f"{path} has ids up to {max(known)}; the model's vocabulary ends at {vocab_size - 1}.")
    for index, text in known.items():
        tokens[index] = text
        if index not in special:
            kinds[index] = gguf.TokenType.NORMAL
        else:
            kinds[index] = gguf.TokenType.CONTROL if special[index]["special"] else gguf.TokenType.USER_DEFINED
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    return tokens, kinds, merges


def _weights(checkpoint: Path, spec: ModelSpec) -> list[tuple[str, NDArray[np.float32]]]:
    """Every weight in fp32 under llama.cpp's name, in the model's order."""
    names = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    for layer in range(spec.layers):
        for theirs, ours in LAYER_NAMES.items():
            names[f"model.layers.{layer}.{theirs}.weight"] = f"blk.{layer}.{ours}.weight"
    path = checkpoint / WEIGHTS
    if not path.is_file():
        raise ArtefactError(f"{path} is not there.")
    with safe_open(path, framework="pt") as file:
        if different := set(names) ^ (set(file.keys()) - {"lm_head.weight"}):
            raise ArtefactError(f"{path} does not fit its config.json: {', '.join(sorted(different)[:4])}.")
        weights = []
        for source, target in names.items():
            weight = file.get_tensor(source).float().numpy()
            if source.endswith("q_proj.weight"):
                weight = interleave_rows(weight, spec.heads)
            elif source.endswith("k_proj.weight"):
                weight = interleave_rows(weight, spec.kv_heads)
            weights.append((target, np.ascontiguousarray(weight)))
    return weights
