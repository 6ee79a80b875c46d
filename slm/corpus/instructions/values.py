"""The real values that phrases and answers are filled with: devices, file systems, packages, services and the like."""

from __future__ import annotations

#: Rows by the fields that they fill. Fields that belong together share a row: ``|`` parts rows, ``;`` or else a space
#: their fields; a row of one field is one value.
_ROWS = {
    ("disk",): "/dev/sda|/dev/sdb|/dev/sdc|/dev/sdd|/dev/nvme0n1|/dev/nvme1n1|/dev/vda|/dev/vdb|/dev/mmcblk0",
    ("part",): "/dev/sda1|/dev/sda2|/dev/sda3|/dev/sdb1|/dev/sdb2|/dev/sdc1|/dev/nvme0n1p1|/dev/nvme0n1p2|"
    "/dev/nvme0n1p3|/dev/nvme1n1p1|/dev/vda1|/dev/vda2|/dev/vdb1|/dev/mmcblk0p1|/dev/mmcblk0p2|/dev/md0",
    ("fs",): "ext4|ext3|ext2|xfs|btrfs|vfat|f2fs|exfat|ntfs",
    ("checked",): "ext4|ext3|ext2|vfat|exfat",
    ("point",): "/mnt|/srv|/home|/data|/opt|/backup|/media/usb|/boot/efi|/srv/www|/mnt/disk|/mnt/backup|/var/lib/data",
    ("size",): "512MiB|1GiB|2GiB|4GiB|8GiB|16GiB|20GiB|50GiB|100GiB",
    ("iface",): "eth0|eth1|enp0s3|enp0s31f6|enp1s0|enp2s0|eno1|ens18|wlan0|wlp2s0|wlp3s0",
    ("address", "gateway"): "192.168.1.10/24 192.168.1.1|192.168.0.20/24 192.168.0.1|10.0.0.5/24 10.0.0.1|"
    "10.1.2.3/16 10.1.0.1|172.16.0.8/24 172.16.0.254|192.168.178.40/24 192.168.178.1|10.10.0.2/30 10.10.0.1",
    ("nameserver",): "9.9.9.9|1.1.1.1|8.8.8.8|192.168.1.1|10.0.0.1",
    ("target",): "debian.org|192.168.1.1|10.0.0.1|kernel.org|9.9.9.9|deb.debian.org",
    ("mtu",): "1400|1492|1500|9000",
    ("host",): "athena|build3|web1|db2|mail|gateway|node7|lab12|backup|printserver|alpha|kiosk|router1|media",
    ("package", "purpose", "word"): "nginx;a web server;web server|vim;a text editor;editor|smartmontools;a tool to "
    "watch the health of disks;smart|gimp;a program to draw pictures;image editor|git;a version control "
    "system;version control|htop;a process viewer;process viewer|wireshark;a network protocol analyzer;network "
    "analyzer|rsync;a tool to copy files;file copy|postgresql;a database;database server|firefox-esr;a web "
    "browser;web browser|gparted;a partition editor;partition editor|tmux;a terminal multiplexer;terminal multiplexer|"
    "openssh-server;a remote login server;ssh server|vlc;a video player;video player|ethtool;a tool for network "
    "cards;ethernet settings|mdadm;a tool for software RAID;raid|cups;a printing system;printing|chrony;a time "
    "synchronization daemon;time synchronization|python3-numpy;a library for numbers in Python;numpy|"
    "build-essential;a C compiler;compiler",
    ("file",): "/bin/ls|/usr/bin/vim|/sbin/ip|/etc/fstab|/usr/bin/lspci|/usr/sbin/smartctl|/usr/bin/top|"
    "/usr/bin/lsusb",
    ("service",): "ssh|nginx|apache2|cron|cups|bluetooth|docker|postgresql|mariadb|rsyslog|NetworkManager|postfix|"
    "chrony|nfs-server|smartmontools|systemd-resolved|systemd-networkd|udisks2|avahi-daemon|wpa_supplicant",
    ("number",): "10|20|30|50|100|200|500",
    ("time",): "1 hour ago|today|yesterday|2 hours ago|10 min ago",
    ("module", "param", "value"): "e1000e InterruptThrottleRate 3000|snd_hda_intel power_save 10|iwlwifi power_save "
    "0|nvme_core default_ps_max_latency_us 0|i915 enable_psr 0|bonding miimon 100|kvm_intel nested 1|loop max_loop 64|"
    "psmouse proto imps|zram num_devices 2|ahci mobile_lpm_policy 1|nouveau modeset 0|usb_storage delay_use 5",
    ("driver", "other"): "8139cp 8139too|8139too 8139cp|uas usb_storage|radeon amdgpu|amdgpu radeon|cdc_ether r8152|"
    "b43 brcmsmac|ata_piix ata_generic|nouveau simpledrm|usbhid usbkbd",
    ("device", "code"): "network card;0200|wireless card;0280|graphics card;0300|sound card;0403|SATA "
    "controller;0106|USB controller;0c03|NVMe drive;0108|RAID controller;0104|SD card reader;0805|FireWire "
    "controller;0c00",
    ("gadget",): "webcam|memory stick|keyboard|mouse|printer|wireless adapter|card reader|Bluetooth dongle|scanner|"
    "phone",
}  # fmt: skip

VALUES: dict[tuple[str, ...], tuple[tuple[str, ...], ...]] = {
    fields: tuple(
        (row,) if len(fields) == 1 else tuple(row.split(";" if ";" in row else None)) for row in rows.split("|")
    )
    for fields, rows in _ROWS.items()
}
