"""The ReviewerAgent: measures a checkpoint and holds it against the spec's gates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langgraph.graph import END, START, StateGraph
from torch.utils.tensorboard import SummaryWriter

from agents.graphs import Thread
from agents.journal import Journal
from agents.state import ReviewState
from slm.evaluation.evaluation import evaluate
from slm.evaluation.figures import Evaluation
from slm.evaluation.gates import judge
from slm.layout import Layout
from slm.spec import BuildSpec
from slm.training.outcome import finished


class ReviewerAgent:
    """Graph: measure → judge. The measurement is kept in a file, so the test split is read once a build."""

    def __init__(self, home: str, spec: dict[str, Any]) -> None:
        """Take the home folder and the build spec as plain values."""
        self._spec = BuildSpec.model_validate(spec)
        self._build = Layout(Path(home)).build(self._spec.build_id)
        self._training = Layout(Path(home)).training(self._spec.build_id)
        self._journal = Journal(self._build, "reviewer")
        graph = StateGraph(ReviewState)
        graph.add_node("measure", self._measure)
        graph.add_node("judge", self._judge)
        graph.add_edge(START, "measure")
        graph.add_edge("measure", "judge")
        graph.add_edge("judge", END)
        self._thread = Thread(graph, self._build / "graphs" / "reviewer.sqlite", "reviewer")

    def review(self, checkpoint: str, corpus: str, benchmark: str = "") -> ReviewState:
        """Measure and judge ``checkpoint``; what was begun with another, since lost, does not count."""
        if self._thread.values().get("checkpoint", checkpoint) != checkpoint:
            self._thread.forget()
        begun = ReviewState(checkpoint=checkpoint, corpus=corpus, benchmark=benchmark)
        return ReviewState.model_validate(self._thread.run(begun))

    def _measure(self, state: ReviewState) -> dict[str, Any]:
        evaluation = self._evaluate(state)
        if evaluation.benchmark:
            with SummaryWriter(str(self._build / "tensorboard")) as writer:
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
            self._build / "evaluation.json",
            self._journal.progress,
            Path(state.benchmark) if state.benchmark else None,
        )
