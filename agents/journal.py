"""A build's two records: the journal of decisions, kept for good, and the stream of events that a terminal follows.

``journal.jsonl`` has one line a decision: what was seen, what was decided, by whom. ``events.jsonl`` has progress. Both
are appended to by whichever process of the build has something to say, so they lie on storage that all of them share.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from slm.files import append_line
from slm.progress import Progress

#: Seconds without an event after which nobody was at work: the build waited, or was interrupted.
SILENCE = 900.0


class Entry(BaseModel):
    """One decision."""

    model_config = ConfigDict(extra="forbid")
    time: float
    agent: str
    saw: str
    decided: str
    by: str = "rule"
    #: What came of it, once that is known.
    came: str = ""


class _Outcome(BaseModel):
    """What came of an agent's last decision."""

    model_config = ConfigDict(extra="forbid")
    time: float
    agent: str
    came: str


class Journal:
    """The records in a build's folder."""

    def __init__(self, folder: Path, agent: str, clock: Callable[[], float] = time.time) -> None:
        """Write as ``agent`` into ``folder``."""
        self.folder = folder
        self._agent = agent
        self._clock = clock
        self._last: tuple[float, str] = (0.0, "")

    def decide(self, saw: str, decided: str, by: str = "rule") -> None:
        """Record a decision, and show it."""
        entry = Entry(time=self._clock(), agent=self._agent, saw=saw, decided=decided, by=by)
        append_line(self.folder / "journal.jsonl", entry.model_dump_json())
        self.say(f"{saw} → {decided}")

    def came(self, what: str) -> None:
        """Record what came of this agent's last decision."""
        outcome = _Outcome(time=self._clock(), agent=self._agent, came=what)
        append_line(self.folder / "journal.jsonl", outcome.model_dump_json())

    def entries(self) -> list[Entry]:
        """Return every decision so far with what came of it; a line that a crash cut short is passed over."""
        found: list[Entry] = []
        path = self.folder / "journal.jsonl"
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            with contextlib.suppress(ValueError):
                found.append(Entry.model_validate_json(line))
                continue
            with contextlib.suppress(ValueError):
                outcome = _Outcome.model_validate_json(line)
                of = next((at for at in range(len(found) - 1, -1, -1) if found[at].agent == outcome.agent), None)
                if of is not None:
                    found[of] = found[of].model_copy(update={"came": outcome.came})
        return found

    def busy(self) -> float:
        """Return the seconds that the build was at work: an agent at work has something to say every few minutes."""
        seconds, last = 0.0, None
        for event in self._events():
            now = event.get("time")
            if not isinstance(now, int | float):
                continue
            if last is not None and 0 < now - last < SILENCE:
                seconds += now - last
            last = now
        return seconds

    def tail(self, lines: int, agents: Collection[str]) -> list[str]:
        """Return the last words that some of the agents said, oldest first."""
        said = (event for event in self._events() if event.get("kind") == "say" and event.get("agent") in agents)
        return list(deque((f"{event['agent']}: {event['text']}" for event in said), maxlen=lines))

    def _events(self) -> Iterator[dict[str, Any]]:
        path = self.folder / "events.jsonl"
        if not path.exists():
            return
        with open(path, encoding="utf-8", errors="replace") as file:
            yield from _parsed(file)

    def latest_steps(self) -> list[dict[str, Any]]:
        """Return the last progress events, oldest first: those of one run through the newest one's stage."""
        found: list[dict[str, Any]] = []
        for event in reversed(self._last_events()):
            if event.get("kind") != "progress":
                continue
            if found and (event["stage"] != found[-1]["stage"] or event["done"] > found[-1]["done"]):
                break
            found.append(event)
        return found[::-1]

    def latest_attempt(self) -> int | None:
        """Return the number of the training attempt that was begun last."""
        return next((event["attempt"] for event in reversed(list(self._events())) if "attempt" in event), None)

    def _last_events(self) -> list[dict[str, Any]]:
        path = self.folder / "events.jsonl"
        if not path.exists():
            return []
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 65_536))
            return list(_parsed(file.read().decode(errors="replace").splitlines()))

    def say(self, text: str, **facts: Any) -> None:
        """Show a line to whoever follows; ``facts`` are for programs."""
        self._event({"kind": "say", "text": text, **facts})

    def progress(self, progress: Progress) -> None:
        """Report where long work stands; at most four times a second, except when a stage begins or ends."""
        now = self._clock()
        last, stage = self._last
        ends = progress.done >= progress.total
        if stage == progress.stage and 0 <= now - last < 0.25 and not ends:  # a clock may be set back
            return
        self._last = (now, progress.stage)
        self._event(
            {
                "kind": "progress",
                "stage": progress.stage,
                "done": progress.done,
                "total": progress.total,
                "unit": progress.unit,
                "text": progress.text,
            }
        )

    def _event(self, event: dict[str, Any]) -> None:
        append_line(self.folder / "events.jsonl", json.dumps({"time": self._clock(), "agent": self._agent, **event}))


def _parsed(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the events in ``lines``; one that was cut short is passed over."""
    for line in lines:
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict):
                yield event


class EventTail:
    """Reads the events appended after it was made."""

    def __init__(self, folder: Path) -> None:
        """Start at the present end of ``folder``'s events."""
        self._path = folder / "events.jsonl"
        self._position = self._path.stat().st_size if self._path.exists() else 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Return the events that have come since the last call; a line still being written waits for the next."""
        if not self._path.exists():
            return
        with open(self._path, "rb") as file:
            file.seek(self._position)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._position += len(line)
                try:
                    yield json.loads(line)
                except ValueError:
                    continue
