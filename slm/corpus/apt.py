"""Debian packages without installing them: resolving names and globs, downloading, checking.

apt runs on a state of our own (lists and caches under ``datasets/raw/apt``), always: that needs no root, works on a
machine whose own lists are empty, as in a fresh container, and leaves the machine's apt untouched. The machine's
sources and keys are used as they are.
"""

from __future__ import annotations

import functools
import hashlib
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slm.errors import SourceError
from slm.files import sha256_file, sync_folder

#: Lists older than this are fetched anew before packages are looked up in them.
LISTS_AGE_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Package:
    """One version of a Debian package, as apt's lists describe it."""

    name: str
    version: str
    architecture: str
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        """The name of its cached file; ``:`` of an epoch is no good in file names."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"


def package_pattern(glob: str) -> re.Pattern[str]:
    """Compile a package glob. ``*`` and ``?`` match no ``-``, so that a variant must be named to be matched.

    ``linux-image-6.1.0-*-amd64-unsigned`` matches ``…-56-amd64-…`` and neither ``…-56-cloud-amd64-…`` nor
    ``…-56-rt-amd64-…``.
    """
    parts = {"*": "[^-]*", "?": "[^-]"}
    return re.compile("".join(parts.get(char, re.escape(char)) for char in glob))


class Apt:
    """apt with its state in ``home``.

    :param home: a folder for lists and caches; made when missing.
    :param architecture: Debian's name of the machine that packages are for; without it, this one.
    """

    def __init__(self, home: Path, architecture: str = "") -> None:
        self.home = home.resolve()
        self._architecture = architecture
        self._foreign: dict[str, Apt] = {}
        self._names: list[str] = []
        for folder in ("lists/partial", "cache/archives/partial"):
            (self.home / folder).mkdir(parents=True, exist_ok=True)

    def find(self, wanted: str) -> Package | None:
        """Return the newest package that ``wanted`` (``name``, ``glob`` or ``a | b``) means, None when there is none.

        ``name:arm64`` is the package of another machine, as apt writes it. Fresh lists are fetched when ours are
        missing or a day old, or when they do not know the package.

        :raises SourceError: when there are no lists and none can be fetched.
        """
        for alternative in (part.strip() for part in wanted.split("|")):
            name, _, architecture = alternative.partition(":")
            if found := self._of(architecture)._newest(name):
                return found
        return None

    def refresh(self, age: float = LISTS_AGE_SECONDS) -> bool:
        """Fetch the lists when they are missing or older than ``age`` seconds; say whether that was done.

        Old lists still serve where the network is gone; no lists at all are an error.
        """
        stamp = self.home / "updated"
        if stamp.exists() and time.time() - stamp.stat().st_mtime < age:
            return False
        done = self._run("apt-get", "update")
        if done.returncode:
            if stamp.exists():
                return False
            raise SourceError(
                f"apt cannot fetch its package lists: {_last_line(done.stderr)}",
                "Check the network and /etc/apt/sources.list, then run the same command again.",
            )
        stamp.touch()
        self._names = []
        return True

    def download(self, package: Package, folder: Path, report: Callable[[int], None]) -> Path:
        """Fetch ``package`` into ``folder`` unless it is there already, and check it against apt's lists.

        :param report: called with the bytes fetched so far.
        :raises SourceError: naming the package, when it cannot be fetched or is not what the lists say.
        """
        of = self._of(package.architecture)
        target = folder / package.file_name
        if target.is_file() and target.stat().st_size == package.size and sha256_file(target) == package.sha256:
            report(package.size)
            return target
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".part-", dir=folder) as part:
            command = [*of._command("apt-get"), "download", f"{package.name}={package.version}"]
            with tempfile.TemporaryFile() as log:
                process = subprocess.Popen(command, cwd=part, stdout=log, stderr=log)
                try:
                    while process.poll() is None:
                        time.sleep(0.05)
                        report(sum(file.stat().st_size for file in Path(part).glob("*.deb")))
                finally:
                    process.kill()
                    process.wait()
                log.seek(0)
                said = log.read()
            files = list(Path(part).glob("*.deb"))
            if process.returncode or len(files) != 1:
                raise SourceError(
                    f"The package {package.name} {package.version} could not be downloaded: {_last_line(said)}",
                    "Check the network and run the same command again; what was fetched before is kept.",
                )
            check_package(files[0], package)
            shutil.move(files[0], target)
            sync_folder(folder)
        report(package.size)
        return target

    def _of(self, architecture: str) -> Apt:
        """Return the apt of another machine, whose lists are its own; of this one, or of none, this."""
        if architecture in ("", "all", self._architecture or native_architecture()):
            return self
        if architecture not in self._foreign:
            if not re.fullmatch(r"[a-z0-9-]+", architecture):
                raise SourceError(f"{architecture!r} is no architecture of Debian.", "Name one, such as arm64.")
            self._foreign[architecture] = Apt(self.home / architecture, architecture)
        return self._foreign[architecture]

    def _newest(self, glob: str) -> Package | None:
        self.refresh()
        return self._find(glob) or (self._find(glob) if self.refresh(LISTS_AGE_SECONDS // 24) else None)

    def _find(self, glob: str) -> Package | None:
        pattern = package_pattern(glob)
        names = [name for name in self._all_names() if pattern.fullmatch(name)]
        found = self._describe(names)
        return max(found, key=functools.cmp_to_key(_compare)) if found else None

    def _all_names(self) -> list[str]:
        if not self._names:
            self._names = self._run("apt-cache", "pkgnames").stdout.decode().split()
        return self._names

    def _describe(self, names: Sequence[str]) -> list[Package]:
        if not names:
            return []
        shown = self._run("apt-cache", "show", "--no-all-versions", *sorted(names)).stdout.decode("utf-8", "replace")
        packages = []
        for paragraph in shown.split("\n\n"):
            fields = dict(re.findall(r"^([A-Za-z0-9-]+): (.*)$", paragraph, re.MULTILINE))
            if {"Package", "Version", "Architecture", "Size", "SHA256"} <= fields.keys():
                packages.append(
                    Package(
                        fields["Package"],
                        fields["Version"],
                        fields["Architecture"],
                        int(fields["Size"]),
                        fields["SHA256"],
                    )
                )
        return packages

    def _command(self, tool: str) -> list[str]:
        options = {
            "Dir::State::Lists": self.home / "lists",
            "Dir::Cache": self.home / "cache",
            "Dir::Cache::pkgcache": "pkgcache.bin",  # container images switch it off, and each call then takes a second
            "Dir::Cache::srcpkgcache": "srcpkgcache.bin",
            "Debug::NoLocking": "1",  # without it apt wants /var/lib/dpkg's lock, which only root may take
            "APT::Sandbox::User": "",  # root would otherwise download as _apt, who cannot write here
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        if self._architecture:
            options |= {"APT::Architecture": self._architecture, "APT::Architectures": self._architecture}
        return [tool, "-q", *(f"-o{key}={value}" for key, value in options.items())]

    def _run(self, tool: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run([*self._command(tool), *arguments], capture_output=True, check=False)
        except FileNotFoundError as error:
            raise SourceError(
                f"{tool} is not installed, so Debian packages cannot be fetched.",
                "Build on Debian or Ubuntu, or take the sources from folders or URLs.",
            ) from error


@functools.cache
def native_architecture() -> str:
    """Return Debian's name of this machine, such as ``amd64``; empty where there is no dpkg to ask."""
    try:
        done = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def check_package(path: Path, package: Package) -> None:
    """Compare a downloaded file with apt's lists.

    :raises SourceError: when it is cut short or another file than the lists promise.
    """
    size = path.stat().st_size
    if size != package.size:
        raise SourceError(
            f"The package {package.name} {package.version} arrived with {size} of {package.size} bytes.",
            "Run the same command again; the partial file was thrown away.",
        )
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != package.sha256:
        raise SourceError(
            f"The package {package.name} {package.version} has sha256 {found[:16]}…; apt's lists say "
            f"{package.sha256[:16]}….",
            "Run the same command again; if it stays so, do not trust the mirror.",
        )


def _compare(one: Package, other: Package) -> int:
    """Order packages by version, then by name, both the way Debian orders versions."""
    for left, right in ((one.version, other.version), (one.name, other.name)):
        if left != right:
            order = subprocess.run(["dpkg", "--compare-versions", left, "gt", right], check=False, capture_output=True)
            return 1 if order.returncode == 0 else -1
    return 0


def _last_line(output: bytes) -> str:
    lines = [line for line in output.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"
