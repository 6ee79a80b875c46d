"""The file of exchanges: one JSON object a line, compressed with zstandard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from slm.corpus.documents import read_shard, write_shard
from slm.corpus.instructions.exchange import Exchange
from slm.errors import CorpusError

#: Its name in a corpus's documents.
EXCHANGES = "instructions.jsonl.zst"


def write_exchanges(path: Path, exchanges: Iterable[Exchange]) -> int:
    """Write exchanges, atomically; equal exchanges give equal bytes. Return how many there were."""
    return write_shard(path, exchanges)


def read_exchanges(path: Path) -> Iterator[Exchange]:
    """Yield the exchanges of a file.

    :raises CorpusError: when it is damaged or holds something else.
    """
    for number, row in enumerate(read_shard(path), 1):
        try:
            yield Exchange.model_validate(row)
        except ValueError as error:
            raise CorpusError(
                f"Line {number} of {path} is not an exchange: {error}", "Delete it and run the build again."
            ) from error
