"""A real LangGraph thread on a real SQLite file, cut off where it hurts."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel

from agents.graphs import Thread, prune
from agents.state import Attempt
from slm.training.outcome import Adjustments


class State(BaseModel):
    steps: list[str] = []
    attempts: list[Attempt] = []


def graph(log: list[str], fail_in: str = "") -> StateGraph[Any]:
    def node(name: str) -> Any:
        def run(state: State) -> dict[str, Any]:
            log.append(name)
            if name == fail_in:
                raise RuntimeError("cut off")
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


def test_it_goes_on_with_the_node_it_was_in_and_repeats_none_before(tmp_path: Path) -> None:
    log: list[str] = []
    with pytest.raises(RuntimeError, match="cut off"):
        Thread(graph(log, fail_in="two"), tmp_path / "g.sqlite", "t").run(State())
    waiting = Thread(graph(log), tmp_path / "g.sqlite", "t")
    assert waiting.run(State())["steps"] == ["one", "two"]
    assert waiting.waits()
    assert log == ["one", "two", "two", "ask"]
    # Another process asks again, without an answer: nothing moves.
    assert Thread(graph(log), tmp_path / "g.sqlite", "t").run(State())["steps"] == ["one", "two"]
    ended = Thread(graph(log), tmp_path / "g.sqlite", "t")
    values = ended.run(State(), "yes")
    assert values["steps"] == ["one", "two", "ask:yes", "last"]
    assert [type(a) for a in values["attempts"]] == [Attempt] * 3
    assert not ended.waits()
    before = list(log)
    assert ended.run(State())["steps"] == values["steps"]
    assert log == before


def test_an_ended_thread_is_as_good_when_its_old_checkpoints_are_pruned(tmp_path: Path) -> None:
    log: list[str] = []
    thread = Thread(graph(log), tmp_path / "g.sqlite", "t")
    other = Thread(graph(log), tmp_path / "g.sqlite", "waiting")
    thread.run(State())
    ended = thread.run(State(), "yes")
    other.run(State())

    def rows() -> list[int]:
        with contextlib.closing(sqlite3.connect(tmp_path / "g.sqlite")) as connection:
            tables = ("checkpoints", "writes")
            return [connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in tables]

    before = rows()
    prune(tmp_path / "g.sqlite")
    assert rows()[0] == 2 < before[0] and rows()[1] < before[1]
    again = Thread(graph(log), tmp_path / "g.sqlite", "t")
    assert again.run(State()) == ended
    log.clear()
    again.back_to("ask", {"steps": ["rewound"]})
    assert again.run(State())["steps"] == ["rewound", "last"]
    # What waits for an answer still does.
    waiting = Thread(graph(log), tmp_path / "g.sqlite", "waiting")
    assert waiting.waits()
    assert waiting.run(State(), "no")["steps"] == ["one", "two", "ask:no", "last"]
    with sqlite3.connect(tmp_path / "g.sqlite") as connection:
        connection.execute("BEGIN EXCLUSIVE")
        prune(tmp_path / "g.sqlite")


def test_an_ended_thread_can_be_rewound_and_forgotten(tmp_path: Path) -> None:
    log: list[str] = []
    thread = Thread(graph(log), tmp_path / "g.sqlite", "t")
    thread.run(State())
    thread.run(State(), "yes")
    log.clear()
    thread.back_to("ask", {"steps": ["rewound"]})
    assert thread.run(State())["steps"] == ["rewound", "last"]
    assert log == ["last"]
    thread.forget()
    log.clear()
    assert thread.run(State())["steps"] == ["one", "two"]
    assert log == ["one", "two", "ask"]
