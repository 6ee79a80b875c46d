"""Device tables: equal to depmod's, safe against damaged modules, and readable by their schema."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm.corpus.devices import held_out, parse_alias_file, read_kernel, split_alias, write_database
from slm.corpus.fetch import Fetched
from slm.corpus.idlist import parse_ids
from slm.corpus.modinfo import module_name, read_modinfo
from slm.errors import SourceError
from slm.progress import silent
from tests.data.corpus.make import write_corpus
from tests.kernels import Kmod, elf, real_kernel

TEXT = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=20)
KEY = st.text("abcdefgh", min_size=1, max_size=6)


@given(st.lists(st.tuples(KEY, TEXT), max_size=8))
def test_modinfo_is_read_back(pairs: list[tuple[str, str]]) -> None:
    info = read_modinfo("x.ko", elf([f"{key}={value}" for key, value in pairs]))
    assert sorted((key, value) for key, values in info.items() for value in values) == sorted(pairs)


@given(st.binary(max_size=300), st.integers(0, 400), st.binary(min_size=1, max_size=16))
def test_damaged_modules_are_refused_or_read_but_never_break(data: bytes, position: int, change: bytes) -> None:
    sound = elf(["alias=pci:v00008086d0000100Esv*sd*bc*sc*i*", "description=A driver"])
    for damaged in (data, sound[:position], sound[:position] + change + sound[position + len(change) :]):
        try:
            read_modinfo("x.ko", damaged)
        except SourceError as error:
            assert "x.ko" in str(error)


def test_module_names_are_modprobes() -> None:
    assert module_name("lib/modules/6.1/kernel/drivers/net/snd-hda-intel.ko.xz") == "snd_hda_intel"


def test_aliases_are_taken_apart() -> None:
    assert split_alias("pci:v00008086d0000100Esv*sd*bc*sc*i*") == ("pci", 0x8086, 0x100E)
    assert split_alias("pci:v*d*sv*sd*bc01sc06i01*") == ("pci", -1, -1)
    assert split_alias("usb:v0BDApB720d*dc*dsc*dp*icFFiscFFipFFin*") == ("usb", 0x0BDA, 0xB720)
    assert split_alias("virtio:d00000001v*") == ("virtio", -1, 1)
    assert split_alias("acpi*:PNP0501:*") is None


def test_id_lists_are_parsed() -> None:
    ids = parse_ids(
        "# Version: 7\n8086  Intel Corporation\n\t100e  82540EM\n\t\t1014 0265  PRO/1000\n\t10d3  82574L\n"
        "C 01  Storage\n\t06  SATA\n\t\t01  AHCI\nAT 0101  Nothing\n\t01  x\n"
    )
    assert ids.vendors == {0x8086: "Intel Corporation"} and ids.version == "7"
    assert ids.devices == {(0x8086, 0x100E): "82540EM", (0x8086, 0x10D3): "82574L"}
    assert ids.classes == {(1, -1, -1): "Storage", (1, 6, -1): "SATA", (1, 6, 1): "AHCI"}


def test_held_out_is_a_tenth_and_fixed() -> None:
    share = sum(held_out("pci", vendor, device) for vendor in range(100) for device in range(100)) / 10_000
    assert 0.09 < share < 0.11
    assert [device for device in range(0x1000, 0x1040) if held_out("pci", 0x8086, device)] == [0x1003]


def test_the_database_answers_by_its_schema(tmp_path: Path) -> None:
    write_corpus(tmp_path, 0)
    folder = tmp_path / "devices"
    kernel = read_kernel(Fetched(kind="folder", name="x", sha256="0", path=folder), silent)
    lists = {bus: parse_ids((folder / f"{bus}.ids").read_text()) for bus in ("pci", "usb")}
    for name in ("one", "two"):
        write_database(tmp_path / name, lists, kernel, {"kernel": "test"})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    base = sqlite3.connect(tmp_path / "one")
    found = {(row[3], row[4]) for row in base.execute("SELECT bus, vendor, device, pattern, driver FROM alias")}
    assert found == set(parse_alias_file((folder / "modules.alias").read_text()))
    assert base.execute("SELECT vendor, device FROM alias WHERE bus = 'virtio'").fetchall() == [(-1, 1)]
    assert base.execute("SELECT name FROM class WHERE bus='pci' AND class=1 AND subclass=6 AND interface=-1").fetchone()
    assert base.execute("SELECT class FROM driver_class WHERE driver = 'tsata'").fetchone() == (0x0106,)
    base.close()


@pytest.mark.slow
def test_aliases_equal_depmods_on_a_real_kernel(tmp_path: Path) -> None:
    fetched = real_kernel(tmp_path)
    kernel = read_kernel(fetched, silent)
    assert kernel.aliases == set(parse_alias_file(Kmod.of_package(fetched.path, tmp_path / "root").aliases))
    assert len(kernel.aliases) > 10_000
