"""A flat model, and what a stand-in for the guest needs to answer with it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kernel_interface import wire
from slm.export.flat import export_flat
from tests.needs import need_program


@pytest.fixture(scope="session")
def flat(word_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flat file of a model that knows the answers of ``tests.flat.ANSWERS``."""
    path = tmp_path_factory.mktemp("flat") / "words.flat"
    export_flat(word_checkpoint, path)
    return path


@pytest.fixture(scope="session")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("c") / "auton_flat"
    source = Path(wire.__file__).parent / "c" / "auton_flat.c"
    subprocess.run([need_program("gcc", "gcc"), "-O2", "-o", path, source, "-lm"], check=True)
    return path


@pytest.fixture
def stand_in(flat: Path, decoder: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment of ``tests/guest_console.py``, without a fault so far."""
    monkeypatch.setenv("GUEST_DECODER", str(decoder))
    monkeypatch.setenv("GUEST_MODEL", str(flat))
    return monkeypatch
