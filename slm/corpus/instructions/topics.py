"""Which intent of the kernel a command or a phrase belongs to: the one table for manuals and handbooks."""

from __future__ import annotations

import re
from typing import NamedTuple

from slm.corpus.instructions.exchange import INTENT_OF, Intent


class Topic(NamedTuple):
    """An intent, and its sub-command where one fits."""

    intent: Intent
    sub_command: str = ""


#: Commands by sub-command. A name stands for its family too: ``mkfs`` for ``mkfs.xfs``, ``ip`` for ``ip-route``.
_COMMANDS = {
    "IDENTIFY_PCI": "lspci setpci update-pciids pcilib",
    "IDENTIFY_USB": "lsusb usb-devices usbhid-dump",
    "IDENTIFY_PLATFORM": "lscpu dmidecode lshw hwinfo lsmem lstopo biosdecode cpuid",
    "DRV_SELECT": "modprobe insmod lsmod depmod kmod modinfo rmmod udevadm driverctl update-initramfs",
    "DRV_CONFIGURE": "modprobe.d modules-load.d ethtool udev hwdb sysfs hdparm setserial iwconfig iw",
    "PARTITION_DISK": "fdisk sfdisk cfdisk gdisk sgdisk cgdisk parted partprobe partx addpart delpart resizepart lvm "
    "pvcreate pvs vgcreate vgextend lvcreate lvextend lvresize lvremove mdadm mdadm.conf systemd-repart "
    "cryptsetup",
    "FORMAT_FS": "mkfs mke2fs mkswap mkdosfs mkntfs mkudffs mklost+found tune2fs resize2fs mke2fs.conf wipefs "
    "xfs_growfs xfs_admin btrfs e2label fatlabel swaplabel",
    "MOUNT_FS": "mount umount fstab findmnt mountpoint swapon swapoff losetup autofs fusermount blkid systemd-mount "
    "automount exports lsblk",
    "NETWORK_CONFIG": "ip ifconfig ifup ifdown interfaces nmcli nmtui networkctl resolvectl resolv.conf route dhclient "
    "dhcpcd bridge tc nft iptables ip6tables iptables-save iptables-restore ufw wg wpa_supplicant netplan "
    "systemd.network systemd.link systemd.netdev systemd-networkd devlink rtnl brctl vconfig nftables",
    "HOSTNAME_SET": "hostname hostnamectl domainname hosts machine-info systemd-hostnamed dnsdomainname",
    "PKG_SEARCH": "apt-cache apt-file dpkg-query dpkg-deb apt-list whatis apropos apt-rdepends",
    "PKG_INSTALL": "apt apt-get aptitude dpkg dselect sources.list apt.conf apt_preferences pip snap flatpak rpm dnf",
    "PKG_REMOVE": "apt-mark deborphan debfoster",
    "PKG_UPDATE": "unattended-upgrade do-release-upgrade needrestart apt-listchanges apt-transport apt-secure",
    "SVC_START": "systemctl service systemd-run update-rc.d init systemd systemd.service systemd.unit invoke-rc.d cron "
    "crontab at systemd.timer",
    "SVC_STOP": "kill killall pkill shutdown reboot poweroff halt telinit systemd-inhibit",
    "SVC_STATUS": "systemd-analyze runlevel loginctl machinectl who w pgrep pidof busctl systemd-cgls",
    "RESOURCE_QUERY": "free top htop df du uptime vmstat iostat mpstat sar ps pstree slabtop pmap nproc systemd-cgtop "
    "prlimit tload lsof pwdx nice renice taskset ionice proc sysctl sysctl.conf sysctl.d",
    "LOG_QUERY": "journalctl dmesg last lastb lastlog logger logrotate rsyslogd rsyslog.conf syslogd journald.conf "
    "systemd-journald wtmp utmp coredumpctl systemd-cat",
    "DIAG_NETWORK": "ping traceroute tracepath ss netstat arping mtr tcpdump dig nslookup nstat lnstat rtacct arpd "
    "host arp ifstat rtmon iperf nmap whois systemd-resolve",
    "DIAG_STORAGE": "smartctl smartd smartd.conf badblocks fsck e2fsck debugfs dumpe2fs e2image e4defrag filefrag "
    "xfs_repair xfs_db update-smart-drivedb e2scrub fstrim blktrace dosfsck ntfsfix testdisk nvme sdparm",
    "DIAG_MEMORY": "memtest memtester edac-util mcelog systemd-oomd oomd.conf valgrind numastat",
    "DIAG_GENERAL": "strace ltrace gdb perf kexec kdump crash core trace-cmd sosreport",
}  # fmt: skip

#: Words of headings and questions, tried in order.
_WORDS = {
    "HOSTNAME_SET": r"host ?names?|computer'?s? name",
    "LOG_QUERY": r"logs?|log files?|logging|syslog|journal",
    "DRV_CONFIGURE": r"kernel parameters?|module (?:parameters?|options?)",
    "DRV_SELECT": r"drivers?|kernel modules?|firmware",
    "IDENTIFY_USB": r"usb (?:device|stick|memory)s?",
    "IDENTIFY_PCI": r"(?:detect|recogni[sz]|identif)\w* (?:\w+ )?hardware|hardware (?:detection|information)",
    "MOUNT_FS": r"(?:un|re)?mount\w*|fstab|swap",
    "PARTITION_DISK": r"partition\w*|raid|lvm|(?:volume|disk) (?:group|layout)s?",
    "FORMAT_FS": r"format(?:ting)?|file ?systems?",
    "DIAG_STORAGE": r"(?:disk|drive|storage|data) (?:failure|error|recovery|problem)s?",
    "DIAG_NETWORK": r"network (?:problem|failure|diagnos\w+)s?|ping|troubleshoot\w* (?:the )?network",
    "NETWORK_CONFIG": r"network\w*|interfaces?|ip(?:v[46])?|dhcp|dns|wi-?fi|wireless|ethernet|routing|firewall\w*|vpn",
    "PKG_UPDATE": r"up-?grad\w*|updat\w*|up[- ]to[- ]date",
    "PKG_REMOVE": r"(?:un-?install|remov|purg)\w*",
    "PKG_SEARCH": r"(?:find|search|look|which|what)\w* (?:\w+ ){0,4}packages?",
    "PKG_INSTALL": r"install\w*|packages?|apt(?:itude|-get)?|dpkg|repositor(?:y|ies)",
    "SVC_STOP": r"(?:stop|kill|shut|halt)\w*|reboot\w*",
    "SVC_START": r"services?|daemons?|boot\w*|start\w*|systemd|cron|schedul\w*",
    "RESOURCE_QUERY": r"disk (?:space|usage)|memory|process(?:es)?|load|quotas?|resources?",
    "DIAG_GENERAL": r"problems?|troubles?\w*|errors?|fail\w*|broken|recover\w*|rescue|repair\w*|debug\w*|crash\w*",
}

_BY_NAME = {name: sub for sub, names in _COMMANDS.items() for name in names.split()}
_BY_WORDS = [(sub, re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE)) for sub, words in _WORDS.items()]
_BY_SECTION = {"4": Topic("DRIVER_SELECT"), **dict.fromkeys("1568", Topic("SYSTEM_MANAGE"))}

#: What fits no other is TROUBLESHOOT, as the kernel has it.
OTHER = Topic("TROUBLESHOOT")


def command_topic(name: str, section: str) -> Topic:
    """Return the topic of a manual page by its name, else by its family's, else by its section."""
    family = name.partition("-")[0]
    for known in (name, name.partition(".")[0], "" if family == "systemd" else family):  # systemd's is of all sorts
        if sub := _BY_NAME.get(known):
            return Topic(INTENT_OF[sub], sub)
    return _BY_SECTION.get(section, OTHER)


def words_topic(text: str) -> Topic:
    """Return the topic of a heading or question by its words."""
    sub = next((sub for sub, words in _BY_WORDS if words.search(text)), "")
    return Topic(INTENT_OF[sub], sub) if sub else OTHER
