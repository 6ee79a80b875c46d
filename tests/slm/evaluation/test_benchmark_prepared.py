from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from slm.errors import ArtefactError
from slm.evaluation.benchmark.generate import BENCHMARK
from slm.evaluation.benchmark.prepared import prepare_benchmark
from slm.layout import Layout
from slm.lineage import MANIFEST, read_manifest, write_manifest
from slm.progress import silent
from slm.spec import BenchmarkSpec


def test_it_is_made_once_for_a_corpus_and_again_for_another(finished_corpus: Path, tmp_path: Path) -> None:
    layout, corpus = Layout(tmp_path), tmp_path / "corpus"
    shutil.copytree(finished_corpus, corpus)
    made = prepare_benchmark(BenchmarkSpec(), corpus, layout, silent)
    assert made.parent == layout.benchmarks
    before = (made / BENCHMARK).stat().st_mtime_ns
    assert prepare_benchmark(BenchmarkSpec(most=3), corpus, layout, silent) == made
    assert (made / BENCHMARK).stat().st_mtime_ns == before
    assert prepare_benchmark(BenchmarkSpec(seed=1), corpus, layout, silent) != made
    (made / BENCHMARK).write_text("damaged")
    prepare_benchmark(BenchmarkSpec(), corpus, layout, silent)
    assert (made / BENCHMARK).stat().st_size > 1000
    # The same folder's name, but the corpus in it was made anew since.
    found = read_manifest(corpus)
    write_manifest(corpus / MANIFEST, "corpus", "test", list(found.files), found.inputs, info={"made": "anew"})
    prepare_benchmark(BenchmarkSpec(), corpus, layout, silent)
    assert (made / BENCHMARK).stat().st_mtime_ns != before


def test_without_a_whole_corpus_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError):
        prepare_benchmark(BenchmarkSpec(), tmp_path, Layout(tmp_path), silent)
