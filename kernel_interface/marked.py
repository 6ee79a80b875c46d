"""What a kernel marked by keys, as an action: ``op=restart service=nginx``, or a JSON object.

Only keys and words of closed lists are read. Where there is one more, nobody can tell what it should have changed, and
there is no action.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from pydantic import ValidationError

from kernel_interface import actions
from kernel_interface.actions import SCHEMAS, Action
from kernel_interface.intents import SubCommand
from kernel_interface.wishes import format_as, mount, package_called, partition, start, unit_called

_PAIR = re.compile(r"(?<!\S)([A-Za-z_]\w{0,47})=(\"[^\"]*\"|\S+)")
_SIZE = re.compile(r"([1-9][0-9]{0,5})\s?([MGT])(?:i?B)?", re.IGNORECASE)
_TRUE, _FALSE = "true", "false"

Fields = Mapping[str, str]


def is_json(text: str) -> bool:
    """Whether a text means to be a JSON object."""
    return text.lstrip().startswith("{")


def is_marked(text: str) -> bool:
    """Whether a text is nothing but pairs, or a JSON object."""
    return is_json(text) or bool(text.strip() and not _PAIR.sub("", text).strip(" \t\r\n,;"))


def fields_of(text: str) -> dict[str, str]:
    """Return the pairs in a text, or those of a JSON object; none of an object that holds another."""
    if not is_json(text):
        pairs = [(key, value.strip('"').rstrip(",;")) for key, value in _PAIR.findall(text)]
        return dict(pairs) if len({key.lower() for key, _ in pairs}) == len(pairs) else {}
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(content, dict):
        return {}
    found: dict[str, str] = {}
    for key, value in content.items():
        if isinstance(value, bool):
            found[key] = _TRUE if value else _FALSE
        elif isinstance(value, str | int):
            found[key] = str(value)
        elif isinstance(value, list) and all(isinstance(one, str) for one in value):
            found[key] = ",".join(value)
        else:
            return {}
    return found


def action_in_json(sub_command: SubCommand, text: str) -> Action | None:
    """Read a JSON object that is an action of ``sub_command`` itself; None for any other text, and an empty object."""
    schema = SCHEMAS[sub_command]
    if schema is actions.Driver or not is_json(text) or not fields_of(text):
        return None
    try:
        return schema.model_validate_json(text)
    except ValidationError:
        return None


def marked_action(sub_command: SubCommand, text: str) -> Action | None:
    """Make the action that marked fields ask for; None where there are others than the sub-command's.

    :raises ValidationError: when what they name cannot be.
    """
    maker = _MAKERS.get(sub_command)
    given = fields_of(text)
    if maker is None or not given:
        return None
    if sub_command == SubCommand.DRV_CONFIGURE:  # parameters of a driver have names of their own
        return _configure_driver(given)
    allowed, make = maker
    first = allowed.split()[0]
    also = {**_ALSO, "name": first if first in ("service", "package", "hostname") else "name"}
    fields = {also.get(key.lower(), key.lower()): value for key, value in given.items()}
    if len(fields) < len(given) or not fields.keys() <= {"op", *allowed.split()}:
        return None
    return make(fields)


#: Other names of keys.
_ALSO = {
    "operation": "op",
    "unit": "service",
    "packages": "package",
    "device": "dev",
    "disk": "dev",
    "filesystem": "fs",
    "folder": "target",
    "interface": "iface",
    "nameserver": "server",
}


def _is_true(fields: Fields, key: str) -> bool:
    return fields.get(key) == _TRUE


def _names(fields: Fields) -> tuple[str, ...]:
    given = fields.get("package", "").replace(",", " ").split()
    return tuple(dict.fromkeys(map(package_called, given)))


def _start(fields: Fields) -> Action | None:
    operation = fields.get("op", "start")
    if operation not in ("start", "restart", "reload", "enable") or "service" not in fields:
        return None
    return start(operation, unit_called(fields["service"]))


def _stop(fields: Fields) -> Action | None:
    operation = fields.get("op", "stop")
    if operation not in ("stop", "disable") or "service" not in fields:
        return None
    return actions.StopService.model_validate({"operation": operation, "service": unit_called(fields["service"])})


def _install(fields: Fields) -> Action | None:
    operation = fields.get("op", "install")
    if operation not in ("install", "reinstall"):
        return None
    return actions.InstallPackages(packages=_names(fields), again=operation == "reinstall" or _is_true(fields, "again"))


def _remove(fields: Fields) -> Action | None:
    operation = fields.get("op", "remove")
    if operation not in ("remove", "uninstall", "purge"):
        return None
    return actions.RemovePackages(packages=_names(fields), purge=operation == "purge" or _is_true(fields, "purge"))


def _update(fields: Fields) -> Action | None:
    if fields.get("op", "update") not in ("update", "upgrade") or ("package" in fields and not _names(fields)):
        return None
    return actions.UpdatePackages(packages=_names(fields))


def _partition(fields: Fields) -> Action | None:
    operation = {"partition": "create"}.get(fields.get("op", ""), fields.get("op", ""))
    size = fields.get("size", "all")
    found = _SIZE.fullmatch(size)
    if operation not in ("list", "label", "create") or "dev" not in fields or not (found or size == "all"):
        return None
    if fields.get("type", "gpt") != "gpt":
        return None
    unit = {"m": "MiB", "g": "GiB", "t": "TiB"}
    return partition(operation, fields["dev"], f"{found[1]}{unit[found[2].lower()]}" if found else None)


def _format(fields: Fields) -> Action | None:
    if fields.get("op", "format") != "format" or not {"dev", "fs"} <= fields.keys():
        return None
    return format_as(fields["dev"], fields["fs"])


def _mount(fields: Fields) -> Action | None:
    operation = {"umount": "unmount", "fstab": "mount"}.get(fields.get("op", "mount"), fields.get("op", "mount"))
    options = fields.get("options", "rw")
    if operation not in ("mount", "unmount", "remount") or options not in ("ro", "rw"):
        return None
    read_only = options == "ro" or _is_true(fields, "read_only")
    every_boot = fields.get("op") == "fstab" or _is_true(fields, "every_boot")
    return mount(operation, fields.get("dev"), fields.get("target"), read_only, every_boot)


#: What each operation on a network has as its value: the key here, and the action's.
_VALUES = {
    "address": ("address", "address"),
    "route": ("gateway", "gateway"),
    "dns": ("server", "nameserver"),
    "mtu": ("mtu", "mtu"),
    "dhcp": None,
    "up": None,
    "down": None,
}


def _network(fields: Fields) -> Action | None:
    operation = fields.get("op", "")
    if operation not in _VALUES:
        return None
    values: dict[str, str | int | None] = {"operation": operation, "interface": fields.get("iface")}
    keys = {"op", "iface"}
    if (value := _VALUES[operation]) is not None:
        key, name = value
        keys.add(key)
        given = fields.get(key, "")
        values[name] = number(given) if key == "mtu" else given
    return actions.ConfigureNetwork.model_validate(values) if fields.keys() <= keys else None


def number(text: str) -> int | None:
    """Read a number of one to five plain digits."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 5 else None


def _hostname(fields: Fields) -> Action | None:
    name = fields.get("hostname")
    if name is None or fields.get("op", "set") != "set":
        return None
    return actions.SetHostname(hostname=name.lower().rstrip("."))


def _configure_driver(fields: Fields) -> Action | None:
    keys = {key: {"operation": "op", "driver": "module"}.get(key.lower(), key.lower()) for key in fields}
    own = {keys[key]: value for key, value in fields.items() if keys[key] in ("op", "module", "query")}
    parameters = {key: value for key, value in fields.items() if keys[key] not in ("op", "module", "query")}
    operation = "list" if own.get("query") == "parameters" else own.get("op", "set")
    if "module" not in own or own.get("query", "parameters") != "parameters":
        return None
    return actions.ConfigureDriver.model_validate(
        {"operation": operation, "module": own["module"], "parameters": parameters}
    )


#: The keys of each sub-command besides ``op``, and what makes its action.
_MAKERS: dict[SubCommand, tuple[str, Callable[[Fields], Action | None]]] = {
    SubCommand.DRV_CONFIGURE: ("", _configure_driver),
    SubCommand.PARTITION_DISK: ("dev size type", _partition),
    SubCommand.FORMAT_FS: ("dev fs", _format),
    SubCommand.MOUNT_FS: ("dev target fs options read_only every_boot", _mount),
    SubCommand.NETWORK_CONFIG: ("iface address gateway server mtu", _network),
    SubCommand.HOSTNAME_SET: ("hostname", _hostname),
    SubCommand.PKG_INSTALL: ("package again", _install),
    SubCommand.PKG_REMOVE: ("package purge", _remove),
    SubCommand.PKG_UPDATE: ("package", _update),
    SubCommand.SVC_START: ("service", _start),
    SubCommand.SVC_STOP: ("service", _stop),
}
