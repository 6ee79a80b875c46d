from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_interface.devices import Device
from kernel_interface.goals import GOALS, Plan, Progress
from kernel_interface.sessions import Sessions, refers_back

devices = st.none() | st.builds(Device, st.sampled_from(["pci", "usb"]), st.integers(1, 2), st.integers(1, 2))
spoken = st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 4), devices), max_size=60)


@given(spoken, st.integers(1, 6), st.integers(1, 5))
def test_as_if_all_were_written_down(steps: list[tuple[str, int, Device | None]], most: int, length: int) -> None:
    sessions = Sessions(most, length)
    for step in steps:
        sessions.note(*step)
        assert len(sessions) <= most
    # A session is remembered unless as many others have spoken after it; since it was last forgotten, it began anew.
    for who in {step[:2] for step in steps}:
        own: list[Device | None] = []
        since: set[tuple[str, int]] = set()
        for connection, sender, device in steps:
            if (connection, sender) == who:
                own = [*own, device] if len(since) < most else [device]
                since = set()
            else:
                since.add((connection, sender))
        own = [] if len(since) >= most else own[-length:]
        assert sessions.device(*who) == next((device for device in reversed(own) if device), None)


@given(spoken, devices.filter(bool))
def test_a_device_is_forgotten_on_its_connection_alone(
    steps: list[tuple[str, int, Device | None]], gone: Device
) -> None:
    sessions, without = Sessions(), Sessions()
    for connection, sender, device in steps:
        sessions.note(connection, sender, device)
        without.note(connection, sender, None if connection == "a" and device == gone else device)
    sessions.forget_device("a", gone)
    for connection, sender, _ in steps:
        assert sessions.device(connection, sender) == without.device(connection, sender)


@given(spoken)
def test_a_connection_that_ends_leaves_nothing(steps: list[tuple[str, int, Device | None]]) -> None:
    sessions, others = Sessions(), Sessions()
    for step in steps:
        sessions.note(*step)
        if step[0] == "b":
            others.note(*step)
    sessions.forget("a")
    assert len(sessions) == len(others)
    assert all(sessions.device("b", sender) == others.device("b", sender) for sender in range(5))


def test_a_plan_is_remembered_with_its_session() -> None:
    sessions = Sessions(most=2, steps=3)
    plan = Progress(Plan("development", GOALS["development"][1]))
    device = Device("pci", 0x8086, 0x10D3)
    sessions.note("a", 1, device, plan)
    sessions.note("a", 1, None)
    assert sessions.plan("a", 1) == plan
    sessions.forget_device("a", device)
    assert (sessions.device("a", 1), sessions.plan("a", 1)) == (None, plan)
    sessions.note("a", 1, None, plan.next())
    assert sessions.plan("a", 1) == plan.next()
    assert sessions.plan("a", 2) is None
    for _ in range(3):
        sessions.note("a", 1, None)
    assert sessions.plan("a", 1) is None


@pytest.mark.parametrize(
    "text",
    [
        "and its driver?",
        "which driver does it need?",
        "what is it?",
        "Who makes it",
        "driver?",
        "So, what's the driver?",
        "and the vendor?",
        "which driver for that?",
        "which driver for this device?",
        "what driver does that need?",
        "is there another driver for it?",
        "which driver does the same card use?",
    ],
)
def test_what_refers_back(text: str) -> None:
    assert refers_back(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "which driver for my printer?",
        "which driver does the sound card need?",
        "which driver does my webcam need? it is black",
        "is it possible to load a driver for nvidia",
        "what is a kernel driver",
        "which drivers are loaded",
        "what is the time",
        "the driver of the camera crashes",
        "which driver for the 82574L Gigabit Network Connection",
        "I plugged something in yesterday and now I would like to know which driver it needs",
    ],
)
def test_what_does_not(text: str) -> None:
    assert not refers_back(text)


@given(st.text(max_size=300))
def test_any_text_does_or_does_not(text: str) -> None:
    assert refers_back(text) in (True, False)
