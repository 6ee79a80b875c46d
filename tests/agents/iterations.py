"""A Manager whose agents work in this process, on real trainings and evaluations of a small real corpus."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agents.cluster import AttemptFailed
from agents.data_agent import DataAgent
from agents.manager_agent import Manager
from agents.search import train_round
from agents.state import CorpusState
from agents.training_agent import Search, TrainingAgent
from agents.trials import Record, Round, lengths, proposed
from slm.spec import BuildSpec
from slm.training.loop import train
from slm.training.outcome import Adjustments, Failure, TrainingPaths, TrainingResult
from tests.builds import miniature


def launch(
    spec: BuildSpec, corpus: Path, folder: Path, journal: Path, adjustments: Adjustments, attempt: int
) -> TrainingResult:
    """Run an attempt in this process."""
    paths = TrainingPaths(folder)
    paths.failure.unlink(missing_ok=True)
    try:
        return train(spec, corpus, folder, adjustments, device="cpu")
    except Exception as error:
        note: Failure | None = paths.noted()
        raise AttemptFailed(note.diagnosis if note else "unknown", str(error)) from error


def search(spec: BuildSpec, corpus: Path, folder: Path) -> list[Round]:
    """Run those rounds of a search that its record lacks in this process; none is stopped early."""
    record = Record(folder)
    ended = {(each.trial, each.round) for each in record.rounds()}
    for trial in proposed(spec):
        for number, tokens in enumerate(lengths(spec), 1):
            if (trial.number, number) not in ended:
                place = folder / "search" / f"{trial.number}-{number}"
                record.add(train_round(spec, trial, number, tokens, corpus, place, "cpu"))
    return record.rounds()


class Here:
    """An agent in this process, called as one in an actor is."""

    def __init__(self, agent: Any) -> None:
        self._agent = agent

    def call(self, method: str, *arguments: Any) -> Any:
        return getattr(self._agent, method)(*arguments)


class Prepared:
    """Gives every plan the same corpus."""

    def __init__(self, corpus: Path) -> None:
        self._corpus = corpus

    def prepare(self) -> CorpusState:
        return CorpusState(corpus=str(self._corpus))


def hiring(
    corpus: Path, asked: list[str], stop: Callable[[str], None] = lambda _: None, search: Search = search
) -> Callable[..., Here]:
    """Return what hires agents here; ``asked`` takes their names, ``stop`` may raise when one is hired."""

    def hire(kind: type[Any], name: str, home: str, spec: dict[str, Any], build: str, iteration: int) -> Here:
        asked.append(name)
        stop(name)
        if kind is DataAgent:
            return Here(Prepared(corpus))
        if kind is TrainingAgent:
            return Here(TrainingAgent(home, spec, launch, build=build, iteration=iteration, search=search))
        return Here(kind(home, spec, build=build, iteration=iteration))

    return hire


def copied(corpus: Path, folder: Path) -> Path:
    """Copy a corpus to where a home has its own."""
    return Path(shutil.copytree(corpus, folder / "datasets" / "processed" / "small"))


def small_build(folder: Path, train: dict[str, Any] | None = None, **settings: Any) -> BuildSpec:
    """Return a build for the small corpus that trains in a second or two, and never passes its gate unless told to."""
    tokens = 64 * 8 * 20
    quick = {"tokens": tokens, "evaluate_every": 10, "log_every": 1, "checkpoint_every": 10, **(train or {})}
    return miniature(folder / "unused", quick, vocab_size=1024, **{"gates": {"perplexity": 1.5}, **settings})


def manager(home: Path, spec: BuildSpec, corpus: Path, review: Any = "auto", **hired: Any) -> Manager:
    """Return a Manager of a build in ``home``."""
    return Manager(str(home), spec.model_dump(mode="json"), review, hiring(corpus, hired.pop("asked", []), **hired))
