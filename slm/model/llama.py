"""The plain Llama of every tier: built from a spec, saved as a checkpoint's model files, loaded back from them.

The shape is that of transformers' ``LlamaForCausalLM`` with the kernel's mathematics (RMSNorm eps 1e-6, half-split
RoPE with theta 10 000, SwiGLU, no biases, tied embeddings), so transformers, llama.cpp and the AUTON kernel all
compute the same function from the same weights.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from slm.errors import ArtefactError
from slm.files import read_json
from slm.model.files import TOKENIZER_FILES, WEIGHTS
from slm.prompts import BOS, EOS, PAD, SPECIAL_TOKENS
from slm.spec import ModelSpec

#: The spec's fields under transformers' names.
SPEC_KEYS = {
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "dim": "hidden_size",
    "hidden": "intermediate_size",
    "vocab_size": "vocab_size",
    "context": "max_position_embeddings",
}
#: Keys of ``config.json`` that decide what the model computes and are the same for every tier.
FIXED_KEYS = (
    "model_type",
    "hidden_act",
    "rms_norm_eps",
    "rope_parameters",
    "attention_bias",
    "mlp_bias",
    "tie_word_embeddings",
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
    "head_dim",
)

#: The kernel has these two built in.
NORM_EPS = 1e-6
ROPE_THETA = 10_000.0

#: Width of the initial normal distribution, GPT-2's.
INITIAL_STD = 0.02


def config_for(spec: ModelSpec) -> LlamaConfig:
    """Translate a spec into transformers' configuration."""
    return LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=spec.vocab_size,
        hidden_size=spec.dim,
        intermediate_size=spec.hidden,
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.heads,
        num_key_value_heads=spec.kv_heads,
        head_dim=spec.head_dim,
        max_position_embeddings=spec.context,
        rms_norm_eps=NORM_EPS,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        hidden_act="silu",
        attention_bias=False,
        mlp_bias=False,
        tie_word_embeddings=True,
        initializer_range=INITIAL_STD,
        pad_token_id=SPECIAL_TOKENS.index(PAD),
        bos_token_id=SPECIAL_TOKENS.index(BOS),
        eos_token_id=SPECIAL_TOKENS.index(EOS),
    )


def spec_of(folder: Path) -> ModelSpec:
    """Read a model's shape back from its ``config.json``.

    :raises ArtefactError: when it is missing, or is no configuration that :func:`config_for` makes.
    """
    path = folder / "config.json"
    found = read_json(path)
    try:
        spec = ModelSpec(**{ours: found[theirs] for ours, theirs in SPEC_KEYS.items()})
    except (KeyError, TypeError, ValidationError) as error:
        raise ArtefactError(f"{path} is not the configuration of a plain Llama: {error}") from error
    expected = config_for(spec).to_dict()
    for key in FIXED_KEYS:
        if found.get(key) != expected[key]:
            raise ArtefactError(f"{path} is not that of a plain Llama: {key} is {found.get(key)}, not {expected[key]}.")
    return spec


def build_model(spec: ModelSpec, seed: int) -> LlamaForCausalLM:
    """Build a model with fresh fp32 weights on the CPU; the same seed gives the same weights, bit for bit.

    Matrices are normal with standard deviation 0.02. The two that write into the residual stream (``o_proj`` and
    ``down_proj``) are scaled by 1/sqrt(2·layers), as in GPT-2, so that the stream's variance does not grow with
    depth. They are not zero, as some recipes have them: with tied embeddings a stream that holds nothing but the
    input's embedding makes the model predict the very token it has just read, the more surely the wider it is.
    """
    model = _blank(spec)
    generator = torch.Generator().manual_seed(seed)
    residual_std = INITIAL_STD / math.sqrt(2 * spec.layers)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.fill_(1.0)
            else:
                residual = name.endswith(("o_proj.weight", "down_proj.weight"))
                parameter.normal_(0.0, residual_std if residual else INITIAL_STD, generator=generator)
    return model


def save_model(model: LlamaForCausalLM, tokenizer_folder: Path, out: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a model's files (:mod:`slm.model.files`) into the folder ``out``, which exists; ``model`` stays as it is.

    :param tokenizer_folder: a folder with :data:`TOKENIZER_FILES`, such as a corpus.
    :param dtype: ``torch.float32`` or ``torch.bfloat16``.
    :raises ArtefactError: when the tokenizer's files are missing.
    """
    write_model(model.config, copy_weights(model, dtype), tokenizer_folder, out)


def copy_weights(model: LlamaForCausalLM, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Return the model's weights by name, on the CPU, in memory of their own: the model may change meanwhile."""
    return {
        name: tensor.detach().to(device="cpu", dtype=dtype, copy=True).contiguous()
        for name, tensor in model.state_dict().items()
        if name != "lm_head.weight"  # tied: the embedding is the output head
    }


def write_model(config: LlamaConfig, weights: dict[str, Tensor], tokenizer_folder: Path, out: Path) -> None:
    """Write what :func:`save_model` does, from weights that :func:`copy_weights` took, all of one dtype.

    The files are written in place: make ``out`` with :func:`slm.files.atomic_folder` and close it with a manifest.

    :raises ArtefactError: when the tokenizer's files are missing.
    """
    for name in TOKENIZER_FILES:
        if not (tokenizer_folder / name).is_file():
            raise ArtefactError(f"{tokenizer_folder / name} is not there, so the model would have no tokenizer.")
        shutil.copyfile(tokenizer_folder / name, out / name)
    save_file(weights, out / WEIGHTS, metadata={"format": "pt"})
    dtype = next(iter(weights.values())).dtype
    config = LlamaConfig.from_dict({**config.to_dict(), "dtype": str(dtype).removeprefix("torch.")})
    config.save_pretrained(out)
    GenerationConfig.from_model_config(config).save_pretrained(out)


def load_model(folder: Path) -> LlamaForCausalLM:
    """Load a model in fp32, in evaluation mode, from a checkpoint's files alone: safetensors only, no remote code.

    :raises ArtefactError: when a file is missing or broken, or a weight is missing, unknown or of another shape.
    """
    folder = Path(folder)
    if not (folder / WEIGHTS).is_file():
        raise ArtefactError(f"{folder / WEIGHTS} is not there, so {folder} is no model.")
    model = _blank(spec_of(folder))
    try:
        weights = load_file(folder / WEIGHTS)
        missing, unknown = model.load_state_dict(weights, strict=False)
    except (OSError, SafetensorError) as error:
        raise ArtefactError(f"{folder / WEIGHTS} does not read as safetensors: {error}", "Build it again.") from error
    except RuntimeError as error:  # of another shape
        raise ArtefactError(f"{folder / WEIGHTS} does not fit its config.json: {error}", "Build it again.") from error
    if wrong := [*unknown, *(name for name in missing if name != "lm_head.weight")]:
        raise ArtefactError(
            f"{folder / WEIGHTS} does not fit its config.json: {', '.join(wrong[:4])}.", "Build it again."
        )
    model.train(False)
    return model


def _blank(spec: ModelSpec) -> LlamaForCausalLM:
    """Make a model to be filled with weights; what transformers draws into it leaves the global generator alone."""
    with torch.random.fork_rng(devices=[]):
        return LlamaForCausalLM(config_for(spec))
