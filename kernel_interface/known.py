"""Names that a text may use without saying what they are: common services, packages and kernel modules of Debian.

Where a name stands in two of them (``nginx``), the words around it decide. Names that are words of English besides
(``make``, ``screen``) are not here. A name that stands in none is not refused; only, it is believed where a text says
what it is.
"""

from __future__ import annotations

SERVICES = frozenset(
    """
    ssh sshd nginx apache2 apache httpd cron crond anacron cups cupsd bluetooth bluetoothd docker dockerd
    containerd postgresql postgres mariadb mysql mysqld rsyslog networkmanager postfix exim4 dovecot chrony
    chronyd ntp ntpd nfs-server nfs smartmontools smartd systemd-resolved systemd-networkd systemd-timesyncd
    systemd-journald udisks2 avahi-daemon avahi wpa_supplicant samba smbd nmbd bind9 named dnsmasq isc-dhcp-server
    haproxy squid redis redis-server memcached mongodb rabbitmq-server elasticsearch prometheus grafana-server
    grafana tomcat lighttpd fail2ban ufw nftables firewalld libvirtd lxc lxd podman gdm gdm3 lightdm sddm
    pulseaudio pipewire getty udev dbus polkit modemmanager hostapd openvpn wireguard strongswan tor php-fpm
    php8.2-fpm vsftpd proftpd rpcbind autofs iscsid multipathd mdmonitor auditd snapd jenkins gitlab zabbix-agent
    nagios telegraf influxdb kubelet etcd
    """.split()  # noqa: SIM905
)

PACKAGES = frozenset(
    """
    nginx vim nano emacs gimp git htop btop wireshark tshark rsync postgresql mariadb-server mysql-server
    default-mysql-server firefox firefox-esr chromium gparted tmux openssh-server openssh-client vlc mpv ffmpeg
    ethtool mdadm cups chrony python3 python3-pip python3-venv python3-numpy python3-scipy build-essential gcc g++
    clang cmake gdb curl wget smartmontools apache2 php php-fpm nodejs npm golang rustc cargo default-jdk
    openjdk-17-jdk docker docker.io docker-compose podman libreoffice thunderbird inkscape blender audacity krita
    openssl sqlite3 redis redis-server samba bind9 dnsutils bind9-dnsutils net-tools nmap tcpdump iperf3
    traceroute iproute2 iputils-ping strace lsof sysstat iotop dstat jq zip unzip p7zip-full bash zsh ansible
    qemu-system libvirt-daemon-system virt-manager nfs-kernel-server nfs-common cifs-utils ntfs-3g dosfstools
    xfsprogs btrfs-progs lvm2 cryptsetup parted gdisk memtest86+ lm-sensors pciutils usbutils hdparm nvme-cli
    dmidecode firmware-linux firmware-iwlwifi firmware-realtek network-manager wpasupplicant ufw nftables fail2ban
    certbot postfix dovecot-imapd exim4 mutt lynx w3m evince okular snapd flatpak gnome kde-plasma-desktop xfce4
    locales linux-image-amd64 linux-headers-amd64 dkms gnuplot texlive pandoc graphviz valgrind autoconf automake
    """.split()  # noqa: SIM905
)

DRIVERS = frozenset(
    """
    e100 e1000 e1000e igb igc ixgbe i40e ice iwlwifi iwlmvm ath9k ath10k ath11k b43 brcmsmac brcmfmac r8168 r8169
    r8152 rtl8xxxu rtw88 rtw89 tg3 bnx2 bnxt bnx2x mlx4 mlx5 8139cp 8139too forcedeth sky2 alx atl1c virtio asix
    nouveau nvidia amdgpu radeon i915 xe simpledrm ast mgag200 vmwgfx qxl bochs ahci ata_piix ata_generic mpt3sas
    megaraid usb_storage usb-storage uas usbhid usbkbd usbcore xhci xhci_hcd ehci uhci ohci cdc_ether cdc_acm
    snd_hda_intel snd-hda-intel psmouse pcspkr floppy loop zram kvm kvm_intel kvm_amd bonding dm_crypt dm-crypt
    btusb uvcvideo thunderbolt vfio-pci vfio i2c-dev i2c_dev coretemp k10temp nvme_core fuse tun veth 8021q
    """.split()  # noqa: SIM905
)

#: What people call services, and what Debian calls them.
SERVICE_NAMES = {
    "apache": "apache2",
    "avahi": "avahi-daemon",
    "bind9": "named",
    "bluetoothd": "bluetooth",
    "chronyd": "chrony",
    "crond": "cron",
    "cupsd": "cups",
    "dockerd": "docker",
    "grafana": "grafana-server",
    "httpd": "apache2",
    "modemmanager": "ModemManager",
    "mysqld": "mariadb",
    "networkmanager": "NetworkManager",
    "nfs": "nfs-server",
    "postgres": "postgresql",
    "redis": "redis-server",
    "sshd": "ssh",
}

#: The same of packages.
PACKAGE_NAMES = {
    "apache": "apache2",
    "docker": "docker.io",
    "firefox": "firefox-esr",
    "mysql-server": "default-mysql-server",
    "networkmanager": "network-manager",
    "nfs-server": "nfs-kernel-server",
    "node": "nodejs",
    "openssh": "openssh-server",
    "postgres": "postgresql",
    "python": "python3",
    "sshd": "openssh-server",
}
