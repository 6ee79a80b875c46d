"""Goals that take several steps, and how a wish for one becomes a plan.

A plan's steps are actions like any other; the kernel asks for one after the other. Packages and services have the names
that Debian 12 gives them. Two ways lead to a plan: a goal of :data:`GOALS`, or several wishes in one text ("update
everything and reboot"), each of which is an action by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kernel_interface.actions import (
    Action,
    ConfigureNetwork,
    DiagnoseNetwork,
    InstallPackages,
    ShowLog,
    ShowService,
    StartService,
    UpdatePackages,
)
from kernel_interface.devices import Device
from kernel_interface.extract import action_for, ends_all
from kernel_interface.intents import ACTION_THRESHOLD, Classification, Intent, SubCommand, classify, without_politeness
from kernel_interface.mood import wants, wish_in

#: How sure a goal is that a text names in so many words.
GOAL_CONFIDENCE = 0.9
#: A goal is named in fewer characters.
_LONGEST = 300
#: A plan of several wishes has at most so many steps.
_MOST_WISHES = 8


@dataclass(frozen=True)
class Step:
    """One step: what it does, for people, and its action; without one it is about a device of a PCI class."""

    sub_command: SubCommand
    does: str
    action: Action | None
    device_class: int = 0


@dataclass(frozen=True)
class Plan:
    """Steps to a goal, in their order, and how sure it is that they are wanted."""

    goal: str
    steps: tuple[Step, ...]
    confidence: float = GOAL_CONFIDENCE


@dataclass(frozen=True)
class Progress:
    """How far a plan has come: its step at ``at`` was answered last.

    ``waits`` is whether that step still lacks the device that it is about, and ``unlike`` the one that had been spoken
    of when it was asked for.
    """

    plan: Plan
    at: int = 0
    waits: bool = False
    unlike: Device | None = None

    @property
    def step(self) -> Step:
        """The step that was answered last."""
        return self.plan.steps[self.at]

    @property
    def is_over(self) -> bool:
        """Whether no step remains."""
        return self.at >= len(self.plan.steps) - 1 and not self.waits

    def next(self) -> Progress:
        """Return the progress at the next step; at the same one, if it waits."""
        return self if self.waits else Progress(self.plan, self.at + 1)

    def suits(self, device: Device) -> bool:
        """Whether the step can be about a device: by its PCI class, or since it was named when one was asked for."""
        if device.bus == "pci" and device.class_code is not None:
            return device.class_code >> 8 == self.step.device_class
        return self.waits and device != self.unlike


class UnknownGoalError(ValueError):
    """A text names a goal that nobody here knows."""


def _update() -> Step:
    return Step(SubCommand.PKG_UPDATE, "Bring every package up to date.", UpdatePackages())


def _install(*packages: str) -> Step:
    return Step(SubCommand.PKG_INSTALL, f"Install {', '.join(packages)}.", InstallPackages(packages=packages))


def _enable(service: str) -> Step:
    action = StartService(operation="enable", service=service)
    return Step(SubCommand.SVC_START, f"Start {service}, now and at every boot.", action)


def _status(service: str) -> Step:
    return Step(SubCommand.SVC_STATUS, f"See that {service} runs.", ShowService(service=service))


def _ports() -> Step:
    return Step(SubCommand.DIAG_NETWORK, "See that its port is open.", DiagnoseNetwork(checks=("ports",)))


def _service(package: str, service: str, *others: str) -> tuple[Step, ...]:
    """Return the steps to a machine that runs a service for others."""
    return (_update(), _install(package, *others), _enable(service), _status(service), _ports())


def _driver(what: str, device_class: int) -> tuple[Step, ...]:
    return (
        Step(
            SubCommand.LOG_QUERY,
            f"Read what the kernel says about the {what}.",
            ShowLog(source="kernel", errors_only=True),
        ),
        Step(SubCommand.DRV_SELECT, f"Load the driver of the {what}.", None, device_class),
    )


_LINK_UP = Step(SubCommand.NETWORK_CONFIG, "Bring the link up.", ConfigureNetwork(operation="up"))
_DHCP = Step(SubCommand.NETWORK_CONFIG, "Ask for an address.", ConfigureNetwork(operation="dhcp"))
_CHECK = Step(
    SubCommand.DIAG_NETWORK,
    "See how far the network reaches.",
    DiagnoseNetwork(checks=("link", "address", "route", "gateway", "dns")),
)

#: Goals by name: how they are called (a regular expression for the whole of it), and the steps.
GOALS: dict[str, tuple[str, tuple[Step, ...]]] = {
    "web server": (r"(?:web|http|https|nginx|www) ?(?:server|host)|web ?site", _service("nginx", "nginx")),
    "file server": (r"(?:file|samba|smb|windows) ?(?:server|share)|nas", _service("samba", "smbd")),
    "nfs server": (r"nfs(?: ?server)?", _service("nfs-kernel-server", "nfs-server")),
    "database server": (r"(?:database|db|postgres(?:ql)?|sql) ?(?:server|host)?", _service("postgresql", "postgresql")),
    "mail server": (r"(?:(?:e-?)?mail|smtp|imap) ?server", _service("postfix", "postfix", "dovecot-imapd")),
    "print server": (r"print(?:er|ing)? ?server", _service("cups", "cups")),
    "ssh server": (r"(?:ssh|remote) ?(?:server|login|access)", _service("openssh-server", "ssh")),
    "dns server": (r"(?:dns|name) ?server|resolver", _service("bind9", "named")),
    "time server": (r"(?:time|ntp) ?server", _service("chrony", "chrony")),
    "container host": (r"(?:docker|container) ?(?:host|server|machine)", _service("docker.io", "docker")),
    "virtual machine host": (
        r"(?:virtual(?:i[sz]ation| machine)s?|kvm|vm|hypervisor) ?(?:host|server)?",
        (_update(), _install("qemu-system-x86", "libvirt-daemon-system"), _enable("libvirtd"), _status("libvirtd")),
    ),
    "development": (
        r"(?:software |c |kernel )?(?:develop(?:ment|ing|er)|programming|coding|building software)"
        r"(?: (?:work|machine|computer|workstation|box|environment))?",
        (_update(), _install("build-essential", "git", "gdb", "python3-venv", "pkg-config")),
    ),
    "desktop": (
        r"(?:graphical )?(?:desktop|workstation)(?: (?:machine|computer|environment))?",
        (_update(), _install("task-xfce-desktop"), _enable("lightdm"), _status("lightdm")),
    ),
    "secure machine": (
        r"(?:more )?(?:secure|hardened)(?: (?:machine|server|host))?",
        (
            _update(),
            _install("nftables", "fail2ban", "unattended-upgrades"),
            _enable("nftables"),
            _enable("fail2ban"),
            _enable("unattended-upgrades"),
            _ports(),
        ),
    ),
    "monitored machine": (
        r"(?:prometheus )?monitor(?:ing|ed)(?: (?:machine|host|target|node))?",
        _service("prometheus-node-exporter", "prometheus-node-exporter"),
    ),
    "working network card": (
        r"(?:(?:ethernet|lan|wired) )?(?:network|ethernet|lan|internet)(?: (?:card|adapter|controller|connection))?",
        (*_driver("network card", 0x02), _LINK_UP, _DHCP, _CHECK),
    ),
    "working wireless card": (
        r"(?:wi-?fi|wlan|wireless)(?: (?:card|adapter|chip|controller|network))?",
        (*_driver("wireless card", 0x02), _install("wpasupplicant", "iw"), _LINK_UP, _DHCP, _CHECK),
    ),
    "working sound card": (
        r"(?:sound|audio)(?: (?:card|chip|controller|output))?",
        (*_driver("sound card", 0x04), _install("alsa-utils", "pipewire")),
    ),
    "working graphics card": (r"(?:graphics|video)(?: (?:card|chip|adapter))?|gpu", _driver("graphics card", 0x03)),
    "working printer": (
        r"(?:usb )?printer",
        (_install("cups", "printer-driver-all"), _enable("cups"), _status("cups")),
    ),
}

_THIS = r"(?:this|the|my|our|a|that)"
_HOST = r"(?:new )?(?:machine|computer|box|host|system|server|laptop|pc|node|device)"
_MADE = r"(?:set ?up|setup|prepare|configure|turn|make|convert|provision|equip|get|use|ready)"
#: "set up this machine as a web server": what follows is a goal, known or not.
_MACHINE_AS = re.compile(
    rf"{_MADE} (?:{_THIS} {_HOST}|it|this)(?: up)?(?: ready)? "
    r"(?:(?:as|into|to be|for|be|to work as)\s+(?:an? |the )?|an? )(.+)",
    re.IGNORECASE,
)
#: "set up a web server", "get the network card working": a goal only if it is known.
_SET_UP = re.compile(r"(?:set ?up|provision|build|create|deploy) (?:me |us )?(?:an?|my|our|the)\s+(.+)", re.IGNORECASE)
_WORKING = re.compile(
    rf"(?:get|make|have|bring) (?:{_THIS} )?(.+?) (?:to work|work|working|up and running|running|going|online|usable)",
    re.IGNORECASE,
)
#: How those goals are called that something can be got to.
_WORKS = "working "
_MAKE_SUCH = re.compile(rf"(?:make|get) (?:{_THIS} {_HOST}|it) (secure|hardened|monitored)", re.IGNORECASE)
_AND = re.compile(r"\s*(?:;|&&|,?\s+and\s+then\s+|,?\s+then\s+|,?\s+and\s+|,\s+)\s*", re.IGNORECASE)
_END = re.compile(r"[\s.,!?]*(?:\b(?:please|now|for me|thanks|thx)\b[\s.,!?]*)*$", re.IGNORECASE)

_NEXT = re.compile(
    r"\W*(?:(?:ok(?:ay)?|done|yes|good|fine|and|so|then|now)\b\W*)*"
    r"(?:next(?: step)?|continue|go on|proceed|what(?:'s| is)? next|carry on|done|the next one)\W*(?:please\W*)?",
    re.IGNORECASE,
)
_GIVE_UP = re.compile(r"\W*(?:stop|cancel|abort|give up|never ?mind|forget it)(?: the plan| it)?\W*", re.IGNORECASE)


def wants_next(text: str) -> bool:
    """Whether a text asks for the next step of the plan under way."""
    return _NEXT.fullmatch(text) is not None


def gives_up(text: str) -> bool:
    """Whether a text, while a plan is under way, ends it."""
    return _GIVE_UP.fullmatch(text) is not None


def plan_for(text: str) -> Plan | None:
    """Return the plan that a text wants; None where it wants none.

    :raises UnknownGoalError: when it names a goal for the machine that is not in :data:`GOALS`.
    """
    if len(text) > _LONGEST:
        return None
    wish = _END.sub("", without_politeness(" ".join(text.split())))
    if machine := _MACHINE_AS.fullmatch(wish):
        if plan := _goal(machine[1]):
            return plan
        if _clear(wish) is None:
            raise UnknownGoalError
    for form in (_SET_UP, _MAKE_SUCH):
        if (match := form.fullmatch(wish)) and (plan := _goal(match[1])):
            return plan
    if (match := _WORKING.fullmatch(wish)) and (plan := _goal(match[1], _WORKS)):
        return plan
    return _several(text) if wants(text) else None


def _goal(name: str, kind: str = "") -> Plan | None:
    """Return the plan of a goal that is called so, if its own name begins with ``kind``."""
    return next(
        (
            Plan(goal, steps)
            for goal, (called, steps) in GOALS.items()
            if goal.startswith(kind) and re.fullmatch(called, name, re.IGNORECASE)
        ),
        None,
    )


def _several(text: str) -> Plan | None:
    """Return the plan of a text that holds several wishes, each of which is clear by itself."""
    parts = _AND.split(text)
    if not 2 <= len(parts) <= _MOST_WISHES:
        return None
    found = list(_wishes(parts))
    steps: list[Step] = []
    for step, _ in found:
        if step not in steps:
            steps.append(step)
    if len(found) < len(parts) or len(steps) < 2:
        return None
    return Plan("several wishes", tuple(steps), min(sure for _, sure in found))


def _clear(wish: str) -> tuple[Classification, Action] | None:
    """Return what is to be done about a wish, if that is clear by itself."""
    kind = classify(wish)
    action = action_for(kind.sub_command, wish)
    if action is None or kind.confidence < ACTION_THRESHOLD or kind.intent == Intent.TROUBLESHOOT:
        return None
    return kind, action


def _wishes(parts: list[str]) -> Iterator[tuple[Step, float]]:
    """Yield a step and its confidence for each part of a text that asks for one; "it" is what was named before."""
    named = ""
    for part in parts:
        if ends := ends_all(wish_in(part) or ""):
            yield Step(SubCommand.SVC_START, f"{part.strip().capitalize()}.", ends), GOAL_CONFIDENCE
            continue
        wish = re.sub(r"\b(?:it|them)\b", named, part) if named else part
        if (clear := _clear(wish)) is None:
            continue
        kind, action = clear
        packages: tuple[str, ...] = getattr(action, "packages", ())
        named = getattr(action, "service", None) or (packages[0] if len(packages) == 1 else named)
        yield Step(kind.sub_command, "", action), kind.confidence
