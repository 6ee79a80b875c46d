"""Where a build's graphs keep their state: SQLite files in its folder, or a PostgreSQL database that builds share.

``AUTON_STATE_URL`` in the environment of the process that runs a graph names the database. It may hold a password, so
it goes nowhere else: not into a spec, an argument, a file or an error's words.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from slm.errors import DiskFullError, StateError
from slm.layout import Layout

if TYPE_CHECKING:  # slow to import, and commands look at the URL
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.checkpoint.serde.base import SerializerProtocol

URL = "AUTON_STATE_URL"


class Store(Protocol):
    """Keeps the state of one build's graphs. What goes wrong inside :meth:`guarded` is said in a person's words."""

    def saver(self, agent: str, iteration: int, serializer: SerializerProtocol) -> BaseCheckpointSaver[Any]:
        """Open (or make) what keeps the checkpoints of an agent's graph."""

    def thread(self, agent: str, iteration: int) -> str:
        """Return what tells the graph's checkpoints from others that lie in the same place."""

    def prune(self) -> None:
        """Delete the checkpoints of all the build's graphs but the newest of each, if nothing is in the way of that."""

    def guarded(self) -> contextlib.AbstractContextManager[None]:
        """Turn what goes wrong with the place into a :class:`StateError` or :class:`DiskFullError`."""


def store_of(layout: Layout, build: str) -> Store:
    """Return where a build keeps its graphs' state, by this process' environment.

    :raises StateError: when the build began to keep it elsewhere, or the URL is none.
    """
    if url := os.environ.get(URL):
        if _databases(layout, build):
            raise StateError(
                f"The build {build} keeps its graphs' state in SQLite files, and {URL} names a PostgreSQL database.",
                f"Go on without {URL}, or delete {layout.build(build)} to begin anew.",
            )
        store: Store = _postgres().PostgresStore(url, layout.build(build))
        return store
    if (mark := layout.build(build) / "graphs" / "postgresql.json").exists():
        raise StateError(
            f"The build {build} keeps its graphs' state in a PostgreSQL database, and {URL} is not set.",
            f"Set it, in the environment in which this machine's Ray is started, to the database that {mark} names.",
        )
    return SqliteStore(layout, build)


def described() -> str:
    """Say which database this process' environment names, without a user or a password; empty when it names none.

    :raises StateError: when the URL is none.
    """
    url = os.environ.get(URL)
    return str(_postgres().described(url)) if url else ""


def agree(wanted: str) -> None:
    """Hold what a command's environment names against what this process' names, where the command names any.

    :param wanted: what :func:`described` returned in the command's process.
    :raises StateError: when they differ.
    """
    if wanted and wanted != (named := described()):
        raise StateError(
            f"{URL} names the database {wanted} for this command, and {named or 'none'} for Ray, which runs the build.",
            f"Start this machine's Ray again with {URL} in its environment, or run the command as Ray has it.",
        )


def _postgres() -> Any:
    try:
        from agents import postgres  # an extra, and slow to import
    except ImportError as error:
        raise StateError(
            f"{URL} asks for PostgreSQL, for which the package {error.name} is missing.",
            "Install it with `pip install -e '.[postgres]'`, or unset the variable to keep the state in files.",
        ) from error
    return postgres


def _databases(layout: Layout, build: str) -> list[Path]:
    folder = layout.build(build)
    return [*folder.glob("graphs/*.sqlite"), *folder.glob("iterations/*/graphs/*.sqlite")]


class SqliteStore:
    """A file for each graph, in the folder of its iteration."""

    def __init__(self, layout: Layout, build: str) -> None:
        """Name the build; nothing is touched yet."""
        self._layout, self._build = layout, build

    def saver(self, agent: str, iteration: int, serializer: SerializerProtocol) -> BaseCheckpointSaver[Any]:
        """Open (or make) the agent's file."""
        from langgraph.checkpoint.sqlite import SqliteSaver

        database = self._layout.iteration(self._build, iteration) / "graphs" / f"{agent}.sqlite"
        database.parent.mkdir(parents=True, exist_ok=True)
        # Ray runs an actor's calls on threads of its choosing.
        return SqliteSaver(sqlite3.connect(database, check_same_thread=False, timeout=30), serde=serializer)

    def thread(self, agent: str, iteration: int) -> str:
        """Return the agent's name: nothing else is in its file."""
        return agent

    def prune(self) -> None:
        """Delete checkpoints but the newest; of a file that somebody is writing in, nothing is deleted."""
        for database in _databases(self._layout, self._build):
            with (
                contextlib.suppress(sqlite3.Error),
                contextlib.closing(sqlite3.connect(database, timeout=1)) as connection,
            ):
                # Their names sort by time.
                newest = "SELECT MAX(checkpoint_id) FROM checkpoints GROUP BY thread_id, checkpoint_ns"
                with connection:
                    for table in ("checkpoints", "writes"):
                        connection.execute(f"DELETE FROM {table} WHERE checkpoint_id NOT IN ({newest})")
                connection.execute("VACUUM")

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Name a full disk."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "full" in str(error):
                raise DiskFullError(
                    "The disk that holds the build's state is full.",
                    "Free some space and run the same command again; it continues where it was.",
                ) from error
            raise
