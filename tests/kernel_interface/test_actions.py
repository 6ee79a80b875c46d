from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from benchmarks.intents import sets
from kernel_interface import actions
from kernel_interface.actions import SCHEMAS, Action, ActionError, Driver, read_action
from kernel_interface.debian import told
from kernel_interface.extract import action_for, ends_all
from kernel_interface.goals import GOALS
from kernel_interface.intents import SubCommand, classify
from kernel_interface.mood import wish_in
from kernel_interface.wire import ACTION_BYTES

#: What a shell, a program or a path could take for something else than a name.
NASTY = (
    "; rm -rf /",
    "$(reboot)",
    "`reboot`",
    "| sh",
    "&& reboot",
    "\nreboot",
    "' '",
    '" "',
    "../../etc",
    "\0",
    "*",
    "--x",
)

WORDS = [
    *("restart", "nginx", "install", "remove", "vim", "mount", "/dev/sda1", "/mnt", "as", "ext4", "set", "eth0", "to"),
    *("10.0.0.5/24", "hostname", "format", "service=", "package=", "dev=", "hostname=", "iface=", "op=restart", "20G"),
    *("e1000e", "blacklist", "and", "please", ","),
]


def test_every_sub_command_has_a_schema_and_devices_have_drivers() -> None:
    assert set(SCHEMAS) == set(SubCommand)
    assert {sub for sub, schema in SCHEMAS.items() if schema is Driver} == {
        sub for sub in SubCommand if sub.intent <= 1 and sub != SubCommand.DRV_CONFIGURE
    }


def test_what_is_written_is_read_again() -> None:
    for sub, text in [phrase for name, phrases in sets().items() if name != "exchanges" for phrase in phrases]:
        action = action_for(sub, text)
        if action is not None:
            assert type(action) is SCHEMAS[sub]
            assert read_action(sub, action.data()) == action
            assert len(action.data().encode()) <= ACTION_BYTES
    assert read_action(SubCommand.SVC_START, "") is None


def test_the_longest_actions_fit() -> None:
    longest = [
        actions.RemovePackages(packages=tuple(f"{number:x}" + "p" * 63 for number in range(12)), purge=True),
        actions.ConfigureDriver(
            operation="set", module="m" * 64, parameters={f"{number}" + "p" * 47: "v" * 48 for number in range(4)}
        ),
        actions.Mount(operation="mount", device="/dev/" + "d" * 32 + "/" + "d" * 64, target="/" + "t" * 199),
        actions.SearchPackages(query="q" * 80),
    ]
    for action in longest:
        assert len(action.data().encode()) <= ACTION_BYTES


@pytest.mark.parametrize(
    ("sub", "data"),
    [
        (SubCommand.DRV_SELECT, "e1000 e1000e"),
        (SubCommand.DRV_SELECT, "e1000\n"),
        (SubCommand.DRV_SELECT, '{"driver":"e1000"}'),
        (SubCommand.IDENTIFY_PCI, "-r"),
        (SubCommand.PKG_INSTALL, "nginx"),
        (SubCommand.PKG_INSTALL, '{"packages":[]}'),
        (SubCommand.PKG_INSTALL, '{"packages":["nginx"],"more":1}'),
        (SubCommand.PKG_INSTALL, '{"packages":["Nginx"]}'),
        (SubCommand.PKG_REMOVE, '{"packages":["vim"],"confirm":false}'),
        (SubCommand.FORMAT_FS, '{"device":"/dev/../etc","filesystem":"ext4"}'),
        (SubCommand.FORMAT_FS, '{"device":"/dev/sda1","filesystem":"zfs"}'),
        (SubCommand.PARTITION_DISK, '{"operation":"label","disk":"/dev/sda","confirm":false}'),
        (SubCommand.MOUNT_FS, '{"operation":"mount","device":"/dev/sda1"}'),
        (SubCommand.MOUNT_FS, '{"operation":"unmount","target":"/srv/../etc"}'),
        (SubCommand.NETWORK_CONFIG, '{"operation":"address","interface":"eth0"}'),
        (SubCommand.NETWORK_CONFIG, '{"operation":"address","interface":"eth0","address":"300.1.1.1/24"}'),
        (SubCommand.HOSTNAME_SET, '{"hostname":"-athena"}'),
        (SubCommand.SVC_START, '{"operation":"start","service":"reboot.target"}'),
        (SubCommand.SVC_STOP, '{"operation":"start","service":"nginx"}'),
        (SubCommand.LOG_QUERY, '{"source":"service"}'),
        (SubCommand.DIAG_GENERAL, '{"checks":["rm"]}'),
    ],
)
def test_what_breaks_a_schema_is_refused(sub: SubCommand, data: str) -> None:
    with pytest.raises(ActionError, match=sub.name):
        read_action(sub, data)


def strings(schema: type[BaseModel]) -> Iterator[tuple[str, TypeAdapter[object]]]:
    """Yield every field of an action that can hold a text of its own, at any depth, with its type."""
    for name, field in schema.model_fields.items():
        kind: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        whole = TypeAdapter[object](kind)
        if '"type": "string"' in json.dumps(whole.json_schema()):
            yield name, whole


FIELDS = [(schema, name, whole) for schema in dict.fromkeys(SCHEMAS.values()) for name, whole in strings(schema)]


def test_every_kind_of_name_is_tried() -> None:
    tried = {name for _, name, _ in FIELDS}
    assert {"driver", "module", "parameters", "disk", "size", "device", "target", "address", "gateway"} <= tried
    assert {"nameserver", "interface", "hostname", "query", "file", "packages", "service"} <= tried


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize(
    ("schema", "field", "whole"), FIELDS, ids=[f"{one.__name__}-{name}" for one, name, _ in FIELDS]
)
def test_no_name_holds_what_a_shell_reads(
    schema: type[Action], field: str, whole: TypeAdapter[object], name: str
) -> None:
    for text in (
        name,
        f"x{name}",
        f"/dev/x{name}",
        f"{name}x",
        f"10.0.0.1{name}",
        f"fe80::1%{name}/64",
        f"20GiB{name}",
    ):
        for value in (text, [text], {text: "x"}, {"x": text}, (text,)):
            try:
                held = whole.validate_python(value)
            except ValidationError:
                continue
            if isinstance(held, dict):
                texts = [*held.keys(), *held.values()]
            else:
                texts = list(held) if isinstance(held, tuple) else [str(held)]
            for held_text in texts:
                # What is left are harmless: "--x" behind a letter.
                assert shlex.quote(held_text).strip("'") == held_text
                assert not set(held_text) & set(";$`|&\n\0'\"*%")
                assert not held_text.startswith("-")


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(SubCommand),
    st.lists(
        st.one_of(
            st.sampled_from(WORDS),
            st.sampled_from(NASTY),
            st.text(max_size=8),
        ),
        max_size=12,
    ),
)
def test_whatever_is_written_an_action_fits_its_schema(sub: SubCommand, words: list[str]) -> None:
    text = " ".join(words)
    action = action_for(sub, text)
    if action is not None:
        assert read_action(sub, action.data()) == action
        data = json.loads(action.data()) if not isinstance(action, Driver) else {}
        names = [value for value in data.values() if isinstance(value, str)] + list(data.get("packages", ()))
        assert not any(set(name) & set(";$`|&\n\0'\"*<>\\") or name.startswith("-") for name in names)
        assert told(action).endswith(".")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("restart nginx", {"operation": "restart", "service": "nginx"}),
        ("start sshd", {"operation": "start", "service": "ssh"}),
        ("systemctl enable cups.service", {"operation": "enable", "service": "cups.service"}),
        ("nginx should be running", {"operation": "start", "service": "nginx"}),
        ("stop the frobnicated service please", {"operation": "stop", "service": "frobnicated"}),
        ("is cron enabled?", {"service": "cron"}),
        ("install vim, git and rsync please", {"packages": ["vim", "git", "rsync"]}),
        ("Instal Firefox", {"packages": ["firefox-esr"]}),
        ("purge nano", {"packages": ["nano"], "purge": True, "confirm": True}),
        ("update everything", {"packages": []}),
        ("upgrade openssl", {"packages": ["openssl"]}),
        ("search for a music player", {"query": "music player"}),
        ("which package contains /usr/bin/dig", {"file": "/usr/bin/dig"}),
        ("format sdb1 as fat32", {"device": "/dev/sdb1", "filesystem": "vfat", "confirm": True}),
        ("mount /dev/sdb1 at /data at every boot", {"device": "/dev/sdb1", "target": "/data", "every_boot": True}),
        ("umount /media/usb", {"operation": "unmount", "target": "/media/usb"}),
        ("create a 20 GB partition on /dev/sdb", {"operation": "create", "disk": "/dev/sdb", "size": "20GiB"}),
        ("give eth0 the address 10.0.0.5/24", {"operation": "address", "interface": "eth0", "address": "10.0.0.5/24"}),
        ("use dhcp on enp3s0", {"operation": "dhcp", "interface": "enp3s0"}),
        ("default gateway should be 10.0.0.1", {"operation": "route", "gateway": "10.0.0.1"}),
        ("rename this machine to build-3", {"hostname": "build-3"}),
        ("blacklist nouveau", {"operation": "blacklist", "module": "nouveau"}),
        ("set nouveau modeset=0", {"operation": "set", "module": "nouveau", "parameters": {"modeset": "0"}}),
        ("last 100 lines of the nginx log", {"source": "service", "service": "nginx", "lines": 100}),
        ("how full is /srv", {"resource": "disk", "path": "/srv"}),
        ("I/O errors on sda", {"checks": ["messages", "health", "space"], "device": "/dev/sda"}),
        ("op=restart service=postfix", {"operation": "restart", "service": "postfix"}),
    ],
)
def test_what_a_text_names_is_in_its_action(text: str, expected: dict[str, object]) -> None:
    action = action_for(classify(text).sub_command, text)
    assert action is not None
    assert expected.items() <= json.loads(action.data()).items()


@pytest.mark.parametrize(
    ("sub", "text"),
    [
        (SubCommand.PKG_INSTALL, "install my favourite editor"),
        (SubCommand.PKG_INSTALL, "install it"),
        (SubCommand.PKG_INSTALL, "don't install nginx"),
        (SubCommand.PKG_REMOVE, "remove everything"),
        (SubCommand.PKG_REMOVE, "do not remove vim"),
        (SubCommand.PKG_UPDATE, "update all packages except vim"),
        (SubCommand.PKG_INSTALL, "install vim instead of nano"),
        (SubCommand.PKG_UPDATE, "keep vim at its version, no upgrade"),
        (SubCommand.SVC_START, "restart the web server"),
        (SubCommand.SVC_STOP, "never stop ssh"),
        (SubCommand.SVC_STOP, "stop nginx or apache2"),
        (SubCommand.FORMAT_FS, "format the usb stick as fat32"),
        (SubCommand.FORMAT_FS, "format /dev/sda1"),
        (SubCommand.NETWORK_CONFIG, "set ip 192.168.1.20 on eth0"),
        (SubCommand.HOSTNAME_SET, "change the name of my computer"),
        (SubCommand.PARTITION_DISK, "delete the third partition on sda"),
    ],
)
def test_in_doubt_there_is_no_action(sub: SubCommand, text: str) -> None:
    assert action_for(sub, text) is None


def test_a_json_command_names_too() -> None:
    action = action_for(SubCommand.PKG_INSTALL, '{"package": "vim"}')
    assert action == actions.InstallPackages(packages=("vim",))
    assert action_for(SubCommand.PKG_INSTALL, '{"package": "vim; reboot"}') is None
    assert action_for(SubCommand.PKG_INSTALL, "[" * 4000) is None


@pytest.mark.parametrize(
    "text", ["reboot", "Please reboot now.", "restart the server", "power off", "shut down the machine"]
)
def test_all_of_it_ends_only_when_a_person_agrees(text: str) -> None:
    action = ends_all(wish_in(text) or "")
    assert action is not None
    assert action.confirm


@pytest.mark.parametrize(
    "text", ["restart", "restart nginx", "it reboots", "shut down nginx", "does it reboot", "reboot nginx"]
)
def test_part_of_it_does_not_end_all(text: str) -> None:
    assert ends_all(wish_in(text) or "") is None


def test_every_action_of_a_plan_is_told() -> None:
    for _, steps in GOALS.values():
        for step in steps:
            if step.action is not None:
                assert type(step.action) is SCHEMAS[step.sub_command]
                assert read_action(step.sub_command, step.action.data()) == step.action
                assert told(step.action).endswith(".")


def test_the_schemas_are_printed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kernel_interface.actions"], capture_output=True, text=True, check=True
    )
    printed = json.loads(done.stdout)
    assert len(printed) == len(SubCommand)
    assert printed["0x0301 PKG_INSTALL"]["required"] == ["packages"]
