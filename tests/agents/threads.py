"""A small graph in a thread of a build, and, as a program, one that is cut off in its second node.

``python -m tests.agents.threads HOME`` says ``two`` when it is there, and stays.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel

from agents.graphs import Thread
from agents.state import Attempt
from slm.layout import Layout
from slm.training.outcome import Adjustments

BUILD = "mini-12345678"


class Stranger(BaseModel):
    """A class that no graph of ours keeps."""

    word: str = "hello"


class State(BaseModel):
    steps: list[str] = []
    attempts: list[Attempt] = []
    odd: Any = None


def graph(enter: Callable[[str], None]) -> StateGraph[Any]:
    """Return one → two → ask → last; ``enter`` is told each node, and may raise."""

    def node(name: str) -> Any:
        def run(state: State) -> dict[str, Any]:
            enter(name)
            if name == "ask":
                return {"steps": [*state.steps, f"ask:{interrupt('?')}"]}
            attempt = Attempt(number=len(state.attempts) + 1, adjustments=Adjustments())
            return {"steps": [*state.steps, name], "attempts": [*state.attempts, attempt]}

        return run

    made = StateGraph(State)
    for name in ("one", "two", "ask", "last"):
        made.add_node(name, node(name))
    for before, after in [(START, "one"), ("one", "two"), ("two", "ask"), ("ask", "last"), ("last", END)]:
        made.add_edge(before, after)
    return made


def thread(
    home: Path, enter: Callable[[str], None], agent: str = "manager", iteration: int = 1, build: str = BUILD
) -> Thread:
    """Return a thread of a build in ``home``."""
    return Thread(graph(enter), Layout(home), build, agent, iteration)


def _stay(name: str) -> None:
    print(name, flush=True)
    if name == "two":
        time.sleep(600)


if __name__ == "__main__":
    thread(Path(sys.argv[1]), _stay).run(State())
