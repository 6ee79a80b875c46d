"""What a plain wish asks to be changed: ``restart nginx`` is the operation restart of the service nginx.

A wish is read whole: a sentence of one of the forms below, of which nothing is passed over. So a text that says more,
or something else ("stop nginx from starting at boot", "ssh stopped working"), is none, whatever words it has. Only a
name that is known, or that the text itself calls a package or service, is sure; "the frobnicate package" does, but "the
package cache" is none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from kernel_interface import actions
from kernel_interface.actions import Action
from kernel_interface.intents import SubCommand, is_word
from kernel_interface.known import DRIVERS, PACKAGE_NAMES, PACKAGES, SERVICE_NAMES, SERVICES
from kernel_interface.names import is_no_name

Found = dict[str, str]


class Wish(NamedTuple):
    """An action, and whether the names in it are known or marked."""

    action: Action
    is_sure: bool


#: Parts of the forms, by their names there.
_PARTS = {
    "THE": r"(?:(?:the|my|our|this) )?",
    "A": r"(?:(?:a|an|the|my|our) )?",
    "NEW": r"(?:(?:new|fresh|empty|blank) )?",
    "HERE": r"(?: (?:on|from|off|to) (?:this|the|my|our) (?:machine|computer|box|host|system|server|laptop|pc))?",
    "MACHINE": r"(?:this|the|my|our) (?:machine|computer|box|host|system|server|laptop|pc)",
    "UNIT": r"(?:(?:the|my|our) )?(?:(?:service|daemon|unit) )?(?P<name>[a-z0-9][\w:.@-]*)"
    r"(?P<noun> (?:service|daemon|unit|(?:web )?server))?",
    "PACKAGES": r"(?:(?:the|a|an|my|our) )?(?:(?:latest|newest) )?(?:packages? )?"
    r"(?P<names>[a-z0-9][a-z0-9+.-]*(?:(?:,? and |, ?| )[a-z0-9][a-z0-9+.-]*){0,11}?)"
    r"(?P<noun> (?:packages?|program|tool|app|editor|browser|suite|(?:web )?server))?",
    "APT": r"(?:(?:apt|apt-get|aptitude)(?: -y)? )?",
    "IFACE": r"(?:the )?(?:interface )?"
    r"(?P<interface>(?:eth|wlan|br|bond|wg)[0-9]+|en[ops][0-9]\w{0,11}|wl[ops][0-9]\w{0,11})(?: interface)?",
    "ADDRESS": r"(?P<address>[0-9]{1,3}(?:\.[0-9]{1,3}){3})",
    "NETWORK": r"(?P<network>[0-9]{1,3}(?:\.[0-9]{1,3}){3}/[0-9]{1,2})",
    "MTU": r"(?P<mtu>[0-9]{2,5})",
    "PART": r"(?:/dev/)?(?P<device>(?:sd|vd|hd)[a-z][0-9]+|nvme[0-9]+n[0-9]+p[0-9]+|mmcblk[0-9]+p[0-9]+|md[0-9]+"
    r"|mapper/[\w-]+)",
    "DISK": r"(?:/dev/)?(?P<disk>(?:sd|vd|hd)[a-z]|nvme[0-9]+n[0-9]+|mmcblk[0-9]+)",
    "SIZE": r"(?P<size>[1-9][0-9]{0,5}) ?(?P<unit>[mgt])(?:i?b)?",
    "FOLDER": r"(?P<target>/(?!dev/)[\w.+/-]*)",
    "FS": r"(?P<fs>ext[234]|xfs|btrfs|vfat|fat32|exfat|ntfs|f2fs|swap)",
    "RO": r"(?P<ro> read[- ]only| ro)?",
    "BOOT": r"(?P<boot> (?:at|on) (?:(?:every|each) )?(?:boot|startup))?",
    "MODULE": r"(?:the )?(?:(?:kernel )?(?:driver|module) )?(?P<module>[a-z0-9][\w-]*)"
    r"(?P<noun> (?:driver|module))?",
    "PARAMETER": r"(?P<parameter>[a-z][a-z0-9_]{1,47})",
    "VALUE": r"(?P<value>[a-z0-9_.:,+-]{1,48})",
    "NAME": r"(?P<hostname>[a-z0-9][a-z0-9.-]*)",
}


def _form(text: str) -> re.Pattern[str]:
    """Write a form's parts out."""
    return re.compile(re.sub(r"<([A-Z]+)>", lambda part: _PARTS[part[1]], text), re.IGNORECASE)


def read(sub_command: SubCommand, wish: str) -> Wish | None:
    """Read a wish; None where it has none of the forms of ``sub_command``.

    :raises ValidationError: when what it names cannot be.
    """
    for form, make in _FORMS.get(sub_command, ()):
        if found := form.fullmatch(wish):
            return make({name: text.strip() for name, text in found.groupdict().items() if text})
    return None


def unit_called(name: str) -> str:
    """Return what Debian calls a service."""
    return SERVICE_NAMES.get(name.lower(), name.lower() if name.lower() in SERVICES else name)


def package_called(name: str) -> str:
    """Return what Debian calls a package."""
    return PACKAGE_NAMES.get(name.lower(), name.lower())


def device_called(name: str) -> str:
    """Return a block device's file."""
    return name if name.startswith("/") else f"/dev/{name}"


def _unit(found: Found) -> tuple[str, bool] | None:
    """Return the unit that is named, and whether that is sure."""
    name = found["name"]
    known = name.lower() in SERVICES or name.lower() in SERVICE_NAMES
    if known or re.fullmatch(r".+\.(?:service|socket|timer|target)", name):
        return unit_called(name), True
    if is_no_name(name) or is_word(name.lower()):
        return None
    return name, found.get("noun") in ("service", "daemon", "unit")


def _packages(found: Found) -> tuple[tuple[str, ...], bool] | None:
    names = [name for name in re.split(r",? and |, ?| ", found["names"]) if name]
    unknown = [name for name in names if name.lower() not in PACKAGES and name.lower() not in PACKAGE_NAMES]
    if any(is_no_name(name) or is_word(name.lower()) for name in unknown):
        return None
    marked = len(names) == 1 and found.get("noun") == "package"
    return tuple(dict.fromkeys(map(package_called, names))), not unknown or marked


def _start(operation: str) -> Callable[[Found], Wish | None]:
    def make(found: Found) -> Wish | None:
        if (unit := _unit(found)) is None:
            return None
        done = "enable" if "boot" in found else "restart" if "again" in found else operation
        if operation not in ("start", done):
            return None
        return Wish(start(done, unit[0]), unit[1])

    return make


def start(operation: str, service: str) -> Action:
    """Make the action that starts a service; a person is asked before everything ends."""
    ends = actions.ends_everything(service)
    return actions.StartService.model_validate({"operation": operation, "service": service, "confirm": ends})


def _stop(operation: str) -> Callable[[Found], Wish | None]:
    def make(found: Found) -> Wish | None:
        if (unit := _unit(found)) is None:
            return None
        done = "disable" if "good" in found else operation
        return Wish(actions.StopService.model_validate({"operation": done, "service": unit[0]}), unit[1])

    return make


def _install(again: bool) -> Callable[[Found], Wish | None]:
    def make(found: Found) -> Wish | None:
        if (packages := _packages(found)) is None:
            return None
        action = actions.InstallPackages(packages=packages[0], again=again or "again" in found)
        return Wish(action, packages[1])

    return make


def _remove(purge: bool) -> Callable[[Found], Wish | None]:
    def make(found: Found) -> Wish | None:
        if (packages := _packages(found)) is None:
            return None
        action = actions.RemovePackages(packages=packages[0], purge=purge or "purge" in found)
        return Wish(action, packages[1])

    return make


def _update(found: Found) -> Wish | None:
    if "names" not in found:
        return Wish(actions.UpdatePackages(), True)
    if (packages := _packages(found)) is None:
        return None
    return Wish(actions.UpdatePackages(packages=packages[0]), packages[1])


def _network(operation: str) -> Callable[[Found], Wish | None]:
    key = {"address": "address", "route": "gateway", "dns": "nameserver"}.get(operation)

    def make(found: Found) -> Wish | None:
        values: dict[str, Any] = {"operation": found.get("way", operation).lower(), "interface": found.get("interface")}
        if key is not None:
            values[key] = found.get("network") or found.get("address")
        if operation == "mtu":
            values["mtu"] = int(found["mtu"])
        return Wish(actions.ConfigureNetwork.model_validate(values), True)

    return make


def _hostname(found: Found) -> Wish | None:
    name = found["hostname"].lower().rstrip(".")
    return None if is_word(name) or is_no_name(name) else Wish(actions.SetHostname(hostname=name), True)


def _mount(operation: str) -> Callable[[Found], Wish | None]:
    def make(found: Found) -> Wish | None:
        device = found.get("device")
        boot = "boot" in found
        return Wish(mount(operation, device, found.get("target"), "ro" in found, boot), True)

    return make


def mount(operation: str, device: str | None, target: str | None, read_only: bool, every_boot: bool) -> Action:
    """Make the action; a person is asked before a folder of the system itself is touched."""
    return actions.Mount.model_validate(
        {
            "operation": operation,
            "device": device_called(device) if device else None,
            "target": target,
            "read_only": read_only,
            "every_boot": every_boot,
            "confirm": actions.is_the_systems(target),
        }
    )


def _format(found: Found) -> Wish | None:
    return Wish(format_as(found["device"], found["fs"]), True)


def format_as(device: str, filesystem: str) -> Action:
    """Make the action; FAT has more names than one."""
    named = filesystem.lower()
    return actions.FormatFilesystem.model_validate(
        {"device": device_called(device), "filesystem": "vfat" if named == "fat32" else named}
    )


def _swap(found: Found) -> Wish | None:
    return _format({**found, "fs": "swap"})


def _partition(operation: str) -> Callable[[Found], Wish | None]:
    def make(found: Found) -> Wish | None:
        size = found["size"] + {"m": "MiB", "g": "GiB", "t": "TiB"}[found["unit"].lower()] if "size" in found else None
        return Wish(partition(operation, found["disk"], size), True)

    return make


def partition(operation: str, disk: str, size: str | None) -> Action:
    """Make the action; a person is asked before anything is written."""
    return actions.PartitionDisk.model_validate(
        {"operation": operation, "disk": device_called(disk), "size": size, "confirm": operation != "list"}
    )


def _driver(operation: str) -> Callable[[Found], Wish | None]:
    def make(found: Found) -> Wish | None:
        module = found["module"]
        known = module.lower() in DRIVERS
        if not known and (is_no_name(module) or is_word(module.lower())):
            return None
        settings = {found["parameter"]: found["value"]} if operation == "set" else {}
        action = actions.ConfigureDriver.model_validate(
            {"operation": operation, "module": module, "parameters": settings}
        )
        return Wish(action, known or "noun" in found)

    return make


_Maker = Callable[[Found], Wish | None]
_ALL = r"everything|all|all (?:the )?(?:packages|programs|software)|(?:the )?packages|<MACHINE>|system"
_EQUALS = r"(?: ?= ?| to )"
#: The forms of wishes, by sub-command; the first that a wish has counts.
_TEXTS: dict[SubCommand, tuple[tuple[str, _Maker], ...]] = {
    SubCommand.SVC_START: (
        (r"(?:systemctl )?(?:restart|bounce|try-restart|relaunch|respawn) <UNIT><HERE>", _start("restart")),
        (r"(?:systemctl )?reload <UNIT>(?: config(?:uration)?)?<HERE>", _start("reload")),
        (r"(?:systemctl )?(?:re)?enable(?: --now)? <UNIT><BOOT><HERE>", _start("enable")),
        (r"service <UNIT> start", _start("start")),
        (r"service <UNIT> restart", _start("restart")),
        (
            r"(?:systemctl )?(?:start|launch|run|activate|reactivate|resume|revive)(?: up)? <UNIT>(?: up)?"
            r"(?P<again> again)?<BOOT><HERE>",
            _start("start"),
        ),
        (r"(?:turn|switch|bring|fire|spin|boot|power) (?:back )?(?:on|up) <UNIT><BOOT><HERE>", _start("start")),
        (r"(?:turn|switch|bring|fire|spin|boot|power) <UNIT> (?:back )?(?:on|up)<BOOT><HERE>", _start("start")),
        (r"get <UNIT> (?:going|running|up and running)<HERE>", _start("start")),
        (r"<UNIT> (?:should|must) (?:run|start|be running|be started)<BOOT><HERE>", _start("start")),
        (r"<UNIT> (?:should|must) (?:restart|be restarted)<HERE>", _start("restart")),
        (r"<UNIT> (?:should|must) be (?:reloaded)<HERE>", _start("reload")),
        (r"<UNIT> (?:should|must) (?:be enabled|always run)<HERE>", _start("enable")),
    ),
    SubCommand.SVC_STOP: (
        (r"(?:systemctl )?(?:disable(?: --now)?|stop and disable) <UNIT><BOOT><HERE>", _stop("disable")),
        (
            r"(?:systemctl )?(?:stop|kill|halt|terminate|quit|pause|suspend|deactivate|shut down|turn off|switch off|"
            r"take down|bring down) <UNIT>(?P<good> for good| permanently)?<HERE>",
            _stop("stop"),
        ),
        (
            r"(?:turn|switch|shut|take|bring) <UNIT> (?:off|down|offline)(?P<good> for good| permanently)?",
            _stop("stop"),
        ),
        (r"service <UNIT> stop", _stop("stop")),
        (r"<UNIT> (?:should|must) (?:stop|be stopped)<HERE>", _stop("stop")),
        (r"<UNIT> (?:should|must) be disabled<HERE>", _stop("disable")),
    ),
    SubCommand.PKG_INSTALL: (
        (r"<APT>(?:reinstall|install --reinstall) <PACKAGES><HERE>", _install(True)),
        (r"<APT>(?:install|instal|deploy)(?: (?:me|us))? <PACKAGES>(?P<again> again)?<HERE>", _install(False)),
        (r"(?:add|put|get|grab)(?: (?:me|us))? <PACKAGES><HERE>", _install(False)),
        (r"(?:i|we) need <PACKAGES><HERE>", _install(False)),
        (r"<PACKAGES> (?:should|must) be installed<HERE>", _install(False)),
    ),
    SubCommand.PKG_REMOVE: (
        (r"<APT>(?:purge|erase) <PACKAGES>(?: completely)?<HERE>", _remove(True)),
        (
            r"<APT>(?:remove|uninstall|deinstall|delete|get rid of|throw (?:out|away)) <PACKAGES>(?: completely)?<HERE>"
            r"(?P<purge> (?:with|and) (?:(?:its|their|all) )?(?:config|configuration|settings)(?: files)?)?",
            _remove(False),
        ),
        (r"<PACKAGES> (?:should|must) (?:go|be removed|be uninstalled)<HERE>", _remove(False)),
        (r"<PACKAGES> (?:should|must) be purged<HERE>", _remove(True)),
    ),
    SubCommand.PKG_UPDATE: (
        (rf"<APT>(?:update|upgrade|patch)(?: (?:{_ALL}))?", _update),
        (rf"bring (?:{_ALL}) up to date", _update),
        (r"apt(?:-get)? update ?(?:&&|;|and|then) ?apt(?:-get)? upgrade", _update),
        (
            r"<APT>(?:update|upgrade|patch) <PACKAGES>(?: to the (?:latest|newest|current) (?:version|release))?<HERE>",
            _update,
        ),
        (r"get (?:me )?the (?:latest|newest) version of <PACKAGES>", _update),
        (r"<PACKAGES> (?:should|must) be (?:updated|upgraded)<HERE>", _update),
    ),
    SubCommand.FORMAT_FS: (
        (r"(?:re)?format <PART> (?:as|with|to|in|using) <A><FS>", _format),
        (r"(?:make|create|put) <A><NEW><FS>(?: (?:file ?system|partition|space))? on <PART>", _format),
        (r"(?:make|turn) <PART> (?:into )?<A><FS>(?: (?:file ?system|partition|space))?", _format),
        (r"mkfs(?:\.| -t )<FS> <PART>", _format),
        (r"mkswap <PART>", _swap),
        (r"use <PART> (?:as|for) (?P<fs>swap)(?: space)?", _format),
        (r"<PART> (?:should|must) be(?:come)? <A><FS>", _format),
    ),
    SubCommand.MOUNT_FS: (
        (r"mount <PART>(?: (?:at|on|to|in|under|as|into))? <FOLDER><RO><BOOT>", _mount("mount")),
        (r"(?:attach|hook up) <PART> (?:at|on|to|in|under) <FOLDER><RO><BOOT>", _mount("mount")),
        (r"make <PART> (?:available|accessible|visible) (?:at|in|under) <FOLDER><RO><BOOT>", _mount("mount")),
        (r"<PART> (?:should|must) be mounted (?:at|on|in|under) <FOLDER><RO><BOOT>", _mount("mount")),
        (r"(?:umount|unmount|dismount|detach|eject) (?:<FOLDER>|<PART>)", _mount("unmount")),
        (r"(?:<FOLDER>|<PART>) (?:should|must) be unmounted", _mount("unmount")),
        (r"remount <FOLDER>(?: as)?(?:(?P<ro> read[- ]only| ro)| rw| read-write)", _mount("remount")),
    ),
    SubCommand.PARTITION_DISK: (
        (r"(?:create|make|add)(?: me)? <A><NEW><SIZE> partition on <DISK>", _partition("create")),
        (r"(?:create|make|add)(?: me)? <A><NEW>partition of <SIZE> on <DISK>", _partition("create")),
        (r"(?:create|make|add)(?: me)? <A><NEW>partition on <DISK>(?: (?:of|with) <SIZE>)?", _partition("create")),
        (
            r"(?:create|make|write|put)(?: me)? <A><NEW>(?:gpt|partition table|gpt (?:label|partition table)|"
            r"disk label) (?:on|to) <DISK>",
            _partition("label"),
        ),
    ),
    SubCommand.NETWORK_CONFIG: (
        (r"(?:bring|set|switch|turn|take) <IFACE> (?P<way>up|down)", _network("up")),
        (r"(?:bring|set|switch|turn|take) (?P<way>up|down) <IFACE>", _network("up")),
        (r"(?:ifconfig|ip link set) <IFACE> (?P<way>up|down)", _network("up")),
        (r"<IFACE> (?:should|must) be (?P<way>up|down)", _network("up")),
        (r"(?:enable|activate|(?:turn|switch) on) <IFACE>", _network("up")),
        (r"(?:turn|switch) <IFACE> on", _network("up")),
        (r"(?:disable|deactivate|shut down|(?:turn|switch) off) <IFACE>", _network("down")),
        (r"(?:turn|switch) <IFACE> off", _network("down")),
        (r"(?:use|set ?up|enable|configure|start) dhcp (?:on|for) <IFACE>", _network("dhcp")),
        (r"(?:switch|set|configure) <IFACE> (?:to|with|via|by|for|to use) dhcp", _network("dhcp")),
        (r"(?:get|request) an address for <IFACE> (?:by|from|with|via) dhcp", _network("dhcp")),
        (r"<IFACE> (?:should|must) use dhcp", _network("dhcp")),
        (r"(?:configure|set ?up) <MACHINE> for dhcp on <IFACE>", _network("dhcp")),
        (r"(?:dhclient|(?:renew|get) the (?:dhcp )?lease (?:on|of|for)) <IFACE>", _network("dhcp")),
        (r"give <IFACE> (?:the )?(?:static )?(?:ip )?(?:address )?<NETWORK>", _network("address")),
        (r"(?:set|configure) <IFACE> (?:to|with) (?:the )?(?:address )?<NETWORK>", _network("address")),
        (
            r"(?:set|assign|add|configure) (?:the )?(?:static )?(?:ip )?(?:address )?<NETWORK> (?:on|to|for) <IFACE>",
            _network("address"),
        ),
        (r"ip addr(?:ess)? add <NETWORK> dev <IFACE>", _network("address")),
        (r"<IFACE> (?:should|must) have (?:the )?(?:ip )?(?:address )?<NETWORK>", _network("address")),
        (
            r"(?:set|change) (?:the )?(?:default )?(?:gateway|route) (?:of <IFACE> )?(?:to|via) <ADDRESS>",
            _network("route"),
        ),
        (
            r"(?:use|set|make) <ADDRESS> (?:as )?(?:the )?(?:default )?gateway(?: (?:on|for) <IFACE>)?",
            _network("route"),
        ),
        (r"(?:the )?default (?:gateway|route) (?:should|must) be <ADDRESS>", _network("route")),
        (
            r"(?:use|set) <ADDRESS> (?:as|for) (?:(?:the|my) )?(?:name ?server|dns(?: server)?|resolver)"
            r"(?: (?:on|for) <IFACE>)?",
            _network("dns"),
        ),
        (
            r"(?:set|change) (?:(?:the|my) )?(?:name ?server|dns(?: server)?|resolver)(?: (?:on|of|for) <IFACE>)? "
            r"(?:to )?<ADDRESS>",
            _network("dns"),
        ),
        (r"set (?:the )?mtu (?:of|on|for) <IFACE> to <MTU>", _network("mtu")),
        (r"set (?:the )?mtu ?(?:=|to)? ?<MTU> (?:of|on|for) <IFACE>", _network("mtu")),
        (r"set <IFACE> (?:to )?mtu ?(?:=|to)? ?<MTU>", _network("mtu")),
    ),
    SubCommand.HOSTNAME_SET: (
        (
            rf"(?:set|change) (?:(?:the|my|our|this) )?(?:host ?name|(?:machine|computer) ?name|name of <MACHINE>)"
            rf"(?: of <MACHINE>)?{_EQUALS}<NAME>",
            _hostname,
        ),
        (r"rename (?:<MACHINE>|host) to <NAME>", _hostname),
        (r"(?:call|name) <MACHINE> <NAME>", _hostname),
        (r"(?:hostnamectl )?set-hostname <NAME>", _hostname),
        (r"<MACHINE> (?:should|must) be (?:called|named|renamed to) <NAME>", _hostname),
    ),
    SubCommand.DRV_CONFIGURE: (
        (r"(?:blacklist|denylist) <MODULE>", _driver("blacklist")),
        (r"<MODULE> (?:should|must) be blacklisted", _driver("blacklist")),
        (r"set <MODULE> (?:(?:option|parameter) )?<PARAMETER>(?: ?= ?| to )<VALUE>", _driver("set")),
        (
            r"set (?:the )?(?:(?:driver|module) )?(?:(?:option|parameter) )?<PARAMETER>(?: ?= ?| to )<VALUE> "
            r"(?:of|for|on|in) <MODULE>",
            _driver("set"),
        ),
        (
            r"set (?:the )?(?:(?:option|parameter) )?<PARAMETER> (?:of|for|on|in) <MODULE> to <VALUE>",
            _driver("set"),
        ),
        (r"load <MODULE> with (?:(?:the )?option )?<PARAMETER> ?= ?<VALUE>", _driver("set")),
        (r"give <MODULE> the (?:option|parameter) <PARAMETER> ?= ?<VALUE>", _driver("set")),
        (r"<MODULE> (?:should|must) (?:always )?have <PARAMETER> ?= ?<VALUE>", _driver("set")),
    ),
}
_FORMS = {sub: [(_form(text), make) for text, make in forms] for sub, forms in _TEXTS.items()}
