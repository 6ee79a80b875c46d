"""Kernel modules for tests: made ones, a real kernel's, and what kmod says of them."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from slm.corpus.apt import Apt
from slm.corpus.fetch import Fetched
from slm.corpus.modinfo import module_name
from tests.needs import need_program


def elf(modinfo: Sequence[str]) -> bytes:
    """Build the smallest ELF64 object with a .modinfo section."""
    content = b"".join(item.encode() + b"\0" for item in modinfo)
    names = b"\0.modinfo\0.shstrtab\0"
    table = 64 + len(content) + len(names)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 1, 62, 1, 0, 0, table, 0, 64, 0, 0, 64, 3, 2)
    rows = [
        (0,) * 10,
        (1, 1, 2, 0, 64, len(content), 0, 0, 1, 0),
        (10, 3, 0, 0, 64 + len(content), len(names), 0, 0, 1, 0),
    ]
    return header + content + names + b"".join(struct.pack("<IIQQQQIIQQ", *row) for row in rows)


def real_kernel(folder: Path) -> Fetched:
    """Download Debian's kernel package into ``folder``."""
    apt = Apt(folder / "apt")
    found = apt.find("linux-image-6.1.0-*-amd64-unsigned")
    assert found
    path = apt.download(found, folder, lambda _: None)
    return Fetched(kind="package", name=found.name, sha256=found.sha256, path=path)


class Kmod:
    """A folder of modules, as kmod's own programs read it."""

    def __init__(self, root: Path) -> None:
        """Unpacked modules lie below ``root``; index them."""
        self._root = root
        self._folder = next((root / "lib/modules").iterdir())
        depmod = need_program("depmod", "kmod")
        subprocess.run([depmod, "-b", root, self._folder.name], check=True, capture_output=True)
        # Between two answers modprobe writes nothing, so every second question is this one.
        (root / "modprobe.d").mkdir()
        (root / "modprobe.d/end.conf").write_text("alias end_of_answer end_of_answer\n")

    @classmethod
    def of_package(cls, package: Path, root: Path) -> Kmod:
        """Unpack a kernel's package below ``root``."""
        subprocess.run(["dpkg-deb", "-x", package, root], check=True)
        return cls(root)

    @classmethod
    def of_modules(cls, modules: Mapping[str, Sequence[str]], root: Path) -> Kmod:
        """Write a module with these aliases for every name."""
        folder = root / "lib/modules/1.0/kernel"
        folder.mkdir(parents=True)
        for name, aliases in modules.items():
            (folder / f"{name}.ko").write_bytes(elf([f"alias={alias}" for alias in aliases]))
        return cls(root)

    @property
    def aliases(self) -> str:
        """The text of ``modules.alias``."""
        return (self._folder / "modules.alias").read_text()

    @property
    def built_in(self) -> set[str]:
        """What is part of the kernel itself; modprobe finds it by its aliases too, and has nothing to load."""
        listing = self._folder / "modules.builtin"
        return {module_name(line) for line in listing.read_text().splitlines()} if listing.is_file() else set()

    def resolve(self, names: Iterable[str]) -> list[set[str]]:
        """Return the modules that ``modprobe --resolve-alias`` gives for every name."""
        questions = list(names)
        start: list[str | Path] = [need_program("modprobe", "kmod"), "-a", "-q", "-R", "-C", self._root / "modprobe.d"]
        found: list[set[str]] = []
        for at in range(0, len(questions), 500):
            batch = [word for name in questions[at : at + 500] for word in (name, "end_of_answer")]
            command: list[str | Path] = [*start, "-d", self._root, "-S", self._folder.name, "--", *batch]
            lines = subprocess.run(command, capture_output=True, text=True).stdout.split("\n")
            answer: set[str] = set()
            for line in filter(None, lines):
                if line == "end_of_answer":
                    found.append(answer)
                    answer = set()
                else:
                    answer.add(line)
        assert len(found) == len(questions)
        return found
