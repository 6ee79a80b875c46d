"""How a Debian system does what an action says: the commands, for people to read.

The names in an action are checked (:mod:`kernel_interface.actions`); every argument is quoted here all the same.
"""

from __future__ import annotations

import shlex

from kernel_interface import actions
from kernel_interface.actions import Action

#: What a diagnosis can be about.
_NAMED = ("interface", "device", "service")
#: What each check runs: about what is named, where the check knows that; else.
_CHECKS: dict[str, tuple[str, str]] = {
    "link": ("ip link show {interface}", "ip link"),
    "address": ("ip address show {interface}", "ip address"),
    "route": ("", "ip route"),
    "gateway": ("", "ping -c 3 GATEWAY"),
    "dns": ("", "getent hosts debian.org"),
    "ports": ("", "ss -tlnp"),
    "messages": ("", "dmesg --level=err,warn"),
    "health": ("smartctl -a {device}", "smartctl --scan"),
    "space": ("", "df -h"),
    "users": ("", "lsof +f -- MOUNTPOINT"),
    "usage": ("", "free -h"),
    "out_of_memory": ("", "dmesg --level=err,warn"),
    "swapping": ("", "vmstat 1 5"),
    "modules": ("", "memtest86+, from the boot menu"),
    "failed_services": ("", "systemctl --failed"),
    "errors": ("", "journalctl -b -p err"),
    "kernel_messages": ("", "dmesg"),
    "load": ("", "top"),
    "service": ("systemctl status {service}", "systemctl --failed"),
}


def told(action: Action) -> str:
    """Say in a sentence how a Debian system does an action."""
    match action:
        case actions.Driver():
            return f"Run {_run('modprobe', action.driver)}."
        case actions.ConfigureDriver():
            return _configure(action)
        case actions.PartitionDisk():
            return _partition(action)
        case actions.FormatFilesystem():
            if action.filesystem == "swap":
                return f"What is on it is lost: {_run('mkswap', action.device)}."
            return f"What is on it is lost: {_run(f'mkfs.{action.filesystem}', action.device)}."
        case actions.Mount():
            return _mount(action)
        case actions.ConfigureNetwork():
            return _network(action)
        case actions.SetHostname():
            return f"Run {_run('hostnamectl', 'set-hostname', action.hostname)}, and give /etc/hosts the same name."
        case actions.SearchPackages():
            words = (action.query or "").split()
            return f"Run {_run('dpkg', '-S', action.file) if action.file else _run('apt-cache', 'search', *words)}."
        case actions.InstallPackages():
            again = ["--reinstall"] if action.again else []
            return f"Run {_run('apt-get', 'install', *again, *action.packages)}."
        case actions.RemovePackages():
            deed = "purge" if action.purge else "remove"
            return f"Run {_run('apt-get', deed, *action.packages)}, and read its list before agreeing."
        case actions.UpdatePackages():
            lists = _run("apt-get", "update")
            if action.packages:
                return f"Run {lists}, then {_run('apt-get', 'install', '--only-upgrade', *action.packages)}."
            return f"Run {lists}, then {_run('apt-get', 'upgrade')}; restart when the kernel was replaced."
        case actions.StartService():
            now = ["--now"] if action.operation == "enable" else []
            return f"Run {_run('systemctl', action.operation, *now, action.service)}."
        case actions.StopService():
            now = ["--now"] if action.operation == "disable" else []
            return f"Run {_run('systemctl', action.operation, *now, action.service)}."
        case actions.ShowService():
            return f"Run {_run('systemctl', 'status', action.service) if action.service else _FAILED_UNITS}."
        case actions.ShowResources():
            return f"Run {_resources(action)}."
        case actions.ShowLog():
            return f"Run {_log(action)}."
        case (
            actions.DiagnoseNetwork() | actions.DiagnoseStorage() | actions.DiagnoseMemory() | actions.DiagnoseSystem()
        ):
            return f"Look in this order: {', '.join(_check(check, action) for check in action.checks)}."
    raise AssertionError(f"{type(action).__name__} has no commands")


def names_something(action: Action) -> bool:
    """Whether a diagnosis is of one interface, device or service, and not of the whole system."""
    return any(getattr(action, name, None) is not None for name in _NAMED)


def _run(program: str, *arguments: str | None) -> str:
    """Write a command, quoted as a shell reads it, between quotes; arguments that are None are left out."""
    return f"'{shlex.join([program, *(argument for argument in arguments if argument is not None)])}'"


_FAILED_UNITS = _run("systemctl", "--failed")


def _configure(action: actions.ConfigureDriver) -> str:
    if action.operation == "list":
        return f"Run {_run('modinfo', '-p', action.module)}."
    file = f"/etc/modprobe.d/{action.module}.conf"
    if action.operation == "blacklist":
        return f"Write 'blacklist {action.module}' to {file}."
    options = " ".join(f"{name}={value}" for name, value in action.parameters.items())
    return f"Write 'options {action.module} {options}' to {file}, and load the module again."


def _partition(action: actions.PartitionDisk) -> str:
    if action.operation == "list":
        return f"Run {_run('fdisk', '-l', action.disk)}."
    if action.operation == "label":
        return f"What is on it is lost: {_run('parted', action.disk, 'mklabel', 'gpt')}."
    end = action.size or "100%"
    return (
        f"Check first what is free: {_run('parted', '-a', 'optimal', action.disk, 'mkpart', 'primary', '1MiB', end)}."
    )


def _mount(action: actions.Mount) -> str:
    if action.operation == "unmount":
        return f"Run {_run('umount', action.target or action.device)}."
    options = ["-o", "remount,ro" if action.read_only else "remount,rw"] if action.operation == "remount" else []
    if action.operation == "mount" and action.read_only:
        options = ["-o", "ro"]
    boot = "; for every boot, add it to /etc/fstab by the UUID that 'blkid' shows" if action.every_boot else ""
    device = action.device if action.operation == "mount" else None
    return f"Run {_run('mount', *options, device, action.target)}{boot}."


def _network(action: actions.ConfigureNetwork) -> str:
    name = action.interface or "IFACE"
    match action.operation:
        case "address":
            return f"Run {_run('ip', 'address', 'add', action.address, 'dev', name)}."
        case "dhcp":
            return f"Run {_run('dhclient', name)}."
        case "route":
            on = ("dev", action.interface) if action.interface else ()
            return f"Run {_run('ip', 'route', 'replace', 'default', 'via', action.gateway, *on)}."
        case "dns":
            return f"Run {_run('resolvectl', 'dns', name, action.nameserver)}."
        case "mtu":
            return f"Run {_run('ip', 'link', 'set', name, 'mtu', str(action.mtu))}."
        case _:
            return f"Run {_run('ip', 'link', 'set', name, action.operation)}."


def _resources(action: actions.ShowResources) -> str:
    match action.resource:
        case "memory":
            return _run("free", "-h")
        case "disk":
            return _run("df", "-h", action.path)
        case "load":
            return _run("uptime")
        case "processes":
            return _run("ps", "aux", "--sort=-%cpu")


def _log(action: actions.ShowLog) -> str:
    if action.source == "kernel":
        return _run("dmesg", *(["--level=err"] if action.errors_only else []))
    errors = ["-p", "err"] if action.errors_only else []
    of = ["-u", action.service] if action.service else ["-b"]
    return _run("journalctl", *of, *errors, "-n", str(action.lines))


def _check(check: str, action: Action) -> str:
    named, plain = _CHECKS[check]
    fields = action.model_dump(exclude_none=True)
    for name in _NAMED:
        if "{" + name + "}" in named and name in fields:
            return f"'{named.format_map({name: shlex.quote(fields[name])})}'"
    return f"'{plain}'"
