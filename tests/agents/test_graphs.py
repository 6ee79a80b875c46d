"""Real LangGraph threads, cut off where it hurts: the same promises on SQLite files and on a real PostgreSQL server."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from langgraph.checkpoint.base import id as ids
from psycopg import sql

import agents
from agents.manager_agent import Manager
from agents.state import Attempt
from agents.stores import URL, agree, described, store_of
from slm.errors import AutonError, DiskFullError, StateError
from slm.files import read_json
from slm.layout import Layout
from tests.agents.threads import BUILD, State, Stranger, thread
from tests.builds import miniature
from tests.disks import small_disk
from tests.postgres import Server

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder whose builds keep their graphs' state here or there."""
    monkeypatch.delenv(URL, raising=False)
    if request.param == "PostgreSQL":
        monkeypatch.setenv(URL, request.getfixturevalue("server").database())
    return tmp_path


@pytest.fixture
def database(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty database that the environment names."""
    url = server.database()
    monkeypatch.setenv(URL, url)
    return url


def silent(name: str) -> None:
    """Enter a node without a word."""


def cut_off(name: str) -> None:
    if name == "two":
        raise RuntimeError("cut off")


def checkpoints(home: Path) -> dict[str, int]:
    """Count the checkpoints and pending writes of a home's first iteration, by thread."""
    found: dict[str, int] = {}
    query = "SELECT thread_id FROM checkpoints UNION ALL SELECT thread_id FROM {}"
    if url := os.environ.get(URL):
        with psycopg.connect(url) as database:
            rows = database.execute(query.format("checkpoint_writes")).fetchall()
    else:
        rows = []
        for file in home.glob("runs/*/graphs/*.sqlite"):
            with contextlib.closing(sqlite3.connect(file)) as connection:
                rows += connection.execute(query.format("writes")).fetchall()
    for (name,) in rows:
        found[name.rpartition("/")[2]] = found.get(name.rpartition("/")[2], 0) + 1
    return found


def test_it_goes_on_with_the_node_it_was_in_and_repeats_none_before(home: Path) -> None:
    log: list[str] = []
    with pytest.raises(RuntimeError, match="cut off"):
        thread(home, cut_off).run(State())
    waiting = thread(home, log.append)
    assert waiting.run(State())["steps"] == ["one", "two"]
    assert waiting.waits()
    assert log == ["two", "ask"]
    # Another process asks again, without an answer: nothing moves.
    assert thread(home, log.append).run(State())["steps"] == ["one", "two"]
    ended = thread(home, log.append)
    values = ended.run(State(), "yes")
    assert values["steps"] == ["one", "two", "ask:yes", "last"]
    assert [type(a) for a in values["attempts"]] == [Attempt] * 3
    assert not ended.waits()
    before = list(log)
    assert ended.run(State())["steps"] == values["steps"]
    assert log == before


def test_kill_9_costs_no_more_than_the_node_it_was_in(home: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.agents.threads", str(home)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert [process.stdout.readline().strip() for _ in range(2)] == ["one", "two"]
    process.kill()
    process.communicate()
    log: list[str] = []
    assert thread(home, log.append).run(State())["steps"] == ["one", "two"]
    assert log == ["two", "ask"]


def test_an_ended_thread_can_be_rewound_and_forgotten(home: Path) -> None:
    log: list[str] = []
    found = thread(home, log.append)
    assert found.values() == {}
    found.run(State())
    found.run(State(), "yes")
    log.clear()
    found.back_to("ask", {"steps": ["rewound"]})
    assert found.run(State())["steps"] == ["rewound", "last"]
    assert log == ["last"]
    found.forget()
    log.clear()
    assert found.values() == {}
    assert found.run(State())["steps"] == ["one", "two"]
    assert log == ["one", "two", "ask"]


def test_an_ended_thread_is_as_good_when_its_old_checkpoints_are_pruned(home: Path) -> None:
    layout = Layout(home)
    found, other = thread(home, silent), thread(home, silent, agent="waiting")
    neighbour = thread(home, silent, agent="neighbour", build=f"{BUILD}0")
    found.run(State())
    ended = found.run(State(), "yes")
    other.run(State())
    neighbour.run(State())
    before = checkpoints(home)
    store_of(layout, BUILD).prune()
    after = checkpoints(home)
    assert after["manager"] == 1 < before["manager"]
    assert 1 < after["waiting"] < before["waiting"]  # what it waits with is kept
    assert after["neighbour"] == before["neighbour"]
    log: list[str] = []
    again = thread(home, log.append)
    assert again.run(State()) == ended
    again.back_to("ask", {"steps": ["rewound"]})
    assert again.run(State())["steps"] == ["rewound", "last"]
    # What waits for an answer still does.
    waiting = thread(home, silent, agent="waiting")
    assert waiting.waits()
    assert waiting.run(State(), "no")["steps"] == ["one", "two", "ask:no", "last"]


def test_builds_iterations_and_agents_do_not_meet(home: Path, tmp_path: Path) -> None:
    places = [(home, "a", 1, BUILD), (home, "b", 1, BUILD), (home, "a", 2, BUILD), (home, "a", 1, f"{BUILD}0")]
    places.append((tmp_path / "other", "a", 1, BUILD))  # the same build of another home
    for place, agent, iteration, build in places:
        entered: list[str] = []
        thread(place, entered.append, agent, iteration, build).run(State())
        assert entered == ["one", "two", "ask"]
    thread(home, silent, "a").forget()
    for place, agent, iteration, build in places[1:]:
        assert thread(place, silent, agent, iteration, build).waits()
    # Who deletes a build's folder begins anew.
    shutil.rmtree(home / "runs")
    assert thread(home, silent, "b").values() == {}


def test_only_classes_of_ours_come_back_as_classes(home: Path) -> None:
    found = thread(home, silent)
    found.run(State(odd=[Stranger()], attempts=[]))
    values = thread(home, silent).values()
    assert values["odd"] == [{"word": "hello"}]
    assert [type(attempt) for attempt in values["attempts"]] == [Attempt, Attempt]


@pytest.mark.parametrize("hours", [-30, 30])
def test_a_clock_that_jumps_between_two_processes_costs_nothing(
    hours: int, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another_process(late: float) -> list[str]:
        monkeypatch.setattr(ids, "_last_v6_timestamp", None)
        monkeypatch.setattr("langgraph.checkpoint.base.id.time.time_ns", lambda: int((now + late * 3600) * 1e9))
        return []

    now = time.time()
    another_process(0)
    thread(home, silent).run(State())
    log = another_process(hours)
    found = thread(home, log.append)
    assert found.run(State(), "yes")["steps"] == ["one", "two", "ask:yes", "last"]
    log = another_process(2 * hours)
    again = thread(home, log.append)
    assert again.run(State())["steps"] == ["one", "two", "ask:yes", "last"]
    again.back_to("ask", {"steps": ["rewound"]})
    assert again.run(State())["steps"] == ["rewound", "last"]
    assert log == ["last"]


def test_what_was_begun_in_one_store_is_not_gone_on_with_in_the_other(
    home: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread(home, silent).run(State())
    url = os.environ.get(URL)
    if url:
        monkeypatch.delenv(URL)
    else:
        monkeypatch.setenv(URL, server.database())
    log: list[str] = []
    for agent, iteration in (("manager", 1), ("data", 1), ("data", 2)):
        with pytest.raises(StateError, match=r"keeps its graphs' state in (SQLite|a PostgreSQL)") as caught:
            thread(home, log.append, agent, iteration).run(State())
        assert server.password not in str(caught.value)
    assert log == []
    if url:
        monkeypatch.setenv(URL, url)
    else:
        monkeypatch.delenv(URL)
    assert thread(home, log.append).run(State())["steps"] == ["one", "two"]


def test_another_database_is_refused_and_the_same_under_another_address_is_not(
    tmp_path: Path, server: Server, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread(tmp_path, silent).run(State())
    monkeypatch.setenv(URL, server.database())
    with pytest.raises(StateError, match=r"in another PostgreSQL database, which was at 127\.0\.0\.1") as caught:
        thread(tmp_path, silent).run(State())
    assert server.password not in str(caught.value)
    monkeypatch.setenv(URL, database.replace("127.0.0.1", "localhost"))
    assert thread(tmp_path, silent).waits()
    monkeypatch.setenv(
        URL, f"{database.replace(f'127.0.0.1:{server.port}', '')}?host={server.folder}&port={server.port}"
    )
    assert thread(tmp_path, silent).waits()


def test_graphs_that_begin_at_once_make_the_tables_once(tmp_path: Path, database: str) -> None:
    wrong: list[BaseException] = []

    def begin(number: int) -> None:
        try:
            thread(tmp_path / str(number), silent).run(State())
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert wrong == []
    claims = [read_json(file) for file in tmp_path.glob("*/runs/*/graphs/postgresql.json")]
    assert len({claim["database"] for claim in claims}) == 1
    assert len({claim["name"] for claim in claims}) == 6


def refused(home: Path, words: str, *secret: str, kind: type[AutonError] = StateError) -> None:
    """See that a thread is refused in words, which have no secret, also not in what comes with them."""
    with pytest.raises(kind, match=words) as caught:
        thread(home, silent).run(State())
    error = caught.value
    assert error.to_do
    assert error.__cause__ is None and (error.__suppress_context__ or error.__context__ is None)
    for each in secret:
        assert each not in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # as Ray brings it


def test_a_server_that_is_not_there_refuses_or_lacks_something_is_told(
    tmp_path: Path, server: Server, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = database.rpartition("/")[2]
    monkeypatch.setenv(URL, database.replace(str(server.port), "1"))
    refused(tmp_path, f"127.0.0.1:1/{name}.*refused", server.password)
    monkeypatch.setenv(URL, server.url(name, password="wr0ng-w0rd"))
    refused(tmp_path, "password authentication failed", "wr0ng-w0rd")
    monkeypatch.setenv(URL, server.url("nowhere"))
    refused(tmp_path, 'database "nowhere" does not exist', server.password)
    server.execute(sql.SQL("CREATE ROLE guest LOGIN PASSWORD 'gu3st-w0rd'"))
    monkeypatch.setenv(URL, server.url(name, "guest", "gu3st-w0rd"))
    refused(tmp_path, "permission denied", "gu3st-w0rd")
    monkeypatch.setenv(URL, server.database(ENCODING="LATIN1", LC_COLLATE="C", LC_CTYPE="C"))
    refused(tmp_path, "encoded in LATIN1", server.password)
    server.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(sql.Identifier(name)))
    monkeypatch.setenv(URL, database)
    refused(tmp_path, "read-only", server.password)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("package", ["psycopg_pool", "langgraph.checkpoint.postgres"])
def test_missing_packages_are_named(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL, "postgresql://u:s3cret@h/db")
    monkeypatch.delitem(sys.modules, "agents.postgres", raising=False)
    monkeypatch.delattr(agents, "postgres", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(StateError, match=rf"{package}.*\n.*pip install -e '\.\[postgres\]'") as caught:
        thread(tmp_path, silent).run(State())
    assert "s3cret" not in str(caught.value)


def test_a_command_that_names_another_database_than_ray_does_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL, "postgresql://u:s3cret@h/db?connect_timeout=3")
    assert described() == "h:5432/db"
    agree("h:5432/db")
    agree("")
    with pytest.raises(StateError, match=r"g:5432/db for this command, and h:5432/db for Ray"):
        agree("g:5432/db")
    monkeypatch.delenv(URL)
    assert described() == ""
    with pytest.raises(StateError, match=r"h:5432/db for this command, and none for Ray"):
        Manager(str(tmp_path), miniature(tmp_path).model_dump(mode="json"), "auto").run(None, "h:5432/db")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:s3cret@h:6000/db", "h:6000/db"),
        ("postgresql://u:s3cret@one,two/db", "one,two:,/db"),
        ("postgresql://someone:s3cret@h", "h:5432/(the default)"),
    ],
)
def test_neither_a_user_nor_a_password_is_shown_of_a_url(url: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL, url)
    assert described() == shown


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3cr@et@h/db",
        "postgresql://u:s3cr/et@h/db",
        "postgresql://u:s3cr et@h/db",
        "postgresql://u:s3cret@h:x/db",
        "postgresql://u:s3cret@h/db?nonsense=1",
        "mysql://u:s3cret@h/db",
        "host=h password=s3cret",
    ],
)
def test_what_is_no_url_is_refused_without_a_word_of_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL, url)
    refused(tmp_path, "no URL of a PostgreSQL database", "s3cr", "et@", "nonsense")
    with pytest.raises(StateError):
        described()


def test_a_server_that_goes_away_in_mid_build_costs_the_node_alone(
    tmp_path: Path, server: Server, database: str
) -> None:
    def stop(name: str) -> None:
        if name == "two":
            server.stop()

    with pytest.raises(StateError, match="cannot be used") as caught:
        thread(tmp_path, stop).run(State())
    assert server.password not in str(caught.value)
    store_of(Layout(tmp_path), BUILD).prune()  # only tidies, and may fail
    server.start()

    def restart(name: str) -> None:
        log.append(name)
        server.stop()
        server.start()

    # One that is back in time costs nothing.
    log: list[str] = []
    assert thread(tmp_path, restart).run(State())["steps"] == ["one", "two"]
    assert log == ["two", "ask"]


def fill(disk: Path) -> Path:
    """Fill a file system with a file, and return it."""
    filler = disk / "filler"
    with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return filler


def test_a_full_disk_of_the_server_is_named(tmp_path: Path, server: Server, database: str) -> None:
    name = sql.Identifier(database.rpartition("/")[2])
    with small_disk(server.folder / "disk") as disk:
        shutil.chown(disk, server.user, server.user)
        server.execute(sql.SQL("CREATE TABLESPACE small LOCATION {}").format(sql.Literal(str(disk))))
        server.execute(sql.SQL("GRANT CREATE ON TABLESPACE small TO auton"))
        server.execute(sql.SQL("ALTER DATABASE {} SET default_tablespace = small").format(name))
        found, log = thread(tmp_path, silent), list[str]()
        assert found.values() == {}
        filler = fill(disk)
        large = State(odd=os.urandom(100_000))
        with pytest.raises(DiskFullError, match=r"disk of the PostgreSQL database 127\.0\.0\.1") as caught:
            found.run(large)
        assert server.password not in str(caught.value)
        filler.unlink()
        assert thread(tmp_path, log.append).run(large)["steps"] == ["one", "two"]
        assert log == ["one", "two", "ask"]
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        server.execute(sql.SQL("DROP TABLESPACE small"))


def test_a_full_disk_of_the_files_is_named(full_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL, raising=False)
    found, log = thread(full_disk, silent), list[str]()
    assert found.values() == {}
    filler = fill(full_disk)
    large = State(odd=os.urandom(100_000))
    with pytest.raises(DiskFullError, match="holds the build's state is full"):
        found.run(large)
    filler.unlink()
    assert thread(full_disk, log.append).run(large)["steps"] == ["one", "two"]
    assert log == ["one", "two", "ask"]
