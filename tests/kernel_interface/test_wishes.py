"""Which texts change something, and which do not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_interface.actions import ends_everything, is_the_systems
from kernel_interface.extract import action_for
from kernel_interface.goals import GOALS, UnknownGoalError, plan_for
from kernel_interface.intents import ACTION_THRESHOLD, SubCommand, classify
from kernel_interface.knowledge import Knowledge
from kernel_interface.known import SERVICES
from kernel_interface.mood import CHANGES
from kernel_interface.service import Service

#: Texts that want nothing changed here and now, or that nobody can be sure of.
NO_WISHES = """
    don't remove vim, I need it | do not remove php, we use it | please do not delete mariadb-server: we have data
    don't stop nginx, it is running fine | never stop nginx while jobs run | do not blacklist nouveau
    e1000e must not be blacklisted | don't set the option debug=16 of e1000e | don\u2019t stop nginx
    set route gateway="fe80::1%`id`" for eth0 | install systemd- | remove package foo+
    disable dhcp on eth0 | remove address 10.0.0.5/24 from eth0 | remove the default route 192.168.1.1
    remove nameserver 8.8.8.8 | remove the 20GB partition on sdb | shrink sda by 10 GB | resize sdb to 20G
    delete the partition table of sdb | op=delete disk=/dev/sdb size=20GB | remove /dev/sdb1 /mnt from fstab
    prevent nginx from starting | stop nginx from starting at boot | remove the blacklist of nouveau
    stop blacklisting nouveau | allow nouveau again, it is blacklisted
    convert sdb1 from ext4 to btrfs | is sdb1 formatted as ext4? | sdb1 is ext4 | yesterday I formatted sdb1 with ext4
    ssh stopped working | someone stopped ssh | has nginx been stopped? | nginx is stopping
    docker stopped unexpectedly | what does stop nginx mean? | prevent ssh from being stopped
    I removed vim by accident | was vim removed? | does restarting nginx drop connections?
    will removing php break nginx? | avoid restarting nginx | refrain from stopping ssh | ssh starts slowly
    nginx should not be restarted | keep nginx from stopping | restart nginx? | stop nginx fails | stop nginx is wrong
    nginx crashed after I installed php, remove it | when the disk is full, reboot | after the backup, stop nginx
    stop nginx before midnight | restart nginx once the backup is done | reboot at noon | update all while I sleep
    stop worrying | start over | turn off the lights | kill 1 | uninstall yourself | update my resume
    how do I restart nginx? | i am trying to restart nginx | is there a way to stop ssh | shall I remove vim
    set mtu=\u00b2 of eth0 | update all packages except vim | install vim instead of nano | stop nginx or apache2
    remove the package cache | install the package manager | call this machine back | stop the service worker
    remove every package | purge every package | remove each package | remove all packages | mask firewalld
    does it reboot? | how do I reboot | don't reboot | it reboots
"""

WISHES: dict[str, tuple[SubCommand, dict[str, object]] | None] = {
    "restart nginx": (SubCommand.SVC_START, {"operation": "restart", "service": "nginx"}),
    "Could you please restart nginx?": (SubCommand.SVC_START, {"operation": "restart", "service": "nginx"}),
    "I want you to restart nginx": (SubCommand.SVC_START, {"operation": "restart", "service": "nginx"}),
    "nginx should be running": (SubCommand.SVC_START, {"operation": "start", "service": "nginx"}),
    "start nginx now and thanks": None,
    "stop ssh for good": (SubCommand.SVC_STOP, {"operation": "disable", "service": "ssh"}),
    "turn off cups": (SubCommand.SVC_STOP, {"operation": "stop", "service": "cups"}),
    "restart the frobnicated service": (SubCommand.SVC_START, {"operation": "restart", "service": "frobnicated"}),
    "install vim, git and htop on this machine": (SubCommand.PKG_INSTALL, {"packages": ["vim", "git", "htop"]}),
    "I need vim": (SubCommand.PKG_INSTALL, {"packages": ["vim"]}),
    "install the frobnicate package": (SubCommand.PKG_INSTALL, {"packages": ["frobnicate"]}),
    "remove g++": (SubCommand.PKG_REMOVE, {"packages": ["g++"], "purge": False}),
    "remove php completely with config files": (SubCommand.PKG_REMOVE, {"packages": ["php"], "purge": True}),
    "update": (SubCommand.PKG_UPDATE, {"packages": []}),
    "upgrade all packages": (SubCommand.PKG_UPDATE, {"packages": []}),
    "mkfs.ext4 /dev/sdb1": (SubCommand.FORMAT_FS, {"device": "/dev/sdb1", "filesystem": "ext4", "confirm": True}),
    "unmount /": (SubCommand.MOUNT_FS, {"operation": "unmount", "target": "/", "confirm": True}),
    "bring eth0 down": (SubCommand.NETWORK_CONFIG, {"operation": "down", "interface": "eth0"}),
    "set the mtu of eth0 to 9000": (SubCommand.NETWORK_CONFIG, {"operation": "mtu", "mtu": 9000}),
    "set option debug=16 of e1000e": (SubCommand.DRV_CONFIGURE, {"operation": "set", "parameters": {"debug": "16"}}),
    "can you reboot?": (SubCommand.SVC_START, {"service": "reboot.target", "confirm": True}),
    "op=stop service=nginx": (SubCommand.SVC_STOP, {"operation": "stop", "service": "nginx"}),
}


def texts(table: str) -> list[str]:
    return [text.strip() for line in table.strip().splitlines() for text in line.split(" | ")]


@pytest.mark.parametrize("text", texts(NO_WISHES))
def test_what_is_no_plain_wish_changes_nothing(knowledge: Knowledge, text: str) -> None:
    answer = Service(knowledge, None).query(text)
    assert not answer.action_data or answer.sub_command not in CHANGES
    assert answer.response
    for sub in CHANGES:
        assert action_for(sub, text) is None


@pytest.mark.parametrize("text", WISHES)
def test_a_plain_wish_is_read(knowledge: Knowledge, text: str) -> None:
    answer = Service(knowledge, None).query(text)
    if (expected := WISHES[text]) is None:
        assert answer.action_data == ""
        return
    assert answer.sub_command == expected[0]
    assert expected[1].items() <= json.loads(answer.action_data).items()
    assert answer.confidence >= ACTION_THRESHOLD


@pytest.mark.parametrize("text", ["install frobnicate", "stop frobnicated please", "restart nginx, it hangs"])
def test_what_is_not_sure_is_a_suggestion(knowledge: Knowledge, text: str) -> None:
    answer = Service(knowledge, None).query(text)
    assert (answer.action_data, answer.requires_followup, answer.confidence < ACTION_THRESHOLD) == ("", True, True)
    assert answer.response.startswith("Perhaps this is meant: Run '")


@given(
    st.sampled_from(sorted(SERVICES)),
    st.sampled_from(["{} {}ped", "{1}ping {0}", "did {} {}", "{} {}s", "why {1} {0}", "never {1} {0}", "I {1} {0}"]),
)
def test_no_other_form_of_the_verb_is_a_wish(service: str, form: str) -> None:
    assert action_for(SubCommand.SVC_STOP, form.format(service, "stop")) is None
    assert action_for(SubCommand.SVC_STOP, f"stop {service}") is not None


@pytest.mark.parametrize(
    ("sub", "text", "expected"),
    [
        (SubCommand.PKG_REMOVE, '{"packages":["vim"],"purge":true}', {"packages": ["vim"], "purge": True}),
        (SubCommand.PKG_REMOVE, "package=vim purge=true", {"packages": ["vim"], "purge": True}),
        (SubCommand.PKG_INSTALL, '{"package":["vim","git"]}', {"packages": ["vim", "git"]}),
        (SubCommand.DRV_CONFIGURE, '{"operation":"list","module":"e1000e"}', {"operation": "list"}),
        (SubCommand.DRV_CONFIGURE, "op=set module=e1000e Debug=16", {"parameters": {"Debug": "16"}}),
        (SubCommand.PARTITION_DISK, "op=partition dev=/dev/sdb size=20GB", {"operation": "create", "size": "20GiB"}),
        (SubCommand.PARTITION_DISK, "op=partition dev=sdb size=all", {"operation": "create"}),
        (SubCommand.MOUNT_FS, "op=remount target=/srv options=ro", {"operation": "remount", "read_only": True}),
        (SubCommand.MOUNT_FS, '{"operation":"unmount","target":"/"}', {"operation": "unmount", "confirm": True}),
        (SubCommand.NETWORK_CONFIG, "op=dns iface=eth0 server=9.9.9.9", {"nameserver": "9.9.9.9"}),
        (SubCommand.HOSTNAME_SET, "name=athena", {"hostname": "athena"}),
        (SubCommand.SVC_START, "service=reboot.target", {"service": "reboot.target", "confirm": True}),
        (SubCommand.LOG_QUERY, '{"source":"kernel","lines":5}', {"source": "kernel", "lines": 5}),
    ],
)
def test_what_is_marked_is_read_by_its_keys(sub: SubCommand, text: str, expected: dict[str, object]) -> None:
    action = action_for(sub, text)
    assert action is not None
    assert expected.items() <= json.loads(action.data()).items()


@pytest.mark.parametrize(
    ("sub", "text"),
    [
        (SubCommand.SVC_START, "op=stop service=nginx"),
        (SubCommand.SVC_START, '{"operation":"stop","service":"nginx"}'),
        (SubCommand.SVC_STOP, "op=start service=nginx"),
        (SubCommand.PARTITION_DISK, '{"operation":"delete","disk":"/dev/sdb","size":"20GiB"}'),
        (SubCommand.PARTITION_DISK, "op=label dev=/dev/sdb type=msdos"),
        (SubCommand.MOUNT_FS, "op=remove dev=/dev/sdb1 target=/mnt"),
        (SubCommand.NETWORK_CONFIG, "op=remove iface=eth0 address=10.0.0.5/24"),
        (SubCommand.NETWORK_CONFIG, "op=mtu iface=eth0 mtu=\u00b2"),
        (SubCommand.NETWORK_CONFIG, 'op=route gateway="fe80::1%`id`"'),
        (SubCommand.PKG_REMOVE, "package=vim simulate=true"),
        (SubCommand.PKG_REMOVE, "package=vim package=git"),
        (SubCommand.PKG_REMOVE, "package=p."),
        (SubCommand.PKG_REMOVE, "package=l.b"),
        (SubCommand.PKG_REMOVE, "op=autoremove"),
        (SubCommand.PKG_INSTALL, "package=systemd-"),
        (SubCommand.PKG_UPDATE, "{}"),
        (SubCommand.PKG_UPDATE, 'package=""'),
        (SubCommand.PKG_UPDATE, "op=hold package=vim"),
        (SubCommand.LOG_QUERY, "{"),
    ],
)
def test_what_is_marked_otherwise_is_not_guessed(sub: SubCommand, text: str) -> None:
    action = action_for(sub, text)
    assert action is None or sub == SubCommand.LOG_QUERY


@pytest.mark.parametrize("text", ["show log lines=\u00b2", "show the last \u00b2 lines of the nginx log"])
def test_a_digit_of_another_script_is_no_number(text: str) -> None:
    action = action_for(SubCommand.LOG_QUERY, text)
    assert action is not None
    assert json.loads(action.data())["lines"] == 50


@pytest.mark.parametrize(
    "text",
    [
        "get the office",
        "run my desktop",
        "we need an office",
        "run the printer",
        "make the internet secure",
        "get my desktop working",
        "use the printer",
    ],
)
def test_no_goal_is_read_into_a_text(text: str) -> None:
    assert plan_for(text) is None


@pytest.mark.parametrize("text", ["get the internet working", "make the internet work"])
def test_the_internet_works_by_a_network_card(text: str) -> None:
    plan = plan_for(text)
    assert plan is not None
    assert plan.goal == "working network card"


@pytest.mark.parametrize(
    "text", ["set up a web server?", "how do I set up a web server", "set up a web server after lunch"]
)
def test_a_goal_that_is_not_wanted_now_is_told(knowledge: Knowledge, text: str) -> None:
    answer = Service(knowledge, None).query(text)
    assert (answer.action_data, answer.plan) == ("", None)


def test_an_unknown_goal_of_the_machine_is_called_so() -> None:
    with pytest.raises(UnknownGoalError):
        plan_for("prepare this machine for attacks")
    assert len(GOALS) > 15


ENDING = texts(
    """
    halt.target | emergency.target | rescue.target | kexec.target | runlevel0.target
    runlevel1.target | runlevel6.target | suspend.target | hibernate.target | hybrid-sleep.target
    sleep.target | systemd-reboot.service | systemd-poweroff.service | systemd-halt | systemd-suspend.service
    emergency.service | rescue.service | reboot.target | poweroff.target
"""
)


@pytest.mark.parametrize("unit", ENDING)
def test_a_person_agrees_before_everything_ends(unit: str) -> None:
    action = action_for(SubCommand.SVC_START, f"service={unit}")
    assert action is not None
    assert json.loads(action.data())["confirm"]
    assert not any(map(ends_everything, SERVICES))


@pytest.mark.parametrize(
    ("folder", "systems"),
    [("/", True), ("//", True), ("/usr", True), ("/var/", True), ("/mnt", False), ("/var/www", False), (None, False)],
)
def test_which_folders_are_the_systems(folder: str | None, systems: bool) -> None:
    assert is_the_systems(folder) == systems
    for text in (f"unmount {folder}", f"remount {folder} read-only", f"mount /dev/sdb1 at {folder}") if folder else ():
        action = action_for(SubCommand.MOUNT_FS, text)
        assert action is not None
        assert json.loads(action.data())["confirm"] == systems


LONG = {
    "for": "search " + "for " * 1000 + "=x",
    "words": "install " + "a " * 2000,
    "and": "install " + "vim and " * 500 + "!",
    "short": "install " + "a and " * 48 + "!",
    "polite": "please " * 580,
    "now": "restart nginx" + " now" * 1000 + "x",
    "dots": "a." * 2000,
    "colons": "a:" * 2000,
    "slashes": "/" * 4000,
    "equals": "a=" * 2000,
    "pairs": "a=b " * 1000,
    "quotes": 'a="' * 1300,
    "braces": '{"a":' * 800,
    "digits": "1" * 4000,
    "addresses": "10.0.0." * 570,
    "blanks": " " * 4000 + "x",
    "if": "if " * 1300,
}


def quickest(deed: Callable[[], object]) -> float:
    """Return the least processor time of three tries: in some the garbage of other tests is collected."""
    times = []
    for _ in range(3):
        begun = time.process_time()
        deed()
        times.append(time.process_time() - begun)
    return min(times)


@pytest.mark.parametrize("name", LONG)
def test_no_text_takes_long(name: str, knowledge: Knowledge) -> None:
    text = LONG[name]
    service = Service(knowledge, None)
    for sub in SubCommand:
        assert quickest(lambda sub=sub: action_for(sub, text)) < 0.1  # type: ignore[misc]
    assert quickest(lambda: service.query(text)) < 0.5


def test_the_phrases_that_people_type_still_become_actions() -> None:
    """How much is read at all; that nothing else is, is shown above."""
    typed = Path(__file__).parents[1] / "data" / "phrases" / "typed.tsv"
    lines = [line.split("\t") for line in typed.read_text().splitlines() if line and not line.startswith("#")]
    changes = [(SubCommand[sub], text) for _, sub, text in lines if SubCommand[sub] in CHANGES]
    found = [(sub, text) for sub, text in changes if action_for(sub, text) and classify(text).sub_command == sub]
    assert len(found) >= len(changes) / 3
