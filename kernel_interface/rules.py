"""What to say without a model: one piece of sound advice for each sub-command.

These lines hold for any Debian-like system. Nothing that a caller wrote is woven into them.
"""

from __future__ import annotations

from kernel_interface.intents import SubCommand

GUIDANCE: dict[SubCommand, str] = {
    SubCommand.IDENTIFY_PCI: "Send the device's id: 'lspci -nn' shows it as vendor:device in brackets, with its class.",
    SubCommand.IDENTIFY_PLATFORM: (
        "Platform devices have no id of their own: read /sys/bus/platform/devices and 'dmidecode'."
    ),
    SubCommand.IDENTIFY_USB: "Send the device's id: 'lsusb' shows it as vendor:product.",
    SubCommand.DRV_SELECT: (
        "Send the device's bus and vendor:device id; 'lspci -nnk' shows both, and the driver in use."
    ),
    SubCommand.DRV_CONFIGURE: "'modinfo MODULE' lists a driver's parameters; set them in a file below /etc/modprobe.d.",
    SubCommand.DRV_FALLBACK: "Send the device's id and the driver that failed; 'dmesg' says why it failed.",
    SubCommand.PARTITION_DISK: (
        "Check the disk with 'lsblk', then make a GPT with 'parted': an EFI system partition and a root."
    ),
    SubCommand.FORMAT_FS: (
        "Check with 'lsblk -f' that the partition is the right one and empty, then run 'mkfs.ext4' on it."
    ),
    SubCommand.MOUNT_FS: (
        "Mount with 'mount DEVICE FOLDER'; for every boot, add it to /etc/fstab by the UUID that 'blkid' shows."
    ),
    SubCommand.NETWORK_CONFIG: (
        "Bring the link up with 'ip link set IFACE up', then use DHCP or 'ip address add ADDRESS/PREFIX dev IFACE'."
    ),
    SubCommand.HOSTNAME_SET: "Set it with 'hostnamectl set-hostname NAME' and give /etc/hosts the same name.",
    SubCommand.PKG_SEARCH: (
        "Search names and descriptions with 'apt-cache search WORD'; 'apt-cache show PACKAGE' says more."
    ),
    SubCommand.PKG_INSTALL: "Refresh the lists with 'apt-get update', then run 'apt-get install PACKAGE'.",
    SubCommand.PKG_REMOVE: (
        "Run 'apt-get remove PACKAGE', or 'purge' to drop its configuration too; read the list before agreeing."
    ),
    SubCommand.PKG_UPDATE: "Run 'apt-get update', then 'apt-get upgrade'; restart when the kernel was replaced.",
    SubCommand.SVC_START: (
        "Run 'systemctl start NAME', with 'enable' for every boot; 'systemctl status NAME' shows how it went."
    ),
    SubCommand.SVC_STOP: "Run 'systemctl stop NAME', with 'disable' to keep it off at boot.",
    SubCommand.SVC_STATUS: "Run 'systemctl status NAME'; 'systemctl --failed' lists every service in trouble.",
    SubCommand.RESOURCE_QUERY: "'free -h' shows memory, 'df -h' disks, 'uptime' the load, and 'top' what uses them.",
    SubCommand.LOG_QUERY: "'journalctl -b -p warning' shows this boot's warnings and errors; 'dmesg' the kernel's own.",
    SubCommand.DIAG_NETWORK: (
        "Check in this order: 'ip link' (carrier), 'ip address', 'ip route', a ping of the gateway, then DNS."
    ),
    SubCommand.DIAG_STORAGE: (
        "Check 'dmesg' for I/O errors, 'smartctl -a DEVICE' for the disk's health, and 'df -h' for space."
    ),
    SubCommand.DIAG_MEMORY: (
        "Check 'free -h' and 'dmesg' for out-of-memory kills; test the modules themselves with memtest86+."
    ),
    SubCommand.DIAG_GENERAL: "Read 'journalctl -b -p err' and 'dmesg' for the first error, and undo what changed last.",
}

#: What to say to a text in which nothing says what is wanted.
UNCLEAR = f"Nothing in this says what is wanted. If something is wrong: {GUIDANCE[SubCommand.DIAG_GENERAL]}"

#: What to say to a text that says not to do what its other words ask for.
NOT_WANTED = "This says what not to do, so nothing is done. Ask for what is to be done in a sentence of its own."

#: Classes whose standard fixes the programming interface, so that one driver serves every maker's device.
CLASS_DRIVERS: dict[int, str] = {0x0106: "ahci", 0x0108: "nvme"}
