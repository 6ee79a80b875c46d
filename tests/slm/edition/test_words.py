"""How lines are read and words are spelled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm.edition.words import ID, canonical, is_answered_by_kernel, spellings, words_of

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789:_-.+'/"
IDS = st.from_regex(ID, fullmatch=True)


@given(st.text(st.characters(codec="ascii", exclude_characters=" \n\t\r\x0b\x0c"), min_size=1, max_size=20))
def test_a_canonical_word_is_its_own(word: str) -> None:
    once = canonical(word)
    assert once
    assert canonical(once) == once


@given(st.text(LETTERS, min_size=1, max_size=12) | IDS)
def test_every_spelling_is_read_as_its_word(text: str) -> None:
    word = canonical(text)
    found = list(spellings(word))
    forms = [form for _, form in found]
    assert len(set(forms)) == len(forms)
    assert word not in forms
    assert all(canonical(form) == word and " " not in form for form in forms)


@given(IDS)
def test_an_id_is_typed_in_either_case_and_at_a_question_s_end(text: str) -> None:
    first = {form for rank, form in spellings(text) if rank <= 1} | {text}
    assert first == {text, text.upper(), f"{text}?", f"{text.upper()}?"}


def test_a_line_is_split_as_the_kernel_splits_it() -> None:
    assert words_of(" what\tis  8086:100E") == ["what\tis", "8086:100e"], "a tab is no space"
    assert words_of("What is  PCI [8086:100E]?") == ["what", "is", "pci", "8086:100e"]


@pytest.mark.parametrize(
    "line", ["show my ip address", "What chip is it", "uninstall a program", "list devices", "kernel panic", "SSH keys"]
)
def test_the_kernel_keeps_these_lines_to_itself(line: str) -> None:
    assert is_answered_by_kernel(line)


@pytest.mark.parametrize("line", ["what device is 8086:100e", "what is pci 8086:100e", "clip the nail", "ip link"])
def test_and_leaves_these_to_the_model(line: str) -> None:
    assert not is_answered_by_kernel(line)
