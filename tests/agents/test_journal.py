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
    clock = Clock()
    journal = Journal(tmp_path, "training", clock)
    assert journal.latest_steps() == [] and journal.latest_attempt() is None
    journal.progress(Progress("validate", 7, 10, "steps"))
    journal.say("training attempt 2 of 3", attempt=2)
    for done in (9, 1, 5, 10):
        clock.now += 1
        journal.progress(Progress("train", done, 10, "steps", f"loss {done}"))
    journal.say("more")
    with open(tmp_path / "events.jsonl", "a") as file:
        file.write('{"kind": "progr')
    # What a lost attempt had done does not count as the pace of the one that came after.
    assert [event["done"] for event in journal.latest_steps()] == [1, 5, 10]
    assert journal.latest_attempt() == 2


def test_what_came_of_a_decision_is_told_with_it(tmp_path: Path) -> None:
    manager, training = Journal(tmp_path, "manager", Clock()), Journal(tmp_path, "training", Clock())
    manager.came("nothing was decided yet")
    manager.decide("it fell", "more tokens")
    training.decide("diverged", "slower")
    manager.came("it fell further")
    training.came("reached the last step")
    manager.decide("gates passed", "accept")
    assert [entry.came for entry in manager.entries()] == ["it fell further", "reached the last step", ""]


def test_time_at_work_is_counted_and_waiting_is_not(tmp_path: Path) -> None:
    clock = Clock()
    journal = Journal(tmp_path, "data", clock)
    for pause in (0, 10, 600, 90_000, 5):
        clock.now += pause
        journal.say("on")
    assert journal.busy() == 615


def test_a_clock_that_jumps_disorders_nothing_and_silences_nothing(tmp_path: Path) -> None:
    clock = Clock()
    journal = Journal(tmp_path, "training", clock)
    for done, jump in enumerate((0, 10, -7200, 10, 7200, 10)):
        clock.now += jump
        journal.decide(f"step {done}", "on")
        journal.progress(Progress("train", done, 100, "steps"))
    assert [entry.saw for entry in journal.entries()] == [f"step {done}" for done in range(6)]
    assert [event["done"] for event in journal.latest_steps()] == list(range(6))
    # What was between two jumps counts, a jump as nothing: no budget is used up or won back by it.
    assert journal.busy() == 30
