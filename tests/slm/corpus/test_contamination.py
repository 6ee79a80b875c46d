"""Decontamination against a plain search for 13 words in a row."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slm.corpus.contamination import held_grams, seen_grams, without_seen

TEXT = st.lists(st.sampled_from(["a", "b", "\n\n"]), min_size=0, max_size=60).map(" ".join)


def runs(text: str) -> set[str]:
    words = re.findall(r"\w+", text.casefold())
    return {" ".join(words[place : place + 13]) for place in range(len(words) - 12)}


@given(st.lists(TEXT, max_size=4), st.lists(TEXT, max_size=4), st.integers(1, 3))
def test_nothing_that_is_left_shares_thirteen_words(train: list[str], held: list[str], parts: int) -> None:
    grams = np.sort(np.concatenate([held_grams(held, (part, parts)) for part in range(parts)]))
    assert np.array_equal(grams, held_grams(held))
    seen = seen_grams(train, grams)
    known = set().union(*map(runs, train)) if train else set()
    for text in held:
        left = without_seen(text, seen)
        assert not runs(left) & known
        paragraphs = {paragraph.strip() for paragraph in text.split("\n\n")}
        assert left == "" or 2 * len(left) >= len(text)
        assert {part.strip() for part in left.split("\n\n")} <= paragraphs | {""}
        if not runs(text) & known and len(text.split()) >= 13:
            assert left == text


def test_only_the_paragraphs_that_training_has_go() -> None:
    words = " ".join(f"w{number}" for number in range(20))
    page = f"A page of its own with quite a lot to say\n\n{words}\n\nand more that nobody else says anywhere, at length"
    seen = seen_grams([f"before {words} behind"], held_grams([page]))
    left = without_seen(page, seen)
    assert left == "A page of its own with quite a lot to say\n\nand more that nobody else says anywhere, at length"


def test_a_short_text_counts_as_a_whole() -> None:
    seen = seen_grams(["Load the driver.", "unrelated words here"], held_grams(["load the DRIVER", "load the drivers"]))
    assert without_seen("load the DRIVER", seen) == ""
    assert without_seen("load the drivers", seen) == "load the drivers"
