"""Making a benchmark from a corpus: what the corpus was kept from, asked; a folder with a manifest.

``benchmark.jsonl`` holds the questions. Beside it lie ``training.jsonl``, the same questions about what the corpus does
show, for fitting baselines and teaching models, and ``validation.jsonl``, those of its validation split and on devices
of its test split, for calibrating. Equal corpus, kernels and seed give equal bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from slm.corpus.build import SPEC
from slm.corpus.devices import DATABASE, read_kernel
from slm.corpus.documents import Document
from slm.corpus.instructions import intent_exchanges
from slm.corpus.mix import Split
from slm.corpus.report.examples import Row, kept_rows
from slm.errors import ArtefactError, BenchmarkError
from slm.evaluation.benchmark.asked import asked
from slm.evaluation.benchmark.devices import (
    Facts,
    fetch_kernel,
    known_items,
    newer_items,
    random_items,
    read_compatibles,
    tree_items,
)
from slm.evaluation.benchmark.documents import document_items
from slm.evaluation.benchmark.items import InstallSteps, Item, write_items
from slm.evaluation.benchmark.leaks import Leak, LeakFinder, Text, text_of
from slm.evaluation.benchmark.phrases import both, phrase_items
from slm.evaluation.benchmark.procedures import procedure_items
from slm.evaluation.benchmark.wordings import worded_items
from slm.files import atomic_folder, read_json
from slm.lineage import MANIFEST, input_from, read_manifest, write_manifest
from slm.progress import Progress, Reporter
from slm.spec import CorpusSpec, Task

BENCHMARK, TRAINING, VALIDATION = FILES = ("benchmark.jsonl", "training.jsonl", "validation.jsonl")

#: The set of phrases that the corpus' own recipes have and its test split keeps.
PHRASING = "phrasing"
#: So many fillings of one of those phrases are asked about, and phrases of a corpus that has no exchanges of its own.
_FILLINGS, _EXCHANGES = 3, 3_000
#: So many phrases in words of their own are for teaching and validation.
_WORDED = 4_800


def build_benchmark(
    corpus: Path,
    out: Path,
    raw: Path,
    report: Reporter,
    *,
    newer: str | None = None,
    device_tree: str | None = None,
    seed: int = 0,
) -> Path:
    """Make the benchmark of a finished corpus in the folder ``out`` and return its manifest's path.

    :param raw: where kernels are fetched to.
    :param newer: a kernel, newer than the corpus' own (:func:`~slm.evaluation.benchmark.devices.fetch_kernel`);
        without one there is no set of newer devices.
    :param device_tree: a kernel whose modules name ``compatible`` strings; without one, none are asked about.
    :param seed: how fields are filled, words chosen and steps mixed.
    :raises ArtefactError: when the corpus is not complete.
    :raises SourceError: when a kernel cannot be had.
    :raises BenchmarkError: when ``out`` holds something else.
    """
    spec = corpus_spec(corpus)
    _claim(out)
    facts = Facts(corpus / "devices" / DATABASE)
    inputs = [input_from(corpus / MANIFEST)]
    test: list[Item] = list(random_items(facts))
    rest: dict[Split, list[Item]] = {"train": [], "val": []}
    for known, item in known_items(facts, spec):
        rest[known].append(item)
    if newer:
        kernel = fetch_kernel(newer, raw, report)
        inputs.append(kernel.entry)
        test += newer_items(facts, read_kernel(kernel, report))
    if device_tree:
        tree = fetch_kernel(device_tree, raw, report)
        inputs.append(tree.entry)
        for split, item in tree_items(read_compatibles(tree), spec):
            (test if split == "test" else rest[split]).append(item)
    test += phrase_items(seed)
    test += procedure_items(seed)
    for split, item in _recipe_items(spec):
        (test if split == "test" else rest[split]).append(item)
    for split, item in worded_items(_WORDED, seed):
        rest[split].append(item)
    for row in kept_rows(corpus, spec, "test"):
        test += document_items(Document.model_construct(**row), "test", seed)
    for row in kept_rows(corpus, spec, "val"):
        rest["val"] += document_items(Document.model_construct(**row), None, seed)
    test = _different(test)
    leaked = {leak.item for leak in LeakFinder(test).search(_training(corpus, spec, rest["train"], seed, report))}
    kept = [item for number, item in enumerate(test) if number not in leaked]
    finder = LeakFinder(kept)
    shown = {split: silent_about(finder, _different(items)) for split, items in rest.items()}
    with atomic_folder(out) as part:
        for name, items in zip(FILES, (kept, shown["train"], shown["val"]), strict=True):
            write_items(part / name, items)
        info = {
            "seed": seed,
            "items": count(kept),
            "left_out_for_leaks": count([test[number] for number in sorted(leaked)]),
        }
        write_manifest(part / MANIFEST, "benchmark", spec.name, FILES, inputs, info, final=out)
    return out / MANIFEST


def silent_about(finder: LeakFinder, items: Sequence[Item]) -> list[Item]:
    """Return the items that give none of the finder's away, as they are put to a model with their answers."""
    texts = (Text(_told(item), str(number), True) for number, item in enumerate(items))
    leaking = {int(leak.path) for leak in finder.search(texts)}
    return [item for number, item in enumerate(items) if number not in leaking]


def _told(item: Item) -> str:
    if isinstance(item, InstallSteps):
        return "\n".join((item.text, *item.answer))
    question, answers = asked(item) or ("", ())
    return "\n".join((question, *answers))


def check(items: list[Item], corpus: Path, report: Reporter) -> list[Leak]:
    """Return a leak for every item that stands in the training text of the finished corpus, each item once.

    :raises ArtefactError: when the corpus is not complete.
    """
    spec = corpus_spec(corpus)
    texts = (text_of(row) for row in _reported(kept_rows(corpus, spec, "train"), report))
    leaks = {leak.item: leak for leak in LeakFinder(items).search(texts)}
    return [leak for _, leak in sorted(leaks.items())]


def count(items: list[Item]) -> dict[Task, dict[str, int]]:
    """Count items by task and set."""
    counted: dict[Task, Counter[str]] = {}
    for item in items:
        counted.setdefault(item.task, Counter()).update(item.groups or ("all",))
    return {task: dict(sorted(groups.items())) for task, groups in counted.items()}


def corpus_spec(corpus: Path) -> CorpusSpec:
    """Return what the finished corpus in a folder was made by.

    :raises ArtefactError: when it is none, or not complete.
    """
    manifest = read_manifest(corpus)  # written last: without it the corpus is not whole
    if manifest.kind != "corpus":
        raise ArtefactError(f"{corpus} is a {manifest.kind}, not a corpus.", "Name a folder of datasets/processed.")
    return CorpusSpec.model_validate(read_json(corpus / SPEC)["corpus"])


def _claim(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        manifest = out / MANIFEST
        if not manifest.is_file() or read_manifest(manifest).kind != "benchmark":
            raise BenchmarkError(f"{out} holds something else than a benchmark.", "Choose another folder.")


def _recipe_items(spec: CorpusSpec) -> Iterator[tuple[Split, Item]]:
    """Yield the questions of the corpus' recipes with their splits; those of the test split are a set."""
    asked: Counter[str] = Counter()
    for exchange in intent_exchanges(spec.intent_exchanges or _EXCHANGES, spec.seed):
        split = exchange.in_split(spec).split or "train"
        asked[exchange.key] += 1
        if split != "test" or asked[exchange.key] <= _FILLINGS:
            label = PHRASING if split == "test" else None
            for item in both(exchange.messages[0].content, exchange.sub_command, label):
                yield split, item


def _training(corpus: Path, spec: CorpusSpec, items: list[Item], seed: int, report: Reporter) -> Iterator[Text]:
    """Yield the training texts, and add to ``items`` what they answer on the way."""
    for row in _reported(kept_rows(corpus, spec, "train"), report):
        items += document_items(Document.model_construct(**row), None, seed)
        yield text_of(row)


def _reported(rows: Iterator[Row], report: Reporter) -> Iterator[Row]:
    number = 0
    for number, row in enumerate(rows, 1):
        if number % 1000 == 0:
            report(Progress("search for leaks", number, number + 1, "documents"))
        yield row
    report(Progress("search for leaks", number, number, "documents"))


def _different(items: list[Item]) -> list[Item]:
    """Return the items, equal ones once."""
    return list(dict.fromkeys(items))
