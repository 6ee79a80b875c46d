"""Token files: documents encoded once, then laid out split by split in the mix's order.

``train.bin``, ``val.bin`` and ``test.bin`` are flat little-endian arrays of ids, uint16 up to a vocabulary of 65 536
and uint32 beyond: for each document ``<bos>``, its ids, ``<eos>``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from slm.corpus.documents import MADE, Document
from slm.corpus.mix import SPLITS, Split, mix, order_of, reweigh, split_of
from slm.corpus.tokenizer import encode_exchanges, encode_plain, visible_bytes
from slm.errors import CorpusError
from slm.files import atomic_folder, atomic_write
from slm.progress import Progress, Reporter
from slm.prompts import BOS, EOS
from slm.spec import BUCKETS, Bucket, CorpusSpec

#: One row a document of ``encoded/index.npy``; ``tokens`` counts the two markers, ``bytes`` the text alone.
INDEX = np.dtype(
    [("offset", "<u8"), ("tokens", "<u4"), ("bytes", "<u4"), ("order", "<u8"), ("bucket", "u1"), ("split", "u1")]
)


@dataclass(frozen=True)
class Encoded:
    """All documents as ids: ``ids`` is memory-mapped, ``index`` has :data:`INDEX` rows in the order of the shards."""

    ids: npt.NDArray[Any]
    index: npt.NDArray[Any]


def id_type(vocab_size: int) -> str:
    """Return numpy's name of the type that holds the ids."""
    return "uint16" if vocab_size <= 1 << 16 else "uint32"


def encode_documents(
    documents: Iterable[Document], total: int, tokenizer: Tokenizer, spec: CorpusSpec, folder: Path, report: Reporter
) -> None:
    """Write ``ids.bin`` and ``index.npy`` of ``total`` documents to ``folder``, atomically."""
    kind = np.dtype(id_type(tokenizer.get_vocab_size())).newbyteorder("<")
    bos, eos = tokenizer.token_to_id(BOS), tokenizer.token_to_id(EOS)
    rows = np.zeros(total, dtype=INDEX)
    offset = count = 0
    with atomic_folder(folder) as part:
        with open(part / "ids.bin", "wb") as file:
            for batch in _batches(documents):
                for document, ids in zip(batch, _encode(tokenizer, batch), strict=True):
                    file.write(np.array([bos, *ids, eos], dtype=kind).tobytes())
                    split = split_of(document.key, spec.seed, spec.split)
                    order = order_of(document.key, document.path, spec.seed)
                    size = visible_bytes(document.text)
                    bucket = BUCKETS.index(document.bucket)
                    rows[count] = (offset, len(ids) + 2, size, order, bucket, SPLITS.index(split))
                    offset, count = offset + len(ids) + 2, count + 1
                report(Progress("encode", count, total, "documents"))
        np.save(part / "index.npy", rows)


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Yield documents by the half million characters: enough for all threads, and a bound on their memory."""
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document.text)
        if size >= 1 << 19:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _encode(tokenizer: Tokenizer, batch: list[Document]) -> Iterator[list[int]]:
    plain = iter(encode_plain(tokenizer, [document.text for document in batch if document.source != MADE]))
    made = iter(encode_exchanges(tokenizer, [document.text for document in batch if document.source == MADE]))
    for document in batch:
        yield next(made if document.source == MADE else plain)


def load_encoded(folder: Path, vocab_size: int) -> Encoded:
    """Open what :func:`encode_documents` wrote."""
    kind = np.dtype(id_type(vocab_size)).newbyteorder("<")
    return Encoded(
        np.memmap(folder / "ids.bin", dtype=kind, mode="r"), np.load(folder / "index.npy", allow_pickle=False)
    )


def pack_splits(
    encoded: Encoded, spec: CorpusSpec, folder: Path, report: Reporter
) -> tuple[dict[str, Any], dict[Bucket, float]]:
    """Write ``train.bin``, ``val.bin`` and ``test.bin``.

    :return: what each holds, by split and bucket, and the shares that training's supply bears (see
        :func:`slm.corpus.mix.reweigh`), which all three have; where the spec says what is measured on, validation and
        test have the shares and the size of a corpus with that mix: documents keep their split and order.
    """
    available = {
        bucket: sum(size for _, size in documents) for bucket, documents in _supply(encoded.index, "train").items()
    }

    def borne(wanted: Mapping[Bucket, float], tokens: int) -> dict[Bucket, float]:
        return reweigh(available, wanted, tokens, spec.max_repetition, spec.share_slack)

    shares = borne(spec.shares, spec.tokens)
    measured, size = shares, spec.tokens
    if spec.measured:
        measured, size = borne(spec.measured.shares, spec.measured.tokens), spec.measured.tokens
    splits: dict[str, Any] = {}
    for split in SPLITS:
        of_split, whole = (shares, spec.tokens) if split == "train" else (measured, size)
        splits[split] = _pack(encoded, split, spec, of_split, whole, folder / f"{split}.bin", report)
    return splits, shares


def _pack(
    encoded: Encoded,
    split: Split,
    spec: CorpusSpec,
    shares: Mapping[Bucket, float],
    whole: int,
    path: Path,
    report: Reporter,
) -> dict[str, Any]:
    """Write one split; ``whole`` is the training split's size in tokens, of which the others are a part."""
    training = split == "train"
    tokens = whole if training else round(whole * getattr(spec.split, split))
    supply = _supply(encoded.index, split)
    empty = [bucket for bucket, share in shares.items() if share > 0 and not supply[bucket]]
    left = sum(share for bucket, share in shares.items() if bucket not in empty)
    if empty and (training or not left):
        raise CorpusError(
            f"No document of {', '.join(empty)} fell into the {split} split.",
            f"Give it more documents from more sources, or enlarge corpus.split.{split}.",
        )
    # Training has every bucket; a split to measure on may lack a small one, whose share the others take, and says so.
    shares = {bucket: share / left for bucket, share in shares.items() if bucket not in empty} if empty else shares
    choices, scale = mix(supply, shares, tokens, max_repetition=spec.max_repetition if training else 1)
    if large := [
        f"{bucket}'s smallest has {min(size for _, size in supply[bucket])} tokens for its {choice.wanted}"
        for bucket, choice in choices.items()
        if not choice.documents
    ]:
        raise CorpusError(
            f"Every document is too large for the {split} split: {'; '.join(large)}.",
            "Ask for more tokens (corpus.tokens), or cut documents shorter (corpus.max_characters).",
        )
    numbers = np.concatenate([np.array(choice.documents, dtype=np.int64) for choice in choices.values()])
    numbers = numbers[np.random.Generator(np.random.PCG64([spec.seed, SPLITS.index(split)])).permutation(len(numbers))]
    with atomic_write(path) as file:
        for count, number in enumerate(numbers):
            row = encoded.index[number]
            file.write(encoded.ids[row["offset"] : row["offset"] + row["tokens"]].tobytes())
            if count % 1000 == 0:
                report(Progress(f"pack {split}", count, len(numbers), "documents"))
    report(Progress(f"pack {split}", len(numbers), len(numbers), "documents"))
    buckets = {}
    for bucket, choice in choices.items():
        rows = encoded.index[choice.documents]
        buckets[bucket] = {
            "tokens": choice.tokens,
            "bytes": int(rows["bytes"].sum()),
            "documents": len(choice.documents),
            "available_tokens": choice.available,
            "different_documents": len(set(choice.documents)),
        }
    total = {name: sum(bucket[name] for bucket in buckets.values()) for name in ("tokens", "bytes", "documents")}
    return {**total, "wanted_tokens": tokens, "scale": scale, "buckets": buckets, "lacks": empty}


def _supply(index: npt.NDArray[Any], split: Split) -> Mapping[Bucket, list[tuple[int, int]]]:
    """Return (document number, tokens) of one split's documents by bucket, shuffled."""
    supply: dict[Bucket, list[tuple[int, int]]] = {}
    for code, bucket in enumerate(BUCKETS):
        numbers = np.flatnonzero((index["bucket"] == code) & (index["split"] == SPLITS.index(split)))
        numbers = numbers[np.argsort(index["order"][numbers], kind="stable")]
        supply[bucket] = [(int(number), int(index["tokens"][number])) for number in numbers]
    return supply
