"""What the AUTON kernel's flat format can hold: a model's shape there, and every limit that a shape or a token breaks.

The kernel refuses a file that breaks a limit without a word and answers by its rules instead, so whoever writes or
reads one asks here first (:func:`shape_breaches`, :func:`token_breaches`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

from slm.prompts import BOS, EOS, PAD, UNK

MIB = 2**20

MAX_LAYERS = 16
MAX_VOCAB = 32_000
MAX_TOKEN_BYTES = 255
#: Positions that the kernel keeps keys and values of, whatever the file's ``seq_len``.
MAX_WINDOW = 256
#: What the kernel has for keys, values and activations: 12 MiB less 0.2 MiB, in whole bytes.
MAX_WORKING_MEMORY = 12 * MIB - MIB // 5 - 1
#: The kernel knows these by their ids, which are their places here.
SPECIAL = (PAD, UNK, BOS, EOS)

#: The kernel reads so many words of a line and answers with so many tokens at most.
PROMPT_TOKENS, ANSWER_TOKENS = 64, 12
#: From this ``seq_len`` on neither is ever clipped.
UNCLIPPED_SEQ_LEN = PROMPT_TOKENS + ANSWER_TOKENS + 1
#: Beyond this the kernel answers too slowly on an emulated machine.
ADVISED_PARAMETERS = 15_000_000


@dataclass(frozen=True)
class Shape:
    """A model's shape, its fields in the order of the file's header.

    Every property is defined for any positive fields, so that a shape can be measured before it is known to be sound.
    """

    dim: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    vocab: int
    seq_len: int

    @property
    def head_dim(self) -> int:
        """The width of one attention head."""
        return self.dim // self.heads

    @property
    def kv_dim(self) -> int:
        """The width of a layer's keys, and of its values."""
        return self.head_dim * self.kv_heads

    @property
    def window(self) -> int:
        """How many positions the kernel really has."""
        return min(self.seq_len, MAX_WINDOW)

    @property
    def parameters(self) -> int:
        """How many weights the file holds; the output head is the embedding."""
        layer = 2 * self.dim + 2 * self.dim * self.dim + 2 * self.kv_dim * self.dim + 3 * self.hidden * self.dim
        return self.vocab * self.dim + self.layers * layer + self.dim

    @property
    def working_memory(self) -> int:
        """Bytes for keys, values and activations, of :data:`MAX_WORKING_MEMORY`."""
        cache = 8 * self.layers * self.window * self.kv_dim
        return cache + 4 * (4 * self.dim + 2 * self.hidden + self.window + self.vocab)

    def tensors(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Every tensor in the file's order, by transformers' name, with its shape; matrices are ``[out, in]``."""
        dim, hidden, kv_dim = self.dim, self.hidden, self.kv_dim
        yield "model.embed_tokens.weight", (self.vocab, dim)
        for index in range(self.layers):
            for name, shape in (
                ("input_layernorm", (dim,)),
                ("self_attn.q_proj", (dim, dim)),
                ("self_attn.k_proj", (kv_dim, dim)),
                ("self_attn.v_proj", (kv_dim, dim)),
                ("self_attn.o_proj", (dim, dim)),
                ("post_attention_layernorm", (dim,)),
                ("mlp.gate_proj", (hidden, dim)),
                ("mlp.down_proj", (dim, hidden)),
                ("mlp.up_proj", (hidden, dim)),
            ):
                yield f"model.layers.{index}.{name}.weight", shape
        yield "model.norm.weight", (dim,)


def ram_needed(file_bytes: int) -> int:
    """Bytes of RAM, in whole MiB, that a machine needs to load a file: 64 MiB beside the file, never under 129."""
    return max(129 * MIB, math.ceil(file_bytes / MIB) * MIB + 64 * MIB)


def shape_breaches(shape: Shape) -> list[str]:
    """Say every limit that ``shape`` breaks, each with what was found and what is allowed; none for a sound shape."""
    if absent := [field.name for field in fields(shape) if getattr(shape, field.name) < 1]:
        return [f"{name} is {getattr(shape, name)}; at least 1 is needed" for name in absent]
    found = []
    if shape.layers > MAX_LAYERS:
        found.append(f"layers is {shape.layers}; at most {MAX_LAYERS} are allowed")
    if not len(SPECIAL) <= shape.vocab <= MAX_VOCAB:
        found.append(f"vocab is {shape.vocab}; from {len(SPECIAL)} to {MAX_VOCAB} tokens are allowed")
    if shape.heads % shape.kv_heads:
        found.append(f"heads is {shape.heads}; a multiple of kv_heads, {shape.kv_heads}, is needed")
    if shape.dim % shape.heads:
        found.append(f"dim is {shape.dim}; a multiple of heads, {shape.heads}, is needed")
    elif shape.head_dim % 2:
        found.append(f"head_dim (dim / heads) is {shape.head_dim}; an even number is needed")
    if shape.working_memory > MAX_WORKING_MEMORY:
        found.append(
            f"working memory (8·layers·window·kv_dim + 4·(4·dim + 2·hidden + window + vocab), window = "
            f"min(seq_len, {MAX_WINDOW})) is {shape.working_memory} bytes; at most {MAX_WORKING_MEMORY} are allowed"
        )
    return found


def token_breaches(shape: Shape, tokens: Sequence[bytes]) -> list[str]:
    """Say every limit that the tokens of a model of ``shape`` break, as :func:`shape_breaches` does."""
    found = []
    if len(tokens) != shape.vocab:
        found.append(f"there are {len(tokens)} tokens; one for each of the {shape.vocab} ids of vocab is needed")
    for index, (token, needed) in enumerate(zip(tokens, SPECIAL, strict=False)):
        if token != needed.encode():
            found.append(f"token {index} is {show(token)}; {needed} is needed")
    for index, token in enumerate(tokens):
        if len(token) > MAX_TOKEN_BYTES:
            found.append(f"token {index}, {show(token)}, has {len(token)} bytes; at most {MAX_TOKEN_BYTES} are allowed")
        if b"\0" in token:
            found.append(f"token {index}, {show(token)}, holds a NUL; none is allowed")
    return found


def facts(shape: Shape, longest: int, file_bytes: int) -> list[str]:
    """Describe a sound model for a person: its header, what it takes of each limit, and what may surprise its maker.

    :param longest: bytes of its longest token.
    """
    share = shape.working_memory / MAX_WORKING_MEMORY
    lines = [
        f"header          {', '.join(f'{field.name} {getattr(shape, field.name)}' for field in fields(shape))}, fp32",
        f"parameters      {shape.parameters:,}",
        f"layers          {shape.layers} of {MAX_LAYERS}",
        f"vocabulary      {shape.vocab} of {MAX_VOCAB} tokens, the longest {longest} of {MAX_TOKEN_BYTES} bytes",
        f"working memory  {shape.working_memory / MIB:.2f} of {MAX_WORKING_MEMORY / MIB:.2f} MiB ({share:.0%})",
        f"RAM             {ram_needed(file_bytes) / MIB:.0f} MiB at least",
    ]
    if shape.seq_len < UNCLIPPED_SEQ_LEN:
        lines.append(f"note: the kernel may clip long lines or answers, since seq_len is below {UNCLIPPED_SEQ_LEN}")
    if shape.parameters > ADVISED_PARAMETERS:
        lines.append(f"note: beyond {ADVISED_PARAMETERS:,} parameters the kernel answers slowly on an emulated machine")
    return lines


def show(token: bytes) -> str:
    """Write a token for a person, shortened, with escapes for what does not print."""
    text = ascii(token[:24].decode("utf-8", "backslashreplace"))
    return text if len(token) <= 24 else f"{text}…"
