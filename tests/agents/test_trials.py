"""A search's trials: drawn alike every time, written down as they end, and the best of them is the plan."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.iterate import searched
from agents.journal import Journal
from agents.plan import Changes, Found, Left, planned, problems
from agents.search import train_round
from agents.state import Iteration
from agents.trials import (
    HORIZON,
    Record,
    Round,
    Trial,
    expected_tokens,
    lengths,
    proposed,
    result_lines,
    trial_spec,
    winner,
)
from slm.errors import CorpusError
from slm.files import read_json
from slm.layout import Layout
from slm.spec import BuildSpec
from tests.builds import miniature
from tests.small import SMALL

#: Tokens of a step of the miniature.
STEP = 64 * 8


def spec(train: dict[str, Any] | None = None, **search: Any) -> BuildSpec:
    return miniature(Path("unused"), {"tokens": STEP * 2000, **(train or {})}, search=search)


def ended(trial: int, number: int, bits: float | None, rate: float = 1.0, **values: Any) -> Round:
    found = Found(learning_rate=rate, batch=8)
    return Round(trial=trial, round=number, values=found, tokens=1000, seconds=1.5, bits_per_byte=bits, **values)


def test_the_same_spec_has_the_same_trials_and_another_seed_has_others() -> None:
    own = spec(trials=12, batch=[4, 8, 16])
    assert proposed(own) == proposed(BuildSpec.model_validate(own.model_dump(mode="json")))
    other = proposed(spec({"seed": 1}, trials=12, batch=[4, 8, 16]))
    assert other[0] == proposed(own)[0] and other[1:] != proposed(own)[1:]


def test_trials_cover_the_bounds_evenly_and_the_specs_own_values_are_the_first() -> None:
    own = spec(trials=17, learning_rate=[0.01, 100], batch=[4, 16])
    first, *drawn = proposed(own)
    assert [trial.number for trial in proposed(own)] == list(range(1, 18))
    assert first.values == Found(learning_rate=1, batch=8)
    places = sorted((math.log10(trial.values.learning_rate) + 2) * 4 for trial in drawn)
    assert [int(place) for place in places] == list(range(16))
    assert {trial.values.batch for trial in drawn} == {4, 16}
    assert [trial.values for trial in drawn] != sorted((trial.values for trial in drawn), key=lambda v: v.learning_rate)


def test_rounds_grow_to_the_trials_tokens_and_none_is_too_short_to_tell() -> None:
    assert lengths(spec(tokens=STEP * 900)) == [STEP * 100, STEP * 300, STEP * 900]
    assert lengths(spec(tokens=STEP * 45, reduction=4)) == [STEP * 45 // 4, STEP * 45]
    assert lengths(spec(tokens=STEP * 30, reduction=4, batch=[16])) == [STEP * 30]
    assert lengths(spec()) == [STEP * 20 // 3, STEP * 20]
    # Halving as it comes: 12 trials, of which about 12/3 and a little more go on.
    expected, most = expected_tokens(spec(tokens=STEP * 90, trials=12))
    assert most == 12 * STEP * (10 + 30 + 90)
    assert 12 * 10 + 4 * 30 + 90 < expected / STEP < 12 * 10 + 7 * 30 + 4 * 90


def test_as_many_go_on_as_asha_lets_go_on() -> None:
    from agents.trials import _going_on

    draw = np.random.default_rng(0)
    for trials, reduction in ((9, 3), (16, 2), (12, 4)):
        counts = []
        for _ in range(300):
            scores = draw.random(trials)
            kept = [n for n in range(trials) if n == 0 or scores[n] >= np.percentile(scores[:n], 100 - 100 / reduction)]
            counts.append(len(kept))
        assert abs(_going_on(trials, reduction) - np.mean(counts)) < 0.7


def test_a_trial_is_the_training_in_small_with_a_schedule_of_its_own() -> None:
    own = spec({"warmup_steps": 200, "workers": 2, "accumulation": 3, "context_warmup": 0.5, "compile": True})
    own = own.model_copy(update={"train": own.train.model_copy(update={"tokens": own.batch_tokens * 1000})})
    of = Found(learning_rate=0.5, batch=48)
    small = trial_spec(own, of, own.batch_tokens * 50)
    assert (small.steps, small.train.warmup_steps, small.batch_tokens) == (50, 10, own.batch_tokens)
    assert (small.train.workers, small.train.micro_batch, small.train.accumulation) == (1, 8, 6)
    # A twentieth of the length bears rates a little higher.
    higher = small.train.learning_rate / (own.train.learning_rate / 2)
    assert higher == pytest.approx(20**HORIZON) and 1 < higher < 2
    assert small.train.matrix_learning_rate == pytest.approx(own.train.matrix_learning_rate / 2 * higher)
    assert small.train.evaluate_every == small.train.checkpoint_every == small.steps
    assert (small.train.context_warmup, small.train.decay_fraction) == (0.5, own.train.decay_fraction)
    assert small.search is None
    assert BuildSpec.model_validate(small.model_dump(mode="json")) == small
    odd = trial_spec(own, Found(learning_rate=1, batch=36), own.batch_tokens * 50)
    assert (odd.train.micro_batch, odd.train.accumulation, odd.batch_tokens) == (6, 6, 36 * 64)


def test_the_best_is_of_the_longest_rounds() -> None:
    rounds = [ended(1, 1, 3.0), ended(2, 1, 2.0), ended(2, 2, 2.5), ended(3, 1, None, ended="diverged")]
    assert winner(rounds) == rounds[2]
    assert winner([*rounds, ended(1, 2, 2.4)]) == ended(1, 2, 2.4)
    assert winner(rounds[-1:]) is None and winner([]) is None
    lines = result_lines(rounds)
    assert [line.split(" (")[0] for line in lines] == ["trial 2", "trial 1", "trial 3"]
    assert lines[0].endswith("2.5000 bits per byte ← the best") and lines[2].endswith("diverged")


def test_what_was_cut_short_in_the_record_is_passed_over(tmp_path: Path) -> None:
    record = Record(tmp_path)
    assert record.rounds() == []
    record.add(ended(1, 1, 2.0))
    with open(tmp_path / "search.jsonl", "a") as file:
        file.write('{"trial": 2, "rou')
    record.add(ended(3, 1, None, ended="exploded"))
    record.add(ended(1, 1, 9.0))  # of a worker that outlived its search: the first word counts
    assert record.rounds() == [ended(1, 1, 2.0), ended(3, 1, None, ended="exploded")]


def test_the_plan_has_what_was_found_and_bounds_are_of_it() -> None:
    own = spec({"micro_batch": 8})
    found = Changes(found=Found(learning_rate=8.0, batch=16))
    plan = planned(own, found)
    assert plan.train.learning_rate == pytest.approx(8 * own.train.learning_rate)
    assert (plan.train.micro_batch, plan.train.accumulation, plan.search) == (8, 2, None)
    assert plan.build_id != own.build_id and "(searched)" in found.words()
    # 8 is beyond iterate.bounds, and still no proposal is refused for it.
    slower = found.model_copy(update={"learning_rate": 0.3})
    assert problems(own, found, slower, Left()) == []
    assert planned(own, slower).train.learning_rate == pytest.approx(2.4 * own.train.learning_rate)


def test_the_first_plan_is_written_once(tmp_path: Path) -> None:
    own, layout = spec(), Layout(tmp_path)
    journal = Journal(layout.build(own.build_id), "manager")
    rounds = [ended(1, 1, 3.0), ended(2, 1, 2.0, rate=4.0)]
    begins = searched(own, layout, lambda: rounds, journal)
    assert begins.changes.found == rounds[1].values and (begins.number, begins.searched) == (1, 2000)
    assert begins.plan == planned(own, begins.changes).build_id
    assert Iteration.model_validate(read_json(layout.build(own.build_id) / "plan.json")) == begins

    def again() -> list[Round]:
        raise AssertionError("the search was run again")

    assert searched(own, layout, again, journal) == begins
    [entry] = journal.entries()
    assert "a search of 2 trials" in entry.saw and "learning rate × 4" in entry.decided


def test_when_every_trial_fails_the_specs_own_values_go_on(tmp_path: Path) -> None:
    own, layout = spec(), Layout(tmp_path)
    journal = Journal(layout.build(own.build_id), "manager")
    begins = searched(own, layout, lambda: [ended(1, 1, None, ended="diverged")], journal)
    assert begins.changes == Changes() and planned(own, begins.changes) is own
    assert "the spec's own values go on" in journal.entries()[0].decided


@pytest.mark.slow
def test_a_trial_that_diverges_has_lost_and_a_damaged_corpus_is_no_trials_fault(
    small_corpus: Path, tmp_path: Path
) -> None:
    own = spec({"recipe": "adamw"}, tokens=STEP * 6).model_copy(update={"model": SMALL})
    mad, own_values = Trial(number=2, values=Found(learning_rate=1e30, batch=8)), proposed(own)[0]
    lost = train_round(own, mad, 1, STEP * 6, small_corpus, tmp_path / "lost", "cpu")
    assert lost.bits_per_byte is None and lost.ended in ("diverged", "exploded") and lost.tokens == STEP * 6
    damaged = Path(shutil.copytree(small_corpus, tmp_path / "damaged"))
    (damaged / "val.bin").write_bytes(b"")
    with pytest.raises(CorpusError, match="damaged"):
        train_round(own, own_values, 1, STEP * 6, damaged, tmp_path / "fault", "cpu")
