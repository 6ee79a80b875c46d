"""The filed patterns find what comparing all of them finds, and what modprobe finds."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel_interface.claims import Claims, compile_claims
from kernel_interface.dictionary import Dictionary, encode
from kernel_interface.knowledge import Knowledge, build
from kernel_interface.modalias import normalised
from slm.corpus.devices import parse_alias_file
from tests.data.corpus.make import write_corpus
from tests.kernels import Kmod, real_kernel


def claims(aliases: Iterable[tuple[str, str]]) -> Claims:
    return Claims(Dictionary(encode(compile_claims(aliases)), "claims"))


def forms(pattern: str, chance: random.Random, odd: float = 1.0) -> list[str]:
    """Write names that a pattern matches, or nearly: wildcards filled with what a device has, or ``odd`` things."""
    usual, strange = ["", "0", "1", "00", "FF", "0000", "00000000"], ["~", "ab", ":", "C", "*", "-"]
    is_odd = chance.random() < odd
    fillings = usual + strange if is_odd else usual
    filled = re.sub(r"\*", lambda _: chance.choice(fillings), pattern)
    one = re.sub(r"\[([^\]]).*?\]", r"\1", filled).replace("?", "1")
    places = [at for at, sign in enumerate(one) if is_odd or not sign.islower()]
    at = chance.choice(places) if places else 0
    change = chance.choice("01FCad:_" if is_odd else "01FC")
    return [pattern, one, one[:at] + change + one[at + 1 :]]


#: So few values that names and patterns often meet; enough of them that every kind of key is made.
fields = st.sampled_from(["*", "*", "0", "1", "0*", "[0-1]", "?", "0-1", "[!1]*", "", "-", "[a-c]"])
alphabet = st.text("ab01C:*?_-", max_size=8)
lettered = st.builds("pci:v{}d{}sv{}bc{}*".format, fields, fields, fields, fields)
patterns = (
    lettered
    | st.builds("usb:v{}p{}d{}dc{}".format, fields, fields, fields, fields)
    | st.builds("of:N{}T{}C{}".format, st.just("*"), st.just("*"), alphabet)
    | st.builds("of:N*T*C{}C*".format, alphabet)
    | st.builds("acpi*:{}:*".format, alphabet)
    | st.builds("{}{}{}".format, st.sampled_from(["", "*", "x:", "pci:v"]), alphabet, fields)
)
drivers = st.sampled_from(["one", "two", "three"])
tables = st.lists(st.tuples(patterns, drivers), max_size=40) | st.lists(
    st.tuples(lettered | patterns, drivers), min_size=70, max_size=90
)


@settings(max_examples=150, deadline=None)
@given(tables, st.integers(0, 99), st.lists(alphabet, max_size=3))
def test_finds_what_comparing_all_finds(aliases: list[tuple[str, str]], seed: int, more: list[str]) -> None:
    filed, chance = claims(aliases), random.Random(seed)
    for name in [*more, *(form for pattern, _ in aliases[:12] for form in forms(pattern, chance))]:
        written = normalised(name)
        found = filed.find(name)
        expected = {
            (form.decode(), driver)
            for pattern, driver in aliases
            if (form := normalised(pattern)) is not None
            and written is not None
            and fnmatchcase(written.decode(), form.decode())
        }
        assert {(item.pattern, item.driver) for item in found} == expected


def test_the_most_specific_claim_comes_first_and_the_order_is_fixed() -> None:
    table = [("pci:v*d*sv*bc01*", "class"), ("pci:v1d2sv*bc*", "b"), ("pci:v1d2sv*bc*", "a"), ("pci:v1d2sv3bc*", "sub")]
    for order in (table, table[::-1]):
        assert [item.driver for item in claims(order).find("pci:v1d2sv3bc01")] == ["sub", "class", "a", "b"]
    assert encode(compile_claims(table)) == encode(compile_claims(table[::-1]))


def test_a_pattern_that_depmod_refuses_claims_nothing() -> None:
    assert claims([("x:[ab", "broken"), ("x:*", "sound")]).find("x:a")[0].driver == "sound"
    assert claims([("x:*", "sound")]).find("x:[a") == []
    assert claims([("x:*", "sound")]).find("x:\0") == []


#: Of every kind of name that the kernel's modules declare.
MODULES = {
    "e1000": ["pci:v00008086d0000100Esv*sd*bc*sc*i*", "pci:v00008086d00001010sv*sd*bc*sc*i*"],
    "ahci": ["pci:v*d*sv*sd*bc01sc06i01*", "pci:v00008086d00002922sv*sd*bc*sc*i*"],
    "r8152": ["usb:v0BDAp8153d*dc*dsc*dp*icFFiscFFip*in*", "usb:v0BDAp8153d30[0-9]*dc*dsc*dp*ic*isc*ip*in*"],
    "pl2303": [f"usb:v067Bp{number:04X}d*dc*dsc*dp*ic*isc*ip*in*" for number in range(0x2300, 0x2330)],
    "8250-of": ["of:N*T*Cns16550a", "of:N*T*Cns16550aC*"],
    "tpm-tis": ["acpi*:PNP0C31:*", "acpi*:MSFT0101:*", "pnp:dPNP0C31*"],
    "virtio-net": ["virtio:d00000001v*"],
    "dell-wmi": ["wmi:9DBB5994-A997-11DA-B012-B622A1EF5492", "dmi:*:svnDell*:pnLatitude[56]*:*"],
    "rapl": ["cpu:type:x86,ven0000fam0006mod0086:feature:*"],
    "marvell": ["mdio:000000010100000100001100011?????"],
    "aesni-intel": ["crypto-aes-aesni", "aes-aesni", "e1000-twin"],
}


def test_equals_modprobe_on_a_made_kernel(tmp_path: Path) -> None:
    kmod = Kmod.of_modules(MODULES, tmp_path / "root")
    write_corpus(tmp_path, 0)
    ids = tmp_path / "devices"
    knowledge = Knowledge(build(tmp_path / "out", None, (ids / "pci.ids", ids / "usb.ids", tmp_path / "root")))
    assert_equal(knowledge, kmod, odd=1.0, extra=["of:Nserial@0T<NULL>Cfoo,barCns16550aCbaz", "e1000", "8250-of", "-"])


@pytest.mark.slow
def test_equals_modprobe_on_every_alias_of_a_real_kernel(tmp_path: Path) -> None:
    package = real_kernel(tmp_path).path
    kmod = Kmod.of_package(package, tmp_path / "root")
    write_corpus(tmp_path, 0)
    ids = tmp_path / "devices"
    knowledge = Knowledge(build(tmp_path / "out", None, (ids / "pci.ids", ids / "usb.ids", package)))
    assert knowledge.aliases > 20_000
    assert_equal(knowledge, kmod, odd=0.02, extra=[])


def assert_equal(knowledge: Knowledge, kmod: Kmod, odd: float, extra: list[str]) -> None:
    """Compare every alias, as it stands and with its wildcards filled in, and every near miss.

    Odd names, which no device has, are compared with all patterns of their scheme; of these a share is enough.
    """
    chance = random.Random(7)
    aliases = sorted({pattern for pattern, _ in parse_alias_file(kmod.aliases, every_bus=True)})
    # Of a bracket in a name modprobe makes one in a pattern, by the way its index is read; no device's name has one.
    names = [form for pattern in aliases for form in forms(pattern, chance, odd) if "[" not in form] + extra
    built_in = kmod.built_in
    expected = [modules - built_in for modules in kmod.resolve(names)]
    different = [
        (name, found, modules)
        for name, modules in zip(names, expected, strict=True)
        if (found := {item.driver for item in knowledge.resolve(name)}) != modules
    ]
    assert not different[:5]
    assert sum(map(bool, expected)) > len(aliases)
