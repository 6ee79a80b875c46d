"""What a text asks for, as the action of a sub-command.

A change must be marked by keys (:mod:`.marked`) or be a plain wish (:mod:`.wishes`); in doubt there is no action. What
only looks is read with more latitude: a name is taken where it is marked, where it is known, or where it stands as the
object of its verb and nothing else does. Whatever is found must fit the action's schema.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from kernel_interface import actions, wishes
from kernel_interface.actions import Action
from kernel_interface.intents import SubCommand, kinds_of
from kernel_interface.known import DRIVERS, SERVICE_NAMES, SERVICES
from kernel_interface.marked import action_in_json, fields_of, is_marked, marked_action, number
from kernel_interface.mood import CHANGES, wish_behind, wish_in
from kernel_interface.names import objects, words_of
from kernel_interface.wishes import device_called, partition, unit_called

_PARTITION = re.compile(
    r"(?<![\w/])(?:/dev/)?((?:sd|vd|hd)[a-z][0-9]+|nvme[0-9]+n[0-9]+p[0-9]+|mmcblk[0-9]+p[0-9]+|md[0-9]+"
    r"|mapper/[\w-]+)(?![\w/])"
)
_DISK = re.compile(r"(?<![\w/])(?:/dev/)?((?:sd|vd|hd)[a-z]|nvme[0-9]+n[0-9]+|mmcblk[0-9]+)(?![\w/])")
_INTERFACE = re.compile(
    r"(?<![\w/.-])((?:eth|wlan|br|bond|wg)[0-9]+|en[ops][0-9]\w{0,11}|wl[ops][0-9]\w{0,11})(?![\w.-])"
)
_PATH = re.compile(r"(?<![\w./:=])(/(?!dev/)[\w.+/-]*)")
_NUMBER = re.compile(r"(?<![\w./-])([0-9]{1,5})(?![\w./])")
#: A unit with its type.
_UNIT = re.compile(r"(?<![\w/.:@-])([A-Za-z0-9][\w:@-]*(?:\.[\w:@-]+)*)\.(?:service|socket|timer|target)(?![\w.-])")

_Fields = Mapping[str, str]


def action_for(sub_command: SubCommand, text: str) -> Action | None:
    """Make the action that a text asks for; None where it does not say enough, or what it names cannot be.

    One that changes something is to be done as it is. One that only looks may be what the text asks about
    (:func:`.mood.wonders`).
    """
    text = text.replace("\u2019", "'")
    if action := action_in_json(sub_command, text):
        return action
    try:
        if sub_command not in CHANGES:
            maker = _LOOKS.get(sub_command)
            return maker(text, _fields(text)) if maker else None
        if is_marked(text):
            return marked_action(sub_command, text)
        if (wish := wish_in(text)) is not None and (found := wishes.read(sub_command, wish)) and found.is_sure:
            return found.action
        lister = _LISTS.get(sub_command)
        return lister(text) if lister else None
    except ValidationError:
        return None


def action_meant(sub_command: SubCommand, text: str) -> Action | None:
    """Make the change that a text perhaps means, or asks about: to be told to a person, never to be done."""
    if sub_command not in CHANGES or is_marked(text):
        return None
    wish = wish_behind(text.replace("\u2019", "'"))
    try:
        found = wishes.read(sub_command, wish) if wish else None
    except ValidationError:
        return None
    return found.action if found else None


def _fields(text: str) -> dict[str, str]:
    return {key.lower(): value for key, value in fields_of(text).items()}


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.search(text)
    return match[1] if match else None


_ALL = r"(?:\s+(?:the|this|my|our|whole|machine|computer|system|server|box|host|pc|laptop|now|please))*[\s.!]*"
_MACHINE = r"(?=.*\b(?:machine|computer|system|server|box|host|pc|laptop)\b)"
_REBOOT = re.compile(rf"(?:reboot|{_MACHINE}(?:restart|reset)){_ALL}", re.IGNORECASE)
_POWER_OFF = re.compile(rf"(?:power ?off|shut ?down|{_MACHINE}(?:halt|turn off|switch off)){_ALL}", re.IGNORECASE)


def ends_all(wish: str) -> actions.StartService | None:
    """Return the action of a wish that is for the whole machine to be restarted or switched off, and nothing else."""
    for pattern, target in zip((_REBOOT, _POWER_OFF), actions.ENDS, strict=True):
        if pattern.fullmatch(wish):
            return actions.StartService(operation="start", service=target, confirm=True)
    return None


def _service_name(text: str, fields: _Fields, verbs: Iterable[str]) -> str | None:
    unit = _UNIT.search(text)
    name = fields.get("service") or fields.get("unit") or fields.get("name") or (unit[0] if unit else None)
    if name is None:
        names = objects(text, verbs, SERVICES | SERVICE_NAMES.keys())
        if len(names) != 1:
            return None
        name = names[0]
    return unit_called(name)


_ASKING = frozenset(
    """
    is of status are check does has how show state on systemctl
    """.split()  # noqa: SIM905
)


def _status(text: str, fields: _Fields) -> Action | None:
    kinds = kinds_of(text)
    if name := _service_name(text, fields, _ASKING):
        return actions.ShowService(service=name)
    return actions.ShowService() if "fail" in kinds or fields.get("op") == "failed" else None


#: So many of a text's last characters hold the words that are searched for. More would take long to look through.
_LAST = 200


def _search(text: str, fields: _Fields) -> Action | None:
    if given := fields.get("file"):
        return actions.SearchPackages(file=given)
    if given := fields.get("query"):
        return actions.SearchPackages(query=given)
    if path := _first(_PATH, text):
        return actions.SearchPackages(file=path)
    match = re.search(
        r"\b(?:for|search|find|about|offers?)\s+(?:(?:for|about|an?|the|some|packages?|programs?|software|tools?)\s+)*"
        r"([A-Za-z0-9][A-Za-z0-9 .+-]{1,79}?)\s*(?:please\W*)?[?.!]*$",
        text[-_LAST:],
        re.IGNORECASE,
    )
    return actions.SearchPackages(query=match[1]) if match else None


#: What is not said of a list that somebody wants to see.
_NO_LIST = frozenset({"SET", "STOP", "START", "REMOVE", "LOAD", "blacklist", "SIZE", "create", "new", "add"})


def _partitions(text: str) -> Action | None:
    kinds = kinds_of(text)
    disk = _first(_DISK, text)
    if disk is None or not kinds & {"SHOW", "WHAT", "how"} or kinds & _NO_LIST:
        return None
    return partition("list", disk, None)


def _parameters(text: str) -> Action | None:
    kinds = kinds_of(text)
    known = [word for word in words_of(text) if word.lower() in DRIVERS]
    if not known or not kinds & {"SHOW", "WHAT", "PARAMETER"} or kinds & _NO_LIST or "=" in text:
        return None
    return actions.ConfigureDriver(operation="list", module=known[0])


def _resources(text: str, fields: _Fields) -> Action | None:
    kinds = kinds_of(text)
    path = fields.get("path") or _first(_PATH, text)
    if kinds & {"memory", "ram", "swap"} or (kinds & {"free"} and not kinds & {"DISKS", "space", "POINT"}):
        return actions.ShowResources(resource="memory")
    if path or kinds & {"disk", "space", "df", "du", "DISKS", "folder", "directory", "free space", "disk space"}:
        return actions.ShowResources(resource="disk", path=path)
    if kinds & {"process", "task", "top", "htop", "ps", "hog", "eat", "use the most"}:
        return actions.ShowResources(resource="processes")
    if kinds & {"load", "load average", "uptime", "busy", "how long", "how busy", "since"}:
        return actions.ShowResources(resource="load")
    return None


def _log(text: str, fields: _Fields) -> Action | None:
    kinds = kinds_of(text)
    lines = number(fields.get("lines") or _first(_NUMBER, text) or "")
    values: dict[str, Any] = {"errors_only": bool(kinds & {"error", "warning"}) or fields.get("priority") == "err"}
    if lines is not None and 1 <= lines <= 1000:
        values["lines"] = lines
    of = frozenset(["of", "from", "by", "did", "has", "what", "for", "journal"])
    if service := _service_name(text, fields, of):
        return actions.ShowLog(source="service", service=service, **values)
    kernel = fields.get("source") == "kernel" or bool(kinds & {"dmesg", "kernel", "ring buffer", "kernel log"})
    return actions.ShowLog(source="kernel" if kernel else "system", **values)


def _network_checks(text: str, fields: _Fields) -> Action:
    kinds = kinds_of(text)
    interface = fields.get("iface") or _first(_INTERFACE, text)
    if kinds & {"port", "listen"}:
        return actions.DiagnoseNetwork(checks=("ports",))
    if kinds & {"dns", "name", "resolve", "lookup"}:
        return actions.DiagnoseNetwork(checks=("dns", "gateway", "route"), interface=interface)
    return actions.DiagnoseNetwork(checks=("link", "address", "route", "gateway", "dns"), interface=interface)


def _storage_checks(text: str, fields: _Fields) -> Action:
    kinds = kinds_of(text)
    device = fields.get("dev") or _first(_PARTITION, text) or _first(_DISK, text)
    named = device_called(device) if device else None
    if kinds & {"space", "full", "enospc", "no space left", "no space left on device", "inode"}:
        return actions.DiagnoseStorage(checks=("space", "messages"), device=named)
    if kinds & {"busy", "target is busy", "device is busy"}:
        return actions.DiagnoseStorage(checks=("users",), device=named)
    return actions.DiagnoseStorage(checks=("messages", "health", "space"), device=named)


def _memory_checks(text: str, fields: _Fields) -> Action:
    if kinds_of(text) & {"memtest", "memtest86", "defect", "edac", "dimm", "faulty", "bad", "broken", "bits flip"}:
        return actions.DiagnoseMemory(checks=("modules", "usage"))
    return actions.DiagnoseMemory(checks=("usage", "out_of_memory", "swapping"))


def _system_checks(text: str, fields: _Fields) -> Action:
    if name := _service_name(text, fields, frozenset()):
        return actions.DiagnoseSystem(checks=("service", "errors"), service=name)
    return actions.DiagnoseSystem(checks=("failed_services", "errors", "kernel_messages", "load"))


_LISTS: dict[SubCommand, Callable[[str], Action | None]] = {
    SubCommand.DRV_CONFIGURE: _parameters,
    SubCommand.PARTITION_DISK: _partitions,
}
_LOOKS: dict[SubCommand, Callable[[str, _Fields], Action | None]] = {
    SubCommand.PKG_SEARCH: _search,
    SubCommand.SVC_STATUS: _status,
    SubCommand.RESOURCE_QUERY: _resources,
    SubCommand.LOG_QUERY: _log,
    SubCommand.DIAG_NETWORK: _network_checks,
    SubCommand.DIAG_STORAGE: _storage_checks,
    SubCommand.DIAG_MEMORY: _memory_checks,
    SubCommand.DIAG_GENERAL: _system_checks,
}
