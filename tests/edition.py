"""A kernel edition small enough to train in seconds: the test corpus' devices, through the real spec and corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slm.corpus import build
from slm.progress import silent
from slm.spec import BuildSpec
from tests.data.corpus.make import corpus_section

#: Words, answers and ids of the test corpus' 240 PCI devices, with some rows to spare.
VOCABULARY = 1792


def edition_spec(sources: Path, tokens: int = 150_000, **settings: Any) -> BuildSpec:
    """A build of an edition that knows the devices in ``sources``, which ``write_corpus`` wrote."""
    devices = corpus_section(sources)["devices"]
    content = {
        "name": "mini-kernel",
        "model": {
            "layers": 2,
            "heads": 2,
            "kv_heads": 1,
            "dim": 64,
            "hidden": 128,
            "vocab_size": VOCABULARY,
            "context": 64,
        },
        "corpus": {
            "name": "mini-kernel",
            "tokens": tokens,
            "shares": {"instructions": 1},
            "split": {"train": 0.9, "val": 0.05, "test": 0.05},
            "devices": devices,
            "edition": {"kind": "kernel", "row": 64, "names": 20, "spellings": 6000},
        },
        "train": {
            "tokens": tokens,
            "micro_batch": 16,
            "learning_rate": 0.01,
            "matrix_learning_rate": 0.01,
            "weight_decay": 0.0,
            "warmup_steps": 10,
            "schedule": "wsd",
            "final_fraction": 0.0,
            "precision": "fp32",
            "device": "cpu",
            "log_every": 20,
            "evaluate_every": 1000,
            "evaluate_tokens": 4000,
            "checkpoint_every": 1000,
        },
        "gates": {},
        "export": {"gguf": [], "flat": True},
        **settings,
    }
    return BuildSpec.model_validate(content)


def build_edition_corpus(spec: BuildSpec, folder: Path) -> Path:
    """Make the edition's corpus below ``folder`` and return its folder."""
    return build(spec.corpus, spec.model.vocab_size, folder / "raw", folder / "corpus", silent).parent
