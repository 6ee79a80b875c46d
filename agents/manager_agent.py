"""The Manager: carries one build through specify → prepare → train → evaluate → review → commit → export.

Its graph is checkpointed after every stage, and every stage finds what it has done already.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt

from agents.builds import write_state
from agents.cluster import Remote
from agents.data_agent import DataAgent
from agents.graphs import Thread
from agents.journal import Journal
from agents.registry import Accepted, Registry
from agents.reviewer_agent import ReviewerAgent
from agents.state import BuildState, CorpusState, Decision, ReviewState, TrainingState
from agents.tables import compile_tables
from agents.training_agent import TrainingAgent
from slm.errors import ArtefactError, TrainingError
from slm.evaluation.figures import Evaluation
from slm.export.publish import publish
from slm.files import read_json
from slm.layout import Layout
from slm.lineage import check_files
from slm.spec import BuildSpec


class Manager:
    """The Manager's graph, in an actor; it calls the other agents, each in an actor of its own."""

    def __init__(self, home: str, spec: dict[str, Any], review: Literal["auto", "manual"]) -> None:
        """Take the home folder and the build spec as plain values; ``review`` overrides nothing once it waits."""
        self._layout = Layout(Path(home))
        self._spec = BuildSpec.model_validate(spec)
        self._id = self._spec.build_id
        self._folder = self._layout.build(self._id)
        self._journal = Journal(self._folder, "manager")
        self._agents: dict[type, Remote[Any]] = {}
        self._answering = False
        self._initial = BuildState(build=self._id, spec=self._spec.name, review=review)
        graph = StateGraph(BuildState)
        stages = {
            "specify": self._specify,
            "prepare": self._prepare,
            "train": self._train,
            "evaluate": self._evaluate,
            "review": self._review,
            "commit": self._commit,
            "export": self._export,
        }
        for name, stage in stages.items():
            graph.add_node(name, stage)
        for before, after in zip([START, *stages], [*stages, END], strict=True):
            if before != "review":
                graph.add_edge(before, after)
        graph.add_conditional_edges(
            "review", lambda state: END if state.state == "rejected" else "commit", ["commit", END]
        )
        self._thread = Thread(graph, self._folder / "graphs" / "manager.sqlite", "manager")

    def run(self, decision: dict[str, Any] | None = None) -> BuildState:
        """Carry the build on as far as it goes: to its end, or to where a person must decide."""
        self._answering = decision is not None
        state = BuildState.model_validate(self._thread.run(self._initial, decision))
        if state.state == "accepted":
            state = self._mend(state)
        if self._thread.waits():
            state = state.model_copy(update={"state": "waiting", "stage": "review"})
        self._record(state)
        return state

    def _specify(self, state: BuildState) -> dict[str, Any]:
        self._journal.decide(
            f"spec {self._spec.name}: {self._spec.model.parameters / 1e6:.2f} M parameters, "
            f"{self._spec.train.tokens:,} training tokens",
            f"build {self._id}",
        )
        return self._entering("prepare", state)

    def _prepare(self, state: BuildState) -> dict[str, Any]:
        corpus: CorpusState = self._agent(DataAgent).call("prepare")
        return self._entering("train", state, corpus=corpus.corpus)

    def _train(self, state: BuildState) -> dict[str, Any]:
        trained = self._trained(state)
        return self._entering("evaluate", state, attempts=trained.attempts, checkpoint=trained.checkpoint)

    def _trained(self, state: BuildState) -> TrainingState:
        """Have the training done: at once where its checkpoint is there and whole.

        :raises TrainingError: when the agent gave up.
        """
        self._ensure_corpus()
        trained: TrainingState = self._agent(TrainingAgent).call("train", state.corpus)
        if trained.gave_up:
            tried = "\n".join(f"  {a.number}. {a.diagnosis}: {a.detail}" for a in trained.attempts)
            raise TrainingError(
                f"Training of {self._id} failed; what was tried:\n{tried}",
                "Mend the cause or change the spec; the same command starts with fresh attempts from the last "
                "good checkpoint.",
            )
        return trained

    def _evaluate(self, state: BuildState) -> dict[str, Any]:
        trained = self._trained(state)  # the checkpoint may have been lost since
        review: ReviewState = self._agent(ReviewerAgent).call("review", trained.checkpoint, state.corpus)
        found = {"attempts": trained.attempts, "checkpoint": trained.checkpoint}
        return self._entering("review", state, **found, gates=review.gates, reasons=review.reasons)

    def _review(self, state: BuildState) -> dict[str, Any]:
        failed = [gate.name for gate in state.gates if not gate.passed]
        # What this command says, not what the one that began the build said.
        if self._initial.review == "auto" and not self._answering:
            if failed:
                self._journal.decide(f"gates failed: {', '.join(failed)}", "rejected; nothing is committed")
                return self._entering("done", state, state="rejected")
            return self._entering("commit", state)
        decision = Decision.model_validate(interrupt({"gates": [gate.model_dump(mode="json") for gate in state.gates]}))
        verdict = "approved" if decision.approved else "rejected"
        saw = f"gates failed: {', '.join(failed)}" if failed else "all gates passed"
        because = f": {decision.reason}" if decision.reason else ""
        self._journal.decide(saw, f"{verdict}{because}", by=decision.by)
        if not decision.approved:
            reasons = [*state.reasons, f"{decision.by}: {decision.reason}"]
            return self._entering("done", state, state="rejected", decision=decision, reasons=reasons)
        return self._entering("commit", state, decision=decision)

    def _commit(self, state: BuildState) -> dict[str, Any]:
        evaluation = Evaluation.model_validate(read_json(self._folder / "evaluation.json"))
        accepted = Accepted(self._spec, Path(state.checkpoint), evaluation, state.gates, state.attempts, state.decision)
        commit = Registry(self._layout.registry).commit(accepted)
        self._journal.decide("accepted", f"commit {commit[:10]}, tag {self._id}")
        model = str(self._layout.registry / self._spec.name)
        return self._entering("export", state, commit=commit, tag=self._id, model=model)

    def _export(self, state: BuildState) -> dict[str, Any]:
        folder = self._layout.export(self._id)
        self._ensure_corpus()
        formats, edition = list(self._spec.export.gguf), self._spec.corpus.edition
        compiler = None if edition else compile_tables  # the kernel's flat file needs no server
        checkpoint, corpus = Path(state.checkpoint), Path(state.corpus)
        publish(checkpoint, corpus, formats, folder, self._journal.progress, compiler, edition)
        exports = sorted(str(path) for path in [*folder.glob("*.gguf"), *folder.glob("*.flat")])
        self._journal.decide(
            "parity with the checkpoint holds", f"published {', '.join(Path(p).name for p in exports)}"
        )
        return self._entering("done", state, state="accepted", exports=exports)

    def _ensure_corpus(self) -> None:
        """Have a corpus that was lost or damaged since it was prepared made again; a whole one is found so."""
        self._agent(DataAgent).call("prepare")

    def _mend(self, state: BuildState) -> BuildState:
        """Commit, restore or publish again what has been lost or damaged since the build was accepted."""
        registry = Registry(self._layout.registry)
        tagged = registry.find(self._id) == state.commit
        if tagged and (damage := registry.damage(self._id, self._spec.name)):
            registry.restore(self._spec.name)
            self._journal.decide(f"the registry's model is damaged: {damage}", "restored from its commit")
        if not tagged:
            self._journal.decide("the registry lacks this build", "committed again")
            self._thread.back_to("review", {"state": "running", "stage": "commit"})
        else:
            try:
                check_files(self._layout.export(self._id))
                return state
            except ArtefactError as error:
                self._journal.decide(f"the export is damaged: {error.what}", "published again")
            self._thread.back_to("commit", {"state": "running", "stage": "export"})
        return BuildState.model_validate(self._thread.run(self._initial))

    def _entering(self, stage: str, before: BuildState, /, **values: Any) -> dict[str, Any]:
        """Record that ``stage`` comes next; return the graph's update."""
        update = {"stage": stage, **values}
        self._record(before.model_copy(update=update))
        return update

    def _record(self, state: BuildState) -> None:
        write_state(self._folder, state)

    def _agent(self, kind: type[Any]) -> Remote[Any]:
        if kind not in self._agents:
            arguments = (str(self._layout.home), self._spec.model_dump(mode="json"))
            self._agents[kind] = Remote(kind, f"{self._id}/{kind.__name__}", *arguments)
        return self._agents[kind]
