"""What the edition knows besides single devices: kinds of them, and what to do in common cases.

Lists of our own. Each answer is one token of the vocabulary, so an answer is given whole or not at all.
"""

from __future__ import annotations

#: Driver → what people call a device that needs it. The first names of each are the commonest.
KINDS: dict[str, tuple[str, ...]] = {
    "ahci": ("sata controller", "sata", "ahci", "ahci controller", "sata disk", "serial ata controller", "sata drive",
             "hard disk", "hard drive", "sata ssd"),
    "ata_piix": ("ide controller", "ide", "pata controller", "ide disk", "parallel ata", "piix ide"),
    "nvme": ("nvme", "nvme ssd", "nvme disk", "nvme drive", "m.2 ssd", "nvme controller", "nvm express controller"),
    "xhci_pci": ("usb 3", "usb 3 controller", "usb 3.0", "usb 3.0 controller", "usb3", "xhci", "xhci controller",
                 "usb 3 ports", "usb controller", "usb host controller", "usb ports", "usb-c"),
    "ehci_pci": ("usb 2", "usb 2 controller", "usb 2.0", "usb 2.0 controller", "usb2", "ehci", "ehci controller"),
    "uhci_hcd": ("usb 1", "usb 1.1", "uhci", "uhci controller", "usb 1.1 controller"),
    "ohci_pci": ("ohci", "ohci controller"),
    "usb_storage": ("usb stick", "usb disk", "usb drive", "usb storage", "usb flash drive", "thumb drive", "pendrive",
                    "external usb disk"),
    "usbhid": ("usb keyboard", "usb mouse", "keyboard", "mouse", "usb keyboard and mouse"),
    "psmouse": ("touchpad", "ps/2 mouse", "trackpad", "trackpoint"),
    "atkbd": ("ps/2 keyboard", "laptop keyboard"),
    "snd_hda_intel": ("hd audio", "intel hd audio", "sound card", "sound", "audio", "audio controller", "intel sound",
                      "high definition audio", "hdmi audio", "amd audio", "nvidia audio", "audio card"),
    "snd_intel8x0": ("ac97", "ac97 audio", "ac'97 audio", "intel ac97"),
    "snd_usb_audio": ("usb sound card", "usb audio", "usb headset"),
    "i915": ("intel graphics", "intel gpu", "intel video", "intel uhd graphics", "intel hd graphics",
             "intel integrated graphics", "intel display", "intel vga", "intel iris graphics"),
    "nouveau": ("nvidia graphics", "nvidia", "nvidia card", "nvidia gpu", "geforce", "nvidia geforce", "nvidia video",
                "nvidia graphics card", "quadro", "geforce card", "nvidia display"),
    "amdgpu": ("amd graphics", "amd gpu", "radeon", "amd radeon", "amd radeon graphics", "radeon rx", "amd card",
               "radeon graphics", "amd graphics card", "amd video", "radeon card", "amd display", "vega"),
    "radeon": ("old radeon", "ati graphics", "old amd graphics", "ati card", "ati radeon"),
    "bochs": ("bochs vga", "qemu vga", "qemu graphics", "qemu display", "bochs display", "qemu video"),
    "cirrus": ("cirrus vga", "cirrus logic", "cirrus graphics"),
    "qxl": ("qxl", "spice graphics", "qxl graphics"),
    "virtio_gpu": ("virtio gpu", "virtio graphics", "virtio video", "virtio display", "virtio vga"),
    "vmwgfx": ("vmware graphics", "svga ii", "vmware svga", "vmware video", "vmware gpu", "vmware svga ii"),
    "vboxvideo": ("virtualbox graphics", "virtualbox video", "virtualbox gpu"),
    "vboxguest": ("virtualbox guest service", "virtualbox guest additions", "virtualbox guest"),
    "virtio_net": ("virtio network", "virtio net", "virtio ethernet", "virtio network card", "virtio-net",
                   "virtio network adapter"),
    "virtio_blk": ("virtio disk", "virtio block", "virtio blk", "virtio block disk", "virtio-blk", "virtio drive"),
    "virtio_scsi": ("virtio scsi", "virtio-scsi", "virtio scsi controller"),
    "virtio_balloon": ("virtio balloon", "balloon"),
    "virtio_console": ("virtio console", "virtio serial"),
    "virtio_rng": ("virtio rng", "virtio random"),
    "virtio_input": ("virtio input", "virtio keyboard"),
    "e1000e": ("intel ethernet", "intel network card", "intel lan", "intel gigabit ethernet", "intel gigabit",
               "intel ethernet card", "intel network", "intel gigabit lan", "intel wired network"),
    "e1000": ("qemu network", "qemu ethernet", "qemu network card", "e1000", "pro/1000", "intel pro/1000"),
    "igc": ("intel 2.5 gigabit ethernet", "intel 2.5g ethernet", "intel 2.5gbe", "i225", "i226"),
    "ixgbe": ("intel 10 gigabit ethernet", "intel 10g ethernet", "intel 10gbe", "intel 10g"),
    "r8169": ("realtek ethernet", "realtek network card", "realtek lan", "realtek gigabit ethernet", "realtek network",
              "realtek gigabit", "realtek"),
    "tg3": ("broadcom ethernet", "broadcom network card", "broadcom gigabit ethernet", "netxtreme",
            "broadcom netxtreme", "tigon3"),
    "sky2": ("marvell ethernet", "marvell yukon", "marvell network card"),
    "mlx5_core": ("mellanox", "mellanox card", "connectx", "mellanox connectx", "mellanox ethernet"),
    "vmxnet3": ("vmware network", "vmware ethernet", "vmxnet3", "vmware network card", "vmxnet"),
    "hv_netvsc": ("hyper-v network", "hyperv network", "hyper-v ethernet"),
    "xen_netfront": ("xen network", "xen ethernet"),
    "iwlwifi": ("intel wifi", "intel wireless", "intel wlan", "intel wi-fi", "intel wifi card", "intel wireless card",
                "centrino", "intel centrino wireless", "intel wifi 6"),
    "rtw88_pci": ("realtek wifi", "realtek wireless", "realtek wlan"),
    "ath9k": ("atheros wifi", "atheros wireless", "atheros", "atheros wlan"),
    "ath10k_pci": ("qualcomm wifi", "qualcomm wireless", "qualcomm atheros wifi"),
    "brcmfmac": ("broadcom wifi", "broadcom wireless", "broadcom wlan"),
    "mt7921e": ("mediatek wifi", "mediatek wireless", "mediatek wlan"),
    "btusb": ("bluetooth", "bluetooth adapter", "bluetooth dongle", "usb bluetooth"),
    "uvcvideo": ("camera", "usb camera", "laptop camera"),
    "megaraid_sas": ("megaraid", "lsi raid", "raid controller", "megaraid sas", "raid card"),
    "mpt3sas": ("sas controller", "lsi sas", "sas", "sas hba", "sas disks"),
    "sdhci_pci": ("sd card reader", "card reader", "sd reader", "sd card", "mmc reader", "sd host controller"),
    "i2c_i801": ("smbus", "smbus controller", "intel smbus"),
    "iTCO_wdt": ("intel watchdog", "watchdog"),
    "thunderbolt": ("thunderbolt", "thunderbolt controller", "usb4"),
    "firewire_ohci": ("firewire", "firewire controller", "ieee 1394"),
    "tpm_tis": ("tpm", "tpm chip", "tpm 2.0"),
    "8250_pci": ("serial port", "serial controller", "pci serial card", "com port"),
    "parport_pc": ("parallel port", "printer port", "lpt"),
    "yenta_socket": ("cardbus", "pcmcia", "pcmcia slot", "cardbus bridge"),
    "floppy": ("floppy", "floppy drive", "floppy disk"),
    "sr_mod": ("cd drive", "dvd drive", "cdrom", "cd-rom", "dvd"),
    "sd_mod": ("scsi disk", "scsi drive"),
    "ipmi_si": ("ipmi", "bmc"),
    "pcnet32": ("pcnet", "amd pcnet", "lance"),
    "usblp": ("usb printer", "printer"),
    "r8152": ("usb ethernet", "realtek usb ethernet", "usb network adapter", "usb lan"),
    "loop": ("loop mount", "iso image"),
}  # fmt: skip

#: PCI class and subclass → the driver for it, for a device whose numbers nobody knows.
CLASS_DRIVERS: dict[int, str] = {
    0x0101: "ata_generic", 0x0106: "ahci", 0x0107: "mpt3sas", 0x0108: "nvme", 0x0300: "simpledrm",
    0x0403: "snd_hda_intel",
    0x0607: "yenta_socket", 0x0700: "8250_pci", 0x0805: "sdhci_pci", 0x0C00: "firewire_ohci", 0x0C03: "xhci_pci",
    0x0C07: "ipmi_si",
}  # fmt: skip

#: What to do → how people ask for it. No line is among them that the kernel answers by itself.
TOPICS: dict[str, tuple[str, ...]] = {
    "Run 'apt install' and the package's name, as root.": (
        "install a package", "install software", "install an application", "install an app",
        "install something", "install new software", "add a package", "add software", "install nginx", "install vim",
        "install python", "get new software", "install gcc", "install packages", "install a new package",
        "install git",
        "put a package on this system", "install firefox", "install a tool", "install docker", "apt install",
    ),
    "Run 'apt remove' and the package's name, as root; 'apt purge' takes its settings too.": (
        "remove a package", "uninstall a package", "uninstall software", "remove software", "delete a package",
        "remove an application", "remove nginx", "uninstall an app", "get rid of a package", "uninstall vim",
        "remove packages", "remove an app", "delete software", "uninstall an application", "apt remove",
    ),
    "Run 'apt update', then 'apt full-upgrade', as root.": (
        "update everything", "update the system", "upgrade the system", "update all packages", "upgrade all packages",
        "update packages", "upgrade everything", "update my system", "install updates", "bring everything up to date",
        "get security updates", "update software", "upgrade packages", "apply updates", "update this machine",
        "update", "upgrade", "system update", "are there updates",
    ),
    "Run 'apt search' and a word of what you look for.": (
        "search for a package", "find a package", "search packages", "look for a package", "search for software",
        "which package has a command", "find software", "is there a package for it", "search a package", "apt search",
    ),
    "Run 'fdisk' or 'parted' with the disk's name, such as /dev/sda, as root.": (
        "partition a disk", "partition my disk", "partition a drive", "create a partition", "make partitions",
        "make a new partition", "partition the disk", "partition a new disk", "divide a disk", "split the disk",
        "create partitions on a disk", "delete a partition", "resize a partition", "partition my new drive", "fdisk",
    ),
    "Run 'mkfs.ext4' with the partition's name, such as /dev/sda1, as root; all on it is lost.": (
        "format a disk", "format a partition", "format a drive", "format with ext4", "make an ext4", "create ext4",
        "format my disk with ext4", "format a usb stick", "format the new partition", "make a fs", "mkfs",
        "format a disk as ext4", "erase and format a disk", "format /dev/sda1", "make ext4 on a partition",
    ),
    "Run 'mount' with the partition and a folder, such as 'mount /dev/sda1 /mnt', as root.": (
        "mount a disk", "mount a partition", "mount a usb stick", "mount a drive", "mount /dev/sda1", "mount my disk",
        "open a usb stick", "see what is on a usb stick", "access a partition", "mount an external disk", "mount",
        "mount a usb drive", "attach a disk", "mount a cd", "use a new partition",
    ),
    "Run 'umount' with the folder, as root, before you unplug it.": (
        "unmount a disk", "unmount a partition", "unmount a usb stick", "umount", "remove a usb stick safely",
        "eject a usb stick", "unplug a usb stick safely", "unmount a drive", "eject a disk", "detach a disk",
    ),
    "Run 'lsblk'; it shows every disk and its partitions.": (
        "list disks", "list my disks", "show disks", "show partitions", "list partitions", "which disks are there",
        "what disks do i have", "see all disks", "show all drives", "list drives", "lsblk",
        "which disk is which", "how many disks do i have", "what partitions are there",
    ),
    "Run 'df -h' for full disks, then 'du -sh' on the largest folders.": (
        "disk full", "my disk is full", "no space left", "no space left on disk", "disk is full", "free some space",
        "out of disk space", "how full is my disk", "how much disk space is left", "disk space",
        "what takes so much space",
        "the disk has no space", "low disk space", "find what fills the disk", "root partition full",
        "clean up the disk",
    ),
    "Run 'smartctl -a' on the disk, save what matters, then 'fsck' while it is not mounted.": (
        "my disk is failing", "disk errors", "i/o errors", "disk i/o errors in the log", "bad sectors", "check a disk",
        "is my disk broken", "the disk makes strange noises", "disk failure", "check disk health", "smart errors",
        "read errors on disk", "disk is dying", "test the disk", "repair a partition", "fsck", "disk broken",
        "the drive is failing", "hard drive errors", "errors on /dev/sda",
    ),
    "Run 'systemctl start' and the service's name, as root.": (
        "start a service", "start a daemon", "run a service", "launch a service", "start nginx", "start cron",
        "systemctl start", "turn a service on", "start the service", "start docker",
    ),
    "Run 'systemctl stop' and the service's name, as root.": (
        "stop a service", "stop a daemon", "stop nginx", "kill a service", "systemctl stop", "turn a service off",
        "stop the service", "end a service", "shut a service down", "stop docker", "stop cron",
    ),
    "Run 'systemctl restart' and the service's name, as root.": (
        "restart a service", "restart nginx", "restart a daemon", "reload a service", "systemctl restart",
        "restart the service", "bounce a service", "restart cron", "restart docker", "restart networking",
    ),
    "Run 'systemctl enable --now' and the service's name, as root.": (
        "enable a service", "start a service at boot", "make a service start at boot", "autostart a service",
        "run a service at boot", "start nginx at boot", "service on boot", "systemctl enable", "enable nginx",
        "start a daemon automatically", "start a service automatically", "enable a service at startup",
    ),
    "Run 'systemctl disable --now' and the service's name, as root.": (
        "disable a service", "do not start a service at boot", "keep a service from starting", "systemctl disable",
        "disable nginx", "stop a service from starting at boot", "disable autostart",
    ),
    "Run 'journalctl -u' and the service's name.": (
        "see the log of a service", "show the log of a service", "service log", "logs of nginx",
        "why does a service fail",
        "a service does not start", "service failed", "nginx does not start", "read the log of a service",
        "service keeps crashing", "my service failed to start", "log of a daemon",
    ),
    "Run 'dmesg' or 'journalctl -k'; errors stand out in red.": (
        "see the kernel log", "kernel log", "show kernel messages", "read the kernel log", "kernel messages", "dmesg",
        "where is the kernel log", "boot messages", "see boot messages", "where are kernel errors",
        "show kernel errors",
        "show the log", "system log", "see the logs", "log", "look at the kernel log",
    ),
    "Run 'modprobe' and the driver's name, as root.": (
        "load a driver", "load a module", "load a kernel module", "insert a module", "activate a driver", "modprobe",
        "install a driver", "enable a driver", "load driver by hand", "start a driver", "add a driver", "use a driver",
    ),
    "Run 'modprobe -r' and the driver's name, as root.": (
        "unload a driver", "remove a driver", "unload a module", "remove a kernel module", "rmmod", "disable a module",
        "stop a driver", "take a driver out",
    ),
    "Write 'blacklist' and the driver's name below /etc/modprobe.d, then run 'update-initramfs -u'.": (
        "blacklist a driver", "blacklist a module", "keep a driver from loading", "block a driver", "disable nouveau",
        "blacklist nouveau", "never load a module", "prevent a driver from loading",
    ),
    "Run 'lsmod'; it lists the drivers that are loaded.": (
        "list loaded drivers", "which drivers are loaded", "which modules are loaded", "list modules", "show drivers",
        "show loaded modules", "is a driver loaded", "loaded modules", "what drivers are loaded", "lsmod",
        "list drivers",
    ),
    "Run 'lspci -nnk'; it lists each card with its id and driver.": (
        "list pci cards", "show pci", "list pci", "which cards are there", "which driver is in use", "lspci",
        "find the id of a card", "find a pci id", "see which driver is used", "show my cards", "what cards do i have",
        "how do i find the pci id", "what pci cards are there",
    ),
    "Run 'dmesg' and look for the driver's name: often its firmware is missing or another driver has the card.": (
        "driver failed to load", "the driver does not load", "driver not working", "module not loading",
        "driver error",
        "driver does not work", "driver problem", "the driver fails", "no driver loaded", "modprobe fails",
        "modprobe error", "driver crashed", "my driver does not load", "driver probe failed",
    ),
    "Install the firmware package that 'dmesg' names, such as firmware-linux-nonfree, and boot again.": (
        "firmware missing", "firmware not found", "missing firmware", "failed to load firmware", "firmware error",
        "wifi firmware missing", "firmware is missing", "which firmware do i need", "install firmware",
        "direct firmware load failed", "wifi needs firmware", "firmware", "no firmware", "wireless firmware",
    ),
    "Check the cable and 'ip link', then 'ip route', then 'ping 1.1.1.1'.": (
        "network does not work", "network down", "no network", "no internet", "network is down", "cannot connect",
        "internet does not work", "no connection", "ping does not work", "network unreachable", "cannot ping",
        "lost network", "network problem", "no link", "my network is broken", "cannot reach the network",
        "network not working", "fix the network", "offline", "ethernet does not work", "internet is down",
        "connection lost", "lan does not work", "cannot reach the internet", "network card not working",
        "cannot ping anything",
    ),
    "Run 'rfkill unblock wifi', then 'iw dev' and 'dmesg' for the driver and its firmware.": (
        "wifi does not work", "no wifi", "wifi not working", "wlan does not work", "wireless does not work",
        "wifi broken", "cannot connect to wifi", "wifi disappeared", "wifi is off", "wifi not found", "wifi problem",
        "wifi drops", "connect to wifi", "set up wifi", "turn on wifi", "wifi keeps disconnecting",
    ),
    "Run 'ip link set' with the interface and 'up', then 'ip route'.": (
        "configure the network", "set up the network", "network setup", "bring an interface up", "enable eth0",
        "interface is down", "network configuration", "configure eth0", "bring up eth0", "start the network",
    ),
    "Run 'alsamixer' and see that nothing is muted, then 'aplay -l' for the cards.": (
        "no sound", "sound does not work", "there is no sound", "no audio", "audio does not work", "speakers silent",
        "sound not working", "i hear nothing", "sound problem", "sound is broken", "audio not working",
        "no sound output",
        "headphones do not work", "sound card not working", "volume too low",
    ),
    "Boot with 'nomodeset', then look in 'dmesg' for the graphics driver and its firmware.": (
        "black screen", "screen stays black", "no picture", "screen is black", "black screen after boot", "no display",
        "blank screen", "graphics do not work", "monitor stays dark", "display does not work",
        "no signal on the monitor",
        "the screen stays black after boot", "screen flickers", "graphics problem", "x does not start",
        "wrong resolution",
        "screen stays dark", "no graphics",
    ),
    "Boot a rescue system, mount the root partition, and run 'grub-install' and 'update-grub' in it.": (
        "does not boot", "system does not boot", "cannot boot", "boot fails", "grub rescue", "grub error", "no boot",
        "computer does not start", "repair grub", "boot loader broken", "machine does not boot", "fix grub",
        "my computer does not boot", "pc does not boot", "it does not boot anymore", "boot problem", "grub is broken",
        "no bootable disk", "install grub", "boot stops", "cannot boot anymore",
    ),
    "Run 'top' and see what takes the processor, then 'dmesg' for errors.": (
        "slow", "computer is slow", "everything is slow", "system is slow", "machine is slow", "high cpu load",
        "cpu at 100", "fan is loud", "it is slow", "which process uses the cpu", "high load", "the system hangs",
        "everything hangs", "too slow", "lagging", "top", "my computer is so slow", "processor busy", "system freezes",
    ),
    "Note the last lines, boot the older kernel, and look in 'journalctl -b -1' for the cause.": (
        "system crash", "the kernel crashed", "oops", "kernel oops", "machine crashed", "computer crashes",
        "system crashed", "random reboots", "crash",
    ),
    "Plug it in again and run 'dmesg'; 'lsusb' shows whether it is seen.": (
        "usb does not work", "usb not recognized", "usb stick not recognized", "usb stick is not recognized", "lsusb",
        "usb port does not work", "usb not detected", "usb stick not found", "usb problem",
        "usb stick does not show up",
        "usb disk not detected", "keyboard does not work", "mouse does not work", "usb not working", "list usb",
    ),
    "Run 'ps aux'; 'kill' and its number ends a process.": (
        "list processes", "show processes", "kill a process", "end a process", "running processes", "stop a process",
        "process hangs", "which processes run", "kill", "ps", "what is running",
    ),
    "Run 'reboot', as root.": (
        "reboot", "restart the machine", "restart the computer", "reboot the system", "reboot now", "restart",
        "restart this computer", "reboot the machine", "boot again",
    ),
    "Run 'poweroff', as root.": (
        "shutdown", "shut down", "power off", "turn it off", "turn off the computer", "poweroff",
        "shut down the machine",
        "switch off", "shut the system down", "turn off", "halt", "power down",
    ),
    "Run 'adduser' and the new name, as root.": (
        "add a user", "create a user", "new user", "make an account", "create an account", "add an account", "adduser",
    ),
    "Run 'passwd' for your own password, as root with a user's name for theirs.": (
        "change my password", "set a password", "new password", "forgot the password", "reset a password", "passwd",
        "change a password", "forgot root password",
    ),
    "Run 'timedatectl', and 'timedatectl set-ntp true' to keep the clock right.": (
        "set the clock", "wrong time", "set the time", "the clock is wrong", "change the time", "set the time zone",
        "change time zone", "wrong date", "sync the clock",
    ),
    "Run 'dpkg-reconfigure keyboard-configuration', as root.": (
        "change keyboard layout", "keyboard layout", "wrong keyboard layout", "german keyboard", "set keyboard layout",
    ),
    "Run 'uname -r'.": ("kernel version", "which kernel is this", "what kernel version", "which kernel version",
    "uname"),
    "Run 'lscpu'.": ("which cpu is this", "what cpu do i have", "cpu info", "which processor", "how many cores",
    "lscpu"),
    "Run 'mkswap' on a partition, then 'swapon', as root.": (
        "add swap", "create swap", "enable swap", "make a swap partition", "turn on swap", "swap",
    ),
    "Run 'nft list ruleset' to see the firewall's rules.": (
        "firewall", "show firewall rules", "set up a firewall", "open a port", "block a port",
        "configure the firewall",
    ),
    "Ask me what a PCI id is, which driver it needs, or how to install and mend the system.": (
        "help", "what can you do", "who are you", "what are you", "hello", "hi", "hey", "how are you", "thanks", "?",
        "good morning", "test", "what can i ask",
    ),
}  # fmt: skip

#: What is said when nothing better is known.
UNKNOWN = "Unknown: ask about a PCI id, a driver, installing or a problem."
UNKNOWN_DEVICE = "Unknown device: the id is in no list that I know."
UNKNOWN_DRIVER = "Unknown driver: I do not know this id."
UNKNOWN_USB = "Unknown USB device: I know PCI ids only."
NO_DRIVER = "It needs no driver."
