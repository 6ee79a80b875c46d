"""The DataAgent: prepares a build's corpus and says where it fell short of its spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langgraph.graph import END, START, StateGraph

from agents import cluster
from agents.graphs import Thread
from agents.journal import Journal
from agents.state import CorpusState
from slm import corpus
from slm.errors import ArtefactError, SpecError
from slm.evaluation.benchmark.prepared import prepare_benchmark
from slm.evaluation.benchmark.results import AVERAGED, OS_AVERAGE
from slm.files import read_json
from slm.layout import Layout
from slm.lineage import MANIFEST, check_files, read_manifest
from slm.spec import BuildSpec

#: What a good corpus has: few duplicates left, its vocabulary in use, and so many bytes a token.
MOST_DUPLICATES = 0.05
LEAST_COVERAGE = 0.80
DENSITY = (3.0, 5.0)


class DataAgent:
    """Graph: prepare → inspect. A finished stage of the corpus is never repeated, so running again costs little."""

    def __init__(self, home: str, spec: dict[str, Any], build: str | None = None, iteration: int = 1) -> None:
        """Take the home folder and the plan as plain values, and which iteration of which build it is."""
        self._layout = Layout(Path(home))
        self._spec = BuildSpec.model_validate(spec)
        build = build or self._spec.build_id
        self._journal = Journal(self._layout.build(build), "data")
        graph = StateGraph(CorpusState)
        graph.add_node("prepare", self._prepare)
        graph.add_node("inspect", self._inspect)
        graph.add_edge(START, "prepare")
        graph.add_edge("prepare", "inspect")
        graph.add_edge("inspect", END)
        self._thread = Thread(graph, self._layout, build, "data", iteration)

    def prepare(self) -> CorpusState:
        """Prepare the corpus, or find it prepared; one that has been lost or damaged since is made again."""
        state = CorpusState.model_validate(self._thread.run(CorpusState()))
        try:
            check_files(Path(state.corpus))
            return state
        except ArtefactError as error:
            self._journal.decide(f"the corpus is damaged: {error.what}", "prepared again")
        (Path(state.corpus) / MANIFEST).unlink(missing_ok=True)
        self._thread.forget()
        return CorpusState.model_validate(self._thread.run(CorpusState()))

    def benchmark(self, corpus: str) -> str:
        """Make the build's benchmark, or find it made, and return its folder.

        :raises SpecError: when a gate is on a figure that it has no questions for.
        """
        assert self._spec.benchmark is not None
        folder = prepare_benchmark(self._spec.benchmark, Path(corpus), self._layout, self._journal.progress)
        counted = read_manifest(folder).info["items"]
        if unasked := [figure for figure in self._spec.gates.benchmark if not _asked(figure, counted)]:
            sets = ", ".join(f"{task}/{name}" for task, found in counted.items() for name in found)
            raise SpecError(
                f"gates.benchmark: the benchmark asks nothing that would measure {', '.join(unasked)}.",
                f"It has {sets}; benchmark.newer and benchmark.device_tree add more.",
            )
        asked = ", ".join(f"{task} {sum(sets.values()):,}" for task, sets in counted.items())
        self._journal.decide(f"questions: {asked}", f"benchmark {folder.name}")
        return str(folder.resolve())

    def _prepare(self, state: CorpusState) -> dict[str, Any]:
        spec, layout = self._spec, self._layout
        folder = corpus.folder_for(spec.corpus, spec.model.vocab_size, layout.processed)
        corpus.build(spec.corpus, spec.model.vocab_size, layout.raw, folder, self._journal.progress, cluster.spread())
        return {"corpus": str(folder.resolve())}

    def _inspect(self, state: CorpusState) -> dict[str, Any]:
        folder = Path(state.corpus)
        check_files(folder)
        stats = read_json(folder / "stats.json")
        for decision in stats["decisions"]:
            self._journal.decide("the supply of text", decision)
        for note in stats["notes"]:
            self._journal.decide(note.rstrip("."), "used as it is")
        train = stats["splits"]["train"]
        remarks = self._remarks(stats)
        self._journal.decide(
            f"corpus of {train['tokens']:,} tokens from {train['documents']:,} documents",
            "as specified" if not remarks else "short, used as it is: " + "; ".join(remarks),
        )
        return {"remarks": remarks}

    def _remarks(self, stats: dict[str, Any]) -> list[str]:
        """Say where the corpus is not what was asked for, or not what a corpus should be."""
        train, remarks = stats["splits"]["train"], []
        for bucket, wanted in stats["mix"].items():
            share = train["buckets"].get(bucket, {"tokens": 0})["tokens"] / train["tokens"]
            # Documents are whole, so shares are met to within a large document, not exactly.
            if abs(share - wanted) > 0.02:
                remarks.append(f"{bucket} is {share:.1%} of the training text, not {wanted:.0%}")
        if train["tokens"] < 0.95 * self._spec.corpus.tokens:
            remarks.append(f"{train['tokens']:,} training tokens instead of {self._spec.corpus.tokens:,}")
        if (left := stats["duplicates_left"]) >= MOST_DUPLICATES:
            remarks.append(f"{left:.1%} of the documents still have a near-duplicate")
        if (used := stats["vocabulary_used"]) <= LEAST_COVERAGE:
            remarks.append(f"only {used:.0%} of the vocabulary is in use")
        if self._spec.corpus.edition is None and not DENSITY[0] <= stats["bytes_per_token"] <= DENSITY[1]:
            remarks.append(f"{stats['bytes_per_token']:.2f} bytes a token")
        return remarks


def _asked(figure: str, counted: dict[str, dict[str, int]]) -> bool:
    """Whether a benchmark with so many questions by task and set measures ``TASK/FIGURE`` or ``TASK/SET/FIGURE``."""
    if figure == OS_AVERAGE:
        return counted.keys() >= AVERAGED
    task, *name, _ = figure.split("/")
    return task in counted and all(each in counted[task] for each in name)
