"""Models for the kernel's flat format: random ones of any shape, and a checkpoint that has learned a few answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from slm.export.flat_file import FlatModel
from slm.export.flat_limits import ANSWER_TOKENS, PROMPT_TOKENS, SPECIAL, Shape
from slm.model.llama import build_model, config_for, save_model
from slm.prompts import BOS, EOS, PAD, SPECIAL_TOKENS, UNK
from slm.spec import ModelSpec

WORDS = ModelSpec(layers=2, heads=4, kv_heads=2, dim=64, hidden=96, vocab_size=512, context=96)

#: What the word-level checkpoint learns to answer; a token may hold a phrase.
ANSWERS = {
    "which driver for 8086:100e": ["e1000"],
    "which driver for 8086:10d3": ["e1000e"],
    "which driver for 1af4:1000": ["virtio_net"],
    "what is 8086:100e": ["Intel Corporation", "82540EM"],
    "what is 1af4:1000": ["Red Hat, Inc.", "Virtio network device"],
    "how do i mount a disk": ["use", "mount", "and", "name", "the", "disk", "and", "the", "folder"],
    "tell a story": ["and", "then", "and", "then", "and", "then", "and", "then", "and", "then", "and", "then"],
}


def random_model(shape: Shape, seed: int, gain: float = 1.0) -> FlatModel:
    """A model whose answers are no near ties: its blocks outweigh the embedding that a tied head would repeat."""
    random = np.random.default_rng(seed)
    weights = {}
    for name, dimensions in shape.tensors():
        if len(dimensions) == 1:
            weight = random.uniform(0.5, 1.5, dimensions)
        elif name.startswith("model.embed"):
            weight = random.normal(0, 1, dimensions)
        else:
            weight = random.normal(0, gain * dimensions[1] ** -0.5, dimensions)
        weights[name] = weight.astype(np.float32)
    tokens = [*(text.encode() for text in SPECIAL), *(f"w{index}".encode() for index in range(4, shape.vocab))]
    return FlatModel(shape, weights, tokens, random.normal(size=shape.vocab).astype(np.float32))


def as_llama(model: FlatModel) -> LlamaForCausalLM:
    """The same model as transformers computes it, of shapes too that no build may have."""
    shape = model.shape
    spec = ModelSpec.model_construct(
        layers=shape.layers,
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        dim=shape.dim,
        hidden=shape.hidden,
        vocab_size=shape.vocab,
        context=shape.seq_len,
    )
    llama = LlamaForCausalLM(config_for(spec))
    weights = {name: torch.from_numpy(weight.copy()) for name, weight in model.weights.items()}
    missing, unknown = llama.load_state_dict(weights, strict=False)
    assert (missing, unknown) == (["lm_head.weight"], [])
    llama.train(False)
    return llama


def prompt_ids(tokens: Sequence[bytes], line: bytes) -> list[int]:
    """The kernel's reading of a line: what stands between spaces, however many, byte for byte."""
    return [tokens.index(word) if word in tokens else 1 for word in line.split(b" ") if word][:PROMPT_TOKENS]


def greedy(llama: LlamaForCausalLM, prompt: Sequence[int]) -> tuple[list[int], float]:
    """transformers' greedy answer by the kernel's rule, and by how much each of its tokens won at least.

    Nothing, surely, is answered to no prompt.
    """
    if not prompt:
        return [], math.inf
    ids = torch.tensor([list(prompt)])
    with torch.inference_mode():
        found = llama.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=ANSWER_TOKENS,
            do_sample=False,
            eos_token_id=[0, 3],
            pad_token_id=0,
        )
        logits = llama(input_ids=found).logits[0, len(prompt) - 1 : -1]
    best = logits.topk(2).values
    answer = found[0, len(prompt) :].tolist()
    assert logits.argmax(-1).tolist() == answer
    return (answer[:-1] if answer[-1] in (0, 3) else answer), float((best[:, 0] - best[:, 1]).min())


def write_word_checkpoint(folder: Path) -> Path:
    """Write a checkpoint into ``folder``, with a word-level tokenizer, that has learned :data:`ANSWERS`."""
    folder.mkdir(exist_ok=True)
    said = [word for question, answer in ANSWERS.items() for word in [*question.split(" "), *answer]]
    texts = list(dict.fromkeys([*SPECIAL_TOKENS, *said]))
    texts += [f"filler{index}" for index in range(len(texts), WORDS.vocab_size)]
    ids = {text: index for index, text in enumerate(texts)}
    words = Tokenizer(models.WordLevel(ids, unk_token=UNK))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.add_special_tokens(list(SPECIAL_TOKENS))
    model = build_model(WORDS, seed=2)
    rows = [[ids[word] for word in [*question.split(" "), *answer, EOS]] for question, answer in ANSWERS.items()]
    longest = max(map(len, rows))
    batch = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    labels = batch.masked_fill(batch == 0, -100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        model(input_ids=batch, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token=PAD, unk_token=UNK, bos_token=BOS, eos_token=EOS
    )
    tokenizer.save_pretrained(folder)
    checkpoint = folder / "checkpoint"
    checkpoint.mkdir(exist_ok=True)
    save_model(model, folder, checkpoint)
    return checkpoint
