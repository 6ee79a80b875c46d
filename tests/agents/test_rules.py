"""What an iteration may change, what rules propose, and when no further one is tried."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.advice.proposals import Larger, LearningRate, Mix, MoreText, MoreTokens, Proposal, Stop
from agents.advice.rules import rule
from agents.curves import Curves, read_curves, thinned
from agents.evidence import Evidence, Supply
from agents.iterate import ending, first, next_iteration
from agents.plan import Changes, Left, planned, problems
from agents.state import Iteration
from slm.evaluation.figures import SplitScore
from slm.spec import BUCKETS, BuildSpec
from slm.spec_file import load_spec
from tests.builds import miniature


def spec(**iterate: Any) -> BuildSpec:
    return miniature(Path("nowhere"), iterate={"max_iterations": 4, **iterate})


def evidence(of: BuildSpec | None = None, loss: float = 4.0, validation: float = 4.1, **others: Any) -> Evidence:
    """An iteration that reached ``loss`` (nats a token) and on validation ``validation``, and still fell."""
    of = of or spec()
    curves = Curves(
        loss=[(step, loss + 0.5 * (60 - step) / 60) for step in range(1, 61)],
        validation=[(30, math.exp(validation + 0.2), 2.2), (60, math.exp(validation), 2.0)],
        rate=1000.0,
    )
    score = SplitScore(perplexity=math.exp(validation), bits_per_byte=2.0, top1=0.3, top5=0.5, tokens=9000)
    changes = others.pop("changes", Changes())
    now = Iteration(number=1, changes=changes, plan=planned(of, changes).build_id, tokens=30_720, bits_per_byte=2.0)
    content = {
        "spec": of,
        "changes": changes,
        "failed": ["perplexity"],
        "reason": "",
        "diagnoses": [],
        "details": [],
        "curves": curves,
        "validation": score,
        "supply": {bucket: Supply(tokens=15_000, available=60_000) for bucket in BUCKETS},
        "history": [now],
        "tail": [],
        "left": Left(rate=1000.0, parameters=of.model.parameters),
        **others,
    }
    return Evidence.model_validate(content)


def flat(**others: Any) -> Evidence:
    found = evidence(loss=4.0, validation=4.05, **others)
    level = [(30, math.exp(4.05), 2.0), (60, math.exp(4.05), 2.0)]
    return found.model_copy(update={"curves": found.curves.model_copy(update={"validation": level})})


def test_what_still_falls_gets_more_tokens() -> None:
    proposal = rule(evidence())
    assert isinstance(proposal, MoreTokens)
    assert proposal.tokens == int(1.5 * spec().train.tokens)


def test_what_has_been_remembered_gets_other_text() -> None:
    twice = spec()
    twice = twice.model_copy(update={"train": twice.train.model_copy(update={"tokens": 3 * twice.corpus.tokens})})
    proposal = rule(evidence(twice, loss=3.0, validation=4.0))
    assert isinstance(proposal, MoreText) and proposal.tokens == 2 * twice.corpus.tokens
    short = {bucket: Supply(tokens=15_000, available=40_000) for bucket in BUCKETS}
    short["hardware"] = Supply(tokens=15_000, available=15_000)
    proposal = rule(evidence(twice, loss=3.0, validation=4.0, supply=short))
    assert isinstance(proposal, Mix)
    assert proposal.shares["hardware"] == pytest.approx(twice.corpus.shares["hardware"] - 0.05)


@pytest.mark.parametrize(("diagnosis", "factor"), [("diverged", 0.3), ("exploded", 0.3), ("stalled", 0.5)])
def test_what_went_astray_goes_slower(diagnosis: str, factor: float) -> None:
    proposal = rule(evidence(diagnoses=[diagnosis, "lost_worker"], details=["", ""]))
    assert isinstance(proposal, LearningRate) and proposal.factor == factor
    assert diagnosis in proposal.why
    assert isinstance(rule(evidence(diagnoses=["lost_worker"], details=[""])), MoreTokens)


def test_what_has_not_learnt_to_answer_gets_more_instructions() -> None:
    proposal = rule(evidence(failed=["perplexity", "driver_select"]))
    assert isinstance(proposal, Mix)
    assert proposal.shares["instructions"] == pytest.approx(spec().corpus.shares["instructions"] + 0.05)
    assert sum(proposal.shares.values()) == pytest.approx(1)


def test_an_edition_reads_nothing_but_instructions_so_no_share_is_moved() -> None:
    edition = load_spec(Path("specs/builds/kernel.yaml"), ["iterate.max_iterations=2"])
    proposal = rule(evidence(edition, failed=["known_ids"], supply={}))
    assert not isinstance(proposal, Mix)


def test_a_level_curve_gets_a_larger_model_where_that_is_allowed() -> None:
    assert isinstance(rule(flat(of=spec(bounds={"size": 2.0}))), Larger)
    assert isinstance(rule(flat()), MoreTokens)


def test_rules_stop_when_no_bound_leaves_room() -> None:
    tight = spec(bounds={"tokens": 1.0, "share": 0.0})
    proposal = rule(evidence(tight))
    assert isinstance(proposal, Stop)
    assert "1 times the spec's" in proposal.why


def test_a_budget_takes_what_it_leaves_or_nothing() -> None:
    own = spec().train.tokens
    proposal = rule(evidence(left=Left(tokens=1.2 * own, rate=1000.0, parameters=1)))
    assert isinstance(proposal, MoreTokens) and proposal.tokens == int(1.2 * own)
    assert isinstance(rule(evidence(left=Left(tokens=0.5 * own, rate=1000.0, parameters=1))), Stop)


def after(*bits: float | None, **settings: Any) -> str:
    of = spec(**settings)
    history = [first(of).model_copy(update={"number": n + 1, "bits_per_byte": b}) for n, b in enumerate(bits)]
    return ending(evidence(of, history=history))


def test_it_ends_when_nothing_improves_and_at_the_last_iteration() -> None:
    assert after(2.0) == ""
    assert after(2.0, 1.98) == ""
    assert "no improvement: it reached 1.9950, iteration 1 2.0000" in after(2.0, 1.995)
    assert "no improvement" in after(2.0, 1.9, 1.95)
    assert "left no checkpoint" in after(2.0, None)
    assert after(None, None) == ""
    assert "the last of iterate.max_iterations=4" in after(2.0, 1.9, 1.8, 1.7)


@pytest.mark.parametrize("gate", ["size", "loads"])
def test_a_gate_that_no_plan_mends_ends_it(gate: str) -> None:
    assert "no change of plan mends" in ending(evidence(failed=[gate, "perplexity"]))


def test_a_used_budget_ends_it_in_words() -> None:
    own = spec().train.tokens
    assert f"it needs {own:,} training tokens, and 5 are left" in ending(evidence(left=Left(tokens=5.0)))
    assert "no time is left" in ending(evidence(left=Left(seconds=-1.0)))
    slow = Left(seconds=3600.0, rate=own / 7200, parameters=spec().model.parameters)
    assert "it needs about 2.00 h of training, and 1.00 h are left" in ending(evidence(left=slow))


numbers = st.integers(min_value=-(10**15), max_value=10**15)
floats = st.floats(allow_nan=False, allow_infinity=False)
proposals: st.SearchStrategy[Proposal] = st.one_of(
    st.builds(MoreTokens.model_construct, why=st.just("x"), tokens=numbers),
    st.builds(MoreText.model_construct, why=st.just("x"), tokens=numbers),
    st.builds(Larger.model_construct, why=st.just("x"), layers=numbers),
    st.builds(LearningRate.model_construct, why=st.just("x"), factor=floats),
    st.builds(
        Mix.model_construct, why=st.just("x"), shares=st.dictionaries(st.sampled_from(BUCKETS), floats, max_size=4)
    ),
)
NEAR = spec(bounds={"size": 1.5})


@given(st.lists(proposals, max_size=4))
def test_no_proposal_leads_out_of_bounds(made: list[Proposal]) -> None:
    changes, bounds = Changes(), NEAR.iterate.bounds
    for proposal in made:
        following = proposal.onto(changes)
        if problems(NEAR, changes, following, Left()):
            continue
        changes = following
        plan = planned(NEAR, changes)
        assert NEAR.train.tokens <= plan.train.tokens <= NEAR.train.tokens * bounds.tokens
        assert NEAR.corpus.tokens <= plan.corpus.tokens <= NEAR.corpus.tokens * bounds.text
        assert NEAR.model.parameters <= plan.model.parameters <= NEAR.model.parameters * bounds.size
        low, high = bounds.learning_rate
        assert low <= plan.train.learning_rate / NEAR.train.learning_rate * (1 + 1e-12) and (
            plan.train.learning_rate / NEAR.train.learning_rate <= high * (1 + 1e-12)
        )
        for bucket, share in plan.corpus.shares.items():
            assert abs(share - NEAR.corpus.shares[bucket]) <= bounds.share + 1e-6
        assert plan.gates == NEAR.gates
        assert plan.build_id != NEAR.build_id


def test_a_plan_is_a_spec_of_its_own_measured_on_what_the_spec_is_measured_on() -> None:
    own = spec()
    shares = {**own.corpus.shares, "os_code": 0.35, "hardware": 0.35}
    plan = planned(own, Changes(shares=shares, text=90_000))
    assert plan.corpus.measured is not None
    assert (plan.corpus.measured.shares, plan.corpus.measured.tokens) == (own.corpus.shares, own.corpus.tokens)
    assert plan.iterate.max_iterations == 1
    assert planned(own, Changes()) is own
    assert planned(own, Changes(tokens=99_999)).corpus == own.corpus
    following = next_iteration(evidence(own), MoreTokens(why="it falls", tokens=40_000), "rule")
    assert (following.number, following.changes) == (2, Changes(tokens=40_000))


def test_curves_are_read_from_a_log_that_was_cut_off_and_gone_on_with(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(
        '{"step": 1, "loss": 5.0, "tokens_per_second": 10}\n{"step": 2, "loss": NaN}\n{"step": 2, "lo\n[]\n'
        '{"step": 2, "loss": 9.0}\n{"step": 2, "loss": 4.0, "tokens_per_second": 30}\n{"save_seconds": 1}\n'
        '{"step": 2, "validation_perplexity": 50.0, "validation_bits_per_byte": 2.0}\n{"step": "3", "loss": 1}\n'
    )
    curves = read_curves(log)
    assert curves.loss == [(1, 5.0), (2, 4.0)]
    assert curves.validation == [(2, 50.0, 2.0)]
    assert curves.rate == 30
    assert read_curves(tmp_path / "none") == Curves()


def test_an_evaluation_shortly_before_the_last_says_little_and_is_passed_over() -> None:
    points = [(50, 9.0, 2.2), (90, 9.0, 2.0), (95, 9.0, 2.0)]
    assert Curves(validation=points).falling == pytest.approx(1 - 2.0 / 2.2)
    loss = [(step, 4.0 if step <= 90 else 3.0) for step in range(1, 101)]
    assert Curves(loss=loss, validation=points[1:]).falling == pytest.approx(0.25)
    assert Curves().falling is None


@given(st.lists(st.integers(), max_size=50), st.integers(min_value=1, max_value=20))
def test_thinned_points_keep_their_order_and_the_last(points: list[int], most: int) -> None:
    few = thinned(list(enumerate(points)), most)
    assert few == sorted(set(few)) and len(few) == min(most, len(points))
    assert not points or few[-1] == (len(points) - 1, points[-1])
