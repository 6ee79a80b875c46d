from __future__ import annotations

from pathlib import Path

from agents.journal import EventTail, Journal
from slm.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_decisions_are_kept_in_order_and_a_torn_line_costs_only_itself(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "training", Clock())
    journal.decide("loss rose", "lower the learning rate")
    with open(tmp_path / "journal.jsonl", "a") as file:
        file.write('{"time": 1, "ag')
    Journal(tmp_path, "manager", Clock()).decide("gates passed", "accept", by="ada")
    entries = journal.entries()
    assert [(e.agent, e.saw, e.decided, e.by) for e in entries] == [
        ("training", "loss rose", "lower the learning rate", "rule"),
        ("manager", "gates passed", "accept", "ada"),
    ]


def test_a_tail_shows_what_came_after_it_began_and_waits_for_whole_lines(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "data", Clock())
    journal.say("before")
    tail = EventTail(tmp_path)
    assert list(tail) == []
    journal.say("one")
    with open(tmp_path / "events.jsonl", "a") as file:
        file.write('{"kind": "say", "text": "tw')
    assert [event["text"] for event in tail] == ["one"]
    with open(tmp_path / "events.jsonl", "a") as file:
        file.write('o"}\n')
    assert [event["text"] for event in tail] == ["two"]


def test_progress_is_thinned_but_never_loses_an_end(tmp_path: Path) -> None:
    clock = Clock()
    journal = Journal(tmp_path, "data", clock)
    tail = EventTail(tmp_path)
    for done in range(1001):
        clock.now += 0.01
        journal.progress(Progress("fetch", done, 1000, "bytes"))
    shown = [event["done"] for event in tail]
    assert len(shown) < 60
    assert shown[0] == 0
    assert shown[-1] == 1000


def test_the_newest_progress_is_found_behind_other_events(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "training", Clock())
    assert journal.latest() == ""
    journal.progress(Progress("train", 1, 10, "steps", "loss 3"))
    journal.progress(Progress("train", 10, 10, "steps", "loss 2"))
    journal.say("more")
    with open(tmp_path / "events.jsonl", "a") as file:
        file.write('{"kind": "progr')
    assert journal.latest() == "train: 10 of 10 steps  loss 2"
