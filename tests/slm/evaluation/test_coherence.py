from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm.errors import ArtefactError
from slm.evaluation.coherence import (
    BEGINNINGS,
    MAX_PERIOD,
    coherence,
    distinct_trigrams,
    load_tokenizer,
    longest_repetition,
    loops,
    measure,
    tokens_of,
)
from slm.evaluation.figures import Sample

WORDS = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=30)


@given(WORDS)
def test_shares_are_shares(words: list[str]) -> None:
    assert 0 < distinct_trigrams([" ".join(words)]) <= 1


@given(st.lists(st.integers(), unique=True, max_size=30))
def test_text_without_repetition_is_all_distinct(numbers: list[int]) -> None:
    text = " ".join(map(str, numbers))
    assert distinct_trigrams([text]) == 1
    assert longest_repetition(text) == min(1, len(numbers))


@given(st.integers(1, MAX_PERIOD), st.integers(2, 12))
def test_a_loop_is_found_whatever_its_period(period: int, times: int) -> None:
    text = " ".join(["x", "y", *[f"w{i}" for i in range(period)] * times, "z"])
    assert longest_repetition(text) == times
    if times > 4:
        assert distinct_trigrams([text]) < 0.8


@given(WORDS)
def test_repetition_is_what_brute_force_finds(words: list[str]) -> None:
    best = min(1, len(words))
    for start in range(len(words)):
        for period in range(1, MAX_PERIOD + 1):
            block, times = words[start : start + period], 1
            while len(block) == period and words[start + times * period : start + (times + 1) * period] == block:
                times += 1
            best = max(best, times if block else 0)
    assert longest_repetition(" ".join(words)) == best


def test_trigrams_are_counted_within_a_text_not_across() -> None:
    assert distinct_trigrams(["a b c", "a b c"]) == 1
    assert distinct_trigrams(["a a a a a"]) == pytest.approx(1 / 3)


@pytest.mark.parametrize("text", ["a" * 300, "the " * 40, "go on and " * 8, "x y z " * 30, "-".join(["X"] * 90)])
def test_going_round_in_circles_is_looping(text: str) -> None:
    assert loops(text)


@pytest.mark.parametrize("text", ["", "e1000e", "Intel Corporation 82540EM Gigabit Ethernet Controller"])
def test_a_short_answer_is_not(text: str) -> None:
    assert not loops(text)


def test_empty_and_broken_samples_are_counted() -> None:
    found = measure([Sample(prompt="p", text=text) for text in ("", " \n", "fine", "bad \ufffd")])
    assert (found.empty, found.invalid) == (2, 1)


def test_samples_are_the_same_every_time_and_change_with_the_seed(small_checkpoint: Path) -> None:
    first = coherence(small_checkpoint, BEGINNINGS[:2])
    assert first == coherence(small_checkpoint, BEGINNINGS[:2])
    assert first.samples != coherence(small_checkpoint, BEGINNINGS[:2], seed=7).samples
    assert all(sample.text and "<bos>" not in sample.text for sample in first.samples)


@given(st.sampled_from(BEGINNINGS) | st.text())
def test_a_text_has_the_tokens_that_transformers_gives_it(small_checkpoint: Path, text: str) -> None:
    tokenizer = load_tokenizer(small_checkpoint)
    assert tokens_of(tokenizer, text) == tokenizer.encode(text, add_special_tokens=False)


def test_a_checkpoint_without_its_tokenizer_does_not_load(small_checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(small_checkpoint, tmp_path / "c")
    (tmp_path / "c" / "tokenizer.json").write_text("{}")
    with pytest.raises(ArtefactError, match="tokenizer"):
        coherence(tmp_path / "c", BEGINNINGS[:1])
