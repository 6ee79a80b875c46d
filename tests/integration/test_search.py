"""A search through real Ray Tune mends a learning rate that is ten times too high, and goes on from its record."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agents.search import train_round
from agents.trials import Record, Trial, lengths, proposed, result_lines, winner
from tests.agents.iterations import small_build

pytestmark = pytest.mark.slow

#: Searches, and then once more over a corpus that has been damaged.
PROGRAM = """
import sys
from pathlib import Path
from agents import cluster
from agents.search import run_search
from slm.errors import AutonError
from slm.layout import Layout
from slm.spec import BuildSpec

home, corpus, spec = Path(sys.argv[1]), Path(sys.argv[2]), BuildSpec.model_validate_json(sys.argv[3])
cluster.connect("local", Layout(home))
try:
    run_search(spec, corpus, home / "build")
    (corpus / "val.bin").write_bytes(b"")
    run_search(spec, corpus, home / "another")
except AutonError as error:
    print(error)
finally:
    cluster.disconnect()
"""


def test_trials_side_by_side_mend_a_rate_that_is_ten_times_too_high(small_corpus: Path, tmp_path: Path) -> None:
    # Ten times the miniature's rates, which suit it.
    train = {"learning_rate": 3e-2, "matrix_learning_rate": 0.2, "tokens": 64 * 8 * 100}
    spec = small_build(tmp_path, train, search={"trials": 6, "tokens": 64 * 8 * 30, "learning_rate": [0.02, 1]})
    assert len(lengths(spec)) == 2
    corpus = Path(shutil.copytree(small_corpus, tmp_path / "corpus"))
    record = Record(tmp_path / "build")
    own = proposed(spec)[0]
    # As a search leaves it that was killed when its first trial had ended a round.
    record.add(train_round(spec, own, 1, lengths(spec)[0], corpus, tmp_path / "round", "cpu"))
    [before] = record.rounds()
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(corpus), spec.model_dump_json()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)

    rounds = record.rounds()
    said = "\n".join([done.stdout, done.stderr, *result_lines(rounds)])
    assert rounds[0] == before and before.model_dump_json() in (tmp_path / "build" / "search.jsonl").read_text(), said
    assert {each.trial for each in rounds} == set(range(1, 7)), said
    assert {(each.trial, each.values) for each in rounds} <= {(each.number, each.values) for each in proposed(spec)}
    # Some were stopped early, and the best are among those that were not.
    further = [each for each in rounds if each.round == 2]
    assert 1 <= len(further) < 6, said
    best = winner(rounds)
    assert best is not None and best in further and best.trial != 1, said
    assert not (tmp_path / "build" / "search").exists()
    mended = Trial(number=0, values=best.values)
    wrong, right = (
        train_round(spec, each, 3, spec.train.tokens, small_corpus, tmp_path / str(each.number), "cpu").bits_per_byte
        for each in (own, mended)
    )
    assert right is not None and (wrong is None or right < wrong), said
    # A corpus at fault is no trial's.
    assert "The corpus is damaged" in done.stdout and done.returncode == 0, said
    assert Record(tmp_path / "another").rounds() == []
