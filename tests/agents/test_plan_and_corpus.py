"""What a person is told of a corpus: by the plan before a build, by the journal in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents import console
from agents.data_agent import DataAgent
from agents.journal import Journal
from agents.state import CorpusState
from slm.files import write_json
from slm.lineage import write_manifest
from slm.spec import BuildSpec
from slm.training.memory import choices, chosen
from slm.training.plan import Plan
from tests.builds import miniature


def test_the_plan_says_how_often_the_corpus_is_read_and_what_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = miniature(tmp_path, {"tokens": 64 * 8 * 293}).model_dump(mode="json")
    content["corpus"]["sources"][0]["arch"] = ["x86_64", "riscv64"]
    spec = BuildSpec.model_validate(content)
    every, taken = choices(spec, "cpu", "fp32"), chosen(spec, "cpu", "fp32")
    console.show_plan(spec, Plan("cpu", "fp32", every, taken, taken.memory.total, 22e9, 1.0, "a guess"))
    out = capsys.readouterr().out
    assert spec.corpus.tokens == 60_000 and "150,016, 2.50 times the corpus" in out
    assert "4, of which 1 name x86_64" in out


def test_what_a_corpus_lacks_is_in_the_journal(tmp_path: Path) -> None:
    spec = miniature(tmp_path)
    folder = tmp_path / "corpus"
    note = "There is no folder a (the bucket sysadmin (20%) goes on without it.)"
    buckets = {bucket: {"tokens": round(60_000 * share)} for bucket, share in spec.corpus.shares.items()}
    figures = {
        "decisions": [],
        "notes": [note],
        "mix": spec.corpus.shares,
        "splits": {"train": {"tokens": 60_000, "documents": 9, "buckets": buckets}},
        "duplicates_left": 0.0,
        "vocabulary_used": 1.0,
        "bytes_per_token": 4.0,
    }
    write_json(folder / "stats.json", figures)
    write_manifest(folder / "manifest.json", "corpus", "test", ["stats.json"])
    agent = DataAgent(str(tmp_path), spec.model_dump(mode="json"))
    assert agent._inspect(CorpusState(corpus=str(folder))) == {"remarks": []}
    entries = Journal(tmp_path / "runs" / spec.build_id, "data").entries()
    assert (note, "used as it is") in [(entry.saw, entry.decided) for entry in entries]
