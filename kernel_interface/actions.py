"""What the kernel is told to do: the schema of ``action_data`` for every intent and sub-command.

``action_data`` is empty, where there is nothing to do yet, or an action. Of devices it is the bare name of a driver, as
the kernel's own dialogue has it; everything else is a JSON object. No action is a command line: it holds names of
checked grammars, which are safe as one argument of a program, and words of closed lists. ``confirm`` is in every action
that destroys something: the kernel asks a person before it does that.

``python -m kernel_interface.actions`` prints the schemas as JSON Schema.
"""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from kernel_interface.intents import SubCommand
from kernel_interface.known import PACKAGES


def _no_way_up(path: str) -> str:
    if any(part in (".", "..") for part in path.split("/")):
        raise ValueError("a path has no '.' or '..'")
    return path


def _address(text: str) -> str:
    return str(ipaddress.ip_address(text))


def _network(text: str) -> str:
    address, slash, _ = text.partition("/")
    if not slash:
        raise ValueError("an interface's address has its prefix: 192.168.1.10/24")
    return f"{ipaddress.ip_address(address)}/{ipaddress.ip_interface(text).network.prefixlen}"


#: A kernel module's name.
DriverName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
#: A Debian package's name (Debian Policy 5.6.1). One that ends with a '-' would be removed by ``apt-get install``.
PackageName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9+.-]{0,62}[a-z0-9+]$")]
#: A systemd unit's name, with or without its type; without escapes.
UnitName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9:_.@-]{0,127}$")]
BlockDevice = Annotated[str, StringConstraints(pattern=r"^/dev/[A-Za-z0-9][A-Za-z0-9_-]{0,31}(/[A-Za-z0-9_-]{1,64})?$")]
Path = Annotated[str, StringConstraints(pattern=r"^/[A-Za-z0-9_./+-]{0,199}$"), AfterValidator(_no_way_up)]
#: A network interface's name, as the kernel limits it.
InterfaceName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$")]
#: A host's name (RFC 1123).
HostName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$"),
    Field(max_length=64),
]
#: Of an address; an IPv6 scope (``%eth0``) could hold anything, and is none of it.
_ADDRESS_LETTERS = StringConstraints(pattern=r"^[0-9A-Fa-f:./]+$")
Address = Annotated[str, _ADDRESS_LETTERS, Field(max_length=45), AfterValidator(_address)]
Network = Annotated[str, _ADDRESS_LETTERS, Field(max_length=49), AfterValidator(_network)]
Size = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,5}(MiB|GiB|TiB)$")]
#: A driver parameter's name and value.
Parameter = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{1,48}$")]
Value = Annotated[str, StringConstraints(pattern=r"^-?[A-Za-z0-9_.:,+][A-Za-z0-9_.:,+-]*$", max_length=48)]
#: What is searched for: words.
Words = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 .+-]{0,79}$")]
Filesystem = Literal["ext2", "ext3", "ext4", "xfs", "btrfs", "vfat", "exfat", "ntfs", "f2fs", "swap"]
#: As many as fit the 1023 bytes of an action.
Packages = Annotated[tuple[PackageName, ...], Field(max_length=12)]
SomePackages = Annotated[tuple[PackageName, ...], Field(min_length=1, max_length=12)]


#: What a machine is restarted or switched off by.
ENDS = ("reboot.target", "poweroff.target")
#: Units that end, or stop, everything; with ``systemd-`` before them many are services too.
_ALL_ENDS = frozenset(
    """
    reboot soft-reboot poweroff halt shutdown kexec exit emergency rescue suspend hibernate hybrid-sleep sleep
    suspend-then-hibernate ctrl-alt-del factory-reset umount final runlevel0 runlevel1 runlevel6
    """.split()  # noqa: SIM905
)
#: Folders of the system itself: without them nothing runs.
_SYSTEMS_FOLDERS = frozenset(
    "bin boot dev etc home lib lib64 proc root run sbin sys tmp usr var".split()  # noqa: SIM905
)


def ends_everything(unit: str) -> bool:
    """Whether starting a unit restarts, switches off or stops the whole machine."""
    return re.sub(r"\.(?:target|service)$", "", unit).removeprefix("systemd-") in _ALL_ENDS


def is_the_systems(target: str | None) -> bool:
    """Whether a folder is the root, or one of the system's own."""
    parts = [part for part in (target or "").split("/") if part]
    return target is not None and (not parts or (len(parts) == 1 and parts[0] in _SYSTEMS_FOLDERS))


class ActionError(ValueError):
    """An ``action_data`` that breaks the schema of its sub-command."""


class Action(BaseModel):
    """Something to be done."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def data(self) -> str:
        """Write the action as ``action_data``."""
        return json.dumps(self.model_dump(exclude_none=True), ensure_ascii=False, separators=(",", ":"))


class Driver(Action):
    """Load this driver. Its ``action_data`` is the bare name."""

    driver: DriverName

    def data(self) -> str:
        """Write the bare name."""
        return self.driver


class ConfigureDriver(Action):
    """Set parameters of a driver for good, keep it from being loaded, or list what it can be told."""

    operation: Literal["set", "blacklist", "list"]
    module: DriverName
    parameters: Annotated[dict[Parameter, Value], Field(max_length=4)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_parameters_to_set(self) -> Self:
        if (self.operation == "set") != bool(self.parameters):
            raise ValueError("'set' has parameters, and nothing else has")
        return self


class PartitionDisk(Action):
    """Write an empty partition table, add a partition (of all that is free, without a size), or list what is there."""

    operation: Literal["label", "create", "list"]
    disk: BlockDevice
    size: Size | None = None
    confirm: bool

    @model_validator(mode="after")
    def _asks_before_it_writes(self) -> Self:
        if self.confirm != (self.operation != "list"):
            raise ValueError("'confirm' is with what writes to the disk, and with nothing else")
        if self.size and self.operation != "create":
            raise ValueError("only what is created has a size")
        return self


class FormatFilesystem(Action):
    """Make a file system, or swap space, on a partition; what is there is lost."""

    device: BlockDevice
    filesystem: Filesystem
    confirm: Literal[True] = True


class Mount(Action):
    """Attach a file system to a folder, detach it, or change how it is attached.

    ``confirm`` is with the root and the other folders of the system itself.
    """

    operation: Literal["mount", "unmount", "remount"]
    device: BlockDevice | None = None
    target: Path | None = None
    read_only: bool = False
    every_boot: bool = False
    confirm: bool = False

    @model_validator(mode="after")
    def _asks_before_it_touches_the_system(self) -> Self:
        if self.confirm != is_the_systems(self.target):
            raise ValueError("'confirm' is with folders of the system itself, and with nothing else")
        return self

    @model_validator(mode="after")
    def _says_what_and_where(self) -> Self:
        if self.operation == "mount" and not (self.device and self.target):
            raise ValueError("'mount' has a device and a target")
        if self.operation == "remount" and not self.target:
            raise ValueError("'remount' has a target")
        if not (self.device or self.target):
            raise ValueError("there is neither a device nor a target")
        return self


class ConfigureNetwork(Action):
    """Configure a network interface; without one, the first that has a carrier."""

    operation: Literal["address", "dhcp", "route", "dns", "up", "down", "mtu"]
    interface: InterfaceName | None = None
    address: Network | None = None
    gateway: Address | None = None
    nameserver: Address | None = None
    mtu: Annotated[int, Field(ge=68, le=65535)] | None = None

    @model_validator(mode="after")
    def _has_what_is_set(self) -> Self:
        wanted = {"address": self.address, "route": self.gateway, "dns": self.nameserver, "mtu": self.mtu}
        if self.operation in wanted and wanted[self.operation] is None:
            raise ValueError(f"'{self.operation}' lacks its value")
        return self


class SetHostname(Action):
    """Give the machine a name."""

    hostname: HostName


class SearchPackages(Action):
    """Search the packages for words, or for the one that a file came with."""

    query: Words | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def _searches_for_one_thing(self) -> Self:
        if (self.query is None) == (self.file is None):
            raise ValueError("there is either a query or a file")
        return self


class InstallPackages(Action):
    """Install packages with what they depend on."""

    packages: SomePackages
    again: bool = False


class RemovePackages(Action):
    """Remove packages; ``purge`` removes their configuration too."""

    packages: SomePackages
    purge: bool = False
    confirm: Literal[True] = True

    @model_validator(mode="after")
    def _names_what_goes(self) -> Self:
        for name in self.packages:
            # apt-get installs what ends with a '+', and takes a name with a '.' that it lacks for a pattern.
            if name not in PACKAGES and (name.endswith("+") or re.search(r"(?<![0-9])\.(?![0-9])", name)):
                raise ValueError(f"'{name}' would be no single package to apt-get remove")
        return self


class UpdatePackages(Action):
    """Refresh the package lists, and bring these packages up to date; all, where none is named."""

    packages: Packages = ()


class StartService(Action):
    """Start a service, or a target: ``reboot.target``, ``poweroff.target``."""

    operation: Literal["start", "restart", "reload", "enable"]
    service: UnitName
    confirm: bool = False

    @model_validator(mode="after")
    def _asks_before_all_stops(self) -> Self:
        if self.confirm != ends_everything(self.service):
            raise ValueError("'confirm' is with what ends everything, and with nothing else")
        return self


class StopService(Action):
    """Stop a service; ``disable`` keeps it from starting again at boot."""

    operation: Literal["stop", "disable"]
    service: UnitName


class ShowService(Action):
    """Tell how a service is; without one, which have failed."""

    service: UnitName | None = None


class ShowResources(Action):
    """Tell how much of something is used, and by what."""

    resource: Literal["memory", "disk", "load", "processes"]
    path: Path | None = None


class ShowLog(Action):
    """Show log lines, the newest; of the kernel, of a service or of the whole system since it started."""

    source: Literal["kernel", "service", "system"]
    service: UnitName | None = None
    lines: Annotated[int, Field(ge=1, le=1000)] = 50
    errors_only: bool = False

    @model_validator(mode="after")
    def _names_the_service(self) -> Self:
        if (self.source == "service") != (self.service is not None):
            raise ValueError("'service' names one, and nothing else does")
        return self


class DiagnoseNetwork(Action):
    """Make these checks in their order, and stop at the first that fails. None changes anything."""

    checks: tuple[Literal["link", "address", "route", "gateway", "dns", "ports"], ...]
    interface: InterfaceName | None = None


class DiagnoseStorage(Action):
    """As :class:`DiagnoseNetwork`, of disks and file systems."""

    checks: tuple[Literal["messages", "health", "space", "users"], ...]
    device: BlockDevice | None = None


class DiagnoseMemory(Action):
    """As :class:`DiagnoseNetwork`, of memory."""

    checks: tuple[Literal["usage", "out_of_memory", "swapping", "modules"], ...]


class DiagnoseSystem(Action):
    """As :class:`DiagnoseNetwork`, of the whole system or one service."""

    checks: tuple[Literal["failed_services", "errors", "kernel_messages", "load", "service"], ...]
    service: UnitName | None = None


#: The schema of each sub-command's action.
SCHEMAS: dict[SubCommand, type[Action]] = {
    SubCommand.IDENTIFY_PCI: Driver,
    SubCommand.IDENTIFY_PLATFORM: Driver,
    SubCommand.IDENTIFY_USB: Driver,
    SubCommand.DRV_SELECT: Driver,
    SubCommand.DRV_CONFIGURE: ConfigureDriver,
    SubCommand.DRV_FALLBACK: Driver,
    SubCommand.PARTITION_DISK: PartitionDisk,
    SubCommand.FORMAT_FS: FormatFilesystem,
    SubCommand.MOUNT_FS: Mount,
    SubCommand.NETWORK_CONFIG: ConfigureNetwork,
    SubCommand.HOSTNAME_SET: SetHostname,
    SubCommand.PKG_SEARCH: SearchPackages,
    SubCommand.PKG_INSTALL: InstallPackages,
    SubCommand.PKG_REMOVE: RemovePackages,
    SubCommand.PKG_UPDATE: UpdatePackages,
    SubCommand.SVC_START: StartService,
    SubCommand.SVC_STOP: StopService,
    SubCommand.SVC_STATUS: ShowService,
    SubCommand.RESOURCE_QUERY: ShowResources,
    SubCommand.LOG_QUERY: ShowLog,
    SubCommand.DIAG_NETWORK: DiagnoseNetwork,
    SubCommand.DIAG_STORAGE: DiagnoseStorage,
    SubCommand.DIAG_MEMORY: DiagnoseMemory,
    SubCommand.DIAG_GENERAL: DiagnoseSystem,
}


def read_action(sub_command: SubCommand, data: str) -> Action | None:
    """Read the ``action_data`` of a sub-command's answer; None for an empty one.

    :raises ActionError: when it breaks the schema.
    """
    if not data:
        return None
    schema = SCHEMAS[sub_command]
    try:
        if schema is Driver:
            return Driver(driver=data)
        return schema.model_validate_json(data)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'it'}: {one['msg']}" for one in error.errors()[:3])
        raise ActionError(f"The action of {sub_command.name} breaks its schema {schema.__name__}: {wrong}.") from error


def main() -> None:
    """Print the schemas, by sub-command."""
    schemas = {f"0x{sub:04x} {sub.name}": schema.model_json_schema() for sub, schema in SCHEMAS.items()}
    print(json.dumps(schemas, indent=1))


if __name__ == "__main__":
    main()
