"""A checkpoint as one flat file for the AUTON kernel, which asks the model with a line's words and joins its tokens.

The kernel splits a line at single spaces and looks each word up as it stands, so the checkpoint's tokenizer must do
just that: a word-level one, tried here on its own words (:func:`token_table`). A sub-word tokenizer would meet whole
words that it has no token for, and its answers would be joined by spaces in the middle of words.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from slm.errors import ArtefactError
from slm.export.flat_file import FlatModel, breach_error, write_flat
from slm.export.flat_limits import Shape, shape_breaches, show, token_breaches
from slm.files import read_json
from slm.model.llama import SPEC_KEYS, load_model, spec_of
from slm.prompts import UNK

#: What the tokenizers library calls a tokenizer of whole words.
_WORDS = "WordLevel"

#: The fields of :class:`Shape`, in its order, under transformers' names.
_KEYS = [SPEC_KEYS[name] for name in ("dim", "hidden", "layers", "heads", "kv_heads", "vocab_size", "context")]


def export_flat(checkpoint: Path, out: Path) -> FlatModel:
    """Write the model in the folder ``checkpoint`` as the file ``out``, which appears whole or not at all.

    :returns: what was written.
    :raises ArtefactError: before anything is written: with every limit of the kernel that the model or its tokenizer
        breaks, or when the checkpoint is no plain Llama.
    """
    model = read_checkpoint(checkpoint)
    write_flat(model, out)
    return model


def read_checkpoint(checkpoint: Path) -> FlatModel:
    """Read the model in the folder ``checkpoint`` as a flat file holds it.

    :raises ArtefactError: with every limit of the kernel that the model or its tokenizer breaks, or when the checkpoint
        is no plain Llama.
    """
    shape = _shape(checkpoint)
    tokens, breaches = token_table(checkpoint / "tokenizer.json", shape.vocab)
    if breaches := [*shape_breaches(shape), *breaches, *(token_breaches(shape, tokens) if tokens else ())]:
        raise breach_error(str(checkpoint), breaches)
    weights = load_model(checkpoint).state_dict()
    names = [name for name, _ in shape.tensors()]
    return FlatModel(
        shape,
        {name: weights[name].numpy() for name in names},
        tokens,
        np.zeros(len(tokens), dtype=np.float32),  # the kernel looks whole words up and never weighs pieces
    )


def token_table(path: Path, vocab: int) -> tuple[list[bytes], list[str]]:
    """Read a ``tokenizer.json`` into the token of each id, and say what the kernel could not do as it does.

    :returns: the tokens, none where there is no such table; and the breaches, none for a tokenizer that can be used.
    :raises ArtefactError: when it is no file of the tokenizers library.
    """
    content = read_json(path)
    try:
        kind, known = content["model"]["type"], content["model"]["vocab"]
        added = {entry["content"]: entry["id"] for entry in content["added_tokens"]}
        named = [*added.items(), *(known.items() if kind == _WORDS else ())]
        if not all(type(text) is str and type(index) is int for text, index in named):
            raise TypeError("a token has no text or no id")
    except (AttributeError, KeyError, TypeError) as error:
        raise ArtefactError(f"{path} is no tokenizer of the tokenizers library.", "Build the model again.") from error
    if kind != _WORDS:
        return [], [
            f"the tokenizer in {path.name} is of type {kind}; a word-level one ({_WORDS}), with its words in the order "
            "of the kernel's ids, is needed, since the kernel looks up whole words"
        ]
    texts: dict[int, str] = {}
    breaches = []
    for text, index in named:
        if texts.setdefault(index, text) != text:
            breaches.append(f"id {index} is both {texts[index]!a} and {text!a}; one token is needed")
        if known.get(text, index) != index:
            breaches.append(f"{text!a} has the ids {known[text]} and {index}; one is needed")
    if strangers := [index for index in texts if not 0 <= index < vocab]:
        breaches.append(f"{path.name} has the id {max(strangers)}; the ids of vocab end at {vocab - 1}")
    if missing := vocab - (len(texts) - len(strangers)):
        first = next(index for index in itertools.count() if index not in texts)
        breaches.append(f"{missing} ids of vocab have no token, the first is {first}; each needs one")
    if breaches:
        return [], breaches
    try:
        tokens = [texts[index].encode() for index in range(vocab)]
    except UnicodeEncodeError as error:
        return [], [f"a token is not UTF-8: {error}"]
    return tokens, list(_different_splits(path, tokens, set(added)))


def _different_splits(path: Path, tokens: list[bytes], added: set[str]) -> Iterator[str]:
    """Say where the tokenizer reads a line of its own words otherwise than the kernel will, once at most.

    Tried are, of every word, the word twice, and for those that the tokenizer does not find inside of others, the word
    in capitals and with a question mark.
    """
    ids = {token.decode(): index for index, token in enumerate(tokens)}
    words = [text for text in ids if text.split() == [text]]
    lines = [f"{word} {word}" for word in words]
    lines += [form for word in words if word not in added for form in (word.upper(), f"{word}?")]
    try:
        found = Tokenizer.from_file(str(path)).encode_batch(lines, add_special_tokens=False)
    except Exception as error:  # the library raises no class of its own
        yield f"{path.name} does not read its own words: {error}"
        return
    unknown = ids.get(UNK)
    for line, encoding in zip(lines, found, strict=True):
        needed = [ids.get(word, unknown) for word in line.split(" ")]
        if encoding.ids != needed:
            yield (
                f"the tokenizer reads {show(line.encode())} as the ids {encoding.ids}, the kernel as {needed}; "
                "one that splits at spaces and changes nothing is needed (WhitespaceSplit, no normalizer)"
            )
            return


def _shape(checkpoint: Path) -> Shape:
    """Read the shape from ``config.json``; when it is within the limits, the rest must be a plain Llama's as well."""
    found = read_json(checkpoint / "config.json")
    values: list[Any] = [found.get(key) if isinstance(found, dict) else None for key in _KEYS]
    if all(type(value) is int for value in values):
        shape = Shape(*values)
        if shape_breaches(shape):
            return shape
    spec = spec_of(checkpoint)
    return Shape(spec.dim, spec.hidden, spec.layers, spec.heads, spec.kv_heads, spec.vocab_size, spec.context)
