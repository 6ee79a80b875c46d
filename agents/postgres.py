"""A PostgreSQL database that keeps the graphs' state of all builds that name it."""

from __future__ import annotations

import contextlib
import secrets
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.serde.base import SerializerProtocol
from psycopg import Connection, Error, OperationalError, ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import DiskFull
from psycopg.rows import DictRow, dict_row
from psycopg_pool import NullConnectionPool
from pydantic import BaseModel, ConfigDict

from slm.errors import DiskFullError, StateError
from slm.files import read_json, write_json

#: The advisory lock of whoever makes the tables: PostgreSQL's own "if not exists" does not bear two at once.
_MAKING = 0x6175746F6E
#: Seconds that the server has to answer, and another process to make the tables.
_PATIENCE = 30


class _Claim(BaseModel):
    """What a build's folder says of the database that keeps its state, in ``graphs/postgresql.json``."""

    model_config = ConfigDict(extra="forbid")
    #: The database's own name for itself: its address may change, and another may come to have it.
    database: str
    #: Where it was when the build began, for people.
    address: str
    #: What the build's threads are called there: its name, and what tells it from the same build of another home.
    name: str


def described(url: str) -> str:
    """Say where a database is, without the user and the password.

    :raises StateError: when the URL is none.
    """
    return _address(_parts(url))


def _parts(url: str) -> Mapping[str, Any]:
    """Take a URL apart. What is wrong with it is not quoted: libpq takes half of a password for a host or a port."""
    parts: Mapping[str, Any] = {}
    if url.startswith(("postgresql://", "postgres://")):
        with contextlib.suppress(ProgrammingError):
            parts = conninfo_to_dict(url)
    names = f"{parts.get('host', '')}{parts.get('dbname', '')}"
    if (
        not parts
        or "@" in names
        or not all(port.isdigit() for port in str(parts.get("port", "5432")).split(",") if port)
    ):
        raise StateError(
            "AUTON_STATE_URL is no URL of a PostgreSQL database.",
            "Write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with @ : / # ? % and spaces of a password as %40 %3A "
            "%2F %23 %3F %25 %20.",
        )
    return parts


def _address(parts: Mapping[str, Any]) -> str:
    host, port = parts.get("host") or parts.get("hostaddr") or "localhost", parts.get("port") or 5432
    return f"{host}:{port}/{parts.get('dbname') or '(the default)'}"


class PostgresStore:
    """One build's threads in a database, called ``BUILD.SALT/ITERATION/AGENT``."""

    def __init__(self, url: str, folder: Path) -> None:
        """Name the database and the build's folder; nothing is touched yet.

        :raises StateError: when the URL is none.
        """
        parts = _parts(url)
        self._address, self._password = _address(parts), parts.get("password")
        self._folder = folder
        # A connection for each question: one that idles through days of training is cut by firewalls and restarts.
        self._connections: NullConnectionPool[Connection[DictRow]] = NullConnectionPool(
            url,
            connection_class=Connection[DictRow],
            kwargs={
                "autocommit": True,
                "prepare_threshold": None,
                "row_factory": dict_row,
                "client_encoding": "utf8",
                "connect_timeout": parts.get("connect_timeout", _PATIENCE),
            },
            max_size=1,
            open=False,
            timeout=_PATIENCE,
            num_workers=1,
        )

    def saver(self, agent: str, iteration: int, serializer: SerializerProtocol) -> BaseCheckpointSaver[Any]:
        """Make the tables where they are missing, and see that this is the database in which the build began."""
        self._connections.open()
        database = self._made()
        if (claim := self._claim()) is None:
            name = f"{self._folder.name}.{secrets.token_hex(4)}"
            claim = _Claim(database=database, address=self._address, name=name)
            write_json(self._mark, claim.model_dump())
        if claim.database != database:
            raise StateError(
                f"The build {self._folder.name} keeps its graphs' state in another PostgreSQL database, which was at "
                f"{claim.address}; AUTON_STATE_URL names {self._address}.",
                f"Set it to that database, or delete {self._folder} to begin anew.",
            )
        return PostgresSaver(self._connections, serde=serializer)

    def thread(self, agent: str, iteration: int) -> str:
        """Return the thread's name in the database; :meth:`saver` comes first."""
        claim = self._claim()
        assert claim is not None
        return f"{claim.name}/{iteration}/{agent}"

    def prune(self) -> None:
        """Delete checkpoints but the newest; where somebody is at them, or nobody answers, nothing is deleted."""
        claim = self._claim()
        if claim is None:
            return
        with contextlib.suppress(Error), self._connections:
            with self._connections.connection() as connection:
                mine = "SELECT DISTINCT thread_id FROM checkpoints WHERE starts_with(thread_id, %s)"
                threads = [row["thread_id"] for row in connection.execute(mine, (f"{claim.name}/",))]
            PostgresSaver(self._connections).prune(threads, strategy="keep_latest")

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Say what the server or the way to it lacks, and never the password, whatever the server sends back."""
        try:
            yield
        except DiskFull:
            raise DiskFullError(
                f"The disk of the PostgreSQL database {self._address}, which holds the build's state, is full.",
                "Free some space there and run the same command again; it continues where it was.",
            ) from None
        except Error as error:
            said = " ".join(str(error).split())
            if self._password:
                said = said.replace(self._password, "[password]")
            raise StateError(
                f"The PostgreSQL database {self._address}, which holds the build's state, cannot be used: {said}",
                "Mend that, or AUTON_STATE_URL, and run the same command again; it continues where it was.",
            ) from None

    @property
    def _mark(self) -> Path:
        return self._folder / "graphs" / "postgresql.json"

    def _claim(self) -> _Claim | None:
        return _Claim.model_validate(read_json(self._mark)) if self._mark.exists() else None

    def _made(self) -> str:
        """Make the tables where they are missing; return the database's own name for itself."""
        with self._connections.connection() as connection:
            if (encoding := connection.info.parameter_status("server_encoding")) != "UTF8":
                raise StateError(
                    f"The PostgreSQL database {self._address} is encoded in {encoding}, which not every path can be.",
                    "Make one with `createdb -E UTF8 -T template0 DATABASE`, and name it in AUTON_STATE_URL.",
                )
            # Asked for again and again, since whoever waits for a lock holds up the making of an index.
            deadline = time.monotonic() + _PATIENCE
            while not _value(connection, "SELECT pg_try_advisory_lock(%s)", _MAKING):
                if time.monotonic() > deadline:
                    raise OperationalError("another process has been making the tables for too long")
                time.sleep(0.1)
            PostgresSaver(connection).setup()
            connection.execute("CREATE TABLE IF NOT EXISTS auton_store (id uuid PRIMARY KEY)")
            known = _value(connection, "SELECT (SELECT id FROM auton_store LIMIT 1)")
            if known is None:
                known = uuid.uuid4()
                connection.execute("INSERT INTO auton_store VALUES (%s)", (known,))
            return str(known)


def _value(connection: Connection[DictRow], query: str, *values: Any) -> Any:
    row = connection.execute(query, values).fetchone()
    assert row is not None
    [value] = row.values()
    return value
