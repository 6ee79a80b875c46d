"""The tokenizer: byte-level BPE, fitted on the training split only.

Splitting into words is GPT-2's, which llama.cpp knows as the pre-tokenizer ``gpt-2``; there is no post-processor, since
the packer writes document markers itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from slm.errors import CorpusError
from slm.files import atomic_write, write_json
from slm.prompts import ASSISTANT, BOS, EOS, PAD, SPECIAL_TOKENS, UNK, USER

#: More text than this makes no better vocabulary, only a slower one.
SAMPLE_BYTES = 20_000_000

FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json")

_TAGS = re.compile("|".join(re.escape(tag) for tag in (USER, ASSISTANT)))


def train_tokenizer(texts: Iterable[str], vocab_size: int, length: int) -> Tokenizer:
    """Fit a tokenizer of exactly ``vocab_size`` on ``texts``; special tokens take the first ids.

    :param length: how many texts there are.
    :raises CorpusError: when the texts do not hold enough different words for it.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_without_tags(texts), trainer, length=length)
    found = tokenizer.get_vocab_size()
    if found != vocab_size:
        raise CorpusError(
            f"The text yields a vocabulary of {found}, not {vocab_size}.",
            "Give the corpus more sources, or the model a smaller vocabulary.",
        )
    return tokenizer


def _without_tags(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield from (part for part in _TAGS.split(text) if part)


def write_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write :data:`FILES`: transformers loads the folder with ``AutoTokenizer``."""
    with atomic_write(folder / "tokenizer.json", "w") as file:
        file.write(tokenizer.to_str(pretty=False))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": PAD,
        "unk_token": UNK,
        "bos_token": BOS,
        "eos_token": EOS,
        "additional_special_tokens": [USER, ASSISTANT],
        "clean_up_tokenization_spaces": False,
        "add_prefix_space": False,
    }
    write_json(folder / "tokenizer_config.json", config)
    write_json(folder / "vocab.json", tokenizer.get_vocab())


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load ``tokenizer.json`` of a folder."""
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def encode_plain(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    """Encode text from outside: a special token's spelling in it is only its characters."""
    tokenizer.encode_special_tokens = True
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


def encode_exchanges(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    """Encode our own exchanges, whose role tags are single ids."""
    tokenizer.encode_special_tokens = False
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


def visible_bytes(text: str) -> int:
    """Count the UTF-8 bytes of a text's own words, role tags not counted."""
    return len(_TAGS.sub("", text).encode())
