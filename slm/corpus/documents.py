"""Documents and the shards that hold them: one JSON object a line, compressed with zstandard."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import zstandard
from pydantic import BaseModel, ConfigDict

from slm.errors import CorpusError
from slm.files import atomic_write
from slm.spec import Bucket

#: The ``source`` of the question/answer documents that are made from the device tables. Every other source has the
#: form ``package:NAME``, ``folder:PATH``, ``url:ADDRESS`` or ``hub:NAME``, so no text from outside can claim it.
MADE = "made:exchanges"


class Document(BaseModel):
    """One text of the corpus.

    ``key`` decides its split: the parts of one long text share a key, and so do all exchanges about one device.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    text: str
    bucket: Bucket
    source: str
    version: str | None = None
    licence: str
    path: str
    key: str
    #: From 0 to 1 (:mod:`slm.corpus.quality`); 1 for what we write ourselves from tables.
    quality: float = 1.0


class Rejected(BaseModel):
    """A text that was left out, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    text: str
    bucket: Bucket
    source: str
    path: str
    reason: str


def text_key(text: str) -> str:
    """Hash a text to the 32 hexadecimal digits by which it is split and ordered."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def write_shard(path: Path, rows: Iterable[BaseModel]) -> int:
    """Write ``rows`` as a shard, atomically; equal rows give equal bytes. Return how many there were."""
    count = 0
    with atomic_write(path) as file, zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False) as packed:
        for row in rows:
            packed.write(json.dumps(row.model_dump(), ensure_ascii=False, sort_keys=True).encode() + b"\n")
            count += 1
    return count


def read_shard(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a shard.

    :raises CorpusError: when it is damaged.
    """
    try:
        with open(path, "rb") as file:
            unpacker = zstandard.ZstdDecompressor().decompressobj()
            rest = b""
            while block := file.read(1 << 17):
                *lines, rest = (rest + unpacker.decompress(block)).split(b"\n")
                yield from map(json.loads, lines)
            if rest or not unpacker.eof:
                raise ValueError("it is cut short")
    except (OSError, zstandard.ZstdError, ValueError) as error:
        raise CorpusError(
            f"The shard {path} cannot be read: {error}", f"Delete {path.parent} and run the build again."
        ) from error


def parse_row(fields: dict[str, Any]) -> Document | Rejected:
    """Tell a rejected text from a document in a shard that holds both."""
    return Rejected.model_validate(fields) if "reason" in fields else Document.model_validate(fields)


def read_documents(paths: Iterable[Path]) -> Iterator[Document]:
    """Yield the documents of shards in the order given."""
    for path in paths:
        for row in read_shard(path):
            yield Document.model_construct(**row)
