"""A real PostgreSQL server of Debian's package, for tests: its own folder, a free port of loopback, a password."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
from psycopg import sql

from tests.needs import need
from tests.ports import free_port


class Server:
    """A server that runs from :meth:`start` to :meth:`stop`, and keeps its data until :meth:`close`."""

    def __init__(self) -> None:
        """Make the server's folder, and in it a role ``auton`` that may do no more than own databases."""
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        need(bool(found), "PostgreSQL (package postgresql)")
        self._programs = found[-1].parent
        self.port = free_port()
        self.password, self._owner = secrets.token_hex(12), secrets.token_hex(12)
        # Not pytest's folder, which another user may not enter: the server refuses to be root's.
        self.folder = Path(tempfile.mkdtemp(prefix="auton-postgres-"))
        self.user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        secret = self.folder / "password"
        secret.write_text(self._owner)
        if os.getuid() == 0:
            for path in (self.folder, secret):
                shutil.chown(path, self.user, self.user)
        self._data = self.folder / "data"
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={secret}",
                  "-E", "UTF8", "--no-locale", "--no-sync")  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self.start()
        except AssertionError:  # somebody may have taken the port since it was found free
            self.port = free_port()
            self.start()
        self.execute(sql.SQL("CREATE ROLE auton LOGIN PASSWORD {}").format(sql.Literal(self.password)))

    def url(self, database: str, user: str = "auton", password: str | None = None) -> str:
        """Return a URL of a database."""
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def database(self, **options: str) -> str:
        """Make an empty database and return its URL."""
        name = f"d{secrets.token_hex(6)}"
        words = [sql.SQL("CREATE DATABASE {} OWNER auton TEMPLATE template0").format(sql.Identifier(name))]
        words += [sql.SQL("{} {}").format(sql.SQL(key), sql.Literal(value)) for key, value in options.items()]
        self.execute(sql.SQL(" ").join(words))
        return self.url(name)

    def execute(self, statement: sql.SQL | sql.Composed) -> None:
        """Run a statement as the server's owner."""
        with psycopg.connect(self._own, autocommit=True) as connection:
            connection.execute(statement)

    @property
    def _own(self) -> str:
        return self.url("postgres", "postgres", self._owner)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        command = [*self._prefix(), str(self._programs / "postgres"), "-D", str(self._data), "-p", str(self.port)]
        command += [
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            f"unix_socket_directories={self.folder}",
            "-c",
            "fsync=off",
        ]
        log = self.folder / "log"
        with open(log, "wb") as out:
            self._process = subprocess.Popen(command, cwd=self.folder, stdout=out, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 120
        while True:
            try:
                psycopg.connect(self._own).close()
                return
            except psycopg.OperationalError:
                assert self._process.poll() is None, log.read_text(errors="replace")
                assert time.monotonic() < deadline, log.read_text(errors="replace")
                time.sleep(0.1)

    def stop(self) -> None:
        """Stop the server as a machine that is shut down does: whoever is connected is cut off."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=60)
            self._process = None

    def close(self) -> None:
        """Stop the server and delete its folder."""
        self.stop()
        shutil.rmtree(self.folder)

    def _prefix(self) -> list[str]:
        if os.getuid() != 0:
            return []
        return ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups"]

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._prefix(), str(self._programs / program), *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
