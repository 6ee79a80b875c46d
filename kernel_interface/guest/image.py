"""What boots: an ISO as it is, an ISO that a model is put into, or one that is made around a bare kernel.

QEMU's own loader knows no Multiboot2, so GRUB loads kernel and model from an ISO in every case. Which case it is shows
in the file's content.

Sources: ECMA-119, 8.1 (an ISO's first volume descriptor); Multiboot2 specification 2.0, 3.1.1 (a kernel's header); GRUB
manual 2.06 (``multiboot2``, ``module2``); xorriso(1), ``-boot_image any replay``.
"""

from __future__ import annotations

import re
import shlex
import shutil
import struct
from pathlib import Path
from typing import Literal

from kernel_interface.guest.programs import find, run
from slm.errors import ArtefactError, ServingError

_ISO_MAGIC, _ISO_MAGIC_AT = b"CD001", 16 * 2048 + 1
_MULTIBOOT2 = struct.Struct("<4I")
_MULTIBOOT2_MAGIC = 0xE85250D6
#: Within so many bytes of its file a kernel's header must lie, at a multiple of so many.
_HEADER_WITHIN, _HEADER_ALIGN = 32_768, 8

#: GRUB's parts for a PC's BIOS, which is what QEMU's machine has, and those of them that an image of ours needs.
_GRUB = Path("/usr/lib/grub/i386-pc")
_GRUB_MODULES = "normal multiboot2 iso9660 biosdisk"

#: Where the model lies in the images that we make, and what the kernel is told of it.
_MODEL_PLACE, _MODEL_NAME = "/boot/auton-model.flat", "model.flat"

_WORD = r"""(?:"[^"]*"|'[^']*'|\S+)"""
_MODULE = re.compile(rf"(?P<before>\s*module2\s+(?:--\S+\s+)*)(?P<path>{_WORD})(?P<arguments>.*)")
_LARGEST_CONFIGURATION = 1 << 20


def kind_of(image: Path) -> Literal["iso", "kernel"]:
    """Tell by its content what ``image`` is.

    :raises ArtefactError: when it cannot be read, or is neither.
    """
    try:
        with open(image, "rb") as file:
            start = file.read(_ISO_MAGIC_AT + len(_ISO_MAGIC))
    except OSError as error:
        raise ArtefactError(f"{image} cannot be read: {error.strerror}.", "Name an ISO or a kernel.") from error
    if start[_ISO_MAGIC_AT:] == _ISO_MAGIC:
        return "iso"
    for at in range(0, min(len(start), _HEADER_WITHIN) - _MULTIBOOT2.size + 1, _HEADER_ALIGN):
        magic, architecture, length, checksum = _MULTIBOOT2.unpack_from(start, at)
        if magic == _MULTIBOOT2_MAGIC and not (magic + architecture + length + checksum) % 2**32:
            return "kernel"
    raise ArtefactError(
        f"{image} is neither an ISO 9660 image nor a kernel with a Multiboot2 header.",
        "Name an AUTON image, or its kernel as it was linked, not compressed.",
    )


def bootable(image: Path, model: Path | None, folder: Path) -> tuple[Path, list[str]]:
    """Make of ``image`` an ISO that boots with ``model`` as the kernel's first module, in ``folder``.

    An ISO without a model is returned as it is.

    :returns: the ISO, and what a person should know of it.
    :raises ArtefactError: when ``image`` is nothing that can boot so.
    :raises ServingError: when a program is missing or fails.
    """
    if kind_of(image) == "kernel":
        return _around_kernel(image, model, folder), []
    return _with_model(image, model, folder) if model else (image, [])


def _around_kernel(kernel: Path, model: Path | None, folder: Path) -> Path:
    """Make an ISO of GRUB, the kernel and the model."""
    program = find("grub-mkrescue")
    find("xorriso")  # which it runs
    if not _GRUB.is_dir():
        raise ServingError(f"GRUB's parts for a BIOS are not in {_GRUB}.", "Install them: apt-get install grub-pc-bin")
    root, out = folder / "root", folder / "boot.iso"
    (root / "boot/grub").mkdir(parents=True)
    shutil.copyfile(kernel, root / "boot/kernel")
    lines = ["multiboot2 /boot/kernel"]
    if model:
        shutil.copyfile(model, root / _MODEL_PLACE.lstrip("/"))
        lines.append(f"module2 {_MODEL_PLACE} {_MODEL_NAME}")
    (root / "boot/grub/grub.cfg").write_text("\n".join([*lines, "boot", ""]))
    parts = [f"--directory={_GRUB}", f"--install-modules={_GRUB_MODULES}", "--fonts=", "--locales=", "--themes="]
    run([program, *parts, f"--output={out}", str(root)], f"No image can be made around {kernel}")
    return out


def _with_model(iso: Path, model: Path, folder: Path) -> tuple[Path, list[str]]:
    """Copy an ISO, with the model in it and in GRUB's configuration, and everything else as it was."""
    program, out, configuration = find("xorriso"), folder / "boot.iso", folder / "grub.cfg"
    xorriso = [program, "-no_rc", "-indev", f"stdio:{iso.resolve()}"]
    listed = run([*xorriso, "-find", "/", "-type", "f", "-name", "grub.cfg"], f"{iso} cannot be read")
    places = [place for line in listed.splitlines() for place in shlex.split(line)]
    changes, notes = [], []
    for number, place in enumerate(places):
        old, new = (configuration.with_suffix(f".{number}.{age}") for age in ("old", "new"))
        run([*xorriso, "-osirrox", "on", "-extract", place, str(old)], f"{place} cannot be read out of {iso}")
        with open(old, encoding="utf-8", errors="surrogateescape", newline="") as file:
            changed = with_module(file.read(_LARGEST_CONFIGURATION), f"{_MODEL_PLACE}")
        if changed is None:
            continue
        text, replaced = changed
        new.write_text(text, encoding="utf-8", errors="surrogateescape")
        changes += ["-map", str(new), place]
        notes += [f"the image's own module {path} is left out for {model}" for path in replaced]
    if not changes:
        raise ArtefactError(
            f"{iso} has no grub.cfg that loads a kernel with multiboot2, so there is no place for a model in it.",
            "Name the kernel itself, or boot the image as it is, without --model.",
        )
    changes += ["-map", str(model.resolve()), _MODEL_PLACE]
    run([*xorriso, "-outdev", f"stdio:{out}", "-boot_image", "any", "replay", *changes], f"{iso} cannot be copied")
    return out, list(dict.fromkeys(notes))


def with_module(configuration: str, place: str) -> tuple[str, list[str]] | None:
    """Make ``place`` the first module of every kernel in a ``grub.cfg``, and let GRUB boot without waiting.

    A first module that is there already gives way, and leaves its arguments, by which the kernel may know it; others
    stay.

    :returns: the new text, and the paths of modules that gave way; None when it loads nothing with ``multiboot2``.
    """
    lines: list[str] = []
    replaced: list[str] = []
    loads = lacking = False
    for line in configuration.splitlines():
        command = next(iter(line.split()), "")
        if lacking and (module := _MODULE.fullmatch(line)):
            replaced.append(module["path"].strip("\"'"))
            line = f"{module['before']}{place}{module['arguments']}"
            lacking = False
        elif lacking and (command in ("multiboot2", "boot") or command.startswith("}")):
            lines.append(f"module2 {place} {_MODEL_NAME}")
            lacking = False
        if command == "multiboot2":
            loads = lacking = True
        lines.append(line)
    if lacking:
        lines.append(f"module2 {place} {_MODEL_NAME}")
    return ("\n".join([*lines, "set timeout=0", ""]), replaced) if loads else None
