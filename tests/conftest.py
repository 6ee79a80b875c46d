"""A small real corpus and a small real checkpoint, made once a session from text that every Python brings along."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from slm.files import atomic_folder
from slm.lineage import input_from, write_manifest
from slm.model.files import MODEL_FILES
from slm.model.llama import build_model, save_model
from slm.spec import ModelSpec
from slm.training.compiled import lacking
from tests.disks import small_disk
from tests.flat import write_word_checkpoint
from tests.needs import need
from tests.small import SMALL, write_small_corpus


def pytest_collection_finish() -> None:
    """Refuse test modules that import Ray at their top: it reads once whether it wants a token, and tests set that."""
    if "ray" in sys.modules:
        raise pytest.UsageError("A test module imports ray at its top; import it in the function that needs it.")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Small tensors gain nothing from threads, which wait for each other whenever the machine is busy."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def small_spec() -> ModelSpec:
    return SMALL


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus folder in the corpus format, with device tables of one device."""
    out = tmp_path_factory.mktemp("corpora") / "small"
    write_small_corpus(out)
    return out


@pytest.fixture(scope="session")
def small_checkpoint(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder: a model of the small spec, trained for some steps so that its answers are not uniform."""
    out = tmp_path_factory.mktemp("checkpoints") / "small"
    model = build_model(SMALL, seed=1)
    ids = torch.from_numpy(np.fromfile(small_corpus / "train.bin", dtype="<u2").astype(np.int64))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        starts = torch.randint(0, len(ids) - SMALL.context, (16,), generator=generator)
        batch = torch.stack([ids[start : start + SMALL.context] for start in starts.tolist()])
        model(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    with atomic_folder(out) as folder:
        save_model(model, small_corpus, folder)
        write_manifest(
            folder / "manifest.json",
            kind="checkpoint",
            name="small-step-60",
            files=MODEL_FILES,
            inputs=[input_from(small_corpus / "manifest.json")],
            final=out,
        )
    return out


@pytest.fixture(scope="session")
def word_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a word-level tokenizer, as the kernel's flat format needs it, that knows a few answers."""
    return write_word_checkpoint(tmp_path_factory.mktemp("words"))


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of one megabyte."""
    with small_disk(tmp_path / "disk") as folder:
        yield folder


@pytest.fixture
def fresh_compiler(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compile from nothing into a folder of the test's own, and leave nothing compiled behind."""
    need(lacking(torch.device("cpu")) is None, "what torch compiles with (packages g++ and python3-dev)")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
    torch.compiler.reset()
    yield
    torch.compiler.reset()
