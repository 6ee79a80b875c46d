from __future__ import annotations

import random
import re

from hypothesis import given
from hypothesis import strategies as st

from slm.corpus.instructions.exchange import INTENT_OF
from slm.corpus.instructions.values import VALUES
from slm.evaluation.benchmark.items import IntentPhrase, SubCommandPhrase
from slm.evaluation.benchmark.leaks import LeakFinder, Text
from slm.evaluation.benchmark.phrases import phrase_items, templates
from slm.evaluation.benchmark.wordings import worded, worded_items, wordings

_FIELDS = {field for fields in VALUES for field in fields}


def test_every_template_is_whole() -> None:
    assert {sub for sub, _ in wordings()} == set(INTENT_OF)
    for _, template in wordings():
        assert template.count("[") == template.count("]")
        assert not re.search(r"\[[^\]]*\[", template), "alternatives do not nest"
        assert set(re.findall(r"\{(\w*)\}", template)) <= _FIELDS


@given(number=st.integers(0, 10_000), seed=st.integers(0, 100))
def test_a_phrase_has_neither_braces_nor_brackets_left(number: int, seed: int) -> None:
    known = [template for _, template in wordings()]
    phrase = worded(known[number % len(known)], random.Random(seed))
    assert phrase and not set(phrase) & set("[]{}|") and "  " not in phrase


def test_phrases_are_spread_over_all_and_the_same_every_time() -> None:
    found = list(worded_items(2_400, 1))
    assert found == list(worded_items(2_400, 1))
    subs = [item.answer for _, item in found if isinstance(item, SubCommandPhrase)]
    assert all(90 <= subs.count(sub) <= 100 for sub in INTENT_OF)
    intents = [item.answer for _, item in found if isinstance(item, IntentPhrase)]
    assert intents == [INTENT_OF[sub] for sub in subs]


def test_every_sub_command_has_some_for_validation() -> None:
    splits: dict[str, list[str]] = {}
    for split, item in worded_items(4_800, 0):
        if isinstance(item, SubCommandPhrase):
            splits.setdefault(item.answer, []).append(split)
    assert set(splits) == set(INTENT_OF)
    assert all(0.02 < found.count("val") / len(found) < 0.25 for found in splits.values())


def test_none_is_a_phrase_of_the_benchmark() -> None:
    asked = [item for item in phrase_items(0) if isinstance(item, IntentPhrase)]
    texts = [Text(item.text, "", True) for _, item in worded_items(2_400, 0) if isinstance(item, IntentPhrase)]
    assert not list(LeakFinder(asked).search(texts))
    ours, theirs = ({template for _, template in each()} for each in (wordings, templates))
    assert not ours & theirs
