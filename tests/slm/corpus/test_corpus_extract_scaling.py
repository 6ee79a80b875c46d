"""Extractors on hostile input: work and output grow in proportion to the input."""

from __future__ import annotations

import functools
import gc
import itertools
import json
import time
from collections.abc import Callable
from typing import NamedTuple

import pytest

from slm.corpus.extract import EXTRACTORS, docbook
from slm.corpus.extract.docbook import extract_docbook
from slm.corpus.extract.hwdb import extract_hwdb
from slm.corpus.extract.info import extract_info
from slm.corpus.extract.roff import render_man
from slm.corpus.members import Unreadable
from slm.spec import Extractor
from tests.kernels import elf

#: Characters of input, each four times the one before: what is quadratic is found while it is still quick.
SIZES = (3_000, 12_000, 48_000)
#: Seconds below which nothing is judged, and how much more time four times the input may take: four times, were clocks
#: exact; what is quadratic takes sixteen.
JUDGED, RATIO = 0.05, 8.0
#: Characters of output for each of input (a tab is eight blanks), and those that depend on no input.
GROWTH, CONSTANT = 8, 1_000

#: What may be hostile to anybody.
UNITS = [
    " ", "\t", "\n", "\u00a0", " \n", "a", "a ", "a\n", "x" * 70 + "\n", "*", "* ", "`", "``", "[", "(", "{", "<", "\\",
    '"', "'", "\\\"", "\\'", "a:", ":", "|", "| ", "=", "-", ".", "..", ",\n", "#", "/*", "//", "license", "copyright ",
    "&", ";",
]  # fmt: skip


class Hostile(NamedTuple):
    """For one extractor: a file's path, what stands at its beginning, and what is repeated after that."""

    path: str
    heads: list[str]
    units: list[str]


_MAN, _MDOC, _NODE = ".TH a 1\n.SH N\n", ".Dd a\n.Dt A 1\n.Sh N\n", "\x1f\nFile: a,  Node: b\n\n"
_OPTION = 'config A\n\tbool "x"\n'

HOSTILE: dict[Extractor, list[Hostile]] = {
    "text": [Hostile("x.txt", [""], []), Hostile("x.json", ["["], ['{"a": "b c"},', "1"])],
    "man": [
        Hostile("x.1", [_MAN], [
            "\\[", "\\*[", "\\f[", "\\n[", "\\h'", "\\h|", "\\w!\\h#", "\\$1", ".if n \\{\n", ".ie x\n.el y\n",
            ".de X\n", ".X\n", ".TS\n", "T{\n", ".EQ\n", ".UE\n", ".TP\n", ".SH a\n", ".nf\n", ".ds x \\*x\\*x\n",
        ]),
        Hostile("x.1", [_MAN + ".TS\nl.\n"], ["T{\na\nT}", "T{\n", "T}T{\na\n", "a\tb\n"]),
        Hostile("x.1", [_MAN + ".TS\n", _MAN + ".nf\n"], ["\n", "a\n"]),
        Hostile("x.1", [_MDOC, _MDOC + ".Op "], [
            "Op ", "Oo ", "Nm ", "Fl ", "Xr ", "Pf ", "Ns ", "a ", ", ", ",\n", ".Fo a\n", ".Rs\n", ".Bl\n", ".It a\n",
        ]),
    ],
    "rst": [
        Hostile("x.rst", ["", "| a", ":a:`", "`", ".. ", "      "], [
            ":ref:`", ":a:`x<", "`a <", "**a", "*a", "[a", ".. note:: ", "|a", ":a: b\n", "== ", "+-", "::",
        ]),
    ],
    "html": [
        Hostile("x.html", ["", "<pre>a", "<script>"], [
            "<p>", "</p>", "<li>", "<td>", "<pre>", "<a ", "<a b='", "</", "<!", "<!--", "<![CDATA[", "<![x[", "<?",
            "<b></i>", "<p class='nav'>", "&#", "-->", "]]>", ">", "<script>", "</script",
        ]),
    ],
    "docbook": [
        Hostile("x.xml", ["", "<screen>a", "<!DOCTYPE a [", "<!DOCTYPE a [<!ENTITY a 'bbbbbbbb'>]>"], [
            "<para>", "<listitem>", "<entry>", "<!ENTITY ", "<!ENTITY a ", "] ", "&a;", "&a", "<!--", "<![CDATA[", "</",
        ]),
    ],
    "info": [
        Hostile("x.info", [_NODE, _NODE + "* Menu:\n"], [
            "*note a: (.", "*note ", "*note a::", "*note a: ", "* a:", "\x1f\n", _NODE, "***\n", "\x1f\nFile: a,",
        ]),
    ],
    "c_comments": [
        Hostile("x.c", ["", "/*", "//", 'a = "', "'"], [
            "/* a */", "*/", "//\n", "\\\"//", "\\'//", "' //", '" //', " * a\n", "**/",
        ]),
    ],
    "log_messages": [
        Hostile("x.c", ["", "pr_err(", 'pr_err("'], [
            "pr_err(", 'pr_err("', 'pr_err(\\"', '"" ', 'pr_err("" A', "printk_a", "A ", '"a" ', "\\n",
        ]),
    ],
    "kconfig": [
        Hostile("Kconfig", ["", _OPTION, _OPTION + "\thelp\n", _OPTION + "\tbool", 'config A\n\tbool "'], [
            _OPTION, "\tbool\n", " if ", '" ', "\thelp\n", "\tselect A\n", "\\\n", 'menu "a"\n',
        ]),
    ],
    "device_tree": [
        Hostile("x.dts", ["", "maintainers:\n"], ["/* a */", "* a", "//\n", "# a\n", " a\n", "$id: a\n", "\t\ta\n"]),
        Hostile("x.txt", [""], []),
    ],
    "kernel_modules": [
        Hostile("x.ko", ["description=", "parm=", "depends="], ["parm=\0", "parm=a:b\0", "alias=pci:v\0", "=\0", "a,"]),
    ],
    "ids": [
        Hostile("pci.ids", ["", "8086  a\n", "C 01  a\n"], [
            "8086  a\n", "C 01  a\n", "\t1234  a\n", "\t01  a\n", "\t\t01  a\n", "# Version: ",
        ]),
    ],
    "hwdb": [Hostile("x.hwdb", ["", "a\n"], ["a\n", " b=c\n", "a\n b=c\n", "a\n\n", "usb:v", "# a\n"])],
    "osinfo": [
        Hostile("x.xml", ["", "<libosinfo><os><name>a</name>", "<libosinfo>"], [
            "<os>", "<os><name>a</name></os>", "<short-id>a</short-id>", '<device id="http://pcisig.com/pci/8086/100e"/>',
            "<a b='", "&a;", "<!--",
        ]),
    ],
    "symbols": [
        Hostile("x.kicad_sym", ["", '(property "Reference" "U"\n(property "Value" "a"\n'], [
            '(property "', '(property "a" "b"\n', '(property "ki_description" "b"\n', "(property \"Reference\" \"U\"\n",
            '(property "\\"', '\\"', "(symbol ",
        ]),
    ],
}  # fmt: skip


def drawn(name: Extractor, path: str, data: bytes) -> int:
    """Return how many characters an extractor draws; none from what it refuses."""
    try:
        return sum(len(text) for _, text in EXTRACTORS[name](path, data))
    except Unreadable:
        return 0


def source(name: Extractor, head: str, unit: str, size: int) -> bytes:
    """Repeat ``unit`` to about ``size`` characters; an ``x`` at the end lets what would match to the end fail."""
    text = head + unit * (size // len(unit)) + "x"
    return elf([text]) if name == "kernel_modules" else text.encode()


def seconds(work: Callable[[], object], rounds: int) -> float:
    """Return the least processor time of some rounds, without the garbage collector, as ``timeit`` measures."""
    least = float("inf")
    gc.disable()
    try:
        for _ in range(rounds):
            begin = time.process_time()
            work()
            least = min(least, time.process_time() - begin)
    finally:
        gc.enable()
    return least


def check_linear(make: Callable[[int], Callable[[], object]]) -> None:
    """Check that ``make(n)``'s work takes time in proportion to n, where it takes enough to be measured."""
    for smaller, larger in itertools.pairwise(SIZES):
        work = make(larger)
        taken = seconds(work, 1)
        if taken > JUDGED:
            less = seconds(make(smaller), 3)
            if taken > RATIO * less:
                taken = min(taken, seconds(work, 2))
            assert taken <= max(RATIO * less, JUDGED), f"{smaller} characters: {less:.3f} s, {larger}: {taken:.3f} s"
            return


def hostile_inputs(name: Extractor) -> list[tuple[str, str, str]]:
    return [
        (item.path, head, unit)
        for item in HOSTILE[name]
        for head in item.heads
        for unit in dict.fromkeys([*item.units, *(UNITS if head == item.heads[-1] or not head else [])])
    ]


@pytest.mark.parametrize("name", sorted(EXTRACTORS))
def test_work_and_text_grow_with_the_input_and_no_faster(name: Extractor) -> None:
    for path, head, unit in hostile_inputs(name):

        def make(size: int, path: str = path, head: str = head, unit: str = unit) -> Callable[[], object]:
            return functools.partial(drawn, name, path, source(name, head, unit, size))

        try:
            check_linear(make)
        except AssertionError as error:
            raise AssertionError(f"{name}, {head!r} and then {unit!r}: {error}") from error
        size = len(source(name, head, unit, SIZES[0]))
        text = drawn(name, path, source(name, head, unit, SIZES[0]))
        assert text <= GROWTH * size + CONSTANT, f"{name}, {head!r} and then {unit!r}: {size} gave {text}"


def test_a_record_of_many_values_takes_linear_time() -> None:
    def make(size: int) -> Callable[[], object]:
        record = {f"k{number}": f"value {number}" for number in range(size // 20)}
        return functools.partial(drawn, "text", "x.json", json.dumps([record]).encode())

    check_linear(make)


def test_entities_do_not_blow_a_file_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docbook, "MAX_BYTES", 100_000)
    head = f"<!DOCTYPE a [<!ENTITY a '{'b' * 200}'>]><para>"
    ((_, text),) = extract_docbook("x.xml", (head + "&a;" * 400).encode())
    assert text == "b" * 200 * 400
    with pytest.raises(Unreadable, match="entities"):
        list(extract_docbook("x.xml", (head + "&a;" * 600).encode()))


def test_a_record_of_many_matches_and_properties_names_its_properties_once() -> None:
    matches = [f"evdev:name:{number}*" for number in range(300)]
    properties = "".join(f" KEY_{number}=a\n" for number in range(300))
    source = "\n".join(matches) + "\n" + properties
    ((_, text),) = extract_hwdb("x.hwdb", source.encode())
    assert text.startswith(f"{', '.join(matches)}: KEY_0 = a, KEY_1 = a,")
    assert text.count("KEY_299 = a") == 1


def test_what_a_page_names_again_and_again_is_not_written_at_any_length() -> None:
    long = "x" * 20_000
    for head, unit in (
        (f"{_MAN}.ds x {long}\n", "\\*x\n"),
        (f"{_MAN}.UR {long}\n", ".UE\n"),
        (f"{_MDOC}.Nm {long}\n", ".Nm\n"),
        (f"{_MAN}.de X\n{long}\n..\n", ".X\n"),
    ):
        ((_, text),) = render_man("x.1", (head + unit * 5_000).encode())
        assert len(text) < 2_100_000


def test_enclosures_may_stand_in_each_other_at_any_depth() -> None:
    ((_, text),) = render_man("x.1", f"{_MDOC}.{'Op ' * 5_000}a .\n".encode())
    assert text.endswith(f"{'[' * 5_000}a{']' * 5_000}.")


def test_a_reference_in_an_info_page_ends_where_it_did() -> None:
    page = _NODE + "*Note Invoking it: (gcc)Invoking GCC, for more.\n"
    ((_, text),) = extract_info("x.info", page.encode())
    assert text == "see Invoking it, for more."
