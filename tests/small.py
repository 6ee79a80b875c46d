"""A small real corpus, packed, and the shape of a model for it; made from text that every Python brings along."""

from __future__ import annotations

import argparse
import inspect
import json
import random
import subprocess
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from slm.corpus.devices import Kernel, write_database
from slm.corpus.idlist import IdList
from slm.files import atomic_folder, write_json
from slm.lineage import write_manifest
from slm.prompts import BOS, EOS, PAD, SPECIAL_TOKENS, UNK, driver_question, exchange
from slm.spec import ModelSpec

SMALL = ModelSpec(layers=2, heads=4, kv_heads=2, dim=64, hidden=160, vocab_size=1024, context=64)


def write_small_corpus(out: Path) -> None:
    """Write a corpus folder in the corpus format, with device tables of one device."""
    documents = _documents()
    with atomic_folder(out) as folder:
        tokenizer = _tokenizer(documents)
        tokenizer.save_pretrained(folder)
        splits = {
            "val": documents[0::8],
            "test": documents[1::8],
            "train": [d for i, d in enumerate(documents) if i % 8 > 1],
        }
        facts = {name: _write_split(folder / f"{name}.bin", texts, tokenizer) for name, texts in splits.items()}
        write_json(folder / "vocab.json", tokenizer.get_vocab())
        write_json(folder / "stats.json", facts)
        _write_devices(folder / "devices", out / "devices")
        write_manifest(
            folder / "manifest.json",
            kind="corpus",
            name="small",
            files=[p.name for p in folder.iterdir() if p.is_file()],
            info={"vocab_size": SMALL.vocab_size, "dtype": "uint16", "splits": facts},
            final=out,
        )


def _documents() -> list[str]:
    """Paragraphs of Python's own sources (English and code), and some questions with answers, in a fixed order."""
    text = "\n".join(inspect.getsource(module) for module in (argparse, json, random, subprocess))
    paragraphs = [part.strip() for part in text.split("\n\n") if len(part.strip()) > 80]
    pairs = [exchange(driver_question("pci", 0x8086, device, 0x0200), "e1000e") for device in range(0x1000, 0x1040)]
    documents = paragraphs + pairs
    random.Random(0).shuffle(documents)
    return documents


def _tokenizer(documents: list[str]) -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE(unk_token=None))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SMALL.vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(documents, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token=PAD, unk_token=UNK, bos_token=BOS, eos_token=EOS)


def _write_split(path: Path, texts: list[str], tokenizer: PreTrainedTokenizerFast) -> dict[str, object]:
    ids = [[2, *tokenizer.encode(text, add_special_tokens=False), 3] for text in texts]
    flat = np.array([i for document in ids for i in document], dtype="<u2")
    flat.tofile(path)
    facts = {"tokens": len(flat), "bytes": sum(len(t.encode()) for t in texts), "documents": len(texts)}
    return {**facts, "buckets": {"os_code": facts}}


def _write_devices(folder: Path, final: Path) -> None:
    folder.mkdir()
    ids = IdList(vendors={0x8086: "Intel Corporation"}, devices={(0x8086, 0x100E): "82540EM"})
    alias = "pci:v00008086d0000100Esv*sd*bc*sc*i*"
    kernel = Kernel(aliases={(alias, "e1000")}, descriptions={"e1000": "Intel(R) PRO/1000 Network Driver"})
    write_database(folder / "devices.sqlite", {"pci": ids}, kernel, {})
    write_manifest(folder / "manifest.json", kind="devices", name="small", files=["devices.sqlite"], final=final)
