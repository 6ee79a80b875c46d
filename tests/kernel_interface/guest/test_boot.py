"""Real machines: QEMU boots a kernel of ours, which finds the model that GRUB loaded and answers with its figures."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

import tests.flat
from kernel_interface.guest.__main__ import MODEL, RULES, SILENT, main
from kernel_interface.guest.image import bootable, kind_of
from slm.export.flat_file import read_flat, write_flat
from slm.export.flat_limits import Shape
from tests.flat import ANSWERS, random_model
from tests.needs import need, need_program

pytestmark = pytest.mark.slow

SOURCES = Path(tests.flat.__file__).parent / "guest_image"


@pytest.fixture(scope="module", autouse=True)
def programs() -> None:
    need_program("qemu-system-x86_64", "qemu-system-x86")
    need_program("xorriso", "xorriso")
    need_program("grub-mkrescue", "grub-common")
    need(Path("/usr/lib/grub/i386-pc").is_dir(), "GRUB's parts for a BIOS (package grub-pc-bin)")


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernel as its first lines say to build it."""
    path = tmp_path_factory.mktemp("guest") / "kernel"
    flags = ["-m32", "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fno-pic"]
    flags += ["-fno-stack-protector", "-nostdlib", "-static", "-Wl,--build-id=none"]
    sources = [SOURCES / "boot.S", SOURCES / "kernel.c"]
    gcc = need_program("gcc", "gcc")
    subprocess.run([gcc, *flags, "-T", SOURCES / "link.ld", "-o", path, *sources], check=True)
    assert kind_of(path) == "kernel"
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 5 MB, which is not loaded from one sector."""
    shape = Shape(dim=128, hidden=256, layers=4, heads=4, kv_heads=2, vocab=5000, seq_len=96)
    return write_flat(random_model(shape, seed=1), tmp_path_factory.mktemp("flat") / "model.flat")


def figures(model: Path, words: int) -> str:
    """What the kernel says of its module when it is asked in so many words."""
    shape, content = read_flat(model).shape, np.fromfile(model, dtype=np.uint8)
    total = int(content.sum(dtype=np.uint64)) % 2**32
    return (
        f"dim {shape.dim}, layers {shape.layers}, vocab {shape.vocab}, bytes {len(content)}, sum {total}, words {words}"
    )


def test_a_kernel_boots_with_the_model_as_its_module(
    kernel: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ask").write_text(f"what is 8086:100e\n{'x ' * 127}y\n")
    assert main(["--iso", str(kernel), "--model", str(model), "--ask", str(tmp_path / "ask"), "--json"]) == MODEL
    session = json.loads(capsys.readouterr().out)
    assert session["model_loaded"]
    assert [row["answer"] for row in session["rows"]] == [figures(model, 3), figures(model, 128)]


def test_a_model_goes_into_an_iso_and_takes_anothers_place(
    kernel: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ask").write_text("which driver?\n")
    arguments = ["--ask", str(tmp_path / "ask"), "--json"]
    (tmp_path / "bare").mkdir()
    bare, _ = bootable(kernel, None, tmp_path / "bare")
    assert kind_of(bare) == "iso"
    before = bare.read_bytes()
    assert main(["--iso", str(bare), *arguments]) == RULES  # as it is
    assert json.loads(capsys.readouterr().out)["rows"][0]["answer"] == "no model"
    assert main(["--iso", str(bare), "--model", str(model), *arguments]) == MODEL
    assert json.loads(capsys.readouterr().out)["rows"][0]["answer"] == figures(model, 2)
    assert bare.read_bytes() == before
    shape = Shape(dim=4, hidden=4, layers=1, heads=2, kv_heads=1, vocab=6, seq_len=16)
    other = write_flat(random_model(shape, seed=2), tmp_path / "other.flat")
    (tmp_path / "filled").mkdir()
    filled, _ = bootable(kernel, other, tmp_path / "filled")
    assert main(["--iso", str(filled), *arguments]) == MODEL  # with the model that it has
    assert json.loads(capsys.readouterr().out)["rows"][0]["answer"] == figures(other, 2)
    assert main(["--iso", str(filled), "--model", str(model), *arguments]) == MODEL
    shown = capsys.readouterr()
    assert json.loads(shown.out)["rows"][0]["answer"] == figures(model, 2)
    assert "note: the image's own module /boot/auton-model.flat is left out" in shown.err


def test_a_machine_that_resets_is_gone(
    kernel: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ask").write_text("hello\nreboot\n")
    assert main(["--iso", str(kernel), "--model", str(model), "--ask", str(tmp_path / "ask")]) == SILENT
    shown = capsys.readouterr()
    assert figures(model, 1) in shown.out
    assert "The guest is gone: its machine ended, or was reset." in shown.err


if image := os.environ.get("AUTON_KERNEL_ISO", ""):

    def test_the_users_image_answers_as_our_decoder_does(
        flat: Path, decoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "ask").write_text("".join(f"{line}\n" for line in ANSWERS))
        assert main(["--iso", image, "--model", str(flat), "--ask", str(tmp_path / "ask"), "--json"]) == MODEL
        rows = json.loads(capsys.readouterr().out)["rows"]
        for row in rows:
            done = subprocess.run([decoder, flat, row["line"]], capture_output=True, text=True, check=True)
            assert row["answer"] == done.stdout.strip(), row
