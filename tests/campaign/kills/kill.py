"""One ``kill -9`` at a seeded point of a miniature build, and whether the build survived it."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from agents.builds import read_state
from slm.errors import AutonError
from slm.layout import Layout
from slm.lineage import verify
from tests.campaign.kills.undisturbed import DEADLINE, Point, Undisturbed, decisions, files, git
from tests.home import Home
from tests.processes import command, has_ended, kill

#: Who is killed, and what the processes are called that are it: the command itself has no name here.
VICTIMS: dict[str, tuple[str, ...]] = {
    "manager process": (),
    "Manager": ("ray::Manager",),
    "head": ("gcs_server", "raylet"),
    "TrainingAgent": ("ray::TrainingAgent",),
    "DataAgent": ("ray::DataAgent",),
    "ReviewerAgent": ("ray::ReviewerAgent",),
}
#: Which agent's first event says that an actor is there.
_FIRST = {"Manager": "manager", "DataAgent": "data", "TrainingAgent": "training", "ReviewerAgent": "reviewer"}
#: How often the command is given until it must have ended well: Ray does not always start on a busy machine.
TRIES = 5
#: Seconds that what a killed command leaves has to end: a minute is what Ray's own agents take to miss their head.
ORPHANS = 90.0


@dataclass(frozen=True)
class Ended:
    """How one build ended; ``wrong`` says what was not as it should be."""

    seed: int
    victim: str
    point: str
    how: str
    wrong: str
    seconds: float


class Kill:
    """A victim and a moment, both drawn by the seed."""

    def __init__(self, seed: int, undisturbed: Undisturbed) -> None:
        """Draw: the victim in turn, a point of those at which it is there, and how far on towards the next."""
        rng = random.Random(f"kill {seed}")
        self.seed, self._undisturbed = seed, undisturbed
        self.victim = list(VICTIMS)[seed % len(VICTIMS)]
        names = VICTIMS[self.victim]
        # Half of a head may die, or all of it.
        self._names = rng.choice([names, names[:1], names[1:]]) if len(names) > 1 else names
        self._point = rng.choice(self._points())
        self._delay = rng.random() * min(self._point.gap, 10.0)
        of = f" ({', '.join(self._names)})" if len(names) > 1 else ""
        self.drew = f"{self.victim}{of}, {self._delay:.2f} s after {self._point}"

    def _points(self) -> list[Point]:
        points = self._undisturbed.points
        agent = _FIRST.get(self.victim)
        if agent is None:
            return points
        there = next(at for at, point in enumerate(points) if point.event.startswith(f"{agent}:"))
        return points[there:]

    def run(self, folder: Path) -> Ended:
        """Build in ``folder``, kill, give the command again where it ended by that, and judge."""
        shutil.rmtree(folder, ignore_errors=True)
        began = time.monotonic()
        home = Home(folder, self._undisturbed.spec)
        self._commands: list[subprocess.Popen[str]] = []
        try:
            how, wrong = self._run(home)
        finally:
            for process in of_home(folder):  # whatever is left, also of an interrupted campaign
                kill(process)
            for driver in self._commands:
                driver.wait()
        if not wrong:
            shutil.rmtree(folder)
            for session in home.sessions(*self._commands):
                shutil.rmtree(session, ignore_errors=True)
        return Ended(self.seed, self.victim, self.drew, how, wrong, round(time.monotonic() - began, 1))

    def _run(self, home: Home) -> tuple[str, str]:
        driver = self._begin(home)
        how = "survived" if self._strike(home, driver) else "too late"
        journal = _whole_lines(home)
        for times in range(TRIES):
            if times:
                how = f"continued {times} ×"
                driver = self._begin(home)
            try:
                out, _ = driver.communicate(timeout=DEADLINE)
            except subprocess.TimeoutExpired:
                return how, f"the command was not over after {DEADLINE:.0f} s"
            if driver.returncode == 0:
                return how, "; ".join(self._judge(home, journal))
            if "Traceback" in out:
                break
        return how, f"the command ended with status {driver.returncode}:\n{out[-3000:]}"

    def _begin(self, home: Home) -> subprocess.Popen[str]:
        self._commands.append(home.start("agents.manager", str(home.path)))
        return self._commands[-1]

    def _strike(self, home: Home, driver: subprocess.Popen[str]) -> bool:
        """Wait for the moment and the victim, and kill; False when the build is over first, or hangs."""
        deadline = time.monotonic() + DEADLINE
        there = False
        while driver.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
            if not there:
                there = self._point.reached(home)
                time.sleep(self._delay if there else 0)
            elif victims := self._found(driver):
                for victim in victims:
                    kill(victim)
                return True
        return False

    def _found(self, driver: subprocess.Popen[str]) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(driver.pid)
            if not self._names:
                return [process]
            return [child for child in process.children(recursive=True) if _plays(child, self._names)]
        return []

    def _judge(self, home: Home, journal: list[str]) -> Iterator[str]:
        """Say what is not as it should be."""
        commits, build = home.commits(), home.spec.build_id
        if len(commits) != 1:
            yield f"{len(commits)} commits"
        if git(home, "tag").split() != [build] or git(home, "rev-list", "-1", build).split() != commits[:1]:
            yield f"tags {git(home, 'tag').split()}"
        if git(home, "status", "--porcelain"):
            yield "the registry is left dirty"
        state = read_state(home.run)
        if (state.state, state.commit) != ("accepted", commits[0] if commits else ""):
            yield f"the build is {state.state}, of commit {state.commit}"
        if found := [name for name, its in files(home).items() if its != self._undisturbed.files[name]]:
            yield f"other than undisturbed: {', '.join(found)}"
        if _whole_lines(home)[: len(journal)] != journal:
            yield "journal entries of before the kill are lost"
        if lost := self._undisturbed.decisions - decisions(home):
            yield f"the journal lacks {sorted(lost)}"
        try:
            verify(Layout(home.folder).export(build))
        except AutonError as error:
            yield f"the lineage is broken: {error.what}"
        left = of_home(home.folder)
        _, alive = psutil.wait_procs(left, timeout=ORPHANS)
        if orphans := [process for process in alive if not has_ended(process)]:
            yield f"orphans: {', '.join(f'{process.pid} {command(process)[:80]}' for process in orphans)}"


def of_home(folder: Path) -> list[psutil.Process]:
    """Return every process that works in a home: all inherit the command's environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("AUTON_HOME") == str(folder):
                found.append(process)
    return found


def _plays(process: psutil.Process, names: tuple[str, ...]) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.name() in names or command(process).startswith(names)
    return False


def _whole_lines(home: Home) -> list[str]:
    journal = home.run / "journal.jsonl"
    text = journal.read_text(encoding="utf-8") if journal.exists() else ""
    return text[: text.rfind("\n") + 1].splitlines()
