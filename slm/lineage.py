"""Manifests and the hash chain: every artefact names the SHA-256 of its files and of what it was made from.

An artefact is a folder with a manifest (``manifest.json`` unless it shares its folder with another artefact). The
manifest is written last: a folder without one does not count. Its ``inputs`` point at the manifests of the artefacts
it was made from, so that hashing a manifest covers everything behind it:

    packages → documents → tokenizer → corpus → checkpoint → model (in the registry)
                                                          └→ export

``python -m slm.lineage verify PATH`` walks the chain from its oldest link and reports the first break. Of an artefact
that was copied without what it was made from, it checks what is here and says what cannot be traced.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from slm.errors import ArtefactError, AutonError
from slm.files import read_json, sha256_file, write_json

MANIFEST = "manifest.json"

#: What ``verify`` tells a shell: the whole chain holds; it is broken; there is nothing to verify; what is here holds,
#: but some of what it was made from is not here.
WHOLE, BROKEN, NOTHING, UNTRACEABLE = range(4)


class FileEntry(BaseModel):
    """One file of an artefact."""

    model_config = ConfigDict(extra="forbid")
    sha256: str
    bytes: int


class InputEntry(BaseModel):
    """One thing an artefact was made from.

    With a ``path`` (relative to the manifest's folder) it is another artefact's manifest; without one it came from
    outside (a Debian package, a URL) and ``name`` and ``version`` say which.
    """

    model_config = ConfigDict(extra="forbid")
    kind: str
    name: str
    sha256: str
    path: str | None = None
    version: str | None = None


class Manifest(BaseModel):
    """What an artefact is (``kind``, ``name``), its files, its inputs, and facts about it (``info``)."""

    model_config = ConfigDict(extra="forbid")
    kind: str
    name: str
    files: dict[str, FileEntry]
    inputs: list[InputEntry]
    info: dict[str, Any]


def write_manifest(
    path: Path,
    kind: str,
    name: str,
    files: Iterable[str],
    inputs: Sequence[InputEntry] = (),
    info: Mapping[str, Any] | None = None,
    final: Path | None = None,
) -> Manifest:
    """Hash ``files`` (names relative to ``path``'s folder) and write the manifest at ``path``, atomically.

    :param final: the folder that ``path``'s folder will be renamed to, when the two differ; input paths are
        written relative to it.
    """
    folder = path.parent
    home = (final or folder).resolve()
    entries = {
        file: FileEntry(sha256=sha256_file(folder / file), bytes=(folder / file).stat().st_size)
        for file in sorted(files)
    }
    relative = [
        item if item.path is None else item.model_copy(update={"path": os.path.relpath(item.path, home)})
        for item in inputs
    ]
    manifest = Manifest(kind=kind, name=name, files=entries, inputs=relative, info=dict(info or {}))
    write_json(path, manifest.model_dump(exclude_none=True))
    return manifest


def input_from(path: Path) -> InputEntry:
    """Describe the artefact whose manifest is at ``path`` as an input of another.

    The path is absolute here; :func:`write_manifest` makes it relative.
    """
    manifest = read_manifest(path)
    return InputEntry(kind=manifest.kind, name=manifest.name, sha256=sha256_file(path), path=str(path.resolve()))


def read_manifest(path: Path) -> Manifest:
    """Read the manifest at ``path`` (a manifest file, or the folder that holds ``manifest.json``).

    :raises ArtefactError: when there is none, or it is not a manifest.
    """
    path = manifest_path(path)
    try:
        return Manifest.model_validate(read_json(path))
    except ValidationError as error:
        raise ArtefactError(f"{path} is not a manifest: {error.errors()[0]['msg']}.") from error


def manifest_path(path: Path) -> Path:
    """Return the manifest file that ``path`` means: itself, the one in it, or the one beside it that names it.

    :raises ArtefactError: when there is none.
    """
    path = Path(path)
    if path.is_file() and path.suffix != ".json":
        beside = path.with_name(MANIFEST)
        if not beside.is_file() or path.name not in read_manifest(beside).files:
            raise ArtefactError(
                f"{path} is no manifest, and no {MANIFEST} beside it names it.", "Give an artefact's folder."
            )
        return beside
    if path.is_dir():
        if not (path / MANIFEST).is_file() and (inside := sorted(path.glob(f"*/{MANIFEST}"))):
            names = ", ".join(str(found.parent) for found in inside)
            raise ArtefactError(f"{path} is no artefact itself; it holds some.", f"Give one of them: {names}.")
        path = path / MANIFEST
    if not path.is_file():
        raise ArtefactError(
            f"{path} is not there, so this is no complete artefact.",
            f"Give the folder of a corpus, a checkpoint, a model or an export; each holds a {MANIFEST}.",
        )
    return path


def check_files(path: Path) -> Manifest:
    """Check every file of one artefact against its manifest, not its inputs.

    :raises ArtefactError: naming the first file that is missing, outside the folder, or different.
    """
    path = manifest_path(path)
    manifest = read_manifest(path)
    home = path.parent.resolve()
    for name, entry in sorted(manifest.files.items()):
        file = path.parent / name
        if not file.resolve().is_relative_to(home):
            raise ArtefactError(f"{path} names {name}, which lies outside its folder.")
        if not file.is_file():
            raise ArtefactError(f"{file} is missing; {path} says it should be there.")
        if (size := file.stat().st_size) != entry.bytes:
            raise ArtefactError(f"{file} has {size} bytes; {path} says {entry.bytes}.")
        if (found := sha256_file(file)) != entry.sha256:
            raise ArtefactError(f"{file} has sha256 {found[:16]}…; {path} says {entry.sha256[:16]}….")
    return manifest


def remove_file(folder: Path, name: str) -> None:
    """Take one file out of an artefact: first out of its manifest, so that the folder is whole at every moment.

    A kill between the two leaves a file that no manifest names; the same call again deletes it.

    :raises ArtefactError: when the folder has no readable manifest.
    """
    manifest = read_manifest(folder / MANIFEST)
    if name in manifest.files:
        files = {file: entry for file, entry in manifest.files.items() if file != name}
        write_json(folder / MANIFEST, manifest.model_copy(update={"files": files}).model_dump(exclude_none=True))
    (folder / name).unlink(missing_ok=True)


@dataclass(frozen=True)
class Link:
    """One verified artefact of a chain."""

    kind: str
    name: str
    path: Path
    files: int
    bytes: int
    external_inputs: int


def verify(path: Path) -> list[Link]:
    """Verify an artefact and everything that it was made from; return the chain, oldest first.

    :raises ArtefactError: at the first break, an artefact that is not here included.
    """
    links, missing = trace(path)
    if missing:
        raise ArtefactError(missing[0])
    return links


def trace(path: Path) -> tuple[list[Link], list[str]]:
    """Verify an artefact and what is here of everything that it was made from.

    :return: the chain, oldest first, and a sentence for every artefact of it that is not here.
    :raises ArtefactError: at the first break.
    """
    links: list[Link] = []
    missing: list[str] = []
    seen: set[Path] = set()

    def walk(manifest_file: Path) -> None:
        manifest_file = manifest_file.resolve()
        if manifest_file in seen:
            return
        seen.add(manifest_file)
        manifest = read_manifest(manifest_file)
        for item in manifest.inputs:
            if item.path is None:
                continue
            source = manifest_file.parent / item.path
            if not source.is_file():
                missing.append(
                    f"{manifest_file} was made from the {item.kind} {item.name}, but {source.resolve()} is not there."
                )
                continue
            if (found := sha256_file(source)) != item.sha256:
                raise ArtefactError(
                    f"{source} has sha256 {found[:16]}…; {manifest_file} was made from {item.sha256[:16]}…."
                )
            walk(source)
        check_files(manifest_file)
        links.append(
            Link(
                kind=manifest.kind,
                name=manifest.name,
                path=manifest_file,
                files=len(manifest.files),
                bytes=sum(entry.bytes for entry in manifest.files.values()),
                external_inputs=sum(item.path is None for item in manifest.inputs),
            )
        )

    walk(manifest_path(path))
    return links, missing


def main(argv: Sequence[str] | None = None) -> int:
    """Verify, and exit 0 when the whole chain holds, 1 at the first break, 2 when there is nothing to verify.

    3: what is here holds, but not all of what it was made from is here.
    """
    parser = argparse.ArgumentParser(prog="python -m slm.lineage", description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    verify_verb = verbs.add_parser("verify", help="walk the hash chain of an artefact", description=main.__doc__)
    verify_verb.add_argument("path", type=Path, help="a folder with a manifest.json, or a manifest")
    arguments = parser.parse_args(argv)
    try:
        path = manifest_path(arguments.path)
    except AutonError as error:
        print(f"error: {error}", file=sys.stderr)
        return NOTHING
    try:
        links, missing = trace(path)
    except AutonError as error:
        print(f"broken: {error}", file=sys.stderr)
        return BROKEN
    for link in links:
        outside = f", {link.external_inputs} from outside" if link.external_inputs else ""
        print(f"ok  {link.kind:<11} {link.name:<28} {link.files:>3} files {link.bytes / 1e6:>8.1f} MB{outside}")
    if missing:
        for sentence in missing:
            print(f"untraceable here: {sentence}")
        print(f"{len(links)} links hold; verify where the model was built to trace the rest")
        return UNTRACEABLE
    print(f"whole: {len(links)} links hold, from {links[0].kind} to {links[-1].kind}")
    return WHOLE


if __name__ == "__main__":
    sys.exit(main())
