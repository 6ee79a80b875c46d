"""The ReviewerAgent: measures a checkpoint and holds it against the spec's gates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from langgraph.graph import END, START, StateGraph
from torch.utils.tensorboard import SummaryWriter

from agents.graphs import Thread
from agents.journal import Journal
from agents.state import ReviewState
from slm.evaluation.evaluation import evaluate, score_split
from slm.evaluation.figures import Evaluation, SplitScore
from slm.evaluation.gates import judge
from slm.files import read_json, sha256_file, write_json
from slm.layout import Layout
from slm.lineage import manifest_path
from slm.spec import BuildSpec
from slm.training.outcome import finished


class ReviewerAgent:
    """Graph: measure → judge. The measurement is kept in a file, so the test split is read once an iteration."""

    def __init__(self, home: str, spec: dict[str, Any], build: str | None = None, iteration: int = 1) -> None:
        """Take the home folder and the plan as plain values, and which iteration of which build it is."""
        layout = Layout(Path(home))
        self._spec = BuildSpec.model_validate(spec)
        build = build or self._spec.build_id
        self._folder = layout.iteration(build, iteration)
        self._training = layout.training(build, iteration)
        self._journal = Journal(layout.build(build), "reviewer")
        graph = StateGraph(ReviewState)
        graph.add_node("measure", self._measure)
        graph.add_node("judge", self._judge)
        graph.add_edge(START, "measure")
        graph.add_edge("measure", "judge")
        graph.add_edge("judge", END)
        self._thread = Thread(graph, layout, build, "reviewer", iteration)

    def review(self, checkpoint: str, corpus: str, benchmark: str = "") -> ReviewState:
        """Measure and judge ``checkpoint``; what was begun with another, since lost, does not count."""
        sha256 = sha256_file(manifest_path(Path(checkpoint)))
        if self._thread.values().get("checkpoint_sha256", sha256) != sha256:
            self._thread.forget()
        begun = ReviewState(checkpoint=checkpoint, checkpoint_sha256=sha256, corpus=corpus, benchmark=benchmark)
        return ReviewState.model_validate(self._thread.run(begun))

    def validate(self, checkpoint: str, corpus: str) -> SplitScore:
        """Score ``checkpoint`` on the whole validation split, which is what iterations are compared by."""
        out = self._folder / "validation.json"
        of = {path: sha256_file(manifest_path(Path(path))) for path in (checkpoint, corpus)}
        if out.exists() and (earlier := read_json(out))["of"] == of:
            return SplitScore.model_validate(earlier["score"])
        score = score_split(
            Path(checkpoint), Path(corpus), "val", self._spec.model.context, report=self._journal.progress
        )
        write_json(out, {"of": of, "score": json.loads(score.model_dump_json())})
        return score

    def _measure(self, state: ReviewState) -> dict[str, Any]:
        evaluation = self._evaluate(state)
        if evaluation.benchmark:
            with SummaryWriter(str(self._folder / "tensorboard")) as writer:
                for figure, value in evaluation.benchmark.items():
                    writer.add_scalar(f"benchmark/{figure}", value)
        return {"accepted": False}

    def _judge(self, state: ReviewState) -> dict[str, Any]:
        verdict = judge(
            self._evaluate(state), self._spec, finished=finished(self._training, Path(state.corpus)) is not None
        )
        self._journal.decide(
            f"{sum(gate.passed for gate in verdict.gates)} of {len(verdict.gates)} gates passed",
            "accept" if verdict.accepted else "reject: " + "; ".join(verdict.reasons),
        )
        return {"accepted": verdict.accepted, "gates": verdict.gates, "reasons": verdict.reasons}

    def _evaluate(self, state: ReviewState) -> Evaluation:
        return evaluate(
            Path(state.checkpoint),
            Path(state.corpus),
            self._spec,
            self._folder / "evaluation.json",
            self._journal.progress,
            Path(state.benchmark) if state.benchmark else None,
        )
