"""Procedures in our own words whose order anyone who administers a system knows: the installation-steps items.

A corpus' test split has few real procedures, so these are added. No training text has them; each step undoes or needs
what is done before it, so there is one right order. Fields in braces are filled as those of recipes are.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from slm.corpus.instructions.intents import values_for
from slm.evaluation.benchmark.items import InstallSteps, Item
from slm.evaluation.benchmark.phrases import TEMPLATE

#: Fillings of each procedure.
_FILLINGS = 2

#: What is wanted, then the steps in their order.
_PROCEDURES = (
    ("Make /dev/sdb usable below {point}, with one file system.", "parted /dev/sdb mklabel gpt",
     "parted -a optimal /dev/sdb mkpart primary 1MiB 100%", "mkfs.ext4 /dev/sdb1", "mount /dev/sdb1 {point}"),
    ("Install {package} from up-to-date lists and look at what it brought.", "apt-get update",
     "apt-get install {package}", "dpkg -L {package}"),
    ("Bring {iface} to life by hand and see that it works.", "ip link set {iface} up", "dhclient {iface}",
     "ping -c 4 {target}"),
    ("Check the file system on {part}, which is in use at {point}.", "umount {point}", "fsck.{checked} {part}",
     "mount {part} {point}"),
    ("Swap the driver {driver} for {other} and see what the kernel says.", "modprobe -r {driver}", "modprobe {other}",
     "dmesg | tail"),
    ("Turn {part} into swap that comes back at boot.", "mkswap {part}", "swapon {part}",
     "echo '{part} none swap sw 0 0' >> /etc/fstab"),
    ("Replace the configuration of {service} and see that it took.", "systemctl stop {service}",
     "cp new.conf /etc/{service}.conf", "systemctl start {service}", "systemctl status {service}"),
    ("Write a service unit of your own and run it.", "editor /etc/systemd/system/{host}.service",
     "systemctl daemon-reload", "systemctl enable --now {host}", "systemctl status {host}"),
    ("Build a program from its source archive.", "tar xf program.tar.gz", "cd program", "./configure", "make",
     "make install"),
    ("Build {package} from Debian's source.", "apt-get source {package}", "cd {package}-*",
     "dpkg-buildpackage -us -uc", "dpkg -i ../{package}_*.deb"),
    ("Put a logical volume on {disk}.", "pvcreate {disk}", "vgcreate data {disk}", "lvcreate -n files -l 100%FREE data",
     "mkfs.xfs /dev/data/files", "mount /dev/data/files {point}"),
    ("Encrypt {part} and use it at {point}.", "cryptsetup luksFormat {part}", "cryptsetup open {part} secret",
     "mkfs.ext4 /dev/mapper/secret", "mount /dev/mapper/secret {point}"),
    ("Grow the file system on an extended logical volume.", "vgextend data {disk}", "lvextend -l +100%FREE "
     "/dev/data/files", "resize2fs /dev/data/files", "df -h {point}"),
    ("Mirror two disks with software RAID.", "mdadm --create /dev/md0 --level=1 --raid-devices=2 /dev/sdb1 /dev/sdc1",
     "mdadm --detail --scan >> /etc/mdadm/mdadm.conf", "update-initramfs -u"),
    ("Take the broken /dev/sdb1 out of a RAID and put the new disk in.", "mdadm /dev/md0 --fail /dev/sdb1",
     "mdadm /dev/md0 --remove /dev/sdb1", "sfdisk -d /dev/sdc | sfdisk /dev/sdb", "mdadm /dev/md0 --add /dev/sdb1",
     "cat /proc/mdstat"),
    ("Set up a key for logging in without a password.", "ssh-keygen -t ed25519", "ssh-copy-id root@{host}",
     "ssh root@{host}"),
    ("Install a base system by hand below /mnt.", "mkfs.ext4 {part}", "mount {part} /mnt",
     "debootstrap bookworm /mnt", "chroot /mnt", "apt-get install linux-image-amd64 grub-efi-amd64", "grub-install"),
    ("Rescue a system that does not boot, from a live medium.", "mount {part} /mnt", "mount --bind /dev /mnt/dev",
     "chroot /mnt", "update-grub", "exit", "umount -R /mnt"),
    ("Upgrade the distribution to its next release.", "apt-get update", "apt-get upgrade",
     "sed -i s/bookworm/trixie/ /etc/apt/sources.list", "apt-get update --allow-releaseinfo-change",
     "apt-get dist-upgrade", "apt-get autoremove"),
    ("Try another value for a module's parameter, then keep it.", "modinfo -p {module}", "modprobe -r {module}",
     "modprobe {module} {param}={value}", 'echo "options {module} {param}={value}" > /etc/modprobe.d/{module}.conf'),
    ("Copy an image to a stick safely.", "sha256sum -c image.sha256", "dd if=image.iso of={disk} bs=4M", "sync",
     "eject {disk}"),
    ("Move {point} to a file system of its own on {part}.", "mkfs.ext4 {part}", "mount {part} /mnt/new",
     "cp -a {point}/. /mnt/new", "umount /mnt/new", "mount {part} {point}"),
    ("Build a kernel module outside the kernel's tree and load it.", "apt-get install linux-headers-amd64",
     "make -C /lib/modules/6.1/build M=/usr/src/my modules", "make -C /lib/modules/6.1/build M=/usr/src/my "
     "modules_install", "depmod -a", "modprobe my", "dmesg | tail"),
)  # fmt: skip


def procedure_items(seed: int) -> Iterator[Item]:
    """Yield the items made from the procedures, their steps mixed."""
    for said, *steps in _PROCEDURES:
        rng = random.Random(f"{seed}:{said}")
        for _ in range(_FILLINGS if "{" in said + "".join(steps) else 1):
            values = values_for("\n".join((said, *steps)), rng)
            answer = [step.format_map(values) for step in steps]
            shown = tuple(rng.sample(answer, len(answer)))
            yield InstallSteps(label=TEMPLATE, text=said.format_map(values), steps=shown, answer=tuple(answer))
