"""The first stage: every origin that a spec names, brought here and pinned by version and SHA-256."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from slm.corpus.apt import Apt, Package
from slm.corpus.documents import write_shard
from slm.errors import SourceError
from slm.files import atomic_write, sha256_file
from slm.lineage import InputEntry
from slm.progress import Progress, Reporter
from slm.spec import CorpusSpec, FolderOrigin, HubOrigin, Origin, PackageOrigin, UrlOrigin


class Fetched(BaseModel):
    """An origin that is here: where it lies and exactly what it is."""

    kind: str
    name: str
    sha256: str
    path: Path
    version: str | None = None
    #: A glob for the archives inside a package that are read in its place.
    archive: str | None = None
    #: The key that holds the text in records of JSON Lines files; without it, such a file is one like any other.
    column: str | None = None

    @property
    def label(self) -> str:
        """How documents name their source."""
        return f"{self.kind}:{self.name}"

    @property
    def entry(self) -> InputEntry:
        """How manifests name it."""
        return InputEntry(kind=self.kind, name=self.name, sha256=self.sha256, version=self.version)


class Row(BaseModel):
    """One row of a hub dataset."""

    text: str


def origin_key(origin: Origin) -> str:
    """Write an origin as the key under which it is fetched once, however many sources share it."""
    return origin.model_dump_json()


def fetch_all(spec: CorpusSpec, raw: Path, report: Reporter) -> tuple[dict[str, Fetched], list[str]]:
    """Bring every origin of ``spec`` here, downloads into ``raw``.

    :return: what was fetched, by :func:`origin_key`, and a sentence for every optional source that was left out.
    :raises SourceError: naming a required origin that cannot be had, and what its absence does.
    """
    fetched: dict[str, Fetched] = {}
    missing: list[str] = []
    packages: list[tuple[PackageOrigin, Package]] = []
    apt = Apt(raw / "apt")
    for origin, purpose, required in _needs(spec):
        if origin_key(origin) in fetched or any(origin == other for other, _ in packages):
            continue
        if isinstance(origin, PackageOrigin):
            report(Progress("fetch", 0, 1, "", f"looking for {origin.package}"))
            found = apt.find(origin.package)
            if found is None:
                complaint = f"No package matches {origin.package}: {purpose}"
                if required:
                    raise SourceError(complaint, "Correct the name, or set `required: false` to go on without it.")
                missing.append(complaint)
                continue
            packages.append((origin, found))
            continue
        try:
            fetched[origin_key(origin)] = _fetch_other(origin, raw, report)
        except SourceError as error:
            if required:
                raise SourceError(f"{error.what} ({purpose})", error.to_do) from error
            missing.append(f"{error.what} ({purpose})")
    left = {package.file_name: package.size for _, package in packages}  # one may be read in several ways
    total = sum(left.values())
    done = 0
    for origin, package in packages:

        def step(size: int, base: int = done, name: str = package.name) -> None:
            report(Progress("fetch", base + size, total, "bytes", name))

        path = apt.download(package, raw / "packages", step)
        done += left.pop(package.file_name, 0)
        fetched[origin_key(origin)] = Fetched(
            kind="package",
            name=package.name,
            sha256=package.sha256,
            path=path.resolve(),
            version=package.version,
            archive=origin.archive,
        )
    report(Progress("fetch", total, total, "bytes", f"{len(fetched)} sources are here"))
    return fetched, missing


def _needs(spec: CorpusSpec) -> Iterator[tuple[Origin, str, bool]]:
    """Yield every origin, what hangs on it, and whether the build ends without it; required ones first."""
    ordered = sorted(spec.drawn, key=lambda source: not source.required)
    for source in (source for source in ordered if source.required):
        yield source.origin, f"the bucket {source.bucket} ({spec.shares.get(source.bucket, 0):.0%}) needs it.", True
    devices = spec.devices
    for origin, what in ((devices.pci_ids, "PCI names"), (devices.usb_ids, "USB names"), (devices.kernel, "drivers")):
        yield origin, f"the device tables take their {what} from it.", True
    for source in (source for source in ordered if not source.required):
        share = spec.shares.get(source.bucket, 0)
        yield source.origin, f"the bucket {source.bucket} ({share:.0%}) goes on without it.", False


def _fetch_other(origin: FolderOrigin | UrlOrigin | HubOrigin | PackageOrigin, raw: Path, report: Reporter) -> Fetched:
    if isinstance(origin, FolderOrigin):
        if not origin.folder.is_dir():
            raise SourceError(f"There is no folder {origin.folder}.", "Paths are relative to the working directory.")
        return Fetched(
            kind="folder",
            name=str(origin.folder),
            sha256=hash_folder(origin.folder),
            path=origin.folder.resolve(),
            column=origin.column,
        )
    if isinstance(origin, UrlOrigin):
        path = _download(origin, raw / "urls", report)
        return Fetched(kind="url", name=origin.url, sha256=origin.sha256, path=path.resolve(), column=origin.column)
    assert isinstance(origin, HubOrigin)
    path = raw / "hub" / f"{hashlib.sha256(origin_key(origin).encode()).hexdigest()[:16]}.jsonl.zst"
    if not path.is_file():
        write_shard(path, _hub_rows(origin, report))
    return Fetched(kind="hub", name=origin.dataset, sha256=sha256_file(path), path=path.resolve())


#: Why what lies in a folder or an archive is not read: a symbolic link, or a pipe, socket or device.
NO_FILE = LINK, OTHER = "a symbolic link", "no regular file"


def files_below(
    folder: Path, unreadable: Callable[[Path, str], None], no_file: Callable[[Path, str], None] = lambda *_: None
) -> Iterator[Path]:
    """Yield the regular files below ``folder`` in a stable order; links are followed nowhere.

    :param unreadable: called with every folder whose files cannot be listed, and the reason.
    :param no_file: called with what is neither file nor folder, and which of :data:`NO_FILE` it is.
    """

    def failed(error: OSError) -> None:
        unreadable(Path(error.filename), f"cannot be read: {error.strerror}")

    for here, folders, files in os.walk(folder, onerror=failed, followlinks=False):
        folders.sort()
        for name in sorted([*files, *(name for name in folders if os.path.islink(os.path.join(here, name)))]):
            path = Path(here) / name
            if path.is_symlink():
                no_file(path, LINK)
            elif path.is_file():
                yield path
            else:
                no_file(path, OTHER)


def hash_folder(folder: Path) -> str:
    """Hash the names and contents of the files below ``folder``; of one that cannot be read, only the name.

    A folder in it that cannot be read counts as such a file.
    """
    total = hashlib.sha256()

    def add(path: Path, content: str) -> None:
        total.update(os.fsencode(path.relative_to(folder)) + f"\0{content}\n".encode())

    for path in files_below(folder, lambda path, _: add(path, "unreadable")):
        try:
            content = sha256_file(path)
        except PermissionError:
            content = "unreadable"
        add(path, content)
    return total.hexdigest()


def _download(origin: UrlOrigin, folder: Path, report: Reporter) -> Path:
    target = folder / f"{origin.sha256[:16]}-{origin.url.rstrip('/').rpartition('/')[2] or 'file'}"
    if target.is_file() and sha256_file(target) == origin.sha256:
        return target
    try:
        with urllib.request.urlopen(origin.url, timeout=60) as answer, atomic_write(target) as file:
            if not answer.geturl().startswith("https://"):
                raise SourceError(f"{origin.url} leads to {answer.geturl()}, which is not HTTPS.")
            size = int(answer.headers.get("Content-Length") or 0)
            _copy(answer, file, lambda done: report(Progress("fetch", done, max(size, done), "bytes", origin.url)))
            file.flush()
            if (found := sha256_file(Path(file.name))) != origin.sha256:
                raise SourceError(
                    f"{origin.url} has sha256 {found}, the spec says {origin.sha256}.",
                    "Check what changed there before you change the spec.",
                )
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise SourceError(f"{origin.url} cannot be fetched: {error}", "Check the address and the network.") from error
    return target


def _copy(source: Any, target: Any, report: Callable[[int], None]) -> None:
    done = 0
    while block := source.read(1 << 20):
        target.write(block)
        done += len(block)
        report(done)


def _hub_rows(origin: HubOrigin, report: Reporter) -> Iterable[Row]:
    import datasets  # slow to import, and few builds need it

    try:
        rows = datasets.load_dataset(origin.dataset, split=origin.split, streaming=True)
        for count, row in enumerate(rows):
            if origin.column not in row:
                raise SourceError(
                    f"The dataset {origin.dataset} has no column {origin.column}.", f"It has {', '.join(sorted(row))}."
                )
            yield Row(text=str(row[origin.column]))
            if count % 1000 == 0:
                report(Progress("fetch", count, count, "rows", origin.dataset))
    except (OSError, ValueError) as error:
        raise SourceError(
            f"The dataset {origin.dataset} cannot be read: {error}", "Give a hub name or a local folder."
        ) from error
