from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.intents import Phrase, sets
from kernel_interface.evidence import EVIDENCE, NAMES, SHAPES, WORDS
from kernel_interface.intents import Intent, SubCommand, classify, kinds_of

#: Written for an earlier classifier.
PHRASES: list[tuple[SubCommand, str]] = [
    (SubCommand.IDENTIFY_PCI, "what is pci 8086:100e"),
    (SubCommand.IDENTIFY_PCI, "tell me about the video card in slot 2"),
    (SubCommand.IDENTIFY_PCI, "which graphics adapter sits in this laptop?"),
    (SubCommand.IDENTIFY_PCI, "who manufactured the thing at 10ec:8168"),
    (SubCommand.IDENTIFY_PCI, "name the ethernet controller"),
    (SubCommand.IDENTIFY_PCI, "list all hardware on the bus"),
    (SubCommand.IDENTIFY_PCI, "vendor of 1af4:1000"),
    (SubCommand.IDENTIFY_USB, "identify usb 0bda:8153"),
    (SubCommand.IDENTIFY_USB, "what did I just plug in, some usb gadget"),
    (SubCommand.IDENTIFY_USB, "which webcam is attached to this computer"),
    (SubCommand.IDENTIFY_USB, "what kind of dongle is this"),
    (SubCommand.IDENTIFY_PLATFORM, "which processor does this box have"),
    (SubCommand.IDENTIFY_PLATFORM, "what is the acpi device PNP0501"),
    (SubCommand.IDENTIFY_PLATFORM, "what model of motherboard is in here"),
    (SubCommand.DRV_SELECT, "which driver for pci 8086:10d3"),
    (SubCommand.DRV_SELECT, "what kernel module handles 1af4:1001"),
    (SubCommand.DRV_SELECT, "load the right driver for my sound card"),
    (SubCommand.DRV_SELECT, "modprobe what for a realtek wifi chip?"),
    (SubCommand.DRV_SELECT, "driver needed by usb 0bda:8153"),
    (SubCommand.DRV_CONFIGURE, "set the driver parameter InterruptThrottleRate to 3000"),
    (SubCommand.DRV_CONFIGURE, "what options does the e1000 driver accept"),
    (SubCommand.DRV_CONFIGURE, "blacklist the nouveau module"),
    (SubCommand.DRV_FALLBACK, "the driver did not load, try another one"),
    (SubCommand.DRV_FALLBACK, "is there an alternative driver to r8169"),
    (SubCommand.DRV_FALLBACK, "fall back to a generic driver"),
    (SubCommand.PARTITION_DISK, "split the disk into two halves"),
    (SubCommand.PARTITION_DISK, "create a new gpt on /dev/sda"),
    (SubCommand.PARTITION_DISK, "make a 20 GB root partition on the ssd"),
    (SubCommand.FORMAT_FS, "format /dev/sda1 as ext4"),
    (SubCommand.FORMAT_FS, "put an xfs on the second drive with mkfs"),
    (SubCommand.FORMAT_FS, "make a btrfs filesystem on nvme0n1p2"),
    (SubCommand.MOUNT_FS, "mount the data drive at /srv"),
    (SubCommand.MOUNT_FS, "unmount /mnt/backup"),
    (SubCommand.MOUNT_FS, "add the backup volume to fstab"),
    (SubCommand.NETWORK_CONFIG, "give eth0 the address 10.0.0.5/24"),
    (SubCommand.NETWORK_CONFIG, "set up dhcp on wlan0"),
    (SubCommand.NETWORK_CONFIG, "change the default gateway to 192.168.1.1"),
    (SubCommand.NETWORK_CONFIG, "use 9.9.9.9 as nameserver"),
    (SubCommand.HOSTNAME_SET, "call this host athena: set the hostname"),
    (SubCommand.HOSTNAME_SET, "rename this machine to build-3"),
    (SubCommand.HOSTNAME_SET, "change the computer's name to lab7"),
    (SubCommand.PKG_SEARCH, "find a program to edit pictures"),
    (SubCommand.PKG_SEARCH, "which package provides the ip command"),
    (SubCommand.PKG_SEARCH, "is there any software for reading pdf files"),
    (SubCommand.PKG_INSTALL, "install vim"),
    (SubCommand.PKG_INSTALL, "apt-get me the gcc compiler"),
    (SubCommand.PKG_INSTALL, "please install the nginx web server"),
    (SubCommand.PKG_INSTALL, "i want a text editor"),
    (SubCommand.PKG_REMOVE, "uninstall libreoffice"),
    (SubCommand.PKG_REMOVE, "get rid of the solitaire game"),
    (SubCommand.PKG_REMOVE, "purge the old php packages"),
    (SubCommand.PKG_UPDATE, "upgrade everything to the newest version"),
    (SubCommand.PKG_UPDATE, "apply pending security updates"),
    (SubCommand.PKG_UPDATE, "update all installed software"),
    (SubCommand.SVC_START, "start the ssh daemon"),
    (SubCommand.SVC_START, "bring up nginx"),
    (SubCommand.SVC_START, "restart cron"),
    (SubCommand.SVC_STOP, "shut down the apache service"),
    (SubCommand.SVC_STOP, "kill the bluetooth daemon"),
    (SubCommand.SVC_STOP, "turn off cups"),
    (SubCommand.SVC_STATUS, "is sshd running"),
    (SubCommand.SVC_STATUS, "what is the status of the docker service"),
    (SubCommand.SVC_STATUS, "show the state of postgresql"),
    (SubCommand.RESOURCE_QUERY, "how much memory is free"),
    (SubCommand.RESOURCE_QUERY, "what process is hogging the cpu"),
    (SubCommand.RESOURCE_QUERY, "how full is the root disk"),
    (SubCommand.RESOURCE_QUERY, "current load average"),
    (SubCommand.LOG_QUERY, "show me the kernel log"),
    (SubCommand.LOG_QUERY, "print the last 50 lines of syslog"),
    (SubCommand.LOG_QUERY, "what does the journal say about boot"),
    (SubCommand.DIAG_NETWORK, "I cannot reach the internet"),
    (SubCommand.DIAG_NETWORK, "ping to the router times out"),
    (SubCommand.DIAG_NETWORK, "my wifi keeps dropping"),
    (SubCommand.DIAG_NETWORK, "dns lookups fail"),
    (SubCommand.DIAG_STORAGE, "the disk makes clicking noises and reads fail"),
    (SubCommand.DIAG_STORAGE, "I/O errors on sdb"),
    (SubCommand.DIAG_STORAGE, "my ssd became very slow"),
    (SubCommand.DIAG_MEMORY, "programs get killed because we are out of memory"),
    (SubCommand.DIAG_MEMORY, "memtest reports broken ram"),
    (SubCommand.DIAG_MEMORY, "something leaks memory until the box dies"),
    (SubCommand.DIAG_GENERAL, "the machine reboots at random"),
    (SubCommand.DIAG_GENERAL, "kernel panic at startup"),
    (SubCommand.DIAG_GENERAL, "it just hangs, help"),
    (SubCommand.DIAG_GENERAL, "screen stays black"),
    (SubCommand.DIAG_GENERAL, "everything is on fire"),
    (SubCommand.DIAG_GENERAL, "lorem ipsum dolor"),
]


@pytest.fixture(scope="module")
def measured() -> dict[str, list[Phrase]]:
    return {**sets(), "earlier": PHRASES}


@pytest.mark.parametrize(
    "name", ["typed, last", "typed, held", "templates, held", "recipes, held", "exchanges", "earlier"]
)
def test_intents_of_at_least_nine_phrases_in_ten(measured: dict[str, list[Phrase]], name: str) -> None:
    phrases = measured[name]
    wrong = [(text, sub.intent.name) for sub, text in phrases if classify(text).intent != sub.intent]
    assert len(wrong) <= len(phrases) / 10, wrong


@pytest.mark.parametrize(
    ("name", "least"),
    [("typed, last", 0.8), ("typed, held", 0.9), ("templates, held", 0.85), ("recipes, held", 0.9), ("earlier", 0.9)],
)
def test_sub_commands_too(measured: dict[str, list[Phrase]], name: str, least: float) -> None:
    phrases = measured[name]
    right = sum(classify(text).sub_command == sub for sub, text in phrases)
    assert right >= least * len(phrases)


def test_who_is_sure_is_right_more_often(measured: dict[str, list[Phrase]]) -> None:
    found = [(classify(text), sub) for name in ("typed, held", "templates, held") for sub, text in measured[name]]
    sure = [kind.sub_command == sub for kind, sub in found if kind.confidence >= 0.5]
    unsure = [kind.sub_command == sub for kind, sub in found if kind.confidence < 0.5]
    assert sum(sure) / len(sure) > 0.9 > sum(unsure) / len(unsure)


def test_every_sub_command_is_asked_for(measured: dict[str, list[Phrase]]) -> None:
    for name in ("typed, tuned", "typed, held", "typed, last", "earlier"):
        assert {sub for sub, _ in measured[name]} == set(SubCommand)


def test_no_phrase_is_in_both_halves(measured: dict[str, list[Phrase]]) -> None:
    for name in ("typed", "templates", "recipes"):
        tuned, held = ({text.lower() for _, text in measured[f"{name}, {half}"]} for half in ("tuned", "held"))
        assert not tuned & held
    assert len(measured["typed, tuned"]) + len(measured["typed, held"]) >= 150


def test_no_evidence_counts_twice() -> None:
    for lines in EVIDENCE.values():
        weighed = [line.split()[1:] for line in map(str.strip, lines.strip().splitlines())]
        assert len(weighed) == len(set(map(tuple, weighed)))


def test_phrases_that_are_looked_for_are_in_the_lexicon() -> None:
    source = (Path(__file__).parents[2] / "kernel_interface" / "extract.py").read_text()
    sets_of_kinds = re.findall(r"kinds & \{([^}]*)\}", source)
    phrases = {phrase for kinds in sets_of_kinds for phrase in re.findall(r'"(\w+(?: \w+)+)"', kinds)}
    assert len(phrases) > 5
    for phrase in phrases:
        assert phrase in kinds_of(f"so {phrase}")


def test_evidence_speaks_of_kinds_that_are() -> None:
    kinds = {*WORDS, *NAMES, *(kind for shape, _ in SHAPES for kind in shape.split())}
    assert set(EVIDENCE) == {sub.name for sub in SubCommand}
    for lines in EVIDENCE.values():
        for line in lines.strip().splitlines():
            weight, *atoms = line.split()
            assert float(weight)
            for part in (part for atom in atoms for part in atom.lstrip("!").split("|")):
                assert part.islower() or part == "?" or part.lstrip("^") in kinds, line


@given(st.text(max_size=300))
def test_any_text_has_an_intent(text: str) -> None:
    found = classify(text)
    assert 0 < found.confidence <= 1
    assert found.intent == found.sub_command >> 8


@pytest.mark.parametrize("text", ["", "   ", "lorem ipsum", "42", "what is the capital of france?", "tell me a joke"])
def test_what_fits_nothing_is_trouble_and_nobody_is_sure(text: str) -> None:
    found = classify(text)
    assert found.intent == Intent.TROUBLESHOOT
    assert not found.evidence
    assert found.confidence < 0.1


@pytest.mark.parametrize("text", ["what is usb?", "what is a driver", "who invented the mouse", "explain pci to me"])
def test_a_question_about_a_word_is_not_about_a_device(text: str) -> None:
    assert not classify(text).evidence


@pytest.mark.parametrize("text", ["wifi ram", "memory network", "disk memory", "nginx", "vim"])
def test_who_has_to_choose_is_not_sure(text: str) -> None:
    assert classify(text).confidence < 0.5
    assert classify(f"install {text}").confidence != classify(text).confidence


@pytest.mark.parametrize(
    ("sub", "text"), [(SubCommand.SVC_START, "restart nginx"), (SubCommand.PKG_REMOVE, "remove vim")]
)
def test_case_politeness_and_blanks_change_nothing(sub: SubCommand, text: str) -> None:
    for form in (text, text.upper(), text.title(), f"please {text}", f"Could you {text}, please?", f"  {text} ."):
        assert classify(form).sub_command == sub


def test_words_count_in_all_their_forms() -> None:
    for form in ("stop", "stops", "stopped", "stopping", "STOPPED"):
        assert "STOP" in kinds_of(f"nginx {form}")
    assert {"START", "SERVICE", "PACKAGE"} <= kinds_of("nginx was restarted")
    assert "what" in kinds_of("what\u2019s up") or "WHAT" in kinds_of("what\u2019s up")


@pytest.mark.parametrize("text", ["what " * 800, "show a " * 600, "please " * 700, "ies " * 1000, "!" * 4000])
def test_long_text_takes_no_long_time(text: str) -> None:
    begun = time.process_time()
    assert classify(text).intent in Intent
    assert time.process_time() - begun < 1


def test_it_needs_nothing_but_the_standard_library() -> None:
    program = (
        "import sys; import kernel_interface.intents; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) - sys.stdlib_module_names - {"__main__"} <= {"kernel_interface"} | {
        name for name in done.stdout.split() if re.match(r"_|sitecustomize|usercustomize", name)
    }
