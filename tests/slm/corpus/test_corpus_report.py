"""The report and its sampling, on a real small corpus whose names and texts try to be markup."""

from __future__ import annotations

import io
import itertools
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from slm.corpus import stats
from slm.corpus.__main__ import main, show
from slm.corpus.build import corpus_identity, document_shards
from slm.corpus.documents import Document, read_documents
from slm.corpus.mix import split_of
from slm.corpus.report import pictures
from slm.corpus.report.examples import draw
from slm.corpus.report.markup import element, printable, safe, table
from slm.corpus.report.page import SECTIONS, write_report
from slm.errors import ArtefactError
from slm.files import read_json, write_json
from slm.spec import CorpusSpec
from slm.spec_file import load_spec
from tests.builds import miniature
from tests.data.corpus.make import write_corpus

#: Fewer than 13 words, or every text that has it would count as one that training has seen.
ATTACK = "<script>alert(1)</script> & <img src=http://x onerror=alert(2)>"
PARTS = {
    "summary", "mix", "lengths", "zipf", "duplicates", "rejections", "quality", "splits", "contamination", "held-out",
    "licences", "sources", "decisions", "kept", "thrown-away",
}  # fmt: skip


class Checked(HTMLParser):
    """A page taken apart. Elements that are not closed in the order in which they were opened fail an assertion."""

    VOID = frozenset({"meta"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.sections: dict[str, str] = {}
        self.feed(page)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag == "section":
            self.current = dict(attrs)["id"] or ""
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if "section" in self.open:
            self.sections[self.current] = self.sections.get(self.current, "") + data


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home folder with the built corpus, and ``spec.yaml`` of it; sources and texts are hostile."""
    folder = tmp_path_factory.mktemp("home")
    sources = folder / 'so<b>urces & "$\\alpha$'
    write_corpus(sources)
    for path in sorted((sources / "hardware").iterdir()):
        path.write_text(f"{ATTACK} {path.stem}\n\n{path.read_text()}")
    text = max((path.read_text() for path in (sources / "hardware").iterdir()), key=len)
    for number in range(4):
        (sources / f"hardware/tiny-{number}.rst").write_text(f"{number} <script>x()</script>\n")
    (sources / "hardware/zz-copy.rst").write_text(text.upper())
    (sources / "hardware/zz-near.rst").write_text(f"{text}\nThe end.\n")
    content = miniature(sources).model_dump(mode="json")
    optional = {"bucket": "sysadmin", "origin": {"folder": str(folder / "nowhere")}, "extract": "text"}
    content["corpus"]["sources"].append({**optional, "required": False})
    (folder / "spec.yaml").write_text(yaml.safe_dump(content))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTON_HOME", str(folder))
        assert main(["build", str(folder / "spec.yaml")]) == 0
        yield folder


@pytest.fixture(scope="module")
def corpus(home: Path) -> Path:
    return home / "datasets/processed/test"


@pytest.fixture(scope="module")
def page(home: Path) -> str:
    assert main(["report", str(home / "spec.yaml")]) == 0
    return (home / "datasets/processed/test/report.html").read_text(encoding="utf-8")


def test_the_page_is_well_formed_and_holds_every_section(page: str) -> None:
    found = Checked(page)
    assert found.sections.keys() == SECTIONS.keys() == PARTS
    assert all(len(text.split()) > 3 for text in found.sections.values())
    assert found.tags["svg"] >= 4 and found.tags["html"] == found.tags["body"] == 1
    for bucket in ("os_code", "hardware", "sysadmin", "instructions"):
        assert bucket in found.sections["mix"] and bucket in found.sections["kept"]
    assert "too short" in found.sections["thrown-away"] and "MIT" in found.sections["licences"]


def test_the_page_loads_and_runs_nothing(page: str) -> None:
    found = Checked(page)
    active = {"script", "img", "image", "link", "iframe", "object", "embed", "base", "form", "foreignobject", "animate"}
    assert not active & found.tags.keys()
    ids = [value for _, name, value in found.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    for tag, name, value in found.attributes:
        assert not name.startswith("on"), (tag, name)
        assert name not in ("src", "srcset", "action", "data", "xmlns"), (tag, name)
        if name.endswith("href"):
            assert value.startswith("#") and value[1:] in ids
        for target in re.findall(r"url\(([^)]*)\)", value):
            assert target.startswith("#") and target[1:] in ids
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style and "@import" not in style and "light dark" in style
    assert "default-src 'none'" in page


def test_hostile_text_is_shown_not_obeyed(page: str) -> None:
    found = Checked(page)
    assert "<script>x()</script>" in found.sections["thrown-away"]
    assert "<script>alert(1)</script>" in found.sections["kept"]
    assert 'so<b>urces & "$' in found.sections["sources"]
    assert "<script" not in page and "<img" not in page and "<b>urces" not in page


def test_every_duplicate_is_told_with_its_source(page: str, capsys: pytest.CaptureFixture[str], home: Path) -> None:
    (row,) = (line for line in page.split("\n") if "hardware</td><td class=n>" in line and line.count("<td") == 5)
    cells = re.findall(r"<td[^>]*>(.*?)</td>", row)
    assert cells[1:3] == ["1", "1"]
    code, out, _ = run(capsys, "sample", str(home / "spec.yaml"), "--rejected", "near-duplicate")
    assert code == 0 and "path: zz-near.rst\n" in out and "reason: near-duplicate of " in out


def test_pictures_take_the_colour_of_their_surroundings(page: str) -> None:
    assert "currentColor" in page and "#010203" not in page and "#000000" not in page and "#ffffff" not in page


def test_equal_corpora_give_equal_pages(page: str, corpus: Path, tmp_path: Path) -> None:
    assert write_report(corpus, tmp_path / "again.html").read_text(encoding="utf-8") == page


def test_a_file_that_cannot_be_written_is_named(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ArtefactError, match="folder cannot be written"):
        write_report(corpus, tmp_path / "folder")


@pytest.mark.parametrize("label", ["$\\frac$", "a\nb", "\x1b[31m", "<b>&amp;", "x" * 500, "", '" onload="x', "-->"])
def test_any_label_can_stand_in_a_picture(label: str) -> None:
    found = Checked(pictures.stacked("p", label, {label: {label: 3, "other": 0}, "second": {}}, "texts"))
    assert found.tags["svg"] == 1 and not any(name.startswith("on") for _, name, _ in found.attributes)


@settings(deadline=None)
@given(st.text(st.characters()))
def test_any_text_stays_text(text: str) -> None:
    for made, tags in (
        (element("p", text), ["p"]),
        (table(("a",), [(text,)]), ["div", "table", "tr", "th", "tr", "td"]),
    ):
        found = Checked(made)
        assert sorted(found.tags.elements()) == sorted(tags)
        assert printable(text) in "".join(found.text)
    safe(text).encode("utf-8")
    assert safe(safe(text)) == safe(text)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(list(arguments))
    said = capsys.readouterr()
    return code, said.out, said.err


def test_sample_prints_documents_with_where_they_come_from(
    home: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = str(home / "spec.yaml")
    code, out, _ = run(capsys, "sample", spec, "--bucket", "sysadmin", "--split", "val", "-n", "3")
    assert code == 0
    documents = {document.path: document for document in read_documents(document_shards(corpus))}
    paths = re.findall(r"(?m)^ +path: (.*)$", out)
    assert len(paths) == 3 == len(set(paths))
    read = CorpusSpec.model_validate(yaml.safe_load((home / "spec.yaml").read_text())["corpus"])
    for path in paths:
        document = documents[path]
        assert document.bucket == "sysadmin" and split_of(document.key, read.seed, read.split) == "val"
        assert f"source: {document.source}\n" in out and f"licence: {document.licence}\n" in out
        assert document.text in out
    assert run(capsys, "sample", spec, "--bucket", "sysadmin", "--split", "val", "-n", "3")[1] == out
    assert run(capsys, "sample", spec, "--bucket", "sysadmin", "-n", "3", "--seed", "5")[1] != out


def test_sample_prints_rejected_texts_with_their_reason(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = str(home / "spec.yaml")
    code, out, _ = run(capsys, "sample", spec, "--rejected", "too short", "-n", "2")
    assert code == 0 and out.count("reason: too short\n") == 2 == out.count("<script>x()</script>")
    code, _, said = run(capsys, "sample", spec, "--rejected", "too ugly")
    assert code == 1 and said.startswith("error: ") and "too ugly" in said and "too short" in said
    code, _, said = run(capsys, "sample", spec, "--rejected", "too ugly", "--bucket", "instructions")
    assert code == 1 and "low quality" in said and "too short" not in said


@pytest.mark.parametrize("verb", ["inspect", "sample", "report"])
def test_a_corpus_that_is_not_built_is_named_with_the_command(
    verb: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = str(home / "spec.yaml")
    code, out, said = run(capsys, verb, spec, "--set", "corpus.name=other")
    assert code == 1 and not out
    assert said.startswith("error: The corpus other is not built")
    assert f"python -m slm.corpus build {shlex.quote(spec)} --set corpus.name=other" in said


def test_a_corpus_half_built_is_not_shown(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun = home / "datasets/processed/half"
    begun.mkdir()
    code, _, said = run(capsys, "inspect", str(home / "spec.yaml"), "--set", "corpus.name=half")
    assert code == 1 and "begun, but not complete" in said


@pytest.fixture(scope="module")
def unpacked(home: Path, corpus: Path) -> list[str]:
    """The arguments for a corpus that has its documents and nothing later."""
    spec = load_spec(home / "spec.yaml", ["corpus.name=part"])
    folder = corpus.with_name("part")
    shutil.copytree(corpus / "documents", folder / "documents")
    write_json(folder / "spec.json", corpus_identity(spec.corpus, spec.model.vocab_size))
    return [str(home / "spec.yaml"), "--set", "corpus.name=part"]


def test_documents_are_shown_before_there_are_token_files(
    home: Path, unpacked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run(capsys, "inspect", str(home / "spec.yaml"))[1]
    code, out, said = run(capsys, "inspect", *unpacked)
    assert code == 0 and "bytes a" not in out and whole.index("Sources") > 0
    assert out.strip() == whole[whole.index("Sources") : whole.index("tokens: test")].strip()
    assert "not complete" in said and "python -m slm.corpus build" in said and "corpus.name=part" in said
    code, out, said = run(capsys, "sample", *unpacked, "-n", "2", "--split", "val")
    assert code == 0 and out.count("source: ") == 2 and "not complete" in said
    code, _, said = run(capsys, "report", *unpacked)
    assert code == 1 and "begun, but not complete" in said


def test_a_source_that_was_left_out_is_told_when_the_build_ends(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "build", str(home / "spec.yaml"))
    assert code == 0 and "note: There is no folder" in out and "goes on without it" in out


@pytest.mark.parametrize("width", [30, 60, 80])
def test_numbers_stand_whole_on_a_narrow_terminal(corpus: Path, width: int) -> None:
    figures = read_json(corpus / "stats.json")
    for held in figures["splits"].values():
        for part in held["buckets"].values():
            part["tokens"] = part["available_tokens"] = 123_456_789
        held["tokens"] = 4 * 123_456_789
    out = io.StringIO()
    show(figures, Console(width=width, file=out))
    text = out.getvalue()
    assert text.count("123,456,789") == 24 and "…" not in text
    for source in figures["sources"]:
        assert f" {source['characters']:,} " in text
    if width == 80:
        assert max(map(len, text.split("\n"))) <= 80


def test_inspect_shows_hostile_names_as_they_are(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "inspect", str(home / "spec.yaml"))
    assert code == 0 and "Sources" in out and "Left out" in out and "too short" in out


def test_a_wrong_option_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = str(home / "spec.yaml")
    for wrong in (["-n", "0"], ["--split", "train", "--rejected", "too short"], ["--bucket", "poetry"]):
        with pytest.raises(SystemExit) as end:
            main(["sample", spec, *wrong])
        assert end.value.code == 2
    code, _, said = run(capsys, "sample", "nowhere.yaml")
    assert code == 2 and said.startswith("error: There is no build spec")


@settings(deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=60), st.integers(1, 5), st.integers())
def test_drawing_takes_its_number_of_each_group(groups: list[str], count: int, seed: int) -> None:
    rows = [{"group": group, "number": number} for number, group in enumerate(groups)]
    drawn = draw(iter(rows), lambda row: row["group"], count, seed)
    assert {group: len(chosen) for group, chosen in drawn.items()} == {
        group: min(count, there) for group, there in Counter(groups).items()
    }
    for group, chosen in drawn.items():
        numbers = [row["number"] for row in chosen]
        assert len(set(numbers)) == len(numbers) and all(groups[number] == group for number in numbers)
    assert draw(iter(rows), lambda row: row["group"], count, seed) == drawn


def test_every_row_is_drawn_as_often() -> None:
    rows = [{"number": number} for number in range(10)]
    taken = Counter(row["number"] for seed in range(3000) for row in draw(rows, lambda row: "", 3, seed)[""])
    assert all(abs(taken[number] / 3000 - 0.3) < 0.04 for number in range(10))


def test_the_fit_finds_the_exponent_of_a_power_law() -> None:
    counts = (1e7 * np.arange(1.0, 5001.0) ** -1.1).round().astype(np.int64)
    fit = stats.zipf(np.random.Generator(np.random.PCG64(0)).permutation(counts))
    assert abs(fit["exponent"] - 1.1) < 0.01 and abs(fit["scale"] / 1e7 - 1) < 0.05
    assert fit["points"][0] == [1, 10_000_000] and fit["points"][-1][0] == 5000


@settings(deadline=None)
@given(st.lists(st.integers(0, 50), max_size=40))
def test_a_fit_of_little_text_is_no_error(counts: list[int]) -> None:
    fit = stats.zipf(np.array(counts, dtype=np.int64))
    assert [rank for rank, _ in fit["points"]] == sorted({rank for rank, _ in fit["points"]})


@pytest.mark.parametrize("vocabulary", [600, 70_000])
def test_tokens_are_counted_block_by_block(vocabulary: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "_BLOCK", 7)
    ids = np.random.Generator(np.random.PCG64(0)).integers(0, vocabulary, 1000)
    ids.astype("<u2" if vocabulary <= 1 << 16 else "<u4").tofile(tmp_path / "train.bin")
    assert (stats.token_counts(tmp_path / "train.bin", vocabulary) == np.bincount(ids, minlength=vocabulary)).all()


@settings(deadline=None)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=30))
def test_every_length_falls_into_its_half_octave(sizes: list[int]) -> None:
    documents = [
        Document(text="x" * size, bucket="os_code", source="folder:x", licence="MIT", path="p", key="0")
        for size in sizes
    ]
    rows = stats.count_documents(documents, {})["lengths"]["os_code"]
    edges = [row[0] for row in rows] + [10**9]
    assert [row[1] for row in rows] == [
        sum(low <= size < high for size in sizes) for low, high in itertools.pairwise(edges)
    ]


def test_reasons_are_grouped_by_what_stands_before_of() -> None:
    assert stats.reason_kind("near-duplicate of usr/share/a of b.gz") == "near-duplicate"
    assert stats.reason_kind("too short") == "too short"


def test_a_short_split_is_told_with_the_share_that_was_decided() -> None:
    there = {"os_code": {"available_tokens": 20}}
    held = {"tokens": 50, "wanted_tokens": 100, "scale": 0.5, "buckets": there, "lacks": []}
    full = {**held, "tokens": 100}
    lacking = {**full, "lacks": ["hardware"]}
    notes = stats._short_splits({"os_code": 0.45, "hardware": 0.55}, {"train": held, "val": full, "test": lacking})
    assert notes == [
        "train holds 50 tokens, not the 100 wished for: os_code has only 20 for its share of 45%.",
        "No document of hardware fell into test: the others have its share there.",
    ]
