"""What plan a build begins with where it searches for one, and whether it is tried again with which when rejected.

Of a rejected build the spec's limits are looked at first, then what is advised.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from agents.advice.hosted import advise
from agents.advice.proposals import Proposal, Stop
from agents.advice.question import Unheeded
from agents.advice.rules import rule
from agents.evidence import Evidence, gather
from agents.journal import Journal
from agents.plan import Changes, left_of, planned
from agents.state import BuildState, Iteration
from agents.trials import Round, winner
from slm.evaluation.figures import SplitScore
from slm.files import read_json, write_json
from slm.layout import Layout
from slm.spec import BuildSpec
from slm.training.outcome import TrainingPaths

#: Gates that say something about the program or the files, not about what was learnt.
_BEYOND_PLANS = ("size", "loads")


def ended(state: BuildState, spec: BuildSpec, loss: float | None, score: SplitScore | None) -> Iteration:
    """Return the state's iteration with its figures: the training's last loss, and the score on validation."""
    now = state.iterations[-1] if state.iterations else first(spec)
    finite = score if score is not None and math.isfinite(score.bits_per_byte) else None
    return now.model_copy(
        update={
            "training_loss": loss,
            "perplexity": finite.perplexity if finite else None,
            "bits_per_byte": finite.bits_per_byte if finite else None,
            "failed": [gate.name for gate in state.gates if not gate.passed],
        }
    )


def first(spec: BuildSpec) -> Iteration:
    """Return the iteration that every build begins with."""
    return Iteration(number=1, plan=spec.build_id, tokens=spec.train.tokens)


def searched(spec: BuildSpec, layout: Layout, run: Callable[[], list[Round]], journal: Journal) -> Iteration:
    """Return the first iteration of a build with a search, and write it, which then stands whatever is killed.

    :param run: runs the search; not called when the iteration stands already.
    """
    path = layout.build(spec.build_id) / "plan.json"
    if path.exists():
        return Iteration.model_validate(read_json(path))
    rounds = run()
    best = winner(rounds)
    tokens = sum(each.tokens for each in rounds)
    iteration = first(spec).model_copy(update={"by": "the search", "searched": tokens})
    if best is None:
        words = "no trial came to the end of a round: the spec's own values go on"
        iteration = iteration.model_copy(update={"why": words})
    else:
        changes = Changes(found=best.values)
        plan = planned(spec, changes)
        update = {"changes": changes, "plan": plan.build_id, "tokens": plan.train.tokens, "why": best.words()}
        iteration = iteration.model_copy(update=update)
        words = f"iteration 1 with {changes.words()}"
    write_json(path, iteration.model_dump(mode="json"))
    journal.decide(f"a search of {len({each.trial for each in rounds})} trials", words)
    return iteration


def look(state: BuildState, spec: BuildSpec, layout: Layout, journal: Journal, score: SplitScore | None) -> Evidence:
    """Gather what the state's iteration shows.

    :param score: its checkpoint on the validation split; None when it left no checkpoint.
    """
    plan = planned(spec, state.plan)
    log = TrainingPaths(layout.training(state.build, state.iteration)).log
    before = state.iterations[:-1]
    used = sum(each.tokens for each in before) + sum(each.searched for each in state.iterations)
    left = left_of(spec.iterate, used, journal.busy(), None, plan.model.parameters)
    evidence = gather(state, spec, log, journal, score, [], left)
    curves = evidence.curves
    now = ended(state, spec, curves.final_loss, score)
    now = now.model_copy(update={"tokens": curves.steps * plan.batch_tokens})
    left = left.model_copy(update={"tokens": left.tokens - now.tokens, "rate": curves.rate})
    return evidence.model_copy(update={"history": [*before, now], "left": left})


def ending(evidence: Evidence) -> str:
    """Say why no further plan is tried; nothing when one may be."""
    iterate, (*before, now) = evidence.spec.iterate, evidence.history
    if beyond := [name for name in evidence.failed if name in _BEYOND_PLANS]:
        return f"{', '.join(beyond)} failed, which no change of plan mends"
    if now.number >= iterate.max_iterations:
        return f"iteration {now.number} was the last of iterate.max_iterations={iterate.max_iterations}"
    measured = [each for each in before if each.bits_per_byte is not None]
    best = min(measured, key=lambda each: each.bits_per_byte or math.inf, default=None)
    if best is not None and best.bits_per_byte is not None:
        reached = math.inf if now.bits_per_byte is None else now.bits_per_byte
        if reached > best.bits_per_byte * (1 - iterate.least_gain):
            figure = "left no checkpoint" if now.bits_per_byte is None else f"reached {reached:.4f}"
            return (
                f"iteration {now.number} brought no improvement: it {figure}, iteration {best.number} "
                f"{best.bits_per_byte:.4f} validation bits per byte (iterate.least_gain={iterate.least_gain:g})"
            )
    if lack := evidence.left.lacks(planned(evidence.spec, evidence.changes)):
        return f"the budget is used up: for another training {lack}"
    return ""


def propose(evidence: Evidence, journal: Journal) -> tuple[Proposal, str]:
    """Return what is advised, and by whom: by the rules, where the spec's adviser has nothing to say that counts."""
    adviser = evidence.spec.iterate.adviser
    if adviser.by != "rules":
        name = f"{adviser.by} {adviser.model}"
        try:
            return advise(evidence, journal.folder), name
        except Unheeded as why:
            journal.decide(f"{name} was asked for advice", f"not heeded: {why}; the rules decide")
    return rule(evidence), "rule"


def next_iteration(evidence: Evidence, proposal: Proposal, by: str) -> Iteration:
    """Return the iteration that a proposal makes."""
    changes = proposal.onto(evidence.changes)
    plan = planned(evidence.spec, changes)
    number = evidence.history[-1].number + 1
    return Iteration(
        number=number, changes=changes, plan=plan.build_id, by=by, why=proposal.why, tokens=plan.train.tokens
    )


def decide(
    state: BuildState, spec: BuildSpec, layout: Layout, journal: Journal, score: SplitScore | None
) -> tuple[list[Iteration], str]:
    """Decide about a rejected iteration, and write the next one's plan, which then stands whatever is killed.

    :return: the iterations, the next one last; or those so far, and in words why there is no next one.
    """
    evidence = look(state, spec, layout, journal, score)
    folder = layout.iteration(state.build, state.iteration + 1)
    if (folder / "plan.json").exists():
        return [*evidence.history, Iteration.model_validate(read_json(folder / "plan.json"))], ""
    now = evidence.history[-1]
    saw = f"{now.words()}; rejected: {', '.join(evidence.failed) or evidence.reason or 'training failed'}"
    if words := ending(evidence):
        journal.decide(saw, f"no further iteration: {words}")
        return evidence.history, words
    proposal, by = propose(evidence, journal)
    if isinstance(proposal, Stop):
        journal.decide(saw, f"no further iteration: {proposal.why}", by=by)
        return evidence.history, proposal.why
    following = next_iteration(evidence, proposal, by)
    journal.decide(saw, f"iteration {following.number} with {following.changes.words()}: {proposal.why}", by=by)
    write_plan(folder, following, planned(spec, following.changes))
    return [*evidence.history, following], ""


def write_plan(folder: Path, iteration: Iteration, plan: BuildSpec) -> None:
    """Write an iteration's spec, which is a build spec of its own, and then the decision, which makes it count."""
    write_json(folder / "spec.json", plan.model_dump(mode="json"))
    write_json(folder / "plan.json", iteration.model_dump(mode="json"))


def comparison(history: list[Iteration]) -> str:
    """Say what came of the decision to try the last plan."""
    *before, now = history
    was = next((each.bits_per_byte for each in reversed(before) if each.bits_per_byte is not None), None)
    gates = f"failed: {', '.join(now.failed)}" if now.failed else "every gate was passed"
    if was is None or now.bits_per_byte is None:
        return gates
    return f"validation {was:.4f} → {now.bits_per_byte:.4f} bits per byte; {gates}"
