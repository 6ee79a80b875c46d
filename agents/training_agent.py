"""The TrainingAgent: launches attempts, reads why one failed, repairs what that calls for, and knows when to stop.

Before, it runs the trials of a search, and what was trained it has taught, where the spec asks for that.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from langgraph.graph import END, START, StateGraph

from agents.cluster import AttemptFailed, device_for, run_teaching, run_training
from agents.graphs import Thread
from agents.journal import Journal
from agents.search import run_search
from agents.state import Attempt, TrainingState
from agents.trials import Round, lengths, result_lines
from slm.errors import ArtefactError
from slm.files import sha256_file
from slm.layout import Layout
from slm.lineage import check_files, manifest_path
from slm.spec import BuildSpec
from slm.training.aside import complete
from slm.training.guards import Diagnosis
from slm.training.memory import Precision, chosen
from slm.training.outcome import Adjustments, TrainingPaths, TrainingResult, finished

#: Runs one attempt, as :func:`agents.cluster.run_training` does: spec, corpus, training folder, journal's folder,
#: adjustments, number of the attempt.
Launch = Callable[[BuildSpec, Path, Path, Path, Adjustments, int], TrainingResult]
#: Runs a search's trials, as :func:`agents.search.run_search` does: spec, corpus, the build's folder.
Search = Callable[[BuildSpec, Path, Path], list[Round]]


def repair(diagnosis: Diagnosis, before: Adjustments, micro_batch: int) -> tuple[Adjustments, str] | None:
    """Return the next attempt's adjustments and the change in words; nothing when no change would help."""
    match diagnosis:
        case "diverged" | "exploded":
            after = before.model_copy(
                update={
                    "learning_rate_scale": before.learning_rate_scale * 0.3,
                    "warmup_scale": before.warmup_scale * 2,
                }
            )
            return after, "learning rate × 0.3 and twice the warm-up, from the last good checkpoint"
        case "stalled":
            after = before.model_copy(update={"learning_rate_scale": before.learning_rate_scale * 0.5})
            return after, "learning rate × 0.5, from the last good checkpoint"
        case "out_of_memory":
            now = micro_batch // before.micro_batch_divisor
            if now == 1:
                return None
            # The largest part that whole micro-batches can be cut into: half where it is even.
            smaller = next(size for size in range(now // 2, 0, -1) if now % size == 0)
            after = before.model_copy(update={"micro_batch_divisor": micro_batch // smaller})
            return after, f"micro-batch {smaller} with as much more accumulation: the batch stays"
        case "lost_worker" | "corrupt_checkpoint" | "unknown":
            return before, "the same again, from the last good checkpoint"
        case "bad_data" | "disk_full":
            return None


class TrainingAgent:
    """Graph: attempt → (done | repair → attempt | give up)."""

    def __init__(
        self,
        home: str,
        spec: dict[str, Any],
        launch: Launch = run_training,
        build: str | None = None,
        iteration: int = 1,
        search: Search = run_search,
    ) -> None:
        """Take the home folder and the plan as plain values, and which iteration of which build it is.

        :param launch: runs an attempt's workers.
        :param search: runs a search's trials.
        """
        layout = Layout(Path(home))
        self._spec = BuildSpec.model_validate(spec)
        self._launch, self._search = launch, search
        build = build or self._spec.build_id
        self._build = layout.build(build)
        self._folder = layout.training(build, iteration)
        self._taught = layout.taught(build, iteration)
        self._journal = Journal(self._build, "training")
        graph = StateGraph(TrainingState)
        graph.add_node("attempt", self._attempt)
        graph.add_node("repair", self._repair)
        graph.add_edge(START, "attempt")
        graph.add_conditional_edges("attempt", self._next)
        graph.add_conditional_edges("repair", lambda state: END if state.gave_up else "attempt", ["attempt", END])
        self._thread = Thread(graph, layout, build, "training", iteration)

    def train(self, corpus: str) -> TrainingState:
        """Train on ``corpus``; the state says which checkpoint came of it, or that the agent gave up and why."""
        state = TrainingState.model_validate(self._thread.run(TrainingState(corpus=corpus)))
        if state.checkpoint and finished(self._folder, Path(corpus)) is None:
            self._journal.decide("the checkpoint is damaged", "trained again from the last good one")
            self._thread.forget()
            state = TrainingState.model_validate(self._thread.run(TrainingState(corpus=corpus)))
        if state.gave_up:
            # The report is delivered; the same command, run after the cause is mended, starts with fresh attempts.
            self._thread.forget()
        return state

    def search(self, corpus: str) -> list[Round]:
        """Run the trials of the spec's search, or find them done; return the rounds that have ended.

        The record in the build's folder is what a search that was cut off goes on from.
        """
        search = self._spec.search
        assert search is not None
        rounds = " and ".join(f"{tokens:,}" for tokens in lengths(self._spec))
        self._journal.say(f"searching: {search.trials} trials, in rounds of {rounds} tokens")
        ended = self._search(self._spec, Path(corpus), self._build)
        self._journal.decide(
            f"{search.trials} trials, {sum(each.tokens for each in ended):,} tokens", "; ".join(result_lines(ended))
        )
        return ended

    def teach(self, checkpoint: str, benchmark: str, corpus: str) -> str:
        """Teach a trained checkpoint the benchmark's training questions, or find it taught; return the new one.

        It begins anew where it was cut off: minutes, where a training takes hours.
        """
        assert self._spec.teach is not None
        folder, sources = self._taught, (Path(checkpoint), Path(benchmark), Path(corpus))
        if self._is_taught(folder, sources):
            return str(folder)
        shutil.rmtree(folder, ignore_errors=True)  # damaged, or of a checkpoint that was lost since
        self._journal.say(f"teaching: {self._spec.teach.tokens:,} tokens of questions and answers")
        figures = run_teaching(self._spec, *sources, folder, self._build)
        self._journal.decide(
            f"validation perplexity {figures['perplexity_before']:.2f} → {figures['perplexity_after']:.2f}, "
            f"loss of the answers {figures['loss']:.3f}",
            f"{figures['kept']:.0%} of what was learned is kept",
        )
        return str(folder)

    @staticmethod
    def _is_taught(folder: Path, sources: Sequence[Path]) -> bool:
        try:
            made_from = [entry.sha256 for entry in check_files(folder).inputs]
            return made_from == [sha256_file(manifest_path(source)) for source in sources]
        except ArtefactError:
            return False

    def _attempt(self, state: TrainingState) -> dict[str, Any]:
        attempt = Attempt(number=len(state.attempts) + 1, adjustments=state.adjustments)
        of = f"training attempt {attempt.number} of {self._spec.train.max_attempts}"
        self._journal.say(of, attempt=attempt.number)
        before = self._saved()
        try:
            result = self._launch(
                self._spec, Path(state.corpus), self._folder, self._build, state.adjustments, attempt.number
            )
        except AttemptFailed as failure:
            if state.attempts:
                self._journal.came(f"attempt {attempt.number} failed: {failure.diagnosis}")
            met = {"diagnosis": failure.diagnosis, "detail": failure.detail, "advanced": self._saved() > before}
            return {"attempts": [*state.attempts, attempt.model_copy(update=met)]}
        if state.attempts:
            self._journal.came(f"attempt {attempt.number} reached the last step")
        self._journal.decide(
            f"attempt {attempt.number} reached step {result.steps}",
            f"checkpoint of step {result.step}, validation perplexity {result.validation_perplexity:.2f}",
        )
        return {"attempts": [*state.attempts, attempt], "checkpoint": str(result.checkpoint)}

    def _next(self, state: TrainingState) -> Literal["repair", "__end__"]:
        return "__end__" if state.checkpoint else "repair"

    def _repair(self, state: TrainingState) -> dict[str, Any]:
        last = state.attempts[-1]
        assert last.diagnosis is not None
        saw = f"attempt {last.number} failed: {last.diagnosis} ({last.detail})"
        # Machines fail while a long training advances; that says nothing against it.
        counted = [each for each in state.attempts if each.diagnosis != "lost_worker" or not each.advanced]
        if len(counted) >= self._spec.train.max_attempts:
            self._journal.decide(saw, f"giving up after {len(state.attempts)} attempts")
            return {"gave_up": True}
        precision: Precision = "fp32" if self._spec.train.precision == "fp32" else "bf16"
        planned = chosen(self._spec, device_for(self._spec), precision)
        change = repair(last.diagnosis, state.adjustments, planned.micro_batch)
        if change is None:
            self._journal.decide(saw, "giving up: another attempt would fail alike")
            return {"gave_up": True}
        adjustments, words = change
        self._journal.decide(saw, f"trying again: {words}")
        return {"adjustments": adjustments}

    def _saved(self) -> str:
        """Return the name of the newest checkpoint, by which a later one sorts behind it; empty when there is none."""
        checkpoints = complete(TrainingPaths(self._folder).checkpoints)
        return checkpoints[-1].name if checkpoints else ""
