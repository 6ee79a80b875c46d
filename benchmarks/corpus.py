"""How fast a corpus is made, stage by stage, beside a named reference on the same texts in the same run.

    python benchmarks/corpus.py [--documents datasets/processed/nano/documents] [--limit 32]

Texts are a random sample of a built corpus; files for the extractors are those of its own sources. Rates are megabytes
of UTF-8 text (for extractors: of files) a second of wall time, the best of the rounds. A stage and its reference take
turns, so that whatever else the machine does meets both.

References: datasketch's ``MinHash`` (128 permutations, whole batches) with ``MinHashLSH`` for near-duplicates, both
from text to verdict; ``tokenizers.Tokenizer.encode_batch`` for tokenization. What near-duplicate removal finds is
compared with brute force: the exact Jaccard index of the sets of word 3-grams of all pairs of some thousand documents,
the duplicates that the build threw away among them.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from datasketch import MinHash, MinHashLSH  # type: ignore[import-untyped]
from scipy.sparse import csr_array

from slm.corpus.build import document_shards
from slm.corpus.clean import clean_text, reject_reason
from slm.corpus.contamination import held_grams, seen_grams
from slm.corpus.devices import DATABASE
from slm.corpus.documents import MADE, Document, read_documents, read_shard
from slm.corpus.extract import EXTRACTORS
from slm.corpus.fetch import Fetched
from slm.corpus.heldout import HeldOut
from slm.corpus.members import Member, Unreadable, glob_pattern, members
from slm.corpus.mix import SPLITS
from slm.corpus.near import Grams, Hashes, duplicates, gram_sets, signatures
from slm.corpus.pack import encode_documents, load_encoded, pack_splits
from slm.corpus.prepare import Origin, origins
from slm.corpus.quality import quality
from slm.corpus.stats import reason_kind
from slm.corpus.tokenizer import load_tokenizer
from slm.errors import AutonError, CorpusError
from slm.files import read_json
from slm.machine import processors
from slm.progress import silent
from slm.spec import CorpusSpec, Extractor

ROUNDS = 3
THRESHOLD = 0.8
#: Documents for which all pairs are compared, and how many neighbours of one folder are taken together: duplicates
#: lie beside each other, and a sample of single documents would hold hardly a pair.
BRUTE, RUN = 5_000, 250
BATCH = 512
#: Bytes of files for each extractor, an even part of them from each package that it reads.
EXTRACTED = 8e6

_WORD = re.compile(rb"[A-Za-z0-9_\x80-\xff]+")

Result = TypeVar("Result")


Globs = list[tuple[re.Pattern[str], re.Pattern[str]]]
Left = dict[Extractor, float]


class Text(NamedTuple):
    """A document, or a duplicate of one."""

    source: str
    path: str
    text: str


def main() -> int:
    """Print every stage."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--documents", type=Path, help="a corpus's folder of documents; without it, the last one built")
    parser.add_argument("--limit", type=float, default=32, metavar="MB", help="text to measure on (default: 32)")
    arguments = parser.parse_args()
    try:
        corpus = (arguments.documents or last_built()).resolve().parent
        return measure(corpus, arguments.limit * 1e6)
    except AutonError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def last_built() -> Path:
    """Return the documents of the corpus that was built last."""
    found = sorted(Path("datasets/processed").glob("*/documents/manifest.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise CorpusError("There is no corpus below datasets/processed.", "Build one, or give --documents.")
    return found[-1].parent


def measure(corpus: Path, limit: float) -> int:
    """Measure everything on the corpus in the folder ``corpus``."""
    spec = CorpusSpec.model_validate(read_json(corpus / "spec.json")["corpus"])
    documents = sample(corpus, limit)
    texts = [document.text for document in documents]
    size = sum(len(text.encode()) for text in texts)
    print(f"{corpus.name}: {len(texts)} documents, {size / 1e6:.1f} MB; {processors()} processors; best of {ROUNDS}\n")

    print(f"{'stage':<28}{'MB/s':>8}  {'reference':<40}{'ratio':>6}")
    for name, files in extraction(corpus, spec).items():
        taken = sum(len(member.data) for member in files)
        show(f"extract {name}", taken, best(lambda name=name, files=files: extract(name, files))[0])  # type: ignore[misc]
    show("clean", size, best(lambda: [reject_reason(clean_text(text), spec) for text in texts])[0])
    held = HeldOut(corpus / "devices" / DATABASE)
    show("held-out ids", size, best(lambda: [held.without(text) for text in texts])[0])
    show("quality", size, best(lambda: [quality(text) for text in texts])[0])
    grams_taken, (grams, marks) = best(lambda: signed(texts))
    show("signatures", size, grams_taken)
    show("near-duplicates", size, best(lambda: duplicates(grams, marks, THRESHOLD))[0])
    known = held_grams(texts[::20])
    show("contamination", size, best(lambda: seen_grams(texts, known))[0])
    tokens(corpus, spec, documents, size)
    print()
    compare_duplicates(corpus)
    return 0


def show(stage: str, size: float, seconds: float, reference: str = "", other: float = math.nan) -> None:
    """Print one line; ``other`` is the reference's seconds."""
    beside = f"{reference}, {size / 1e6 / other:.1f} MB/s" if reference else ""
    ratio = f"{other / seconds:.2f}" if reference else ""
    print(f"{stage:<28}{size / 1e6 / seconds:>8.1f}  {beside:<40}{ratio:>6}".rstrip(), flush=True)


def best(work: Callable[[], Result]) -> tuple[float, Result]:
    """Do ``work`` some times; return the least seconds, and its result."""
    least, result = timed(work)
    for _ in range(ROUNDS - 1):
        least = min(least, timed(work)[0])
    return least, result


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """Do ``work`` once; return the seconds, and its result."""
    begin = time.perf_counter()
    result = work()
    return time.perf_counter() - begin, result


def sample(corpus: Path, limit: float) -> list[Document]:
    """Draw about ``limit`` bytes of the corpus's documents from outside, evenly."""
    shards = document_shards(corpus)
    found = [document for document in read_documents(shards) if document.source != MADE]
    share = limit / sum(len(document.text) for document in found)
    rng = random.Random(0)
    return [document for document in found if rng.random() < share]


def extraction(corpus: Path, spec: CorpusSpec) -> dict[Extractor, list[Member]]:
    """Read files for each extractor from the sources that are still here, a part from each."""
    kept = read_json(corpus / "sources.json")["fetched"]
    fetched = {key: Fetched.model_validate(value) for key, value in kept.items()}
    here = {key: item for key, item in fetched.items() if item.path.exists()}
    found = origins(spec, here)
    users = Counter(name for origin in found for name in {source.extract for source in origin.sources})
    files: dict[Extractor, list[Member]] = {}
    for origin in found:
        globs = [(glob_pattern(source.include), glob_pattern(source.exclude)) for source in origin.sources]
        left = {source.extract: EXTRACTED / users[source.extract] for source in origin.sources}

        def takers(path: str, origin: Origin = origin, globs: Globs = globs, left: Left = left) -> set[Extractor]:
            return {
                source.extract
                for source, (include, exclude) in zip(origin.sources, globs, strict=True)
                if left[source.extract] > 0 and include.fullmatch(path) and not exclude.fullmatch(path)
            }

        for member in members(origin.fetched, lambda path: bool(takers(path)), lambda path, reason: None):
            for name in takers(member.path):
                files.setdefault(name, []).append(member)
                left[name] -= len(member.data)
            if max(left.values()) <= 0:
                break
    return dict(sorted(files.items()))


def extract(name: Extractor, files: Sequence[Member]) -> int:
    """Extract all files; return how many texts came of them."""
    count = 0
    for member in files:
        try:
            count += sum(1 for _ in EXTRACTORS[name](member.path, member.data))
        except Unreadable:
            continue
    return count


def signed(texts: Sequence[str]) -> tuple[Grams, Hashes]:
    """Return the 3-grams and the signatures of ``texts``, taken in batches as a build takes them."""
    parts = [gram_sets(batch) for batch in batches(texts)]
    lengths = np.concatenate([np.diff(part.offsets) for part in parts])
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    marks = np.concatenate([signatures(part) for part in parts])
    return Grams(np.concatenate([part.values for part in parts]), offsets), marks


def batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    for begin in range(0, len(texts), BATCH):
        yield texts[begin : begin + BATCH]


def tokens(corpus: Path, spec: CorpusSpec, documents: list[Document], size: int) -> None:
    """Measure encoding beside the library's own batches, and packing."""
    tokenizer = load_tokenizer(corpus)
    tokenizer.encode_special_tokens = True
    texts = [document.text for document in documents]
    ours = theirs = math.inf
    with tempfile.TemporaryDirectory() as folder:
        encoded = Path(folder) / "encoded"

        def encode() -> None:
            encode_documents(documents, len(documents), tokenizer, spec, encoded, silent)

        def encode_alone() -> None:
            for batch in batches(texts):
                tokenizer.encode_batch(batch, add_special_tokens=False)

        for _ in range(ROUNDS):
            theirs = min(theirs, timed(encode_alone)[0])
            ours = min(ours, timed(encode)[0])
        show("tokenization, with writing", size, ours, "encode_batch", theirs)
        laid = load_encoded(encoded, tokenizer.get_vocab_size())
        wished = spec.model_copy(update={"tokens": int(laid.index["tokens"].sum())})
        try:
            seconds, _ = best(lambda: pack_splits(laid, wished, Path(folder), silent))
        except CorpusError as error:  # a small sample has too few documents for three splits
            print(f"packing: not measured. {error.what}")
            return
        written = sum((Path(folder) / f"{split}.bin").stat().st_size for split in SPLITS)
        show("packing (of token files)", written, seconds)


def compare_duplicates(corpus: Path) -> None:
    """Compare near-duplicate removal with datasketch in speed, and with brute force in what it finds.

    Few pairs of a real corpus lie near the threshold, where they are hard to find, so a second set is half documents
    and half copies of them with up to a tenth of their words changed: Jaccard indices from 0.55 to 1.
    """
    texts = neighbours(corpus)
    half = texts[: len(texts) // 2]
    rng = random.Random(0)
    for name, chosen in (("real", texts), ("edited", [*half, *(edited(text, rng) for text in half)])):
        print(f"near-duplicates, {name}: {len(chosen)} documents, {sum(map(len, chosen)) / 1e6:.1f} MB, {THRESHOLD}:")
        compare(chosen)


def edited(text: str, rng: random.Random) -> str:
    """Put other words of a text in the place of up to a tenth of its words."""
    words = text.split(" ")
    share = rng.random() / 10
    return " ".join(rng.choice(words) if rng.random() < share else word for word in words)


def compare(texts: Sequence[str]) -> None:
    """Print speed, recall and the lowest Jaccard index of a removed pair, ours and datasketch's."""
    ours = theirs = math.inf
    for _ in range(ROUNDS):
        seconds, found = timed(lambda: duplicates(*signed(texts), THRESHOLD))
        ours = min(ours, seconds)
        seconds, removed = timed(lambda: sketched(texts))
        theirs = min(theirs, seconds)
    rates = f"{len(texts) / ours:,.0f} documents/s beside datasketch's {len(texts) / theirs:,.0f}"
    print(f"  {rates}: {theirs / ours:.1f} times")
    pairs, index = brute_force(texts)
    for name, gone in (("ours", {later: earlier for later, (earlier, _) in found.items()}), ("datasketch", removed)):
        met = sum(left in gone or right in gone for left, right in pairs)
        lowest = min((index(earlier, later) for later, earlier in gone.items()), default=math.nan)
        print(
            f"  {name}: {len(gone)} documents removed, {met} of {len(pairs)} true pairs parted "
            f"(recall {met / len(pairs) if pairs else 1:.4f}), lowest Jaccard of a removed pair {lowest:.3f}"
        )


def neighbours(corpus: Path) -> list[str]:
    """Return :data:`BRUTE` texts in runs that stand beside each other in their source; removed duplicates are there."""
    rows: list[Text] = []
    for shard in document_shards(corpus):
        rejected = (
            row
            for row in read_shard(shard.parent / "rejected" / shard.name)
            if reason_kind(row["reason"]) in ("duplicate", "near-duplicate")
        )
        kept = (row for row in read_shard(shard) if row["source"] != MADE)
        rows += [Text(row["source"], row["path"], row["text"]) for row in itertools.chain(kept, rejected)]
    rows.sort(key=lambda row: (row.source, row.path))
    starts = random.Random(0).sample(range(0, len(rows), RUN), min(BRUTE // RUN, math.ceil(len(rows) / RUN)))
    return [row.text for start in sorted(starts) for row in rows[start : start + RUN]]


def grams_of(text: str) -> set[bytes]:
    """Return the set of a text's word 3-grams, plainly."""
    words = _WORD.findall(text.casefold().encode("utf-8", "surrogatepass"))
    if 0 < len(words) < 3:
        return {b" ".join(words)}
    return {b" ".join(words[place : place + 3]) for place in range(len(words) - 2)}


def sketched(texts: Sequence[str]) -> dict[int, int]:
    """Remove near-duplicates with datasketch; return each removed document with the earlier one that it matched."""
    lsh = MinHashLSH(threshold=THRESHOLD, num_perm=128)
    gone: dict[int, int] = {}
    for number, text in enumerate(texts):
        mark = MinHash(num_perm=128)
        if grams := grams_of(text):
            mark.update_batch(grams)
            if found := lsh.query(mark):
                gone[number] = min(found)
            else:
                lsh.insert(number, mark)
    return gone


def brute_force(texts: Iterable[str]) -> tuple[list[tuple[int, int]], Callable[[int, int], float]]:
    """Return all pairs of texts (earlier, later) whose Jaccard index reaches the threshold, and what tells an index."""
    sets = [grams_of(text) for text in texts]
    names: dict[bytes, int] = {}
    columns = [names.setdefault(gram, len(names)) for grams in sets for gram in grams]
    sizes = np.array([len(grams) for grams in sets])
    bounds = np.concatenate(([0], np.cumsum(sizes)))
    matrix = csr_array((np.ones(len(columns), dtype=np.int32), columns, bounds), shape=(len(sets), len(names)))
    flipped = matrix.T.tocsr()
    pairs: list[tuple[int, int]] = []
    for begin in range(0, len(sets), 500):
        shared: npt.NDArray[np.int32] = (matrix[begin : begin + 500] @ flipped).toarray()
        union = sizes[begin : begin + 500, None] + sizes[None, :] - shared
        left, right = np.nonzero((shared > 0) & (shared >= THRESHOLD * union))
        pairs += [(int(one) + begin, int(other)) for one, other in zip(left, right, strict=True) if one + begin < other]

    def index(one: int, other: int) -> float:
        return len(sets[one] & sets[other]) / max(len(sets[one] | sets[other]), 1)

    return pairs, index


if __name__ == "__main__":
    sys.exit(main())
