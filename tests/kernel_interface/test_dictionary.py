from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_interface.dictionary import Dictionary, encode
from slm.errors import ArtefactError

contents = st.dictionaries(st.binary(max_size=12), st.binary(max_size=40), max_size=40)


@given(contents, st.lists(st.binary(max_size=12)))
def test_gives_back_what_was_put_in(content: dict[bytes, bytes], more: list[bytes]) -> None:
    dictionary = Dictionary(encode(content), "it")
    for key in [*content, *more]:
        assert dictionary.get(key) == content.get(key)
    assert encode(dict(sorted(content.items()))) == encode(content)


@given(contents, st.data())
def test_an_altered_or_cut_file_is_refused(content: dict[bytes, bytes], data: st.DataObject) -> None:
    sound = encode(content)
    at = data.draw(st.integers(0, len(sound) - 1))
    altered = bytearray(sound)
    altered[at] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(altered), sound[:at], sound + sound[: at + 1]):
        with pytest.raises(ArtefactError, match="it "):
            Dictionary(damaged, "it")


@given(contents, st.data())
def test_one_that_lies_with_the_right_digest_is_survived(content: dict[bytes, bytes], data: st.DataObject) -> None:
    lying = bytearray(encode(content)[:-32])
    at = data.draw(st.integers(24, len(lying) - 1))
    lying[at : at + 4] = data.draw(st.binary(min_size=4, max_size=4))[: len(lying) - at]
    dictionary = Dictionary(bytes(lying) + hashlib.sha256(lying).digest(), "it")
    for key in [*content, b"other"]:
        try:
            dictionary.get(key)
        except ArtefactError as error:
            assert "outside" in error.what


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="cannot be read"):
        Dictionary.open(tmp_path)
    with pytest.raises(ArtefactError, match="version 2"):
        Dictionary(b"AUTONKNO\x02" + bytes(60), "it")
