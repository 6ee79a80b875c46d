"""Decontamination against a plain search for 13 words in a row."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from slm.corpus.contamination import contaminated, held_grams, seen_grams

TEXT = st.lists(st.sampled_from(["a", "b"]), min_size=0, max_size=40).map(" ".join)


def runs(text: str) -> set[str]:
    words = re.findall(r"\w+", text.casefold())
    return {" ".join(words[place : place + 13]) for place in range(len(words) - 12)}


@given(st.lists(TEXT, max_size=4), st.lists(TEXT, max_size=4))
def test_exactly_the_texts_that_share_thirteen_words_are_found(train: list[str], held: list[str]) -> None:
    held = [text for text in held if len(text.split()) >= 13]
    train = [text for text in train if len(text.split()) >= 13]
    seen = seen_grams(train, held_grams(held))
    known = set().union(*map(runs, train)) if train else set()
    assert contaminated(held, seen).tolist() == [bool(runs(text) & known) for text in held]


def test_a_short_text_counts_as_a_whole() -> None:
    seen = seen_grams(["Load the driver.", "unrelated words here"], held_grams(["load the DRIVER", "load the drivers"]))
    assert contaminated(["load the DRIVER", "load the drivers"], seen).tolist() == [True, False]
