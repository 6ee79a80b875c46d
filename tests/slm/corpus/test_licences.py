from __future__ import annotations

import fnmatch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slm.corpus.licences import normalised

NAMES = (
    "GPL-2.0",
    "gpl-2",
    "GPL-2+",
    "LGPL-2.1",
    "GFDL-1.3+",
    "BSD-3",
    "MIT",
    "Expat",
    "AGPL-3.0-only",
    "own",
    "MIT,",
    "GPL-2 or later",
)
IDS = st.sampled_from(NAMES)
WORDS = st.lists(st.sampled_from(["GPL-2", "MIT", "(", ")", "or", "AND", "with", "later", "any", "version"])).map(
    " ".join
)
EXPRESSIONS = st.recursive(
    IDS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["or", "AND"]), inner).map(" ".join),
        inner.map("( {})".format),
        IDS.map("{}  with Linux-syscall-note".format),
    ),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("written", "current"),
    [
        ("GPL-2.0", "GPL-2.0-only"),
        ("GPL-2.0-only", "GPL-2.0-only"),
        ("GPL-2", "GPL-2.0-only"),
        ("gpl-2.0+", "GPL-2.0-or-later"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("LGPL-2", "LGPL-2.0-only"),
        ("AGPL-3+", "AGPL-3.0-or-later"),
        ("GFDL-1.3", "GFDL-1.3-only"),
        ("BSD-3-clause", "BSD-3-Clause"),
        ("Expat", "MIT"),
        ("(GPL-2.0 OR MIT)", "GPL-2.0-only OR MIT"),
        (" GPL-2+  or BSD-3", "GPL-2.0-or-later OR BSD-3-Clause"),
        ("((GPL-2.0 with Linux-syscall-note) OR MIT)", "GPL-2.0-only WITH Linux-syscall-note OR MIT"),
        ("(GPL-2 or MIT) and (ISC)", "(GPL-2.0-only OR MIT) AND ISC"),
        ("GPL-2.0 or later", "GPL-2.0-or-later"),
        ("GPL-2.0-only or newer", "GPL-2.0-or-later"),
        ("lgpl-2.1, or any later version", "LGPL-2.1-or-later"),
        ("(GPL-2 or later) or MIT", "GPL-2.0-or-later OR MIT"),
        ("GPL-2.0 or LicenseRef-own", "GPL-2.0-only OR LicenseRef-own"),
        ("GPL-2.0 or later exceptions", "GPL-2.0 or later exceptions"),
        ("GPL-2+ or later", "GPL-2.0-or-later"),
        ("GPL-2 or *", "GPL-2.0-only OR *"),
        ("GPL-2.0 or proprietary", "GPL-2.0 or proprietary"),
        ("GPL-2.0 or laterality", "GPL-2.0 or laterality"),
        # Not known, or no expressions: as they are.
        ("PostgreSQL", "PostgreSQL"),
        ("unknown", "unknown"),
        ("nmap-GPL-2", "nmap-GPL-2"),
        ("GPL-2+, BSD and Linux man-pages copyleft", "GPL-2+, BSD and Linux man-pages copyleft"),
        ("(GPL-2.0 OR MIT", "(GPL-2.0 OR MIT"),
        ("GPL-2.0)  OR MIT", "GPL-2.0) OR MIT"),
        ("GPL-2.0 OR", "GPL-2.0 OR"),
        ("", ""),
    ],
)
def test_one_licence_has_one_spelling(written: str, current: str) -> None:
    assert normalised(written) == current


@given(EXPRESSIONS | st.text() | WORDS)
@example("(GPL-2.0) WITH x")
def test_normalising_again_changes_nothing(licence: str) -> None:
    assert normalised(normalised(licence)) == normalised(licence)


@given(EXPRESSIONS)
def test_a_licence_of_a_report_is_a_glob_for_itself(licence: str) -> None:
    shown = normalised(licence)
    assert fnmatch.fnmatch(shown.lower(), normalised(shown).lower())
    assert fnmatch.fnmatch(shown.lower(), normalised(licence).lower())
