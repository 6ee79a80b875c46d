"""What a text names, as the action of a sub-command: ``restart nginx`` is the operation restart of the service nginx.

A name is taken where the kernel marks it (``service=nginx``, JSON), where it is known, or where it stands as the object
of its verb and nothing else does: ``install frobnicate``, but not ``install my favourite editor``. In doubt there is no
action. Whatever is found must fit the action's schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from kernel_interface import actions
from kernel_interface.actions import Action
from kernel_interface.intents import SubCommand, is_word, kinds_of, without_politeness
from kernel_interface.known import DRIVERS, PACKAGE_NAMES, PACKAGES, SERVICE_NAMES, SERVICES
from kernel_interface.mood import refused
from kernel_interface.names import objects, words_of

_PAIR = re.compile(r"(?<!\S)([a-z_]+)\s?=\s?(\"[^\"]*\"|\S+)", re.IGNORECASE)
_PARTITION = re.compile(
    r"(?<![\w/])(?:/dev/)?((?:sd|vd|hd)[a-z][0-9]+|nvme[0-9]+n[0-9]+p[0-9]+|mmcblk[0-9]+p[0-9]+|md[0-9]+"
    r"|mapper/[\w-]+)(?![\w/])"
)
_DISK = re.compile(r"(?<![\w/])(?:/dev/)?((?:sd|vd|hd)[a-z]|nvme[0-9]+n[0-9]+|mmcblk[0-9]+)(?![\w/])")
_INTERFACE = re.compile(
    r"(?<![\w/.-])((?:eth|wlan|br|bond|wg)[0-9]+|en[ops][0-9]\w{0,11}|wl[ops][0-9]\w{0,11})(?![\w.-])"
)
_PATH = re.compile(r"(?<![\w./:=])(/(?!dev/)[\w.+/-]*)")
_ADDRESS = re.compile(r"(?<![\w.:])([0-9]{1,3}(?:\.[0-9]{1,3}){3}(/[0-9]{1,2})?)(?![\w:]|\.[0-9])")
_SIZE = re.compile(r"(?<![\w.])([1-9][0-9]{0,5})\s?([MGT])(?:i?B)?(?!\w)", re.IGNORECASE)
_FILESYSTEM = re.compile(
    r"(?<!\w)(?:mkfs\.)?(ext[234]|xfs|btrfs|vfat|fat32|exfat|ntfs|f2fs|swap)(?:fs)?(?!\w)", re.IGNORECASE
)
_NUMBER = re.compile(r"(?<![\w./-])([0-9]{1,5})(?![\w./])")
_SETTING = re.compile(r"(?<![\w/.-])([A-Za-z][A-Za-z0-9_]{1,47})\s?(?:=|\bto\b|\bat\b)\s?([A-Za-z0-9_.:,+-]{1,48})")
#: A unit with its type.
_UNIT = re.compile(r"(?<![\w/.-])([A-Za-z0-9][\w:@-]*(?:\.[\w:@-]+)*)\.(?:service|socket|timer|target)(?![\w.-])")

_Fields = Mapping[str, str]


def action_for(sub_command: SubCommand, text: str) -> Action | None:
    """Make the action that a text is about; None where it does not say enough, or what it names cannot be.

    Where the text only asks about it, it is no action that anybody wants (:func:`wonders`).
    """
    text = text.replace("\u2019", "'")
    maker = _MAKERS.get(sub_command)
    if maker is None or refused(sub_command, text):
        return None
    try:
        return maker(text, _fields(text))
    except ValidationError:
        return None


def _fields(text: str) -> dict[str, str]:
    """Return what a kernel marked by keys."""
    if text.lstrip().startswith("{"):
        try:
            content = json.loads(text)
        except (json.JSONDecodeError, RecursionError):
            return {}
        pairs = content.items() if isinstance(content, dict) else ()
        return {key.lower(): str(value) for key, value in pairs if isinstance(value, str | int)}
    return {key.lower(): value.strip('"').rstrip(",;") for key, value in _PAIR.findall(text)}


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.search(text)
    return match[1] if match else None


_ALL = r"(?:\s+(?:the|this|my|our|whole|machine|computer|system|server|box|host|pc|laptop|now|please))*[\s.!]*"
_MACHINE = r"(?=.*\b(?:machine|computer|system|server|box|host|pc|laptop)\b)"
_REBOOT = re.compile(rf"(?:reboot|{_MACHINE}(?:restart|reset)){_ALL}", re.IGNORECASE)
_POWER_OFF = re.compile(rf"(?:power ?off|shut ?down|{_MACHINE}(?:halt|turn off|switch off)){_ALL}", re.IGNORECASE)


def ends_all(text: str) -> actions.StartService | None:
    """Return the action of a text that wants the whole machine restarted or switched off, and nothing else."""
    wish = without_politeness(text)
    for pattern, target in zip((_REBOOT, _POWER_OFF), actions.ENDS, strict=True):
        if pattern.fullmatch(wish):
            return actions.StartService(operation="start", service=target, confirm=True)
    return None


def _package_names(text: str, fields: _Fields, verbs: Iterable[str]) -> tuple[str, ...]:
    given = fields.get("package") or fields.get("packages") or fields.get("name")
    names = given.replace(",", " ").split() if given else objects(text, verbs, PACKAGES | PACKAGE_NAMES.keys())
    return tuple(dict.fromkeys(PACKAGE_NAMES.get(name.lower(), name.lower()) for name in names))


def _service_name(text: str, fields: _Fields, verbs: Iterable[str]) -> str | None:
    unit = _UNIT.search(text)
    name = fields.get("service") or fields.get("unit") or fields.get("name") or (unit[0] if unit else None)
    if name is None:
        names = objects(text, verbs, SERVICES | SERVICE_NAMES.keys())
        if len(names) != 1:
            return None
        name = names[0].lower() if names[0].lower() in SERVICES else names[0]
    return SERVICE_NAMES.get(name.lower(), name)


_STARTING = frozenset(
    """
    start starts restart reload enable launch run running activate resume bring fire get boot kick bounce
    relaunch turn switch try-restart
    """.split()  # noqa: SIM905
)
_INSTALLING = frozenset(
    """
    install instal installed reinstall get add fetch download need want put
    """.split()  # noqa: SIM905
)
_STOPPING = frozenset(
    """
    stop kill disable halt terminate quit shut pause suspend turn switch end take bring
    """.split()  # noqa: SIM905
)
_ASKING = frozenset(
    """
    is of status are check does has how show state on systemctl
    """.split()  # noqa: SIM905
)


def _start(text: str, fields: _Fields) -> Action | None:
    name = _service_name(text, fields, _STARTING)
    if name is None:
        return None
    kinds = kinds_of(text)
    operation = "start"
    if "reload" in kinds:
        operation = "reload"
    elif kinds & {"restart", "again", "bounce", "kick"}:
        operation = "restart"
    elif kinds & {"enable", "BOOT", "always"}:
        operation = "enable"
    return actions.StartService.model_validate({"operation": operation, "service": name})


def _stop(text: str, fields: _Fields) -> Action | None:
    name = _service_name(text, fields, _STOPPING)
    if name is None:
        return None
    for_good = bool(kinds_of(text) & {"disable", "BOOT", "never", "for good", "any more", "anymore", "mask"})
    return actions.StopService(operation="disable" if for_good else "stop", service=name)


def _status(text: str, fields: _Fields) -> Action | None:
    kinds = kinds_of(text)
    if name := _service_name(text, fields, _ASKING):
        return actions.ShowService(service=name)
    return actions.ShowService() if "fail" in kinds or fields.get("op") == "failed" else None


def _install(text: str, fields: _Fields) -> Action | None:
    names = _package_names(text, fields, _INSTALLING)
    again = bool(kinds_of(text) & {"reinstall", "again", "once more"})
    return actions.InstallPackages(packages=names, again=again) if names else None


def _remove(text: str, fields: _Fields) -> Action | None:
    verbs = frozenset(["remove", "uninstall", "purge", "delete", "rid", "drop", "erase", "away", "out", "want", "need"])
    names = _package_names(text, fields, verbs)
    kinds = kinds_of(text)
    purge = bool(kinds & {"purge", "configuration", "setting", "trace"})
    return actions.RemovePackages(packages=names, purge=purge) if names else None


def _update(text: str, fields: _Fields) -> Action | None:
    kinds = kinds_of(text)
    if kinds & {"HOLD", "STOP", "dist-upgrade", "full-upgrade", "release"} or fields.get("op") == "hold":
        return None  # an update that is not wanted, or that is more than one
    names = _package_names(text, fields, frozenset(["update", "upgrade", "patch", "of"]))
    return actions.UpdatePackages(packages=names)


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
        text,
        re.IGNORECASE,
    )
    return actions.SearchPackages(query=match[1]) if match else None


def _partition(text: str, fields: _Fields) -> Action | None:
    disk = fields.get("dev") or fields.get("disk") or _first(_DISK, text)
    if disk is None:
        return None
    kinds = kinds_of(text)
    operation = fields.get("op", "")
    size = _SIZE.search(text)
    if operation == "list" or (not operation and (kinds & {"SHOW", "WHAT", "how"}) and not size):
        operation = "list"
    elif operation == "label" or (kinds & {"gpt", "partition table", "label", "layout"} and not size):
        operation = "label"
    elif operation == "partition" or size or kinds & {"create", "make", "new", "add"}:
        operation = "create"
    else:
        return None
    unit = {"m": "MiB", "g": "GiB", "t": "TiB"}
    return actions.PartitionDisk.model_validate(
        {
            "operation": operation,
            "disk": _device(disk),
            "size": f"{size[1]}{unit[size[2].lower()]}" if size and operation == "create" else None,
            "confirm": operation != "list",
        }
    )


def _format(text: str, fields: _Fields) -> Action | None:
    device = fields.get("dev") or fields.get("device") or _first(_PARTITION, text)
    filesystem = fields.get("fs") or _first(_FILESYSTEM, text)
    if device is None or filesystem is None or (kinds_of(text) & {"WHAT", "see", "find"}):
        return None
    filesystem = filesystem.lower()
    return actions.FormatFilesystem.model_validate(
        {"device": _device(device), "filesystem": "vfat" if filesystem == "fat32" else filesystem}
    )


def _mount(text: str, fields: _Fields) -> Action | None:
    kinds = kinds_of(text)
    device = fields.get("dev") or fields.get("device") or _first(_PARTITION, text)
    target = fields.get("target") or fields.get("folder") or _first(_PATH, text)
    operation = fields.get("op", "")
    if operation in ("umount", "unmount") or kinds & {"umount", "unmount", "detach", "eject", "unmounted", "dismount"}:
        operation = "unmount"
    elif operation == "remount" or "remount" in kinds:
        operation = "remount"
    else:
        operation = "mount"
    return actions.Mount.model_validate(
        {
            "operation": operation,
            "device": _device(device) if device else None,
            "target": target,
            "read_only": bool(kinds & {"read-only", "ro", "read only"}),
            "every_boot": operation == "mount" and (fields.get("op") == "fstab" or bool(kinds & {"BOOT", "fstab"})),
        }
    )


def _device(name: str) -> str:
    return name if name.startswith("/") else f"/dev/{name}"


_UP = frozenset({"up", "activate", "enable", "switch on", "turn on"})
_DOWN = frozenset({"down", "deactivate", "disable", "switch off", "turn off", "off"})


def _network(text: str, fields: _Fields) -> Action | None:
    kinds = kinds_of(text)
    interface = fields.get("iface") or fields.get("interface") or _first(_INTERFACE, text)
    found = [match[0] for match in _ADDRESS.findall(text)]
    with_prefix = next((address for address in found if "/" in address), None)
    plain = next((address for address in found if "/" not in address), None)
    values: dict[str, Any] = {"interface": interface}
    operation = fields.get("op", "")
    if operation == "mtu" or "mtu" in kinds:
        number = fields.get("mtu") or _first(_NUMBER, text)
        values |= {"operation": "mtu", "mtu": int(number) if number and number.isdigit() else None}
    elif operation == "dhcp" or "dhcp" in kinds or "lease" in kinds:
        values |= {"operation": "dhcp"}
    elif operation == "dns" or kinds & {"dns", "nameserver", "resolver", "name server"}:
        values |= {"operation": "dns", "nameserver": fields.get("server") or plain}
    elif operation == "address" or (with_prefix and interface and "route" not in kinds):
        values |= {"operation": "address", "address": fields.get("address") or with_prefix}
    elif operation == "route" or (kinds & {"gateway", "route", "default route"} and not with_prefix):
        values |= {"operation": "route", "gateway": fields.get("gateway") or plain}
    elif interface and not found and (operation in ("up", "down") or kinds & {*_UP, *_DOWN}):
        values |= {"operation": "down" if operation == "down" or kinds & _DOWN else "up"}
    else:
        return None
    return actions.ConfigureNetwork.model_validate(values)


def _hostname(text: str, fields: _Fields) -> Action | None:
    name = fields.get("hostname") or fields.get("name")
    if name is None:
        match = re.search(
            r"\b(?:to|into|called|named|name|hostname|set-hostname|call (?:this|the|my) \w+|(?:this|the|my) \w+)\s+"
            r"(?:be\s+)?([A-Za-z0-9][A-Za-z0-9.-]*)\W*$",
            text,
            re.IGNORECASE,
        )
        name = match[1] if match and not is_word(match[1].lower()) else None
    return actions.SetHostname(hostname=name.lower().rstrip(".")) if name else None


def _configure_driver(text: str, fields: _Fields) -> Action | None:
    kinds = kinds_of(text)
    given = {key: value for key, value in fields.items() if key not in ("op", "module", "driver", "query")}
    module = fields.get("module") or fields.get("driver")
    if module is None:
        known = [word for word in words_of(text) if word.lower() in DRIVERS]
        module = known[0] if known else None
    if module is None:
        return None
    if fields.get("op") == "blacklist" or kinds & {"blacklist", "denylist", "forbid", "never"}:
        return actions.ConfigureDriver(operation="blacklist", module=module)
    if fields.get("query") == "parameters" or (kinds & {"SHOW", "WHAT", "modinfo"} and not given):
        return actions.ConfigureDriver(operation="list", module=module)
    # Names of parameters keep their case.
    settings = {name: value for name, value in _SETTING.findall(text) if name.lower() in given or "_" in name}
    if not settings and "PARAMETER" in kinds and not kinds & {"SET", "STOP", "START"}:
        return actions.ConfigureDriver(operation="list", module=module)
    return actions.ConfigureDriver(operation="set", module=module, parameters=settings)


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
    number = fields.get("lines") or _first(_NUMBER, text)
    values: dict[str, Any] = {"errors_only": bool(kinds & {"error", "warning"}) or fields.get("priority") == "err"}
    if number and number.isdigit() and 1 <= int(number) <= 1000:
        values["lines"] = int(number)
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
    named = _device(device) if device else None
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


_MAKERS: dict[SubCommand, Callable[[str, _Fields], Action | None]] = {
    SubCommand.DRV_CONFIGURE: _configure_driver,
    SubCommand.PARTITION_DISK: _partition,
    SubCommand.FORMAT_FS: _format,
    SubCommand.MOUNT_FS: _mount,
    SubCommand.NETWORK_CONFIG: _network,
    SubCommand.HOSTNAME_SET: _hostname,
    SubCommand.PKG_SEARCH: _search,
    SubCommand.PKG_INSTALL: _install,
    SubCommand.PKG_REMOVE: _remove,
    SubCommand.PKG_UPDATE: _update,
    SubCommand.SVC_START: _start,
    SubCommand.SVC_STOP: _stop,
    SubCommand.SVC_STATUS: _status,
    SubCommand.RESOURCE_QUERY: _resources,
    SubCommand.LOG_QUERY: _log,
    SubCommand.DIAG_NETWORK: _network_checks,
    SubCommand.DIAG_STORAGE: _storage_checks,
    SubCommand.DIAG_MEMORY: _memory_checks,
    SubCommand.DIAG_GENERAL: _system_checks,
}
