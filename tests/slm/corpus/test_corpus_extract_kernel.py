"""Extractors for a kernel's source: comments, options, messages, device trees."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from slm.corpus.extract.c_comments import comments, extract_comments
from slm.corpus.extract.device_tree import extract_device_tree
from slm.corpus.extract.kconfig import extract_kconfig
from slm.corpus.extract.log_messages import extract_messages

#: C's own rules, slow and plain: what a scanner that looks at every character finds.
C_TOKEN = re.compile(
    r"""/\*(?P<block>.*?)\*/|//(?P<line>[^\n]*)|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|.""", re.DOTALL
)


def by_every_character(source: str) -> list[str]:
    found: list[str] = []
    joined = False  # the next // line belongs to the last text
    for token in C_TOKEN.finditer(source):
        if token["line"] is not None:
            if joined:
                found[-1] += "\n" + token["line"]
            else:
                found.append(token["line"])
            joined = True
        elif token["block"] is not None:
            found.append(token["block"])
            joined = False
        elif token[0].strip():
            joined = False
    return found


PIECES = [
    "/* block */", "/** doc\n * more */", "// line\n", 'char *a = "x /* no */ y";', 'b = "// no";\n', "\n", " ",
    "int e;", "c = '\"'; /* yes */", "d = '\\'';", "/* has \" in it */", "/* it's */", 'f("\\"/*no*/\\\\"); // yes\n',
    "/**/", "a / b * c;", 'g("http://x.org//y", 1);', "#if 0\n",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=12))
@example(["// line\n", "/* block */", "// line\n", "// line\n"])
def test_comments_are_those_that_every_character_shows(pieces: list[str]) -> None:
    source = "".join(pieces)
    assert list(comments(source)) == by_every_character(source)


@given(st.text(alphabet="/*\"'\\\n ab", max_size=80))
def test_comments_of_anything_end_and_stand_in_the_source(source: str) -> None:
    for comment in comments(source):
        assert all(line in source for line in comment.split("\n"))


def test_comments_take_linear_time_whatever_they_are() -> None:
    # None of these would end in any time if each opening were searched for on its own.
    for piece in ("/*", '"//', '"/*', "//\n", "'/*\n", "/**/", '""', '"\\'):
        for _ in comments(piece * 100_000):
            pass


def test_kernel_doc_keeps_its_function_and_loses_its_frame() -> None:
    source = b"""
    /**
     * kmalloc_array - allocate memory for an array, checking the product for overflow
     * @n: number of elements, each of which has the same size as all of the others in it
     * @size: element size
     */
    static inline void *kmalloc_array(size_t n, size_t size);
    /* Permission is hereby granted, free of charge, to any person obtaining a copy of this software ... */
    /****************************************************************************
     * Everything below is called with the lock held, and none of it may sleep. *
     ****************************************************************************/
    """
    ((path, text),) = extract_comments("linux-source-6.1/include/linux/slab.h", source)
    assert path == "linux-source-6.1/include/linux/slab.h"
    assert text.startswith("include/linux/slab.h\n\nkmalloc_array - allocate memory for an array, checking the product")
    assert "@size: element size" in text and "none of it may sleep" in text
    assert "static inline" not in text and "Permission" not in text and "***" not in text


def test_options_come_with_prompt_conditions_and_help() -> None:
    source = b"""# SPDX-License-Identifier: GPL-2.0-only
menu "Intel devices"

config E1000
\ttristate "Intel(R) PRO/1000 'Gigabit' Ethernet support"
\tdepends on PCI && !S390
\tselect MII
\tdefault m
\thelp
\t  This driver supports Intel(R) PRO/1000 gigabit ethernet family of
\t  adapters.  For more information, see

\t    <http://support.intel.com>

\t  To compile this driver as a module, choose M here.

config E1000_HIDDEN
\tbool

menuconfig OTHER
\tbool
\tprompt "Others" if EXPERT
\t---help---
\t  Say Y.
endmenu
"""
    ((_, text),) = extract_kconfig("linux-source-6.1/drivers/net/Kconfig", source)
    assert text == (
        "Kernel configuration: drivers/net/Kconfig\n\nIntel devices\n\n"
        "CONFIG_E1000: Intel(R) PRO/1000 'Gigabit' Ethernet support (tristate)\n"
        "Depends on: PCI && !S390\nSelects: MII\nDefault: m\n"
        "This driver supports Intel(R) PRO/1000 gigabit ethernet family of adapters.  For more information, see\n\n"
        "  <http://support.intel.com>\n\nTo compile this driver as a module, choose M here.\n\n"
        "CONFIG_OTHER: Others (bool)\nSay Y."
    )


@given(st.text(alphabet=st.sampled_from("config help\n\tAB\"'\\#if ")), st.integers(1, 3))
def test_no_options_break_the_reader(source: str, times: int) -> None:
    for _, text in extract_kconfig("Kconfig", (f'config A\n\tbool "x"\n\thelp\n{source}\n' * times).encode()):
        assert "CONFIG_A: x" in text


def test_messages_come_with_their_levels() -> None:
    source = rb"""
    pr_err("cannot allocate %zu bytes\n", size);
    dev_warn_ratelimited(&pdev->dev,
        "link of port %d went down, "
        "resetting \"it\"\n", port);
    printk(KERN_INFO PFX "registered the new driver %s\n", name);
    printk("an old message without a level\n");
    WARN_ONCE(!x, "the counter is negative: %d\n", x);
    panic("no working init found");
    netdev_dbg(dev, "%s\n", name); /* says nothing of its own */
    err = dev_err_probe(dev, err, "failed to get the %s clock\n", id);
    pr_err("cannot allocate %zu bytes\n", size);
    not_a_call_pr_err_at_all(1);
    pr_info(no_literal);
    """
    ((_, text),) = extract_messages("linux-source-6.1/drivers/net/x.c", source)
    assert text.split("\n") == [
        "Kernel messages of drivers/net/x.c:",
        "",
        "error: cannot allocate %zu bytes",
        'warning: link of port %d went down, resetting "it"',
        "info: registered the new driver %s",
        "message: an old message without a level",
        "warning: the counter is negative: %d",
        "panic: no working init found",
        "error: failed to get the %s clock",
    ]


def test_messages_take_linear_time_whatever_they_are() -> None:
    for piece in (b"pr_err(", b'pr_err("', b'"" ', b'pr_err("" A', b"printk_a"):
        assert not list(extract_messages("x.c", piece * 50_000))


def test_device_trees_lose_their_licence_and_nothing_else() -> None:
    tree = b"""// SPDX-License-Identifier: (GPL-2.0+ OR MIT)
/*
 * Copyright (c) 2020 Somebody
 *
 * This file is licensed under the terms of the GNU General Public License
 */
/* The board with two ports. */
/dts-v1/;
/ {
\tmodel = "Board";
\t#address-cells = <1>;
\tport@0 { /* first port */
\t\treg = <0>;
\t};
};
"""
    ((_, text),) = extract_device_tree("linux-source-6.1/arch/arm64/boot/dts/board.dts", tree)
    assert text.startswith(
        "arch/arm64/boot/dts/board.dts\n\n/* The board with two ports. */\n/dts-v1/;\n/ {\n  model ="
    )
    assert "  #address-cells = <1>;\n  port@0 { /* first port */\n    reg = <0>;\n  };\n};" in text
    assert "Copyright" not in text and "licensed" not in text

    binding = b"""# SPDX-License-Identifier: GPL-2.0
%YAML 1.2
---
$id: http://devicetree.org/schemas/x.yaml#
$schema: http://devicetree.org/meta-schemas/core.yaml#

title: A clock

maintainers:
  - Somebody <somebody@example.org>

description: |
  It ticks.
"""
    ((_, text),) = extract_device_tree("bindings/clock/x.yaml", binding)
    assert text == "bindings/clock/x.yaml\n\ntitle: A clock\n\ndescription: |\n  It ticks."
