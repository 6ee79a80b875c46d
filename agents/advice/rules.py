"""The rules: from what a rejected iteration shows to one change, without asking anybody."""

from __future__ import annotations

from collections.abc import Iterator

from agents.advice.proposals import Larger, LearningRate, Mix, MoreText, MoreTokens, Proposal, Stop
from agents.evidence import OWN_GATES, Evidence
from agents.plan import planned, problems
from slm.spec import Bucket, BuildSpec
from slm.training.guards import Diagnosis

#: The loss still falls when it fell by this share at the end (:attr:`agents.curves.Curves.falling`).
FALLING = 0.005
#: The model remembers rather than learns when validation has risen by this share, or is so many nats a token above
#: training (a perplexity a third higher).
RISEN = 0.01
FAR_ABOVE = 0.3
#: How much of a bound one iteration takes.
_MORE = 1.5
_STEP = 0.05
_SLOWER: dict[Diagnosis, float] = {"diverged": 0.3, "exploded": 0.3, "stalled": 0.5}


def rule(evidence: Evidence) -> Proposal:
    """Return the first change that the evidence calls for and that bounds and budget allow, or to stop."""
    refused = []
    for proposal in _called_for(evidence):
        found = problems(evidence.spec, evidence.changes, proposal.onto(evidence.changes), evidence.left)
        if not found:
            return proposal
        refused.append(f"{type(proposal).__name__}: {found[0]}")
    return Stop(why="nothing that the curves call for is allowed: " + ("; ".join(refused) or "they call for nothing"))


def _called_for(evidence: Evidence) -> Iterator[Proposal]:
    """Yield changes, the likeliest to help first."""
    plan = planned(evidence.spec, evidence.changes)
    if evidence.diagnoses or "completed" in evidence.failed:
        yield from _slower(evidence)
    knows = [name for name in evidence.failed if name not in OWN_GATES]
    if knows:
        yield from _instructions(plan, f"{', '.join(knows)} failed: more of the text that answers questions")
    falling, excess = evidence.curves.falling, evidence.excess
    if evidence.curves.risen > RISEN:
        yield from _other_text(evidence, plan, f"validation has risen again, by {evidence.curves.risen:.1%}")
    elif excess is not None and excess > FAR_ABOVE:
        yield from _other_text(evidence, plan, f"validation is {excess:.2f} nats a token above training")
    elif falling is not None and falling > FALLING:
        yield _more_tokens(evidence, plan, f"the loss still fell at the end, by {falling:.1%}")
    else:
        level = "the loss no longer falls and validation is near it"
        yield Larger(layers=plan.model.layers + max(1, plan.model.layers // 4), why=f"{level}: a larger model")
        yield from _instructions(plan, f"{level}: another mix") if evidence.reason else ()
        yield _more_tokens(evidence, plan, f"{level}: the schedule over more tokens")


def _slower(evidence: Evidence) -> Iterator[Proposal]:
    # A machine's failure says nothing about the plan.
    of_rate = [diagnosis for diagnosis in evidence.diagnoses if diagnosis in _SLOWER]
    if not of_rate and "completed" not in evidence.failed:
        return
    low = evidence.spec.iterate.bounds.learning_rate[0]
    now = 1.0 if evidence.changes.learning_rate is None else evidence.changes.learning_rate
    factor = _SLOWER[of_rate[-1]] if of_rate else _SLOWER["diverged"]
    ended = f"{len(of_rate)} attempt{'s' * (len(of_rate) != 1)} ended early"
    saw = f"{ended}, the last {of_rate[-1]}" if of_rate else "the training's figures are not finite"
    yield LearningRate(factor=max(low, round(now * factor, 6)), why=saw)


def _more_tokens(evidence: Evidence, plan: BuildSpec, why: str) -> MoreTokens:
    """Propose half as many tokens again, or what bounds and budget leave."""
    spec, left = evidence.spec, evidence.left
    most = min(spec.train.tokens * spec.iterate.bounds.tokens, left.tokens)
    if left.rate:
        most = min(most, left.seconds * left.rate * left.parameters / plan.model.parameters)
    tokens = int(min(plan.train.tokens * _MORE, most))
    # A tenth more is less than what chance does to a training.
    tokens = tokens if tokens >= 1.1 * plan.train.tokens else int(plan.train.tokens * _MORE)
    return MoreTokens(tokens=tokens, why=why)


def _other_text(evidence: Evidence, plan: BuildSpec, saw: str) -> Iterator[Proposal]:
    """Where training remembers its text: more of it, or less of what is repeated most."""
    supply = {bucket: held for bucket, held in evidence.supply.items() if held.tokens and held.available}
    if not supply:
        return
    room = min(held.available / held.tokens for held in supply.values())
    passes = plan.train.tokens / sum(held.tokens for held in supply.values())
    if passes > 1 and room > 1.1:
        most = evidence.spec.corpus.tokens * evidence.spec.iterate.bounds.text
        tokens = int(min(plan.corpus.tokens * min(room, 2.0), most))
        yield MoreText(tokens=tokens, why=f"{saw}: it read its text {passes:.1f} times")
    read = {bucket: passes * held.tokens / held.available for bucket, held in supply.items()}
    often, seldom = max(read, key=lambda bucket: read[bucket]), min(read, key=lambda bucket: read[bucket])
    if read[often] > 1.2 * read[seldom]:
        words = f"{saw}: {often} was read {read[often]:.1f} times over, {seldom} {read[seldom]:.1f} times"
        yield _moved(plan, {often: -_STEP, seldom: _STEP}, words)


def _instructions(plan: BuildSpec, why: str) -> Iterator[Proposal]:
    """Give instructions a larger share, taken from the largest bucket."""
    shares = plan.corpus.shares
    if not shares.get("instructions"):
        return
    others = [bucket for bucket in shares if bucket != "instructions"]
    if not others:  # an edition reads nothing else
        return
    largest = max(others, key=lambda bucket: shares[bucket])
    yield _moved(plan, {"instructions": _STEP, largest: -_STEP}, why)


def _moved(plan: BuildSpec, moves: dict[Bucket, float], why: str) -> Mix:
    shares = {bucket: max(0.0, round(share + moves.get(bucket, 0), 9)) for bucket, share in plan.corpus.shares.items()}
    return Mix(shares=shares, why=why)
