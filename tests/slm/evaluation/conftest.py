"""A small finished corpus with real device tables, in the corpus format, written without a build."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from slm.corpus.devices import DATABASE, read_kernel, write_database
from slm.corpus.documents import Document, text_key, write_shard
from slm.corpus.fetch import Fetched
from slm.corpus.idlist import parse_ids
from slm.corpus.mix import Split, split_of
from slm.files import write_json
from slm.lineage import input_from, write_manifest
from slm.progress import silent
from slm.spec import CorpusSpec
from tests.data.corpus.make import corpus_section, write_corpus

PAGE = """NAME

losetup - set up and control loop devices

EXAMPLES

Attach a file to the first free loop device:

# losetup --find --show disk.img

Detach the loop device:

# losetup --detach /dev/loop0

The following commands make a file system in a file.

# dd if=/dev/zero of=disk.img bs=1M count=10
# losetup --find disk.img
# mkfs.ext4 /dev/loop0
# mount /dev/loop0 /mnt
"""


def key_of(split: Split, spec: CorpusSpec) -> str:
    """Find a key of a split."""
    return next(
        key
        for number in itertools.count()
        if split_of(key := text_key(f"{split} {number}"), spec.seed, spec.split) == split
    )


def document(text: str, split: Split, spec: CorpusSpec, path: str, source: str = "folder:docs") -> Document:
    """Put a text into a split."""
    key = key_of(split, spec)
    return Document(text=text, bucket="sysadmin", source=source, licence="MIT", path=path, key=key)


def write_finished(folder: Path, sources: Path, extra: list[Document]) -> Path:
    """Write a finished corpus whose documents are a manual page of each split, and ``extra``."""
    write_corpus(sources, 0)
    spec = CorpusSpec.model_validate(corpus_section(sources))
    devices = sources / "devices"
    kernel = read_kernel(Fetched(kind="folder", name="x", sha256="0", path=devices), silent)
    lists = {bus: parse_ids((devices / f"{bus}.ids").read_text()) for bus in ("pci", "usb")}
    (folder / "devices").mkdir(parents=True)
    write_database(folder / "devices" / DATABASE, lists, kernel, {"kernel": "test"})
    write_manifest(folder / "devices" / "manifest.json", "devices", "test", [DATABASE])
    names: dict[Split, str] = {"test": "lo", "train": "low", "val": "high"}
    pages = [
        document(
            PAGE.replace("losetup", f"{name}setup").replace("loop0", f"{name}0"),
            split,
            spec,
            f"usr/share/man/man8/{name}setup.8",
        )
        for split, name in names.items()
    ]
    write_shard(folder / "documents" / "000-docs.jsonl.zst", [*pages, *extra])
    write_manifest(folder / "documents" / "manifest.json", "documents", "test", ["000-docs.jsonl.zst"])
    write_json(folder / "spec.json", {"sha256": "", "corpus": spec.model_dump(mode="json"), "vocab_size": 512})
    inputs = [input_from(folder / "documents" / "manifest.json")]
    write_manifest(folder / "manifest.json", "corpus", "test", ["spec.json"], inputs)
    return folder


@pytest.fixture(scope="session")
def finished_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small corpus, with nothing in it that gives an answer away."""
    home = tmp_path_factory.mktemp("finished")
    return write_finished(home / "corpus", home / "sources", [])
