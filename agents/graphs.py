"""Running a LangGraph graph so that it goes on where it was, whatever was killed in between."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import StateGraph
from langgraph.types import Command
from pydantic import BaseModel

from slm.errors import DiskFullError

#: The only classes that a graph's checkpoint may hold besides plain values.
_STATE_CLASSES = [
    ("agents.plan", "Changes"),
    ("agents.plan", "Found"),
    ("agents.state", "Attempt"),
    ("agents.state", "Decision"),
    ("agents.state", "Iteration"),
    ("slm.evaluation.gates", "Gate"),
    ("slm.training.outcome", "Adjustments"),
]


def prune(database: Path) -> None:
    """Delete a finished graph's checkpoints but the newest of each thread, which it may be asked for again.

    Of a database that somebody is writing in, nothing is deleted: this only tidies.
    """
    with (
        contextlib.suppress(sqlite3.OperationalError),
        contextlib.closing(sqlite3.connect(database, timeout=1)) as connection,
    ):
        newest = "SELECT MAX(checkpoint_id) FROM checkpoints GROUP BY thread_id, checkpoint_ns"  # they sort by time
        with connection:
            for table in ("checkpoints", "writes"):
                connection.execute(f"DELETE FROM {table} WHERE checkpoint_id NOT IN ({newest})")
        connection.execute("VACUUM")


class Thread:
    """One graph's run over a build, checkpointed after every node in an SQLite file of its own."""

    def __init__(self, graph: StateGraph[Any], database: Path, name: str) -> None:
        """Open (or make) ``database``; ``name`` tells this run from others in it."""
        database.parent.mkdir(parents=True, exist_ok=True)
        # Ray runs an actor's calls on threads of its choosing.
        self._connection = sqlite3.connect(database, check_same_thread=False, timeout=30)
        serializer = JsonPlusSerializer(allowed_msgpack_modules=_STATE_CLASSES)
        self._saver = SqliteSaver(self._connection, serde=serializer)
        self._app = graph.compile(checkpointer=self._saver)
        self._name = name
        # LangGraph's default of 25 steps is less than a build with retries may take.
        self._config: Any = {"configurable": {"thread_id": name}, "recursion_limit": 200}

    def run(self, initial: BaseModel, answer: Any = None) -> dict[str, Any]:
        """Run to the end or to the next interrupt, and return the state's values.

        A thread that was cut off goes on with the node it was in; one that waits at an interrupt goes on when there is
        an ``answer``; one that has ended returns its last state.
        """
        try:
            return self._run(initial, answer)
        except sqlite3.OperationalError as error:
            if "full" in str(error):
                raise DiskFullError(
                    "The disk that holds the build's state is full.",
                    "Free some space and run the same command again; it continues where it was.",
                ) from error
            raise

    def _run(self, initial: BaseModel, answer: Any) -> dict[str, Any]:
        state = self._app.get_state(self._config)
        if not state.values:
            self._app.invoke(initial, self._config)
        elif state.interrupts:
            if answer is not None:
                self._app.invoke(Command(resume=answer), self._config)
        elif state.next:
            self._app.invoke(None, self._config)
        return self.values()

    def values(self) -> dict[str, Any]:
        """Return the state's values as they are; empty before the first :meth:`run`."""
        return dict(self._app.get_state(self._config).values)

    def waits(self) -> bool:
        """Whether the thread stands at an interrupt."""
        return bool(self._app.get_state(self._config).interrupts)

    def back_to(self, node: str, values: dict[str, Any]) -> None:
        """Rewind an ended thread: the next :meth:`run` goes on after ``node``, with ``values`` changed."""
        self._app.update_state(self._config, values, as_node=node)

    def forget(self) -> None:
        """Delete the thread, so that the next :meth:`run` starts afresh."""
        self._saver.delete_thread(self._name)
