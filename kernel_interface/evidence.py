"""What speaks for which sub-command: the words of a text, sorted into kinds, and what kinds mean together.

A *kind* is a set of words (``START``), phrases among them, or a shape that a word can have (``ADDRESS``). A line of
evidence is a weight and the kinds, or single words in small letters, that a text must have for it; ``a|b`` is either,
``!a`` is none of it, and ``^a`` is the text's first word, behind its politeness. A weight is a logarithm: evidence that
is worth 1 more makes a sub-command *e* times as likely beside the others. Nobody fitted the weights; they were set and
corrected by hand (``benchmarks/intents.py`` measures what came of it).
"""

from __future__ import annotations

import re

from kernel_interface.known import DRIVERS, PACKAGES, SERVICES

#: Words and phrases by kind, parted by ``|``. A word stands for its forms too (``start``: starts, started, starting).
WORDS: dict[str, str] = {
    # What is asked.
    "WHAT": "what|which|who|whose|whats|what's|who's|name",
    "DEFINE": "what is a|what is an|what's a|what's an|whats a|define|explain|difference between|mean|invented|"
    "history of",
    "SORT": "what kind|what sort|what type|what model|which kind|which model|which sort|brand|model|vendor|maker|"
    "manufacturer|made by|who made|who makes|who built|identify|recognize|recognise|describe|enumerate|called|"
    "identification|product|stand for|inventory|specs|details|make and model",
    "IS": "is|are|was|were|does|do|did|has|have|will|can",
    "AMOUNT": "how much|how many|how full|how busy|how long|how big|how large|how hot|how loaded|percentage|percent",
    "WHY": "why|diagnose|diagnosis|troubleshoot|debug|fix|repair|rescue|find out why|what is wrong|help|sos|"
    "what happened",
    "NOT": "not|cannot|never|no longer|unable|without|no|cant|can't|don't|doesn't|won't|isn't|didn't|couldn't|wont|"
    "doesnt|dont|isnt|nothing|nobody|refuse to|any more|anymore|neither|should not|shall not|must not|shall never|"
    "should never|must never|does not|did not|will not",
    "WONT": "won't|wont|doesn't|doesnt|does not|didn't|did not|will not|refuses to|fails to|failed to|can't|cannot",
    "OUGHT_NOT": "should not|shall not|must not|shall never|should never|must never|shouldn't|mustn't",
    "WRONG": "fail|failure|broken|break|broke|crash|hang|hung|freeze|froze|frozen|panic|oops|segfault|stuck|corrupt|"
    "corruption|damaged|slow|sluggish|crawl|dying|die|dead|lose|lost|losing|drop|time out|timed out|times out|"
    "timeout|time-out|refused|unreachable|unresponsive|problem|trouble|issue|wrong|error|complain|strange|weird|odd|"
    "randomly|at random|flap|flaky|noise|garbage|unstable|misbehave|black screen|blank|faulty|defective|bad|overheat|"
    "on fire|degraded|vanish|exit code|gave up|go down|goes down|going down|went down|up and down|not responding|"
    "nothing responds|respond|howl|keeps going|keep going|keeps|goes away|fails to|failed to|refuses to|throw|lockup|"
    "lock up|to death|forever|takes ages|ages|glitch|flicker|beep|loud|unusable|lag|laggy|stutter|abort|core dump|"
    "disappear|gone|like crazy|all night|went|became|suddenly|power cut|power loss|outage|nothing happens|act up|"
    "play up|cut out|disconnect|reset|storm|failing|unexpectedly",
    # Deeds.
    "START": "start|restart|launch|relaunch|fire up|bring up|start up|turn on|switch on|spin up|kick|bounce|enable|"
    "activate|reload|resume|respawn|get going|going|try-restart|unmask|revive|spin|bring back|bring back up|boot up|"
    "power up|wake|get running|reactivate|autostart|cycle|turn back on|back up and running|get it running|have it run",
    "STOP": "stop|halt|kill|disable|terminate|quit|shut|shutdown|shut down|turn off|switch off|take down|bring down|"
    "suspend|pause|mask|put an end to|deactivate|stop and disable|offline|shut off|take offline|put to sleep|keep "
    "from running|stop running|stand down|pull the plug",
    "INSTALL": "install|instal|reinstall|deploy|download|fetch|apt install|apt-get install|set me up with|preinstall|"
    "grab|roll out|throw on|equip",
    "WANT": "get|add|need|want|lack|missing|have|like|love|require|put",
    "REMOVE": "remove|uninstall|deinstall|purge|delete|get rid of|throw out|throw away|autoremove|drop|discard|ditch|"
    "erase|clean up|clear out|strip|eliminate|can go|nuke|scrap|trash|toss|done with|take off|rip out|no use for|"
    "sick of|tired of|bin",
    "UPDATE": "update|upgrade|patch|up to date|up-to-date|dist-upgrade|full-upgrade|newest|latest|newer|outdated|too "
    "old|security fix|newest version|latest version|upgradable|unattended-upgrade|refresh|bump|most recent|out of "
    "date|roll forward|new release|new version|stale",
    "HOLD": "hold|pin|freeze|keep",
    "SEARCH": "search|find|look for|looking for|browse|recommend|suggest|is there|are there|available|provide|contain|"
    "own|belong|offer|apt-cache|apt search|ship|under which|look up|where does|owner|policy|anything that|anything "
    "for|anything in|something that|something to|something for|come from|came from|packaged|exist|which tool|what "
    "tool|listed",
    "SHOW": "show|list|print|display|view|see|read|tail|dump|cat|open|tell|check|watch|follow|grep|dig out|inspect|"
    "examine|look at|less|head|query",
    "SET": "set|change|assign|configure|set up|setup|use|make|modify|adjust|tune|apply|define|point|should be|alter",
    "LOAD": "load|insert|modprobe|insmod|loaded|inserted",
    "TEST": "test|check|verify|probe|examine|ping|trace|traceroute|scan",
    # Things.
    "DEVICE": "device|hardware|card|controller|chip|chipset|adapter|gpu|peripheral|nic|component|graphics|network card|"
    "sound card|video card|graphics card|wireless card|adaptor|sound|touchpad|display|modem|usb controller|host "
    "controller|usb host controller|network adapter|network controller|ethernet card|ethernet controller|ethernet "
    "adapter|wifi card|wi-fi card|wlan card|wifi chip|wifi adapter|wireless adapter|wireless chip|lan card|vga|raid "
    "controller|sata controller|hba|accelerator|capture card|expansion card|ethernet chip|bluetooth chip|wireless|"
    "audio",
    "GADGET": "webcam|keyboard|mouse|printer|scanner|dongle|stick|card reader|phone|camera|headset|joystick|gamepad|"
    "memory stick|thumb drive|pen drive|flash drive|gadget|microphone|headphones|flash disk|usb key|bluetooth "
    "adapter|reader|tablet",
    "USB": "usb|lsusb|hub|plugged in|plug in|plugged|hot-plugged|hotplugged|thumb drive|usb-c|usb3|usb port|usb device|"
    "usb bus|hid|inserted",
    "PCI": "pci|pcie|lspci|slot|pci-e|function|usb controller|host controller|usb host controller",
    "PLATFORM": "cpu|processor|core|thread|mainboard|motherboard|main board|circuit board|bios|uefi|firmware|acpi|"
    "device tree|device-tree|devicetree|soc|platform|dmidecode|lscpu|raspberry pi|raspberry|virtual machine|"
    "hypervisor|architecture|board|on-chip|baseboard|lshw|arm board|vm|cpu model|amd or intel|amd or an intel|an amd "
    "or an intel|64 bit|64-bit|cpuid|instruction set|smbios|serial number|sbc|bios date|system vendor",
    "DRIVER": "driver|module|kernel module|ko|modprobe|insmod|rmmod|lsmod|kmod|depmod",
    "PARAMETER": "parameter|option|blacklist|modprobe.d|knob|modinfo|denylist|param|power saving|power save|forbid|"
    "module option|module parameter|driver option|quirk|msi|autosuspend|aspm|power management",
    "OTHER": "fallback|fall back|alternative|another|other|else|instead|different|next|second|substitute|replacement|"
    "plan b|generic|replace|besides|rather|backup driver|next best|switch from|alternatively|what else|second choice|"
    "other than|rather than|in place of|another one|no luck with|swap out",
    "LAYOUT": "partition|gpt|mbr|fdisk|parted|gdisk|cfdisk|sfdisk|partition table|slice|layout|repartition|resize|"
    "shrink|grow|split|carve|divide|disk label|gparted|subdivide|msdos label|efi system|lvm|volume group|logical "
    "volume|unallocated|extend|enlarge|boot partition|root partition|primary partition|extended partition",
    "FILESYSTEM": "ext2|ext3|ext4|xfs|btrfs|vfat|fat32|fat|ntfs|exfat|f2fs|file system|filesystem|zfs|swap space|"
    "swap partition|reiserfs|jfs",
    "FORMAT": "format|reformat|mkfs|mkswap|mke2fs|formatted|mkfs.ext4|mkfs.xfs|mkfs.btrfs|mkfs.vfat|initialise|"
    "initialize|blkid|file system type|blank file system|empty filesystem|empty file system|make a filesystem|fresh "
    "filesystem",
    "MOUNT": "mount|umount|unmount|remount|fstab|attach|detach|eject|automount|mountpoint|mount point|read-only|"
    "reachable under|dismount|nfs share|read only|swapon|hook up|nfs export|network share|cifs|smb share|bind mount|"
    "accessible at|accessible under|show up at|show up under|visible under|visible at|available under|available at",
    "NET": "network|networking|ip|ipv4|ipv6|dhcp|gateway|dns|nameserver|resolver|netmask|subnet|route|interface|vlan|"
    "wifi|wi-fi|wlan|mtu|lease|ethernet|internet|ifconfig|netplan|ip address|nmcli|resolv.conf|default route|name "
    "server|wireless network|bridge|proxy|ssid|static address|static ip|lan|cidr|wired|hotspot|access point|firewall|"
    "nat|forwarding|vpn|tunnel|mac address|search domain|subnet mask|ethernet port",
    "LINK": "internet|ping|packet|link|connect|connection|connectivity|carrier|website|web page|web|download|port|host|"
    "reach|online|offline|no-carrier|latency|resolve|name resolution|browse|router|cable|bandwidth|ssh to|lookup|dns|"
    "wifi|wi-fi|network|packet loss|reachable|site|lookups|connection reset|signal|upload|netstat|socket|open port|"
    "remote host|ssh session|hostnames",
    "HOSTNAME": "hostname|host name|hostnamectl|set-hostname|computer name|machine name|name of my computer|name of "
    "this machine|name of the machine|host's name|machine's name|server's name|fqdn|network name|name of this host|"
    "name of this computer|name of this server",
    "RENAME": "rename|call|name|named|called|baptise|baptize|answer to|known as|identify itself as",
    "MACHINE": "machine|computer|host|box|system|server|laptop|pc|everything|node|desktop|workstation|this server|the "
    "server|my server|our server",
    "SOFTWARE": "package|apt|apt-get|dpkg|deb|software|program|app|application|tool|library|repo|repository|archive|"
    "editor|browser|game|compiler|aptitude|debian|player|mirror|viewer|reader|distribution|release|utility|client|"
    "ide|emulator|plugin|suite|converter",
    "SERVICES": "service|daemon|unit|systemctl|server",
    "STATE": "status|state|running|active|alive|health|healthy|enabled|up|down|is-active|is-enabled|doing|crashed|"
    "health report|dead or alive|red|by itself|come up|came up|okay|online|responding|started|stopped|up and running|"
    "dead",
    "MEMORY": "memory|ram|swap|oom|dimm|out of memory|oom-killer|oom killer|leak|memtest|memtest86|swapping|edac|"
    "gigabytes|bit flip|thrash|page fault|memory leak|bits flip|lack of memory|not enough memory|more and more memory",
    "LEAK": "leak|oom|out of memory|oom-killer|oom killer|memtest|memtest86|swap constantly|more and more memory|edac|"
    "thrash|memory leak|grow|not enough memory|lack of memory|bits flip|defect|page fault|faulty ram|bad ram|memory "
    "pressure|swap storm|allocation failure|cannot allocate memory|page allocation|oom kill|swap itself|ecc error|"
    "memory error|ran out of memory|run out of memory|runs out of memory",
    "USAGE": "usage|free|full|used|left|load|busy|uptime|top|htop|process|task|utilization|utilisation|consumption|"
    "space|size|largest|biggest|vmstat|load average|free space|disk space|hog|eat|df|du|resource|greedy|greediest|ps|"
    "temperature|folder|directory|enough|in use|take up|use the most|consume|iostat|nproc|hungry|consumer|taken|"
    "remain|remaining|capacity|room|headroom|heaviest|busiest|hungriest|gobble|hogs|disk usage|memory usage|cpu "
    "usage|free memory|used up",
    "LOG": "log|journal|journalctl|dmesg|syslog|ring buffer|message|logged|logfile|log file|log line|boot message|"
    "kernel log|kernel message|event log|warning|noteworthy|recorded|auth.log|logging|journal entry|log entry|boot "
    "log|error log|access log|auth log|console output|audit|event",
    "DISKS": "disk|drive|ssd|hdd|nvme|volume|hard disk|hard drive|storage|raid|sector|smart|smartctl|fsck|badblocks|"
    "inode|bad block|bad sector|i/o|io error|enospc|array|e2fsck|mdadm|i/o error|no space left|no space left on "
    "device|raid array|device is busy|target is busy|busy|read error|write error|superblock|external drive|external "
    "disk|ata error|usb disk|usb drive",
    "BOOT": "boot|startup|start-up|reboot|power cut|power on|boots|login|at power on|system start|system startup",
    "VERSION": "version",
}

#: Shapes of words, tried in turn on a whole word in small letters; the first that fits counts.
SHAPES: tuple[tuple[str, str], ...] = (
    ("ID", r"[0-9a-f]{4}:[0-9a-f]{4}"),
    ("SLOT", r"(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]|pnp[0-9a-f]{4}"),
    ("PART", r"(?:/dev/)?(?:(?:sd|vd|hd)[a-z][0-9]+|nvme[0-9]n[0-9]p[0-9]+|mmcblk[0-9]p[0-9]+)|/dev/(?:md|mapper/).+"),
    ("DISK", r"(?:/dev/)?(?:(?:sd|vd|hd)[a-z]|nvme[0-9](?:n[0-9])?|mmcblk[0-9])"),
    ("ADDRESS TARGET", r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?:/[0-9]{1,2})?"),
    ("IFACE", r"(?:eth|wlan|br|bond|tun|wg)[0-9]+|en[ops][0-9]\w*|wl[ops][0-9]\w*|eno[0-9]+"),
    ("FORMAT", r"mkfs\.\w+"),
    ("SIZE", r"[0-9]+(?:\.[0-9]+)?(?:[kmgt]i?b?)"),
    ("FILE", r"/(?:usr|bin|sbin|etc)(?:/.*)?|\w+\.(?:so|h)"),
    ("POINT", r"/.*"),
    ("SERVICE", r"[\w@-]+\.service"),
    ("KO", r"[\w-]+\.ko|[a-z0-9]+(?:_[a-z0-9]+)+"),
    ("TARGET", r"[a-z0-9-]+\.(?:org|com|net|de|io)"),
    ("NUMBER", r"[0-9]+"),
)

#: Kinds of names that are known one by one.
NAMES: dict[str, frozenset[str]] = {"SERVICE": SERVICES, "PACKAGE": PACKAGES, "KO": DRIVERS}

#: Evidence by sub-command, a line each: its weight, and what must be there.
EVIDENCE: dict[str, str] = {
    "IDENTIFY_PCI": """
        2 WHAT DEVICE
        2 SORT DEVICE
        2 SHOW DEVICE
        2 PCI
        1 DEVICE
        3 ID !DRIVER
        2 SLOT
        2 AMOUNT DEVICE
        1 WHAT ID
        -2 DRIVER
        -2 USB
        -2 WRONG
        -1 PLATFORM
        -2 SET
        -2 LAYOUT|MOUNT|FORMAT
        2 SORT DISKS
        2 vendor|maker|manufacturer
        -6 DEFINE !ID
    """,
    "IDENTIFY_USB": """
        3 USB !MOUNT
        2 USB DEVICE
        2 WHAT GADGET
        2 SORT GADGET
        3 SORT USB
        2 GADGET
        2 USB ID
        1 USB WHAT|SHOW
        -2 DRIVER
        -2 WRONG
        -2 LAYOUT|MOUNT|FORMAT|FILESYSTEM
        -2 NOT
        -6 DEFINE !ID
    """,
    "IDENTIFY_PLATFORM": """
        2 PLATFORM
        2 WHAT PLATFORM
        2 SORT PLATFORM
        3 SHOW PLATFORM
        3 AMOUNT core|thread|cpu|processor
        1 IS PLATFORM
        1 PLATFORM VERSION
        1 PLATFORM DEVICE
        3 lscpu|dmidecode|baseboard|bios|uefi|motherboard|mainboard
        -3 DRIVER
        -2 WRONG
        -3 USAGE !AMOUNT
        -2 PCI|USB
        -2 START|STOP|INSTALL|UPDATE
        3 firmware|bios release|version
        -6 DEFINE !ID
    """,
    "DRV_SELECT": """
        3 DRIVER
        2 DRIVER DEVICE|GADGET|ID
        2 DRIVER WHAT
        2 DRIVER LOAD
        2 LOAD KO
        2 KO IS
        2 KO
        1 DRIVER KO
        1 DRIVER NOT DEVICE
        2 DRIVER SEARCH
        3 modprobe|insmod|lsmod
        -1 SERVICES|SERVICE
        -3 OTHER
        -6 NOT LOAD !KO
        -4 never
        -5 PARAMETER
        -6 DEFINE
        2 DEVICE handle|bind|claim|support|serve
        -3 enable|disable|turn|limit
    """,
    "DRV_CONFIGURE": """
        3 PARAMETER
        3 PARAMETER KO|DRIVER
        2 SET KO
        2 SET DRIVER
        3 SET KO NUMBER
        3 KO NOT LOAD
        3 KO op|value
        2 DRIVER STOP|setting
        4 blacklist|modinfo
        -2 OTHER
        5 KO always
        4 never LOAD
        5 KO LOAD with NUMBER
        4 DRIVER enable|disable|turn|limit
        4 DRIVER KO enable|disable|turn|set|limit
    """,
    "DRV_FALLBACK": """
        4 OTHER DRIVER
        4 OTHER KO
        3 fallback
        3 KO WRONG
        3 DRIVER WRONG
        2 KO WRONG OTHER
        3 KO NOT OTHER
        1 next|candidate
        3 try DRIVER|KO
        2 KO fail
        -2 PARAMETER
        -3 SERVICE|SERVICES
        -3 DISK
    """,
    "PARTITION_DISK": """
        3 LAYOUT
        2 LAYOUT DISK
        2 LAYOUT DISKS
        1 LAYOUT SET|SHOW|REMOVE
        2 LAYOUT SIZE
        2 DISK SIZE
        1 DISK
        1 partition dev
        -2 FORMAT
        -3 MOUNT
        -3 WRONG
        -2 FILESYSTEM
        -2 INSTALL
        -2 LOG
        -6 DEFINE
    """,
    "FORMAT_FS": """
        4 FORMAT
        3 FILESYSTEM PART|DISK
        2 FILESYSTEM
        2 FILESYSTEM SET|put|create|give
        2 FILESYSTEM WHAT
        2 PART swap
        2 FORMAT PART|DISKS
        1 PART
        -3 MOUNT
        -4 WRONG
        -2 WHY
        -4 TEST
        -6 DEFINE
    """,
    "MOUNT_FS": """
        5 MOUNT
        3 PART POINT
        2 MOUNT POINT|PART|DISKS|USB
        1 POINT
        2 SHOW POINT PART
        2 available POINT PART
        2 fstab
        -4 WRONG
        -2 WHY
        -2 USAGE
        -3 MOUNT NOT !never
        -4 busy
        5 forbid POINT
        -6 DEFINE
        3 POINT nfs|share|export
        -3 read-only WRONG
        5 POINT offline
    """,
    "NETWORK_CONFIG": """
        2 NET
        3 IFACE
        2 NET SET|add|give
        3 NET ADDRESS
        3 IFACE ADDRESS
        2 SET ADDRESS
        2 IFACE START|STOP|up|down
        1 ADDRESS
        2 NET connect
        2 dhcp|gateway|netmask|mtu|nameserver|ifconfig
        2 IFACE NUMBER
        1 add NET
        -3 WRONG
        -3 NOT
        -3 WHY
        -2 TEST
        -1 USAGE
        -2 LOG
        -2 DRIVER
        -2 INSTALL|SOFTWARE
        -2 SERVICES|SERVICE
        3 NET WANT
        -4 DEVICE
        -6 DEFINE
    """,
    "HOSTNAME_SET": """
        6 HOSTNAME
        5 RENAME MACHINE
        4 rename|baptise|baptize
        2 SET HOSTNAME
        1 change name
        2 SET name MACHINE
        2 give name MACHINE
        -3 DEVICE|PCI|USB|ID
        -3 DRIVER
        -2 PLATFORM
        -2 SERVICE
        4 naming|localhost
        -6 WONT
        -4 resolve|lookup|WRONG
        3 RENAME box|machine|host|node|computer|laptop|server
        -5 tree
    """,
    "PKG_SEARCH": """
        2 SEARCH
        4 SEARCH SOFTWARE
        3 WHAT SOFTWARE
        3 FILE SEARCH
        4 FILE SOFTWARE
        2 FILE WHAT
        2 SEARCH PACKAGE
        2 PACKAGE VERSION WHAT
        2 IS SOFTWARE
        3 PACKAGE SOFTWARE IS
        2 good|best SOFTWARE
        3 apt-cache|search
        2 recommend|suggest
        2 which package|SOFTWARE
        -1 UPDATE
        -2 REMOVE
        -3 DRIVER
        -2 LOG
        -2 WRONG
        -2 SERVICES
        -2 DISKS
        -2 USAGE
        -2 IFACE|DISK|PART
        -2 NOT
        4 ^find|^look|^search a|an
        2 WHAT INSTALL
        3 PACKAGE have SOFTWARE
        3 policy
        3 owner FILE
        -3 PLATFORM
        -3 OTHER
        -3 port
        4 archive|repo PACKAGE|SERVICE IS|whether
        3 FILE come|came
        3 SEARCH that|archive|repo
    """,
    "PKG_INSTALL": """
        5 INSTALL
        1 SOFTWARE
        3 WANT PACKAGE
        2 WANT SOFTWARE
        1 PACKAGE
        3 ^get|^add PACKAGE
        2 put PACKAGE
        3 again SOFTWARE|PACKAGE INSTALL
        -4 REMOVE
        -4 UPDATE
        -2 SEARCH !INSTALL
        -2 NOT WANT
        -3 DRIVER
        -2 LOG
        -2 START|STOP !INSTALL
        -2 VERSION
        -3 WHAT
        -3 have ?
        -4 WONT
    """,
    "PKG_REMOVE": """
        3 REMOVE
        3 REMOVE PACKAGE
        3 REMOVE SOFTWARE
        4 uninstall|purge|autoremove|deinstall
        3 NOT WANT PACKAGE
        2 NOT use PACKAGE
        2 unused|orphaned
        1 PACKAGE
        -3 LAYOUT
        -3 FILESYSTEM|PART|DISK
        -3 IFACE
        -2 DRIVER
        -3 packet
        3 PACKAGE NOT stay|left
        -4 WONT
        4 kick|throw|chuck|take|wipe PACKAGE off|out
    """,
    "PKG_UPDATE": """
        4 UPDATE
        2 UPDATE PACKAGE|SOFTWARE|MACHINE
        3 HOLD PACKAGE
        3 HOLD UPDATE
        2 security
        1 all|everything UPDATE
        2 ^update|^upgrade|^patch
        2 PACKAGE old
        -2 SEARCH SOFTWARE !security
        -3 DRIVER
        -3 PLATFORM
        -3 LOG
        -3 WRONG
        -2 since
        5 STOP UPDATE PACKAGE
        -4 WONT
    """,
    "SVC_START": """
        3 START
        3 START SERVICE|SERVICES
        2 START PACKAGE
        2 run SERVICE|SERVICES
        1 SERVICE
        2 SERVICE BOOT always|should|make|come
        2 ^restart|^start|^enable|^reload
        2 should run|running|start
        2 get|have SERVICE going|run
        1 again SERVICE
        -2 IFACE
        -3 STOP !START
        -2 WHY
        -2 DRIVER
        -2 USB
        -2 LOG
        -2 IS ?
        3 bring SERVICE|SERVICES up
        -4 WRONG
        -5 NOT START
        -3 START SERVICE IS ?
        -4 NOT run !should
        -3 OUGHT_NOT
        3 NOT run should !OUGHT_NOT
        4 bring|spin|fire|get|pull|power|have SERVICE|SERVICES up !IS
        3 SERVICE BOOT START
        -5 kick PACKAGE off|out
        -6 whether START
    """,
    "SVC_STOP": """
        3 STOP
        3 STOP SERVICE|SERVICES
        2 STOP PACKAGE
        1 SERVICE
        3 no more SERVICE
        2 for good|maintenance
        2 SERVICE off|down take
        2 take down SERVICE
        2 turn off
        2 ^stop|^kill|^disable|^halt
        3 never START
        2 end SERVICE
        -3 START STOP again
        -2 IFACE
        -3 DRIVER|KO
        -2 WRONG
        -2 MOUNT
        -2 LOG
        -5 UPDATE
        3 NOT START SERVICE !WONT
        3 OUGHT_NOT run|START
        1 NOT run SERVICE !SHOW
        -5 MEMORY
        4 ^don't|^dont START
        3 take|want SERVICE|SERVICES offline|down|stopped
        -3 POINT
    """,
    "SVC_STATUS": """
        3 STATE SERVICE|SERVICES
        3 IS STATE SERVICE
        2 IS SERVICE START
        2 SHOW STATE
        2 WHAT STATE SERVICES|SERVICE
        2 which SERVICES
        2 fail SERVICES WHAT|SHOW
        2 how SERVICE doing
        2 SHOW SERVICES
        2 TEST SERVICE
        1 SERVICE
        3 status
        3 since when SERVICE
        2 is-active|is-enabled
        1 SERVICES IS
        -3 LOG
        -2 SET
        -1 MEMORY
        -2 IFACE
        -2 should
        -1 USAGE
        2 fail SERVICES IS ?
        3 whether SERVICE
        -3 bring
        -6 DEFINE
        -4 spin|fire|pull|take SERVICE|SERVICES
        2 ^did SERVICE|SERVICES up|start|STATE
    """,
    "RESOURCE_QUERY": """
        2 USAGE
        3 AMOUNT USAGE
        2 AMOUNT
        2 USAGE MEMORY
        2 USAGE DISKS
        2 USAGE POINT
        2 SHOW USAGE
        2 WHAT USAGE
        2 USAGE cpu|processor
        3 df|du|free|top|uptime|htop|vmstat
        3 load average
        1 MEMORY SHOW
        1 MEMORY IS
        2 POINT WHAT
        2 since system running
        2 busy MACHINE
        -3 WRONG
        -3 NOT
        -3 LOG
        -3 LEAK
        -3 INSTALL|LAYOUT|LOAD
        -2 WHY
        -3 DRIVER
        -3 busy POINT|MOUNT
        -2 PACKAGE
        2 query MEMORY|disk|load|process
        -6 DEFINE
    """,
    "LOG_QUERY": """
        4 LOG
        2 LOG SHOW
        2 LOG SERVICE
        1 LOG WHAT
        2 LOG NUMBER
        3 last lines|errors
        2 kernel say|print|said
        3 journalctl|dmesg|syslog
        2 happen SERVICE
        2 error BOOT SHOW|WHAT
        2 error since
        2 since SERVICE
        1 SHOW error
        -2 WRONG DISKS
        -2 INSTALL
        -2 WRONG LINK
        -6 DEFINE
    """,
    "DIAG_NETWORK": """
        2 LINK WRONG
        3 LINK NOT
        3 NET WRONG
        3 NET NOT
        3 IFACE WRONG
        2 IFACE NOT
        2 LINK WHY
        2 NET WHY
        2 TARGET WRONG|NOT|WHY|TEST|IS
        2 TEST LINK
        2 IFACE WHY
        3 ping|traceroute|no-carrier|packet
        1 LINK
        3 port listen|open|use
        2 listen
        2 IS TARGET
        2 SHOW port
        -2 DRIVER
        -2 SET
        -2 USB !LINK
        2 download WRONG
        -2 install
        3 port WHAT|IS|SHOW
    """,
    "DIAG_STORAGE": """
        2 DISKS WRONG
        2 DISK WRONG
        3 PART WRONG
        2 DISKS WHY
        2 DISK|PART|POINT WHY
        3 FILESYSTEM WRONG
        3 FILESYSTEM WHY
        3 DISK|PART NOT
        3 POINT NOT
        3 POINT WRONG
        3 DISKS NOT
        3 fsck|smartctl|smart|badblocks|sector|enospc|i/o|raid
        2 TEST DISKS|DISK|PART
        2 health DISKS|DISK
        3 MOUNT NOT
        3 MOUNT WRONG
        3 no space left
        1 DISKS
        -2 INSTALL
        4 TEST FILESYSTEM PART
        3 busy POINT|MOUNT|target
        3 read-only WRONG
        2 read only
        -3 DEVICE !WRONG
    """,
    "DIAG_MEMORY": """
        4 LEAK
        2 LEAK MEMORY
        2 MEMORY WHY
        2 MEMORY NOT
        2 MEMORY TEST
        3 memtest|oom|edac
        2 MEMORY kill|killed
        2 grow SERVICE|PACKAGE|process
        2 swap constantly|all|thrash
        1 segfault different
        1 MEMORY
        -2 GADGET
        -2 LAYOUT|PART
        4 kill MEMORY
        3 MEMORY WRONG
        3 eat|consume|gobble|swallow MEMORY !WHAT !SHOW
        3 allocation MEMORY
    """,
    "DIAG_GENERAL": """
        0.3
        2 WRONG
        1 WHY
        2 WHY WRONG
        3 SERVICE WRONG
        3 SERVICE NOT START
        2 MACHINE WRONG
        3 panic|oops
        1 NOT
        2 BOOT WRONG
        2 reboot|reset
        1 NOT BOOT
        2 help
        -2 NET|IFACE
        -2 DISKS|DISK
        -2 LEAK
        -3 DRIVER|KO
        -2 LOG
        -3 SHOW error
        -1 LINK
        -2 fail SERVICES WHAT|SHOW|IS
        4 WONT START|BOOT
        -2 TARGET
        6 WONT INSTALL|UPDATE|REMOVE
    """,
}

#: A question about one word, whose kind is DEFINE too: "what is usb?", "what are drivers?".
DEFINITION = re.compile(r"\W*what(?:'s| is| are) [a-z]+\W*", re.IGNORECASE)

#: What stands before a wish and says nothing about it.
POLITENESS = re.compile(
    r"\W*(?:(?:please|pls|plz|kindly|hey|hi|hello|ok|okay|so|now|then|and|also|just|well|thanks|sudo|quick check|"
    r"(?:can|could|would|will) (?:you|u)|how (?:do|can|could|should|would) (?:i|you|we)|how to|i(?: would|'d)? (?:want|"
    r"need|like|have|wish|love) (?:you )?to|we (?:want|need) to|help me(?: to)?|(?:tell|show) me how(?: to| i can)?|"
    r"what(?: is|'s) the (?:command|way) (?:to|for)|what (?:do|should|must) i (?:run|do|type|use) to|let(?:'s| us| me)|"
    r"go ahead and|is it possible to|is there a way to|time to|try to|you (?:should|must)|i am trying to|i'm trying to)"
    r"\b\W*)+",
    re.IGNORECASE,
)
