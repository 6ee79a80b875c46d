"""What the kernel can ask for, and how a free text is sorted into it.

Sorting takes two steps: cues vote for an intent, then the intent's own cues pick a sub-command. The cues are whole-word
regular expressions with a weight; a text that none of them fits is a problem to look into (TROUBLESHOOT).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum


class Intent(IntEnum):
    """The six things that the kernel asks for."""

    HARDWARE_IDENTIFY = 0
    DRIVER_SELECT = 1
    INSTALL_CONFIGURE = 2
    APP_INSTALL = 3
    SYSTEM_MANAGE = 4
    TROUBLESHOOT = 5


class SubCommand(IntEnum):
    """What precisely is asked for; the high byte is the intent."""

    IDENTIFY_PCI = 0x0000
    IDENTIFY_PLATFORM = 0x0001
    IDENTIFY_USB = 0x0002
    DRV_SELECT = 0x0100
    DRV_CONFIGURE = 0x0101
    DRV_FALLBACK = 0x0102
    PARTITION_DISK = 0x0200
    FORMAT_FS = 0x0201
    MOUNT_FS = 0x0202
    NETWORK_CONFIG = 0x0203
    HOSTNAME_SET = 0x0204
    PKG_SEARCH = 0x0300
    PKG_INSTALL = 0x0301
    PKG_REMOVE = 0x0302
    PKG_UPDATE = 0x0303
    SVC_START = 0x0400
    SVC_STOP = 0x0401
    SVC_STATUS = 0x0402
    RESOURCE_QUERY = 0x0403
    LOG_QUERY = 0x0404
    DIAG_NETWORK = 0x0500
    DIAG_STORAGE = 0x0501
    DIAG_MEMORY = 0x0502
    DIAG_GENERAL = 0x0503

    @property
    def intent(self) -> Intent:
        """The intent that the sub-command belongs to."""
        return Intent(self >> 8)


@dataclass(frozen=True)
class Classification:
    """What a text asks for. ``confidence`` is the winner's share of the votes, between 0 and 1."""

    sub_command: SubCommand
    confidence: float

    @property
    def intent(self) -> Intent:
        """The sub-command's intent."""
        return self.sub_command.intent


#: The confidence of a text without any cue.
NO_CUE = 0.2

_DEVICE = (
    r"(device|hardware|card|controller|chip(set)?|adapters?|gpu|dongle|stick|peripheral|board|nic|webcam|keyboard|mouse"
    r"|processor|cpu|touchpad|scanner|printer)s?"
)
_SERVICE = (
    r"(services?|daemons?|units?|server|ssh(d)?|nginx|apache2?|cron|bluetooth(d)?|cups|"
    r"postgres(ql)?|docker|systemd\S*)"
)
_FILESYSTEM = r"(ext[234]|xfs|btrfs|vfat|fat32|ntfs|exfat|f2fs|swap|file ?system)"

_INTENT_CUES: dict[Intent, tuple[tuple[float, str], ...]] = {
    Intent.HARDWARE_IDENTIFY: (
        (3, r"identif(y|ies|ied|ication)|recogni[sz]e|lspci|lsusb|dmidecode"),
        (2, rf"(what|which|whose|name) (\w+ ){{0,4}}{_DEVICE}"),
        (2, r"what('s| is| are| sort| kind| model| type)? (\w+ ){0,4}(pci|usb|platform|acpi)"),
        (2, r"(vendor|manufacturer|maker|who (made|makes|built|produced|manufactures?))"),
        (2, r"(what|which) (sort|kind|model|type|brand) of"),
        (2, rf"(list|show|enumerate|detect|describe|tell me about) (\w+ ){{0,4}}{_DEVICE}"),
        (2, r"plugged in|(new|unknown|attached|connected) (usb |pci )?(device|hardware|card)"),
        (1, r"pci|usb|acpi|device ?tree|hardware|class [0-9a-f]{2}:?[0-9a-f]{2}"),
        (1.5, r"[0-9a-f]{4}:[0-9a-f]{4}"),
    ),
    Intent.DRIVER_SELECT: (
        (4, r"drivers?|kernel modules?|kmod|modprobe|insmod|rmmod|firmware blob"),
        (2, r"module (parameters?|options?|for)|load (the |a )?module|blacklist"),
    ),
    Intent.INSTALL_CONFIGURE: (
        (4, r"partition(s|ing|ed)?|fdisk|parted|gpt|mkfs\S*|fstab|host ?name|hostnamectl"),
        (
            4,
            rf"format(ting)? (\S+ ){{0,5}}(as|to|with|using|disk|drive|partition|volume|/dev/\w+|"
            rf"{_FILESYSTEM})|{_FILESYSTEM} (on|volume)",
        ),
        (3, r"(re|un|u)?mount(s|ed|ing)?|umount|attach (\S+ ){0,3}(volume|filesystem|share)"),
        (
            3,
            r"(configure|set ?up|assign|give|set|change|add|enable|use|obtain) (\S+ ){0,5}(network|"
            r"static|address|ip(v[46])?|dhcp|gateway|dns|nameserver|netmask|route|interface|vlan|wi-?fi|"
            r"eth\d|wlan\d)",
        ),
        (2, r"(re)?name (this|the|my) (machine|computer|box|host|system)|(machine|computer|system)('s)? name"),
        (2, r"(split|divide|carve|wipe|erase) (\S+ ){0,3}(disk|drive|ssd|nvme\S*|sd[a-z])"),
        (1, r"/dev/\w+|/mnt\S*"),
    ),
    Intent.APP_INSTALL: (
        (4, r"packages?|apt(-get|-cache)?|dpkg|aptitude"),
        (3, r"(un|re)?install(ed|ing)?|upgrade|purge"),
        (
            3,
            r"(remove|uninstall|get rid of|delete|purge) (\w+ ){0,3}(program|app(lication)?s?|software|"
            r"editor|browser|game|tool)",
        ),
        (2, r"(update|upgrade) (\w+ ){0,3}(everything|all|software|system|programs?|apps?|applications?|list)"),
        (
            3,
            r"(find|search|look|is there|need|want|get|recommend) (\w+ ){0,4}(program|app(lication)?|"
            r"software|editor|browser|tool)s?",
        ),
        (2, r"software|application|repositor(y|ies)|security updates?|newest versions?|latest versions?"),
    ),
    Intent.SYSTEM_MANAGE: (
        (
            3,
            rf"(re)?(start|stop|launch|enable|disable|halt|kill|shut ?down|bring up|turn (on|off)|"
            rf"switch (on|off)|reload) (\S+ ){{0,3}}{_SERVICE}",
        ),
        (
            3,
            rf"(status|state) of|is (the )?(\S+ )?{_SERVICE} (\w+ )?(running|up|active|alive|enabled)|"
            rf"(running|active|alive)\?*$",
        ),
        (2, r"systemctl|journalctl|dmesg|top|htop|uptime|vmstat"),
        (
            3,
            r"how (much|many|full|busy|long|loaded|hot)|"
            r"(cpu|memory|ram|disk|swap) (usage|load|use|utili[sz]ation|consumption|free)|"
            r"free (memory|ram|space|disk)|(disk|free) space|load average|resources?",
        ),
        (
            3,
            r"(show|read|view|see|print|tail|display|search|grep|check|last|recent|open|"
            r"get) (\S+ ){0,4}(logs?|log ?files?|journal|syslog|boot messages|kernel messages)|logs?|"
            r"journal|syslog",
        ),
        (
            2,
            r"process(es)?|"
            r"(uses?|using|eating|hogging|taking) (up )?(the )?(most|all|so much)? ?(my )?(cpu|memory|"
            r"ram)",
        ),
        (1, _SERVICE),
    ),
    Intent.TROUBLESHOOT: (
        (4, r"(does|do|did|is|are|was|has|can|could|will|would|wo|ca)(n't| not)|cannot|never|no longer|stopped|unable"),
        (
            4,
            r"broken?|fail(s|ed|ing|ure|ures)?|crash(es|ed|ing)?|hangs?|hung|fr(ee|o)zes?n?|"
            r"panic(s|ked)?|oops|segfaults?|stuck|corrupt(ed|ion)?",
        ),
        (
            3,
            r"slow(ly)?|sluggish|drops?|dropped|dropping|losing|lost|unreachable|unresponsive|"
            r"time(d|s)?[ -]?out|timeouts?|refused|reboots?|randomly|keeps?",
        ),
        (3, r"problems?|trouble(shoot)?|issues?|wrong|diagnos(e|is|tic)|debug|fix|repair|why|help"),
        (
            2,
            r"errors?|warnings?|bad sectors?|out of memory|oom|leak(s|ing|ed)?|unknown|"
            r"no (network|internet|connection|link|carrier|route|sound|signal)|packet loss|complain\w*|"
            r"strange|weird",
        ),
    ),
}

#: Tried in order; the last of an intent, without a cue, is what is left.
_SUB_CUES: dict[Intent, tuple[tuple[SubCommand, str], ...]] = {
    Intent.HARDWARE_IDENTIFY: (
        (SubCommand.IDENTIFY_USB, r"usb|lsusb|dongle|stick|webcam|plugged in"),
        (
            SubCommand.IDENTIFY_PLATFORM,
            r"platform|acpi|device ?tree|cpu|processor|mainboard|motherboard|board|bios|soc|dmidecode",
        ),
        (SubCommand.IDENTIFY_PCI, ""),
    ),
    Intent.DRIVER_SELECT: (
        (
            SubCommand.DRV_FALLBACK,
            r"fallback|fall back|another|alternatives?|instead|other|else|next|second|replacement|"
            r"backup|different",
        ),
        (
            SubCommand.DRV_CONFIGURE,
            r"configur\w*|parameters?|options?|settings?|set|tune|enable|disable|blacklist|change",
        ),
        (SubCommand.DRV_SELECT, ""),
    ),
    Intent.INSTALL_CONFIGURE: (
        (
            SubCommand.HOSTNAME_SET,
            r"host ?name|hostnamectl|(re)?name (this|the|my)|(machine|computer|system)('s)? name",
        ),
        (
            SubCommand.NETWORK_CONFIG,
            r"network|ip(v[46])?|dhcp|gateway|dns|nameserver|netmask|route|interface|vlan|wi-?fi|eth\d|"
            r"wlan\d|address",
        ),
        (SubCommand.MOUNT_FS, r"(re|un|u)?mount(s|ed|ing)?|umount|fstab|attach"),
        (SubCommand.FORMAT_FS, rf"format(ting)?|mkfs\S*|{_FILESYSTEM}"),
        (SubCommand.PARTITION_DISK, ""),
    ),
    Intent.APP_INSTALL: (
        (SubCommand.PKG_REMOVE, r"remove|uninstall|purge|delete|get rid of|erase"),
        (SubCommand.PKG_UPDATE, r"updat\w*|upgrad\w*|newest|latest"),
        (
            SubCommand.PKG_SEARCH,
            r"search|find|look(ing)?|which|what|available|is there|list|recommend|apt-cache|contains|"
            r"provides",
        ),
        (SubCommand.PKG_INSTALL, ""),
    ),
    Intent.SYSTEM_MANAGE: (
        (SubCommand.LOG_QUERY, r"logs?|log ?files?|journal(ctl)?|syslog|dmesg|messages"),
        (
            SubCommand.RESOURCE_QUERY,
            r"how (much|many|full|busy|long|loaded|hot)|cpu|memory|ram|space|load|resources?|usage|"
            r"process(es)?|top|htop|uptime|vmstat",
        ),
        (SubCommand.SVC_STATUS, r"status|state|is|are|running|active|alive"),
        (SubCommand.SVC_STOP, r"stop|halt|kill|disable|shut ?down|turn (\S+ )?off|switch (\S+ )?off"),
        (SubCommand.SVC_START, r"(re)?start|launch|enable|bring|turn|switch|reload"),
        (SubCommand.SVC_STATUS, ""),
    ),
    Intent.TROUBLESHOOT: (
        (
            SubCommand.DIAG_NETWORK,
            r"network|internet|wi-?fi|ethernet|ping|dns|dhcp|packets?|link|connect\w*|interface|route|"
            r"ip|eth\d|wlan\d|unreachable|website|download\w*",
        ),
        (SubCommand.DIAG_MEMORY, r"memory|ram|oom|swap(ping)?|leak\w*|memtest|page fault"),
        (
            SubCommand.DIAG_STORAGE,
            r"disks?|drives?|ssd|nvme\S*|storage|sectors?|smart|file ?systems?|mount\w*|sd[a-z]\d?|"
            r"partition|i/o|raid|ext[234]|xfs|btrfs",
        ),
        (SubCommand.DIAG_GENERAL, ""),
    ),
}


def _whole_words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w])(?:{pattern})(?![\w])", re.IGNORECASE)


_INTENTS = {intent: [(w, _whole_words(p)) for w, p in cues] for intent, cues in _INTENT_CUES.items()}
_SUBS = {intent: [(sub, _whole_words(p) if p else None) for sub, p in cues] for intent, cues in _SUB_CUES.items()}


def classify(text: str) -> Classification:
    """Sort a free text into an intent and a sub-command."""
    text = text.replace("\u2019", "'")
    votes = {intent: sum(weight for weight, cue in cues if cue.search(text)) for intent, cues in _INTENTS.items()}
    total = sum(votes.values())
    if total == 0:
        return Classification(SubCommand.DIAG_GENERAL, NO_CUE)
    best = max(votes, key=lambda intent: (votes[intent], intent))
    sub = next(sub for sub, cue in _SUBS[best] if cue is None or cue.search(text))
    return Classification(sub, votes[best] / total)
