"""The edition's corpus: device tables as in any corpus, a word-level tokenizer, and exchanges in place of documents.

``train.bin`` holds rows of a fixed length. Each begins with a line's first word, as a line does in the kernel, and
holds whole exchanges: the line's words, the answer's tokens, ``<eos>``; what is left of it is ``<pad>``. Beside it,
``train.learned`` has a byte for each token that says whether it is to be learned: 1 for an answer and its end, 0 for a
line, which is given. The validation and test splits are the same facts in other words; no line of theirs is one of
training.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from slm.corpus.devices import DATABASE
from slm.corpus.mix import SPLITS
from slm.corpus.pack import id_type
from slm.corpus.stats import token_counts, zipf
from slm.corpus.tokenizer import FILES, write_tokenizer
from slm.edition.facts import read_classes, read_devices, telling_words
from slm.edition.lines import Exchange, Knowledge
from slm.edition.questions import PLAIN, pattern, phrasing_questions
from slm.edition.vocabulary import fit, word_tokenizer
from slm.edition.words import words_of
from slm.files import atomic_write, write_json
from slm.lineage import MANIFEST, input_from, write_manifest
from slm.model.packed import LEARNED
from slm.progress import Progress, Reporter
from slm.prompts import EOS, PAD, SPECIAL_TOKENS, UNK
from slm.spec import CorpusSpec, EditionSpec

TOKENIZER_MANIFEST = "tokenizer.manifest.json"

_PAD_ID, _EOS_ID = SPECIAL_TOKENS.index(PAD), SPECIAL_TOKENS.index(EOS)


def read_knowledge(database: Path, spec: EditionSpec) -> Knowledge:
    """Read from device tables what an edition is to know.

    :raises ArtefactError: when there are no device tables.
    """
    devices = read_devices(database)
    return Knowledge(devices, telling_words(devices, spec.names), read_classes(database))


def build_edition(spec: CorpusSpec, edition: EditionSpec, vocab_size: int, folder: Path, report: Reporter) -> Path:
    """Write the corpus of an edition into ``folder``, which has its device tables, and return its manifest's path.

    :raises CorpusError: when the vocabulary has no room for a single device.
    """
    known, tokens = fit(read_knowledge(folder / "devices" / DATABASE, edition), vocab_size)
    write_tokenizer(word_tokenizer(tokens), folder)
    inputs = [input_from(folder / "devices" / MANIFEST)]
    write_manifest(folder / TOKENIZER_MANIFEST, "tokenizer", spec.name, FILES, inputs, {"vocab_size": vocab_size})
    ids = {token: index for index, token in enumerate(tokens)}
    # People's own words are measured with, so nothing is trained on that is asked in the words of one of those lines.
    held = {pattern(words_of(question.line)) for question in phrasing_questions()} - PLAIN
    seen: set[tuple[str, ...]] = set()
    splits: dict[str, Any] = {}
    for split in SPLITS:
        wanted = spec.tokens if split == "train" else round(spec.tokens * getattr(spec.split, split))

        def step(done: int, split: str = split, wanted: int = wanted) -> None:
            report(Progress(f"exchanges {split}", min(done, wanted), wanted, "tokens"))

        stream = _stream(known, random.Random(f"{spec.seed} {split}"), held)
        if split != "train":
            stream = (exchange for exchange in stream if exchange.words not in seen)
        splits[split] = _write_rows(folder / f"{split}.bin", stream, ids, edition.row, wanted, seen, step)
    used = token_counts(folder / "train.bin", vocab_size)
    shown = sum(not token.startswith("<spare") for token in tokens)
    stats = {
        "name": spec.name,
        "sources": [],
        "rejected": {},
        "decisions": [],
        "notes": [f"{shown:,} words, answers and ids; {len(known.devices):,} devices are known."],
        "shares": spec.shares,
        "mix": spec.shares,
        "splits": splits,
        "vocab_size": vocab_size,
        "vocabulary_used": round(float((used > 0).mean()), 4),
        "bytes_per_token": splits["train"]["bytes"] / splits["train"]["tokens"],
        "duplicates_left": 0.0,
        "zipf": zipf(used[len(SPECIAL_TOKENS) :]),
    }
    write_json(folder / "stats.json", stats)
    files = [*(f"{split}.bin" for split in SPLITS), *(f"{split}{LEARNED}" for split in SPLITS), "stats.json"]
    inputs = [input_from(path) for path in (folder / "devices" / MANIFEST, folder / TOKENIZER_MANIFEST)]
    info = {"vocab_size": vocab_size, "dtype": id_type(vocab_size), "splits": splits, "devices": len(known.devices)}
    write_manifest(folder / MANIFEST, "corpus", spec.name, files, inputs, info)
    return folder / MANIFEST


def _stream(known: Knowledge, rng: random.Random, held: Collection[tuple[str, ...]]) -> Iterator[Exchange]:
    """Yield exchanges round after round, without end; none is asked as a line of ``held`` is."""
    while True:
        yield from (exchange for exchange in known.round(rng) if pattern(exchange.words) not in held)


def _write_rows(
    path: Path,
    stream: Iterator[Exchange],
    ids: dict[str, int],
    row: int,
    wanted: int,
    seen: set[tuple[str, ...]],
    step: Callable[[int], None],
) -> dict[str, Any]:
    """Write whole rows until ``wanted`` tokens are reached, and return what a corpus' manifest tells of a split."""
    kind = np.dtype(id_type(len(ids))).newbyteorder("<")
    unknown = ids[UNK]
    tokens = exchanges = text_bytes = used = 0
    rows: list[int] = []
    learned: list[int] = []
    with atomic_write(path) as file, atomic_write(path.with_suffix(LEARNED)) as marks:
        for exchange in stream:
            line = [ids.get(word, unknown) for word in exchange.words]
            answer = [*(ids[token] for token in exchange.answer), _EOS_ID]
            if len(line) + len(answer) > row:
                continue
            if used + len(line) + len(answer) > row:
                rows += [_PAD_ID] * (row - used)
                learned += [0] * (row - used)
                tokens, used = tokens + row, 0
                if len(rows) >= 1 << 16:
                    _flush(file, marks, rows, learned, kind)
                    step(tokens)
                if tokens >= wanted:
                    break
            rows += [*line, *answer]
            learned += [0] * len(line) + [1] * len(answer)
            used += len(line) + len(answer)
            exchanges += 1
            text_bytes += sum(len(text.encode()) + 1 for text in (*exchange.words, *exchange.answer))
            seen.add(exchange.words)
        _flush(file, marks, rows, learned, kind)
    step(tokens)
    facts = {"tokens": tokens, "bytes": text_bytes, "documents": exchanges, "available_tokens": tokens}
    whole = {**facts, "different_documents": exchanges}
    return {**whole, "wanted_tokens": wanted, "buckets": {"instructions": whole}, "lacks": []}


def _flush(file: Any, marks: Any, rows: list[int], learned: list[int], kind: np.dtype[Any]) -> None:
    file.write(np.array(rows, dtype=kind).tobytes())
    marks.write(np.array(learned, dtype=np.uint8).tobytes())
    rows.clear()
    learned.clear()
