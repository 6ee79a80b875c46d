"""Running a LangGraph graph so that it goes on where it was, whatever was killed in between."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from langgraph.checkpoint.base import id as ids
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import StateGraph
from langgraph.types import Command
from pydantic import BaseModel

from agents.stores import store_of
from slm.layout import Layout

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


class Thread:
    """One graph's run over an iteration of a build, checkpointed after every node (:mod:`agents.stores`)."""

    def __init__(self, graph: StateGraph[Any], layout: Layout, build: str, agent: str, iteration: int = 1) -> None:
        """Name the run; where its state is kept is looked at when it is first asked for."""
        self._graph, self._layout = graph, layout
        self._build, self._agent, self._iteration = build, agent, iteration
        self._app: Any = None

    @contextlib.contextmanager
    def _open(self) -> Iterator[None]:
        """Open the store, unless it is open, and have what goes wrong with it said in words.

        Not in the constructor: what an actor's raises comes out of Ray as the death of an actor.
        """
        if self._app is None:
            store = store_of(self._layout, self._build)
            serializer = JsonPlusSerializer(allowed_msgpack_modules=_STATE_CLASSES)
            with store.guarded():
                self._saver = store.saver(self._agent, self._iteration, serializer)
                self._name = store.thread(self._agent, self._iteration)
                # LangGraph's default of 25 steps is less than a build with retries may take.
                self._config: Any = {"configurable": {"thread_id": self._name}, "recursion_limit": 200}
                self._set_behind_the_newest()
            self._store = store
            self._app = self._graph.compile(checkpointer=self._saver)
        with self._store.guarded():
            yield

    def _set_behind_the_newest(self) -> None:
        """Have this process' checkpoints sort behind those that are there.

        LangGraph goes by their names, which begin with the time. It sees to the order in one process; a machine whose
        clock was set back since would otherwise write checkpoints that are never the newest.
        """
        if newest := self._saver.get_tuple(self._config):
            before: int = ids._last_v6_timestamp or 0
            ids._last_v6_timestamp = max(before, ids.UUID(newest.checkpoint["id"]).time)  # type: ignore[assignment]

    def run(self, initial: BaseModel, answer: Any = None) -> dict[str, Any]:
        """Run to the end or to the next interrupt, and return the state's values.

        A thread that was cut off goes on with the node it was in; one that waits at an interrupt goes on when there is
        an ``answer``; one that has ended returns its last state.

        :raises StateError: when the state cannot be read or kept.
        :raises DiskFullError: when there is no room for it.
        """
        with self._open():
            return self._run(initial, answer)

    def _run(self, initial: BaseModel, answer: Any) -> dict[str, Any]:
        state = self._app.get_state(self._config)
        following: Any = None
        if not state.values:
            following = initial
        elif state.interrupts and answer is not None:
            following = Command(resume=answer)
        elif state.interrupts or not state.next:
            return dict(state.values)
        # No node begins before what the one before it did is kept.
        self._app.invoke(following, self._config, durability="sync")
        return self.values()

    def values(self) -> dict[str, Any]:
        """Return the state's values as they are; empty before the first :meth:`run`."""
        with self._open():
            return dict(self._app.get_state(self._config).values)

    def waits(self) -> bool:
        """Whether the thread stands at an interrupt."""
        with self._open():
            return bool(self._app.get_state(self._config).interrupts)

    def back_to(self, node: str, values: dict[str, Any]) -> None:
        """Rewind an ended thread: the next :meth:`run` goes on after ``node``, with ``values`` changed."""
        with self._open():
            self._app.update_state(self._config, values, as_node=node)

    def forget(self) -> None:
        """Delete the thread, so that the next :meth:`run` starts afresh."""
        with self._open():
            self._saver.delete_thread(self._name)
