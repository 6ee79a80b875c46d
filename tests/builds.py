"""Specs of builds small enough for tests; everything but their size is as in a real one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slm.spec import BuildSpec
from tests.data.corpus.make import corpus_section

MODEL = {
    "layers": 2,
    "heads": 4,
    "kv_heads": 2,
    "dim": 64,
    "hidden": 160,
    "vocab_size": 1024,
    "context": 64,
}
TRAIN: dict[str, Any] = {
    "tokens": 64 * 8 * 60,
    "micro_batch": 8,
    "learning_rate": 3e-3,
    "warmup_steps": 5,
    "schedule": "wsd",
    "precision": "fp32",
    "log_every": 5,
    "evaluate_every": 30,
    "evaluate_tokens": 2000,
    "checkpoint_every": 10,
}


def miniature(corpus: Path, train: dict[str, Any] | None = None, **settings: Any) -> BuildSpec:
    """A build of the corpus that :func:`tests.data.corpus.make.write_corpus` wrote into ``corpus``."""
    section = corpus_section(corpus)
    return BuildSpec.model_validate(
        {
            "name": "mini",
            "model": {**MODEL, "vocab_size": settings.pop("vocab_size", 600)},
            "corpus": section,
            "train": {**TRAIN, **(train or {})},
            "gates": {"perplexity": 600, "distinct_trigrams": 0.1},
            **settings,
        }
    )
