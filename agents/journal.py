"""A build's two records: the journal of decisions, kept for good, and the stream of events that a terminal follows.

``journal.jsonl`` has one line a decision: what was seen, what was decided, by whom. ``events.jsonl`` has progress. Both
are appended to by whichever process of the build has something to say, so they lie on storage that all of them share.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from slm.files import append_line
from slm.progress import Progress


class Entry(BaseModel):
    """One decision."""

    model_config = ConfigDict(extra="forbid")
    time: float
    agent: str
    saw: str
    decided: str
    by: str = "rule"


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

    def entries(self) -> list[Entry]:
        """Return every decision so far; a line that a crash cut short is passed over."""
        found = []
        path = self.folder / "journal.jsonl"
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            try:
                found.append(Entry.model_validate_json(line))
            except ValueError:
                continue
        return found

    def latest(self) -> str:
        """Return the newest progress in words, or nothing when there was none yet."""
        path = self.folder / "events.jsonl"
        if not path.exists():
            return ""
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 65_536))
            tail = file.read().decode(errors="replace").splitlines()
        for line in reversed(tail):
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and event.get("kind") == "progress":
                return f"{event['stage']}: {event['done']:,} of {event['total']:,} {event['unit']}  {event['text']}"
        return ""

    def say(self, text: str) -> None:
        """Show a line to whoever follows."""
        self._event({"kind": "say", "text": text})

    def progress(self, progress: Progress) -> None:
        """Report where long work stands; at most four times a second, except when a stage begins or ends."""
        now = self._clock()
        last, stage = self._last
        ends = progress.done >= progress.total
        if stage == progress.stage and now - last < 0.25 and not ends:
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
