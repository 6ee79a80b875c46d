"""The Manager: carries one build through specify → prepare → train → evaluate → review → commit → export.

``python -m agents.manager [SPEC]`` starts or continues a build. The Manager's graph is checkpointed after every stage,
and every stage finds what it has done already, so the same command goes on wherever the last one was cut off.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt

from agents import cluster, console
from agents.builds import exclusive, finished, load_build, read_state, record_failure, write_state
from agents.cluster import Remote
from agents.data_agent import DataAgent
from agents.graphs import Thread
from agents.journal import EventTail, Journal
from agents.questions import ask_all
from agents.registry import Accepted, Registry
from agents.reviewer_agent import ReviewerAgent
from agents.state import BuildState, CorpusState, Decision, ReviewState, TrainingState
from agents.training_agent import TrainingAgent
from slm.errors import ArtefactError, AutonError, BuildError, Interrupted, TrainingError
from slm.evaluation.figures import Evaluation
from slm.export import publish
from slm.files import read_json, write_json
from slm.layout import Layout, here
from slm.lineage import check_files
from slm.spec import BuildSpec
from slm.spec_file import load_spec
from slm.training.plan import plan

DEFAULT_SPEC = Path("specs/builds/nano.yaml")

#: What a finished command says to a shell.
EXIT = {"accepted": 0, "failed": 1, "rejected": 3, "waiting": 4}


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
        self._ensure_corpus()
        trained: TrainingState = self._agent(TrainingAgent).call("train", state.corpus)
        if trained.gave_up:
            tried = "\n".join(f"  {a.number}. {a.diagnosis}: {a.detail}" for a in trained.attempts)
            raise TrainingError(
                f"Training of {self._id} failed; what was tried:\n{tried}",
                "Mend the cause or change the spec; the same command starts with fresh attempts from the last "
                "good checkpoint.",
            )
        return self._entering("evaluate", state, attempts=trained.attempts, checkpoint=trained.checkpoint)

    def _evaluate(self, state: BuildState) -> dict[str, Any]:
        self._ensure_corpus()
        self._agent(TrainingAgent).call("train", state.corpus)  # at once, unless its checkpoint has been lost since
        review: ReviewState = self._agent(ReviewerAgent).call("review", state.checkpoint, state.corpus)
        return self._entering("review", state, gates=review.gates, reasons=review.reasons)

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
        publish(
            Path(state.checkpoint), Path(state.corpus), list(self._spec.export.gguf), folder, self._journal.progress
        )
        exports = sorted(str(path) for path in folder.glob("*.gguf"))
        self._journal.decide("parity with the checkpoint holds", f"published {len(exports)} GGUF files")
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


def run_build(spec: BuildSpec, layout: Layout, address: str | None, decision: Decision | None = None) -> BuildState:
    """Start or continue a build on Ray, showing its progress; return how it stands then.

    :raises BuildError: when another process runs this build.
    """
    folder = layout.build(spec.build_id)
    with exclusive(folder):
        write_json(folder / "spec.json", spec.model_dump(mode="json"))
        if decision is None and (done := finished(spec, layout)) is not None:
            print(f"build {spec.build_id} was finished before: everything is done", flush=True)
            return done
        if (folder / "build.json").exists():
            write_state(folder, read_state(folder).model_copy(update={"state": "running", "error": ""}))
        tail = EventTail(folder)
        with console.Follower() as follower:
            follower.say(f"build {spec.build_id} in {layout.build(spec.build_id)}")
            follower.say(f"connected to {cluster.connect(address, layout)}")
            interrupted = cluster.catch_interrupts()
            try:
                manager = Remote(
                    Manager,
                    f"{spec.build_id}/Manager",
                    str(layout.home),
                    spec.model_dump(mode="json"),
                    spec.review,
                )
                pending = manager.start("run", decision.model_dump() if decision else None)
                while True:
                    with contextlib.suppress(TimeoutError):
                        state: BuildState = manager.result(pending, timeout=0.5)
                        follower.show(tail)
                        return state
                    follower.show(tail)
                    if interrupted():
                        raise Interrupted("Interrupted.", "The same command continues where it was.")
            except Interrupted:
                raise
            except AutonError as error:
                follower.show(tail)
                record_failure(folder, error)
                raise
            finally:
                cluster.disconnect()


def main(argv: Sequence[str] | None = None) -> int:
    """Build, or continue a build; exit 0 accepted, 3 rejected, 4 waiting for review, 1 failed, 2 a wrong spec."""
    parser = argparse.ArgumentParser(prog="python -m agents.manager", description=main.__doc__)
    parser.add_argument("spec", nargs="?", type=Path, help=f"the build spec; without one, {DEFAULT_SPEC}")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="a.b=c", help="override a key")
    parser.add_argument("--address", metavar="auto|local|HOST", help="the Ray cluster; local starts one here")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    parser.add_argument("--review", choices=["auto", "manual"], help="who decides; overrides the spec")
    parser.add_argument("--resume", metavar="BUILD", help="continue this build instead of reading a spec")
    arguments = parser.parse_args(argv)
    return console.guarded(lambda: _main(arguments))


def _main(arguments: argparse.Namespace) -> int:
    layout = here()
    if arguments.resume:
        if arguments.spec or arguments.overrides:
            raise BuildError("--resume continues a build as it was specified.", "Leave out the spec and --set.")
        spec = load_build(layout, arguments.resume)
    else:
        spec = load_spec(arguments.spec or DEFAULT_SPEC, arguments.overrides)
    if arguments.review:
        spec = spec.model_copy(update={"review": arguments.review})
    if arguments.dry_run:
        console.show_plan(spec, plan(spec))
        return 0
    return finish(spec, layout, arguments.address)


def finish(spec: BuildSpec, layout: Layout, address: str | None, decision: Decision | None = None) -> int:
    """Run a build and show where it ended; an accepted one is served and asked the spec's questions."""
    state = run_build(spec, layout, address, decision)
    answers = []
    if state.state == "accepted" and spec.questions:
        answers = ask_all(layout.export(spec.build_id), layout.build(spec.build_id), spec.questions)
    console.show_build(state, layout, answers)
    return EXIT[state.state]


if __name__ == "__main__":
    # Actors must be of the importable module's classes, not of this nameless script's.
    from agents.manager import main as main_of_module

    sys.exit(main_of_module())
