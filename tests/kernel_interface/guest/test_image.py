"""What boots is known by its content, and how a model comes into an ISO."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from kernel_interface.guest.image import bootable, kind_of, with_module
from kernel_interface.guest.qemu import command, memory
from slm.errors import ArtefactError, ServingError

MIB = 2**20
ISO = bytes(32_769) + b"CD001" + bytes(2042)
HEADER = struct.pack("<4I", 0xE85250D6, 0, 16, (-0xE85250D6 - 16) % 2**32)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (ISO, "iso"),
        (HEADER, "kernel"),
        (b"\x7fELF" + bytes(4092) + HEADER + bytes(100), "kernel"),
        (bytes(32_768 - 16) + HEADER, "kernel"),
        (HEADER + ISO[len(HEADER) :], "iso"),
    ],
)
def test_an_image_is_known_by_its_content(tmp_path: Path, content: bytes, kind: str) -> None:
    path = tmp_path / "image.txt"
    path.write_bytes(content)
    assert kind_of(path) == kind


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x7fELF" + bytes(40_000),
        bytes(4) + HEADER,  # not aligned
        bytes(32_768) + HEADER,  # too late
        HEADER[:-1],
        HEADER[:-4] + bytes(4),  # a wrong sum
        struct.pack("<3I", 0x1BADB002, 0, -0x1BADB002 % 2**32),  # Multiboot 1
        ISO[:32_772],
    ],
)
def test_anything_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "boot.iso"
    path.write_bytes(content)
    with pytest.raises(ArtefactError, match="neither an ISO 9660 image nor a kernel with a Multiboot2 header"):
        kind_of(path)
    with pytest.raises(ArtefactError, match="cannot be read"):
        kind_of(tmp_path)


def test_an_iso_without_a_model_is_booted_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    (tmp_path / "iso").write_bytes(ISO)
    assert bootable(tmp_path / "iso", None, tmp_path) == (tmp_path / "iso", [])


def test_missing_programs_are_named_with_their_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    (tmp_path / "iso").write_bytes(ISO)
    (tmp_path / "kernel").write_bytes(HEADER)
    with pytest.raises(ServingError, match=r"(?s)no xorriso.*apt-get install xorriso"):
        bootable(tmp_path / "iso", tmp_path / "iso", tmp_path)
    with pytest.raises(ServingError, match=r"(?s)no grub-mkrescue.*apt-get install grub-common"):
        bootable(tmp_path / "kernel", None, tmp_path)
    with pytest.raises(ServingError, match=r"(?s)no setpriv.*apt-get install util-linux"):
        command(tmp_path / "iso", 192, "tcg", 3)


PLACE = "/boot/auton-model.flat"
OURS = f"module2 {PLACE} model.flat"


@pytest.mark.parametrize(
    ("before", "after", "replaced"),
    [
        ("multiboot2 /k\nboot\n", f"multiboot2 /k\n{OURS}\nboot", []),
        ("multiboot2 /k quiet", f"multiboot2 /k quiet\n{OURS}", []),
        ("menuentry 'A' {\r\n multiboot2 /k\r\n}\r\n", f"menuentry 'A' {{\n multiboot2 /k\n{OURS}\n}}", []),
        ("multiboot2 /k\n  module2 /m slm tiny\nboot", f"multiboot2 /k\n  module2 {PLACE} slm tiny\nboot", ["/m"]),
        (
            "multiboot2 /k\nmodule2 --nounzip '/a model' x\nmodule2 /rd",
            f"multiboot2 /k\nmodule2 --nounzip {PLACE} x\nmodule2 /rd",
            ["/a model"],
        ),
        (
            "menuentry A {\nmultiboot2 /k\n}\nmenuentry B {\nmultiboot2 /l\nmodule2 /m\n}",
            f"menuentry A {{\nmultiboot2 /k\n{OURS}\n}}\nmenuentry B {{\nmultiboot2 /l\nmodule2 {PLACE}\n}}",
            ["/m"],
        ),
        ("multiboot2 /k\nmultiboot2 /l\n", f"multiboot2 /k\n{OURS}\nmultiboot2 /l\n{OURS}", []),
    ],
)
def test_the_model_is_the_first_module_of_every_kernel(before: str, after: str, replaced: list[str]) -> None:
    assert with_module(before, PLACE) == (f"{after}\nset timeout=0\n", replaced)


@pytest.mark.parametrize(
    "configuration", ["", "linux /vmlinuz\nboot\n", "multiboot /k\nmodule /m\n", "# multiboot2 /k"]
)
def test_a_configuration_without_a_kernel_of_ours_is_none(configuration: str) -> None:
    assert with_module(configuration, PLACE) is None


def test_memory_is_what_the_kernel_needs_with_some_room() -> None:
    for size in (0, 1, 40 * MIB, 65 * MIB, 65 * MIB + 1, 200 * MIB):
        needed = max(129, -(-size // MIB) + 64)
        assert needed + 32 <= memory(size) < needed + 96
