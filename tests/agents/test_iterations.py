"""A rejected build is tried again with a changed plan: the whole loop, on real trainings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from agents import manager_agent, status
from agents.advice.question import question
from agents.builds import read_state
from agents.iterate import decide, look
from agents.journal import Journal
from agents.plan import planned
from agents.state import BuildState
from agents.trials import Record, Round, winner
from slm.files import read_json
from slm.layout import Layout
from slm.lineage import read_manifest
from slm.spec import BuildSpec
from slm.spec_file import load_spec
from tests.agents.iterations import copied, manager, search, small_build

pytestmark = pytest.mark.slow


class Cut(RuntimeError):
    """Stands for a kill."""


def test_each_iteration_has_its_plan_its_training_and_one_evaluation_of_its_own(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = small_build(tmp_path, iterate={"max_iterations": 3})
    corpus, layout = copied(small_corpus, tmp_path), Layout(tmp_path)
    asked: list[str] = []
    cuts = [f"/{number}/{agent}" for number in (2, 3) for agent in ("DataAgent", "TrainingAgent", "ReviewerAgent")]

    def stop(name: str) -> None:
        if cuts and name.endswith(cuts[0]):
            del cuts[0]
            raise Cut

    # Cut off between a decision and the graph's learning of it, then before each agent of each iteration.
    def cut(*arguments: Any) -> Any:
        decide(*arguments)
        raise Cut

    with monkeypatch.context() as patched, pytest.raises(Cut):
        patched.setattr(manager_agent, "decide", cut)
        manager(tmp_path, spec, corpus).run()
    decided = (layout.iteration(spec.build_id, 2) / "plan.json").read_bytes()
    while cuts:
        with pytest.raises(Cut):
            manager(tmp_path, spec, corpus, stop=stop, asked=asked).run()
    state = manager(tmp_path, spec, corpus, asked=asked).run()

    assert (state.state, state.iteration) == ("rejected", 3)
    assert (layout.iteration(spec.build_id, 2) / "plan.json").read_bytes() == decided
    assert "iteration 3 was the last" in state.reasons[-1]
    tokens = [each.tokens for each in state.iterations]
    assert tokens == sorted(set(tokens))
    evaluations = []
    for iteration in state.iterations:
        folder = layout.iteration(spec.build_id, iteration.number)
        plan = load_spec(folder / "spec.json") if iteration.number > 1 else spec
        if iteration.number > 1:
            assert plan.build_id == iteration.plan != spec.build_id
            assert plan.train.tokens == iteration.changes.tokens
        evaluations.append(read_json(folder / "evaluation.json")["checkpoint_sha256"])
        for checkpoint in (folder / "training" / "checkpoints").glob("step-*"):
            assert read_manifest(checkpoint).name.startswith(f"{plan.training_id}@")
        assert iteration.failed == ["perplexity"]
    assert len(set(evaluations)) == 3
    bits = [each.bits_per_byte or 0 for each in state.iterations]
    assert bits == sorted(bits, reverse=True) and all(bits)
    decisions = [entry for entry in Journal(layout.build(spec.build_id), "x").entries() if entry.agent == "manager"]
    tried = [entry for entry in decisions if entry.decided.startswith("iteration ")]
    assert len(tried) == 2
    assert all("still fell" in entry.decided and "→" in entry.came and "perplexity" in entry.came for entry in tried)
    assert "no further iteration" in decisions[-1].decided
    assert BuildState.model_validate(read_json(layout.build(spec.build_id) / "build.json")) == state
    # Nothing that a rule or an adviser sees has a figure of the test split.
    seen = look(state, spec, layout, Journal(layout.build(spec.build_id), "x"), None)
    tests = [gate for gate in state.gates if gate.name == "perplexity"]
    assert tests and f"{tests[0].value:.2f}" in (layout.build(spec.build_id) / "events.jsonl").read_text()
    assert "attempt 1 reached" in question(seen) and f"{tests[0].value:.2f}"[:-1] not in question(seen)
    again: list[str] = []
    assert manager(tmp_path, spec, corpus, asked=again).run() == state
    assert again == []


def test_without_iterations_a_rejection_ends_the_build(small_corpus: Path, tmp_path: Path) -> None:
    spec = small_build(tmp_path)
    state = manager(tmp_path, spec, copied(small_corpus, tmp_path)).run()
    assert (state.state, state.iteration, state.iterations) == ("rejected", 1, [])
    assert not (Layout(tmp_path).build(spec.build_id) / "iterations").exists()


def test_a_training_that_goes_astray_is_tried_again_with_a_lower_rate(small_corpus: Path, tmp_path: Path) -> None:
    train = {"learning_rate": 1e30, "recipe": "adamw", "max_attempts": 1}
    spec = small_build(tmp_path, train, iterate={"max_iterations": 2})
    state = manager(tmp_path, spec, copied(small_corpus, tmp_path)).run()
    assert (state.state, state.iteration, state.plan.learning_rate) == ("rejected", 2, 0.3)
    assert "training failed: diverged" in state.reasons[0] or "training failed: exploded" in state.reasons[0]


def rejected(by: str, final: bool = False, iteration: int = 1) -> dict[str, object]:
    return {"approved": False, "by": by, "reason": "it repeats itself", "final": final, "iteration": iteration}


def test_a_person_who_rejects_sees_the_next_iteration_too(small_corpus: Path, tmp_path: Path) -> None:
    spec = small_build(tmp_path, iterate={"max_iterations": 3}, gates={"perplexity": 1e6, "distinct_trigrams": 0})
    corpus = copied(small_corpus, tmp_path)
    assert manager(tmp_path, spec, corpus, "manual").run().state == "waiting"
    again = manager(tmp_path, spec, corpus, "manual").run(rejected("ada"))
    assert (again.state, again.iteration, again.decision) == ("waiting", 2, None)
    # Given once more, as by Ray after the Manager was killed behind it, it is not about the model that waits now.
    assert manager(tmp_path, spec, corpus, "manual").run(rejected("ada")) == again
    shutil.rmtree(again.checkpoint)  # what is gone cannot be scored, and ends nothing
    ended = manager(tmp_path, spec, corpus, "manual").run(rejected("ada", final=True, iteration=2))
    assert (ended.state, ended.iteration) == ("rejected", 2)
    assert "ada: it repeats itself" in ended.reasons
    first, second = ended.iterations
    assert first.bits_per_byte is not None and second.failed == []


def test_a_search_comes_before_the_training_and_what_it_found_is_trained_with(
    small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ten times the miniature's rates, which suit it.
    wrong = {"learning_rate": 3e-2, "matrix_learning_rate": 0.2, "tokens": 64 * 8 * 40}
    bounds = {"trials": 3, "tokens": 64 * 8 * 10, "learning_rate": [0.03, 1]}
    budget = {"max_iterations": 2, "budget": {"tokens": 64 * 8 * 100}}
    spec = small_build(tmp_path, wrong, search=bounds, iterate=budget)
    corpus, layout = copied(small_corpus, tmp_path), Layout(tmp_path)
    folder = layout.build(spec.build_id)

    def killed(of: BuildSpec, text: Path, place: Path) -> list[Round]:
        one = of.model_copy(update={"search": of.search and of.search.model_copy(update={"trials": 1})})
        search(one, text, place)
        raise Cut

    with pytest.raises(Cut):
        manager(tmp_path, spec, corpus, search=killed).run()
    assert read_state(folder).stage == "search"
    [kept] = Record(folder).rounds()
    asked: list[str] = []
    state = manager(tmp_path, spec, corpus, asked=asked).run()

    rounds = Record(folder).rounds()
    assert [each.trial for each in rounds] == [1, 2, 3] and rounds[0] == kept
    best = winner(rounds)
    assert best is not None and best.trial != 1
    begun = state.iterations[0]
    assert begun.changes.found == best.values and begun.searched == 3 * 64 * 8 * 10
    # The checkpoint is of the plan, trained by an agent that has it.
    assert read_manifest(Path(state.checkpoint)).name.startswith(f"{planned(spec, begun.changes).training_id}@")
    assert asked.count(f"{spec.build_id}/search/TrainingAgent") == asked.count(f"{spec.build_id}/TrainingAgent") == 1
    # What the trials took counts: without it the budget would bear another training.
    assert state.state == "rejected" and "the budget is used up" in state.reasons[-1]
    assert manager(tmp_path, spec, corpus).run() == state and Record(folder).rounds() == rounds

    monkeypatch.setenv("AUTON_HOME", str(tmp_path))
    status.main([spec.build_id])
    shown = capsys.readouterr().out
    assert all(f"trial {number} (learning rate ×" in shown for number in (1, 2, 3)) and "← the best" in shown
    status.main([spec.build_id, "--json"])
    assert [each["trial"] for each in json.loads(capsys.readouterr().out)[0]["search"]] == [1, 2, 3]
