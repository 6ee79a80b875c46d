from __future__ import annotations

import pytest

from kernel_interface.actions import InstallPackages, StartService
from kernel_interface.devices import Device
from kernel_interface.goals import (
    GOALS,
    Plan,
    Progress,
    UnknownGoalError,
    gives_up,
    plan_for,
    wants_next,
)
from kernel_interface.intents import ACTION_THRESHOLD, SubCommand
from kernel_interface.sessions import STEPS


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("set up this machine as a web server", "web server"),
        ("Set up a web server, please!", "web server"),
        ("make this machine a web server", "web server"),
        ("prepare this machine for development", "development"),
        ("could you turn my laptop into a file server?", "file server"),
        ("use this box as a docker host", "container host"),
        ("set up a mail server please", "mail server"),
        ("get the network card working", "working network card"),
        ("make my wifi work", "working wireless card"),
        ("get sound working", "working sound card"),
        ("make this machine secure", "secure machine"),
    ],
)
def test_goals_are_understood(text: str, goal: str) -> None:
    plan = plan_for(text)
    assert plan is not None
    assert plan.goal == goal
    assert plan.confidence >= ACTION_THRESHOLD


def test_every_goal_is_known_by_its_name() -> None:
    for goal in GOALS:
        plan = plan_for(f"set up this machine as a {goal}") if not goal.startswith("working") else None
        assert plan is None or plan.goal == goal
        assert 1 < len(GOALS[goal][1]) <= STEPS


@pytest.mark.parametrize(
    "text",
    [
        "turn this box into a nuclear reactor controller",
        "set up this machine as a teapot",
        "prepare my computer for the holidays",
    ],
)
def test_an_unknown_goal_is_called_so(text: str) -> None:
    with pytest.raises(UnknownGoalError):
        plan_for(text)


@pytest.mark.parametrize(
    "text",
    [
        "set up a static address on eth0",
        "set up dhcp on wlan0",
        "install vim and git",
        "apt update && apt upgrade",
        "get docker going",
        "nginx is slow and crashes",
        "i want a text editor",
        "set this aside and do nothing",
        "restart nginx",
        "configure this machine for dhcp on eth0",
        "how do I stop nginx and remove it?",
        "",
        "and " * 900,
    ],
)
def test_what_is_one_wish_or_none_is_no_plan(text: str) -> None:
    assert plan_for(text) is None


def test_several_wishes_are_steps() -> None:
    plan = plan_for("blacklist nouveau, set i915 enable_psr=0 and reboot")
    assert plan is not None
    assert len(plan.steps) == 3
    plan = plan_for("update everything and reboot")
    assert plan is not None
    assert [step.sub_command for step in plan.steps] == [SubCommand.PKG_UPDATE, SubCommand.SVC_START]
    assert plan.steps[1].action == StartService(operation="start", service="reboot.target", confirm=True)
    plan = plan_for("install nginx, then start it")
    assert plan is not None
    assert [step.action for step in plan.steps] == [
        InstallPackages(packages=("nginx",)),
        StartService(operation="start", service="nginx"),
    ]


@pytest.mark.parametrize(
    "text", ["next", "Next step, please", "ok, next", "done", "done. next step", "go on", "what's next?"]
)
def test_the_next_step_is_asked_for(text: str) -> None:
    assert wants_next(text)
    assert not gives_up(text)


@pytest.mark.parametrize(
    "text", ["next week", "the next driver", "what is the next device?", "okay", "continue the backup"]
)
def test_other_texts_do_not_ask_for_it(text: str) -> None:
    assert not wants_next(text)


def test_a_plan_comes_to_its_end() -> None:
    plan = Plan("development", GOALS["development"][1])
    progress = Progress(plan)
    for number in range(len(plan.steps)):
        assert progress.at == number
        assert progress.is_over == (number == len(plan.steps) - 1)
        progress = progress if progress.is_over else progress.next()


def test_a_step_waits_for_a_device_that_suits_it() -> None:
    plan = plan_for("get the sound working")
    assert plan is not None
    step = Progress(plan, 1)
    network, sound = Device("pci", 0x8086, 0x10D3, 0x0200), Device("pci", 0x8086, 0x2668, 0x0403)
    unclear = Device("pci", 0x8086, 0x2668)
    assert step.suits(sound)
    assert not step.suits(network)
    assert not step.suits(unclear)
    waiting = Progress(plan, 1, waits=True, unlike=unclear)
    assert waiting.next() == waiting
    assert not waiting.is_over
    assert not waiting.suits(unclear)
    assert waiting.suits(Device("usb", 0x0D8C, 0x0014))
