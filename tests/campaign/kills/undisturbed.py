"""The miniature build that is killed, made once without a kill: what it must end in, and the points of its course."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from agents.journal import Journal
from slm.layout import Layout
from slm.model.files import MODEL_FILES
from slm.spec import BuildSpec
from tests.builds import miniature
from tests.data.corpus.make import write_corpus
from tests.home import Home

#: The smallest that passes its gates (a smaller one loops), with checkpoints enough to go on from.
STEPS, EVERY = 90, 10
#: Seconds after which a command counts as hung: many times what it takes where nothing else runs.
DEADLINE = 1800.0


def miniature_build(sources: Path) -> BuildSpec:
    """Return the spec; its corpus is below ``sources``, and written where it is missing."""
    if not (sources / "whole").exists():
        write_corpus(sources)
        (sources / "whole").touch()
    train = {"tokens": 64 * 8 * STEPS, "checkpoint_every": EVERY, "log_every": 1}
    gates = {"perplexity": 600, "distinct_trigrams": 0.0}
    return miniature(sources, train=train, gates=gates, export={"gguf": ["q8_0"]})


@dataclass(frozen=True)
class Point:
    """A moment in a build's course that every run of it has, and the seconds until the next such moment."""

    event: str
    #: This event and all that come after it: a quick machine may have less to say in between.
    onwards: frozenset[str]
    gap: float
    #: In the training, which says only some of its steps: the one that was logged.
    step: int = 0

    def reached(self, home: Home) -> bool:
        """Say whether a build is there, or farther."""
        return any(name in self.onwards for name, _ in first_events(home.run)) and home.step() >= self.step

    def __str__(self) -> str:
        return f"'{self.event}'{f' and step {self.step}' if self.step else ''}"


class Undisturbed:
    """A build that nothing happened to."""

    def __init__(self, folder: Path) -> None:
        """Make the build in ``folder``, or find it made."""
        self.spec = miniature_build(folder / "sources")
        self._home = Home(folder / "undisturbed", self.spec)
        for _ in range(5):  # on a busy machine Ray may not start at once, and a person tries again
            driver = self._home.start("agents.manager", str(self._home.path))
            out, _ = driver.communicate(timeout=DEADLINE)
            if "A local Ray did not start" not in out:
                break
        assert driver.returncode == 0, out
        self.points = list(self._points())
        self.files = files(self._home)
        self.decisions = decisions(self._home)

    def _points(self) -> Iterator[Point]:
        events = [*first_events(self._home.run), ("the end", 0.0)]
        for at, ((name, time), (_, following)) in enumerate(pairwise(events)):
            onwards, gap = frozenset(name for name, _ in events[at:]), max(0.5, following - time)
            steps = range(0, STEPS, EVERY) if name == "training: train begins" else range(1)
            for step in steps:
                yield Point(name, onwards, gap / len(steps), step)


def first_events(run: Path) -> Iterator[tuple[str, float]]:
    """Yield what a build has said and done so far, each kind once and with its time; figures and hashes left out."""
    path, known = run / "events.jsonl", set[str]()
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            event: dict[str, Any] = json.loads(line)
        except ValueError:  # being written
            continue
        if event["kind"] == "progress":
            what = f"{event['stage']} {'ends' if event['done'] >= event['total'] else 'begins'}"
        else:
            what = _plain(event["text"])
        name = f"{event['agent']}: {what}"
        if name not in known:
            known.add(name)
            yield name, event["time"]


def decisions(home: Home) -> set[tuple[str, str]]:
    """Return what a build's agents decided, figures and hashes left out."""
    entries = Journal(home.run, "test").entries()
    return {(entry.agent, f"{_plain(entry.saw)} → {_plain(entry.decided)}") for entry in entries}


def files(home: Home) -> dict[str, str]:
    """Return git's hashes of what the registry's newest commit has of the model itself."""
    listing = git(home, "ls-tree", "HEAD", f"{home.spec.name}/").splitlines()
    hashes = {
        name.rpartition("/")[2]: facts.split()[2] for facts, _, name in (line.partition("\t") for line in listing)
    }
    return {name: hashes.get(name, "missing") for name in (*MODEL_FILES, "spec.json")}


def git(home: Home, *arguments: str) -> str:
    """Run git in the registry; empty when that fails."""
    command = ["git", "-C", str(Layout(home.folder).registry), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _plain(text: str) -> str:
    return re.sub(r"\b[0-9a-f]{8,}\b|\d[\d,.]*", "#", text)
