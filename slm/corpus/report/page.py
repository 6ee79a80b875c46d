"""The report's page: ``stats.json`` in words, tables and pictures, and texts drawn from the shards.

The page is one file that loads nothing and runs nothing. Documents are foreign text, so all of it is escaped, and a
content security policy forbids what an oversight of ours might let through. The same corpus gives the same page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slm.corpus.report import pictures
from slm.corpus.report.examples import Row, draw, kept_group, kept_rows, rejected_group, rejected_rows
from slm.corpus.report.markup import Html, bullets, document, element, joined, printable, safe, table
from slm.errors import ArtefactError
from slm.files import atomic_write, read_json
from slm.lineage import InputEntry, read_manifest
from slm.spec import CorpusSpec

NAME = "report.html"

#: Examples of each bucket and of each reason, and the characters shown of each.
_EXAMPLES, _EXCERPT = 3, 600
#: Sources drawn in one picture; the tables name all.
_BARS = 30


@dataclass(frozen=True)
class Corpus:
    """A finished corpus, as far as the report tells of it."""

    folder: Path
    spec: CorpusSpec
    stats: Mapping[str, Any]
    origins: list[InputEntry]


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Write the page of the finished corpus in ``folder`` and return where it is.

    :param out: the file; without it, :data:`NAME` in ``folder``.
    :raises ArtefactError: when the corpus is not complete, or ``out`` cannot be written.
    :raises CorpusError: when a shard of it is damaged.
    """
    read_manifest(folder)  # written last: without it the corpus is not whole
    spec = CorpusSpec.model_validate(read_json(folder / "spec.json")["corpus"])
    origins = [item for item in read_manifest(folder / "documents").inputs if item.path is None]
    corpus = Corpus(folder, spec, read_json(folder / "stats.json"), origins)
    content = page(corpus)
    out = out or folder / NAME
    try:
        with atomic_write(out, "w") as file:
            file.write(content)
    except OSError as error:
        raise ArtefactError(f"{out} cannot be written: {error.strerror}.", "Choose another file.") from error
    return out


def page(corpus: Corpus) -> str:
    """Return the whole page."""
    contents = bullets(Html(f'<a href="#{name}">{safe(title)}</a>') for name, (title, _) in SECTIONS.items())
    sections = (
        Html(f'<section id="{name}">\n<h2>{safe(title)}</h2>\n{write(corpus)}\n</section>')
        for name, (title, write) in SECTIONS.items()
    )
    return document(f"The corpus {corpus.stats['name']}", joined([element("nav", contents), *sections]))


def _summary(corpus: Corpus) -> Html:
    stats = corpus.stats
    train = stats["splits"]["train"]
    documents = sum(source["documents"] for source in stats["sources"])
    size = sum(held["bytes"] for held in stats["licences"].values())
    left_out = sum(stats["rejected"].values())
    facts = [
        ("Documents kept", f"{documents:,} ({_mb(size)})"),
        ("Texts left out", f"{left_out:,} ({left_out / max(documents + left_out, 1):.1%} of all)"),
        ("Training tokens", f"{train['tokens']:,} of {train['wanted_tokens']:,} wished for"),
        ("Vocabulary", f"{stats['vocab_size']:,}, {stats['vocabulary_used']:.1%} of it in use"),
        ("Bytes a token", f"{stats['bytes_per_token']:.2f}"),
        ("Architecture", corpus.spec.arch),
    ]
    return table(("what", "how much"), facts)


def _mix(corpus: Corpus) -> Html:
    train = corpus.stats["splits"]["train"]
    rows = []
    for bucket, share in corpus.stats["shares"].items():
        if part := train["buckets"].get(bucket):
            repeated = part["documents"] / max(part["different_documents"], 1)
            got = part["tokens"] / max(train["tokens"], 1)
            wished = round(share * train["wanted_tokens"])
            shares = (f"{share:.1%}", f"{corpus.stats['mix'][bucket]:.1%}", f"{got:.1%}")
            counts = (*shares, wished, part["tokens"], part["available_tokens"])
            rows.append((bucket, *counts, f"{repeated:.2f} times"))
    tokens = ("tokens wished for", "tokens got", "there")
    columns = ("bucket", "share wished for", "share decided", "share got", *tokens, "repetition")
    return joined([pictures.mix(corpus.stats["splits"], corpus.stats["shares"]), table(columns, rows)])


def _lengths(corpus: Corpus) -> Html:
    return pictures.lengths(corpus.stats["lengths"])


def _zipf(corpus: Corpus) -> Html:
    fit = corpus.stats["zipf"]
    said = "Too few different tokens for a fit."
    if fit["exponent"] is not None:
        said = (
            f"Zipf's law says that a word's frequency falls as its rank to the power of -1; here the fitted exponent "
            f"is {fit['exponent']:.2f}, by least squares over the logarithms from rank 10 on. A vocabulary of word "
            f"parts is flatter at its head, and cut off at its tail. Marks and role tags are not counted."
        )
    return joined([pictures.zipf(fit["points"], fit["exponent"], fit["scale"]), element("p", said)])


def _rejected_by_source(stats: Mapping[str, Any]) -> dict[str, Counter[str]]:
    """Return source → kind of reason → texts."""
    counted: dict[str, Counter[str]] = {}
    for name, count in stats["rejected_by_source"].items():
        source, _, reason = name.rpartition(": ")
        counted.setdefault(source, Counter())[reason] += count
    return counted


def _duplicates(corpus: Corpus) -> Html:
    rejected = _rejected_by_source(corpus.stats)
    counts = {
        source: {"exact": by["duplicate"], "near": by["near-duplicate"]}
        for source, by in rejected.items()
        if by["duplicate"] or by["near-duplicate"]
    }
    kept: Counter[str] = Counter()
    for source in corpus.stats["sources"]:
        kept[source["source"]] += source["documents"]
    rows = []
    for source, by in sorted(counts.items(), key=lambda item: (-sum(item[1].values()), item[0])):
        share = sum(by.values()) / (kept[source] + rejected[source].total())
        rows.append((source, by["exact"], by["near"], kept[source], f"{share:.1%}"))
    stats = corpus.stats
    said = (
        f"Near-duplicates left: {stats['duplicates_left']:.2%} of {stats['duplicates_sample']:,} documents, drawn "
        f"at random and compared with all others."
    )
    drawn = [_bars("duplicates", "Duplicates removed, by source", counts, "texts removed")] if counts else []
    rest = table(("source", "exact", "near", "kept", "share of its texts removed"), rows)
    return joined([element("p", said), *drawn, rest])


def _rejections(corpus: Corpus) -> Html:
    counts = _rejected_by_source(corpus.stats)
    if not counts:
        return element("p", "None.")
    total = max(sum(corpus.stats["rejected"].values()), 1)
    reasons = sorted(corpus.stats["rejected"].items(), key=lambda item: (-item[1], item[0]))
    rows = [
        (source, sum(by.values()), ", ".join(f"{reason} {count:,}" for reason, count in by.most_common()))
        for source, by in sorted(counts.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    ]
    parts = [
        _bars("rejections", "Texts left out, by source and reason", counts, "texts left out"),
        table(("reason", "texts", "share"), [(reason, count, f"{count / total:.1%}") for reason, count in reasons]),
        table(("source", "texts", "reasons"), rows),
    ]
    return joined(parts)


def _bars(name: str, caption: str, counts: Mapping[str, Mapping[str, int]], unit: str) -> Html:
    largest = sorted(counts, key=lambda label: (-sum(counts[label].values()), label))[:_BARS]
    drawn = pictures.stacked(name, caption, {label: counts[label] for label in largest}, unit)
    rest = len(counts) - len(largest)
    return joined([drawn, element("p", f"{rest} more sources are in the table only.")]) if rest else drawn


def _quality(corpus: Corpus) -> Html:
    return pictures.quality(corpus.stats["quality"])


def _splits(corpus: Corpus) -> Html:
    rows = []
    for split, held in corpus.stats["splits"].items():
        for bucket, part in held["buckets"].items():
            share = f"{part['tokens'] / max(held['tokens'], 1):.1%}"
            density = f"{part['bytes'] / max(part['tokens'], 1):.2f}"
            rows.append((split, bucket, part["tokens"], share, part["documents"], part["different_documents"], density))
        rows.append((split, element("b", "all"), held["tokens"], "", held["documents"], "", ""))
    return table(("split", "bucket", "tokens", "share", "documents", "different ones", "bytes a token"), rows)


def _contamination(corpus: Corpus) -> Html:
    rows = [
        (split, held["of"], held["trimmed"], held["documents"], f"{held['documents'] / max(held['of'], 1):.2%}")
        for split, held in sorted(corpus.stats["contamination"].items())
    ]
    said = (
        "Paragraphs of validation and test documents that share 13 words in a row with a training text are taken out; "
        "a document that would lose more than half is left out."
    )
    return joined([element("p", said), table(("split", "documents", "trimmed", "left out", "share left out"), rows)])


def _held_out(corpus: Corpus) -> Html:
    check = corpus.stats["held_out"]
    said = (
        f"A tenth of all device ids is kept for the hardware benchmark. The finished training file was decoded "
        f"({check['documents']:,} documents, {check['characters']:,} characters) and searched for them: "
        f"{check['found']:,} found."
    )
    return element("p", said)


def _licences(corpus: Corpus) -> Html:
    licences = sorted(corpus.stats["licences"].items(), key=lambda item: (-item[1]["bytes"], item[0]))
    total = max(sum(held["bytes"] for _, held in licences), 1)
    rows = [(name, held["documents"], _mb(held["bytes"]), f"{held['bytes'] / total:.1%}") for name, held in licences]
    return table(("licence", "documents", "text", "share of text"), rows)


def _sources(corpus: Corpus) -> Html:
    kept: dict[str, list[Mapping[str, Any]]] = {}
    for source in corpus.stats["sources"]:
        kept.setdefault(source["source"], []).append(source)
    rows: list[tuple[object, ...]] = []
    for origin in sorted(corpus.origins, key=lambda item: (item.kind, item.name)):
        name = f"{origin.kind}:{origin.name}"
        digest = Html(f'<code title="{safe(origin.sha256)}">{safe(origin.sha256[:12])}</code>')
        rows.append((name, origin.version or "", *_held(kept.pop(name, [])), digest))
    rows += [(name, "", *_held(held), "") for name, held in sorted(kept.items())]
    return table(("source", "version", "documents", "characters", "buckets", "SHA-256"), rows)


def _held(sources: list[Mapping[str, Any]]) -> tuple[int, int, str]:
    buckets = ", ".join(sorted({source["bucket"] for source in sources}))
    return sum(source["documents"] for source in sources), sum(source["characters"] for source in sources), buckets


def _decisions(corpus: Corpus) -> Html:
    decided = corpus.stats["decisions"]
    notes = corpus.stats["notes"]
    return joined([element("h3", "Decisions"), bullets(decided), element("h3", "Notes"), bullets(notes)])


def _kept(corpus: Corpus) -> Html:
    drawn = draw(kept_rows(corpus.folder, corpus.spec), kept_group, _EXAMPLES, corpus.spec.seed)
    return joined(_excerpts(group, rows, lambda row: f"{row['licence']}") for group, rows in drawn.items())


def _thrown_away(corpus: Corpus) -> Html:
    drawn = draw(rejected_rows(corpus.folder), rejected_group, _EXAMPLES, corpus.spec.seed)
    texts = (_excerpts(group, rows, lambda row: f"{row['bucket']}; {row['reason']}") for group, rows in drawn.items())
    return joined(texts) if drawn else element("p", "None.")


def _excerpts(group: str, rows: list[Row], remark: Callable[[Row], str]) -> Html:
    parts = [element("h3", group)]
    for row in rows:
        text = row["text"] if len(row["text"]) <= _EXCERPT else f"{row['text'][:_EXCERPT]} …"
        version = f" {row['version']}" if row.get("version") else ""
        parts.append(element("div", f"{row['source']}{version} · {row['path']} · {remark(row)}"))
        parts.append(element("pre", printable(text)))
    return joined(parts)


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


#: Every section by its id, in the page's order: its title, and what writes it.
SECTIONS: dict[str, tuple[str, Callable[[Corpus], Html]]] = {
    "summary": ("In short", _summary),
    "mix": ("Mix", _mix),
    "lengths": ("Document lengths", _lengths),
    "zipf": ("Token frequencies and Zipf's law", _zipf),
    "duplicates": ("Duplicates by source", _duplicates),
    "rejections": ("Texts left out, by reason and source", _rejections),
    "quality": ("Quality", _quality),
    "splits": ("Splits", _splits),
    "contamination": ("Contamination removed", _contamination),
    "held-out": ("Held-out devices", _held_out),
    "licences": ("Licences", _licences),
    "sources": ("Packages and other sources", _sources),
    "decisions": ("Decisions and notes", _decisions),
    "kept": ("Examples kept", _kept),
    "thrown-away": ("Examples thrown away", _thrown_away),
}
