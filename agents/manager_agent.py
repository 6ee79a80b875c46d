"""The Manager: specify → prepare → search → train → teach → evaluate → review → commit → export.

Its graph is checkpointed after every stage, and every stage finds what it has done already. What is rejected may be
iterated: an iteration is the same build with a changed plan (:mod:`agents.iterate`), and has a folder, agents and
graphs of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt

from agents.advice.hosted import check_ready
from agents.builds import write_state
from agents.cluster import Remote
from agents.data_agent import DataAgent
from agents.graphs import Thread
from agents.iterate import comparison, decide, first, look, searched
from agents.journal import Journal
from agents.plan import planned
from agents.registry import Accepted, Registry
from agents.reviewer_agent import ReviewerAgent
from agents.state import BuildState, CorpusState, Decision, ReviewState, TrainingState
from agents.stores import agree, store_of
from agents.tables import compile_tables
from agents.training_agent import TrainingAgent
from agents.trials import Round
from slm.errors import ArtefactError, TrainingError
from slm.evaluation.figures import Evaluation, SplitScore
from slm.export.publish import publish
from slm.files import read_json
from slm.layout import Layout
from slm.lineage import check_files
from slm.spec import BuildSpec

#: How a training fails of its plan, rather than of its data or its machine.
_OF_A_PLAN = ("diverged", "exploded", "stalled")


class Manager:
    """The Manager's graph, in an actor; it calls the other agents, each in an actor of its own."""

    def __init__(
        self, home: str, spec: dict[str, Any], review: Literal["auto", "manual"], hire: Callable[..., Any] = Remote
    ) -> None:
        """Take the home folder and the build spec as plain values; ``review`` overrides nothing once it waits.

        :param hire: brings an agent to work: its class, its name, and what its class takes.
        """
        self._layout = Layout(Path(home))
        self._spec = self._plan = BuildSpec.model_validate(spec)
        self._iteration, self._searching = 1, False
        self._hire = hire
        self._id = self._spec.build_id
        self._folder = self._layout.build(self._id)
        self._journal = Journal(self._folder, "manager")
        self._agents: dict[type, Any] = {}
        self._answering = False
        self._initial = BuildState(build=self._id, spec=self._spec.name, review=review)
        graph = StateGraph(BuildState)
        stages = {
            "specify": self._specify,
            "prepare": self._prepare,
            "search": self._search,
            "train": self._train,
            "teach": self._teach,
            "evaluate": self._evaluate,
            "review": self._review,
            "commit": self._commit,
            "export": self._export,
        }
        for name, stage in stages.items():
            graph.add_node(name, self._with_plan(stage))
        for before, after in zip([START, *stages], [*stages, END], strict=True):
            if before not in ("train", "review"):
                graph.add_edge(before, after)
        graph.add_node("iterate", self._with_plan(self._iterate))
        for before, next_ones in (
            ("train", ["teach", "iterate"]),
            ("review", ["commit", "iterate", END]),
            ("iterate", ["prepare", END]),
        ):
            graph.add_conditional_edges(
                before, lambda state: END if state.state == "rejected" else state.stage, next_ones
            )
        self._thread = Thread(graph, self._layout, self._id, "manager")

    def run(self, decision: dict[str, Any] | None = None, store: str = "") -> BuildState:
        """Carry the build on as far as it goes: to its end, or to where a person must decide.

        :param store: the database for graphs' state that the command names, as :func:`agents.stores.described` says it.
        """
        agree(store)
        self._answering = decision is not None
        if (
            decision
            and self._thread.waits()
            and self._thread.values()["iteration"] != Decision.model_validate(decision).iteration
        ):
            decision = None  # taken before this process was killed; what waits now is another model
        state = BuildState.model_validate(self._thread.run(self._initial, decision))
        if state.state == "accepted":
            self._turn_to(state)
            state = self._mend(state)
        if self._thread.waits():
            state = state.model_copy(update={"state": "waiting", "stage": "review"})
        self._record(state)
        if state.state in ("accepted", "rejected"):
            store_of(self._layout, self._id).prune()
        return state

    def _specify(self, state: BuildState) -> dict[str, Any]:
        check_ready(self._spec.iterate.adviser)  # here, where it will be asked
        self._journal.decide(
            f"spec {self._spec.name}: {self._spec.model.parameters / 1e6:.2f} M parameters, "
            f"{self._spec.train.tokens:,} training tokens",
            f"build {self._id}",
        )
        return self._entering("prepare", state)

    def _prepare(self, state: BuildState) -> dict[str, Any]:
        corpus: CorpusState = self._agent(DataAgent).call("prepare")
        found = {"corpus": corpus.corpus, "benchmark": self._benchmark(corpus.corpus)}
        return self._entering("search" if self._searches(state) else "train", state, **found)

    def _searches(self, state: BuildState) -> bool:
        return self._spec.search is not None and not state.iterations

    def _search(self, state: BuildState) -> dict[str, Any]:
        if not self._searches(state):
            return self._entering("train", state)

        def run() -> list[Round]:
            self._ensure_corpus()
            ended: list[Round] = self._agent(TrainingAgent).call("search", state.corpus)
            return ended

        begins = searched(self._spec, self._layout, run, self._journal)
        return self._entering("train", state, plan=begins.changes, iterations=[begins])

    def _train(self, state: BuildState) -> dict[str, Any]:
        trained = self._asked_to_train(state)
        if trained.gave_up and self._spec.iterate.max_iterations > 1 and trained.attempts[-1].diagnosis in _OF_A_PLAN:
            last = trained.attempts[-1]
            reasons = [f"training failed: {last.diagnosis}: {last.detail}"]
            return self._entering("iterate", state, attempts=trained.attempts, reasons=reasons)
        trained = self._succeeded(trained)
        return self._entering("teach", state, attempts=trained.attempts, checkpoint=trained.checkpoint)

    def _teach(self, state: BuildState) -> dict[str, Any]:
        if self._plan.teach is None:
            return self._entering("evaluate", state)
        trained = self._succeeded(self._asked_to_train(state))  # the checkpoint may have been lost since
        return self._entering("evaluate", state, attempts=trained.attempts, checkpoint=self._taught(state, trained))

    def _asked_to_train(self, state: BuildState) -> TrainingState:
        """Have the training done: at once where its checkpoint is there and whole."""
        self._ensure_corpus()
        trained: TrainingState = self._agent(TrainingAgent).call("train", state.corpus)
        return trained

    def _succeeded(self, trained: TrainingState) -> TrainingState:
        """Return a training that has ended.

        :raises TrainingError: when the agent gave up.
        """
        if trained.gave_up:
            tried = "\n".join(f"  {a.number}. {a.diagnosis}: {a.detail}" for a in trained.attempts)
            raise TrainingError(
                f"Training of {self._id} failed; what was tried:\n{tried}",
                "Mend the cause or change the spec; the same command starts with fresh attempts from the last "
                "good checkpoint.",
            )
        return trained

    def _benchmark(self, corpus: str) -> str:
        """Have the benchmark made, or found, or, lost since, made again; empty where none is asked for."""
        if self._plan.benchmark is None:
            return ""
        made: str = self._agent(DataAgent).call("benchmark", corpus)
        return made

    def _taught(self, state: BuildState, trained: TrainingState) -> str:
        """Have the trained checkpoint taught where the spec asks for it; return what is to be judged."""
        if self._plan.teach is None:
            return trained.checkpoint
        benchmark = self._benchmark(state.corpus)
        taught: str = self._agent(TrainingAgent).call("teach", trained.checkpoint, benchmark, state.corpus)
        return taught

    def _evaluate(self, state: BuildState) -> dict[str, Any]:
        trained = self._succeeded(self._asked_to_train(state))  # the checkpoint may have been lost since
        checkpoint = self._taught(state, trained)
        review: ReviewState = self._agent(ReviewerAgent).call(
            "review", checkpoint, state.corpus, self._benchmark(state.corpus)
        )
        found = {"attempts": trained.attempts, "checkpoint": checkpoint}
        return self._entering("review", state, **found, gates=review.gates, reasons=review.reasons)

    def _review(self, state: BuildState) -> dict[str, Any]:
        failed = [gate.name for gate in state.gates if not gate.passed]
        found: dict[str, Any] = {}
        if state.iterations:
            history = look(state, self._spec, self._layout, self._journal, self._validated(state)).history
            self._journal.came(comparison(history))
            found["iterations"] = history
        # What this command says, not what the one that began the build said.
        if self._initial.review == "auto" and not self._answering:
            if failed:
                self._journal.decide(f"gates failed: {', '.join(failed)}", "rejected; nothing is committed")
                return self._rejected(state, **found)
            return self._entering("commit", state, **found)
        decision = Decision.model_validate(interrupt({"gates": [gate.model_dump(mode="json") for gate in state.gates]}))
        verdict = "approved" if decision.approved else "rejected"
        saw = f"gates failed: {', '.join(failed)}" if failed else "all gates passed"
        because = f": {decision.reason}" if decision.reason else ""
        self._journal.decide(saw, f"{verdict}{because}", by=decision.by)
        if not decision.approved:
            reasons = [*state.reasons, f"{decision.by}: {decision.reason}"]
            return self._rejected(state, **found, decision=decision, reasons=reasons)
        return self._entering("commit", state, **found, decision=decision)

    def _rejected(self, state: BuildState, **values: Any) -> dict[str, Any]:
        """End the build, or let it try another plan where the spec and whoever rejected it allow that."""
        decision: Decision | None = values.get("decision")
        if self._spec.iterate.max_iterations > 1 and not (decision and decision.final):
            return self._entering("iterate", state, **values)
        return self._entering("done", state, state="rejected", **values)

    def _iterate(self, state: BuildState) -> dict[str, Any]:
        if not state.checkpoint and state.iterations:
            self._journal.came("training failed")
        iterations, ending = decide(state, self._spec, self._layout, self._journal, self._validated(state))
        if ending:
            reasons = [*state.reasons, f"no further iteration: {ending}"]
            return self._entering("done", state, state="rejected", iterations=iterations, reasons=reasons)
        following = iterations[-1]
        afresh: dict[str, Any] = {
            "corpus": "",
            "benchmark": "",
            "checkpoint": "",
            "attempts": [],
            "gates": [],
            "reasons": [],
            "decision": None,
        }
        plan = {"iteration": following.number, "plan": following.changes, "iterations": iterations}
        return self._entering("prepare", state, **afresh, **plan)

    def _validated(self, state: BuildState) -> SplitScore | None:
        """Have the iteration's checkpoint scored on the validation split; nothing where there is none to score."""
        if not state.checkpoint:
            return None
        self._ensure_corpus()
        try:
            score: SplitScore = self._agent(ReviewerAgent).call("validate", state.checkpoint, state.corpus)
            return score
        except ArtefactError as error:  # it does not load, which is why it was rejected, or was damaged since
            self._journal.say(f"the checkpoint cannot be scored: {error.what}")
            return None

    def _commit(self, state: BuildState) -> dict[str, Any]:
        place = self._layout.iteration(self._id, state.iteration)
        evaluation = Evaluation.model_validate(read_json(place / "evaluation.json"))
        accepted = Accepted(
            build=self._id,
            spec=self._plan,
            checkpoint=Path(state.checkpoint),
            evaluation=evaluation,
            gates=state.gates,
            attempts=state.attempts,
            decision=state.decision,
            iteration=state.iterations[-1] if state.iterations else first(self._spec),
        )
        commit = Registry(self._layout.registry).commit(accepted)
        self._journal.decide("accepted", f"commit {commit[:10]}, tag {self._id}")
        model = str(self._layout.registry / self._spec.name)
        return self._entering("export", state, commit=commit, tag=self._id, model=model)

    def _export(self, state: BuildState) -> dict[str, Any]:
        folder = self._layout.export(self._id)
        self._ensure_corpus()
        formats, edition = list(self._plan.export.gguf), self._plan.corpus.edition
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

    def _with_plan(self, stage: Callable[[BuildState], dict[str, Any]]) -> Any:
        """Return a stage that finds the plan of the iteration it is in, also after a restart."""

        def run(state: BuildState) -> dict[str, Any]:
            self._turn_to(state)
            return stage(state)

        return run

    def _turn_to(self, state: BuildState) -> None:
        plan = planned(self._spec, state.plan)
        if (state.iteration, plan) != (self._iteration, self._plan):
            self._agents.clear()  # theirs is another plan; an actor ends with its last handle
        self._iteration, self._plan = state.iteration, plan
        self._searching = self._searches(state)

    def _agent(self, kind: type[Any]) -> Any:
        if kind not in self._agents:
            # A name of its own for each plan: an actor may linger after its last handle.
            of = "/search" if self._searching else "" if self._iteration == 1 else f"/{self._iteration}"
            self._agents[kind] = self._hire(
                kind,
                f"{self._id}{of}/{kind.__name__}",
                str(self._layout.home),
                self._plan.model_dump(mode="json"),
                build=self._id,
                iteration=self._iteration,
            )
        return self._agents[kind]
