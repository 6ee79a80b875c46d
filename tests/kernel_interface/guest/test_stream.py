"""What of a guest's stream is text, wherever the stream is cut."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_interface.guest.stream import Descriptor, Plain

#: Bytes as terminals get them: much text, and every beginning and end of a sequence often enough to meet.
STREAMS = st.lists(
    st.one_of(
        st.sampled_from([b"\x1b", b"\x1b[", b"\x1b]", b"\x1bP", b"\x1b\\", b"\a", b"m", b"\r", b"\n", b"\r\n", b"\t"]),
        st.text(max_size=4).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.binary(max_size=4),
    )
).map(b"".join)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut ``data`` at places given modulo its length, which may be the same."""
    places = sorted(cut % (len(data) + 1) for cut in cuts)
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


@given(STREAMS, st.lists(st.integers(0, 500), max_size=8))
def test_where_a_stream_is_cut_does_not_matter(data: bytes, cuts: list[int]) -> None:
    whole, cut = Plain(), Plain()
    assert b"".join(cut.feed(piece) for piece in pieces(data, cuts)) == whole.feed(data)


@given(STREAMS)
def test_no_control_byte_is_left(data: bytes) -> None:
    found = Plain().feed(data)
    assert all(byte == 0x0A or 0x20 <= byte != 0x7F for byte in found)
    assert found.count(b"\n") <= data.count(b"\n") + data.count(b"\r")


@given(st.lists(st.text(st.characters(min_codepoint=0x20, blacklist_characters="\x7f", blacklist_categories=["Cs"]))))
def test_text_is_left_alone(lines: list[str]) -> None:
    for end in ("\n", "\r\n", "\r\r\n"):
        data = "".join(line + end for line in lines).encode()
        assert Plain().feed(data) == "".join(line + "\n" for line in lines).encode()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"a\x1b[1;32mb\x1b[0mc", b"abc"),
        (b"a\x1b[?25lb\x1b[2J\x1b[Hc", b"abc"),
        (b"a\x1b]0;a title\ab\x1b]8;;http://x\x1b\\c", b"abc"),
        (b"a\x1bPq#0;2;0\x1b\\b\x1b_x\x1b\\c\x1b^y\ad\x1bXz\x1b\\e", b"abcde"),
        (b"a\x1b(Bb\x1b#8c\x1b7d\x1bce", b"abcde"),
        (b"a\x1b\x1b[0mb", b"ab"),
        (b"a\x1b]never ended\r\nb\x1b[12\nc", b"a\nb\nc"),
        (b"a\b\b\x00\x7f\abc\td", b"abc d"),
        (b"50%\r60%\rdone\r\n", b"50%\n60%\ndone\n"),
        ("größer\u2028".encode(), "größer\u2028".encode()),
    ],
)
def test_what_is_text(data: bytes, text: bytes) -> None:
    assert Plain().feed(data) == text


def test_a_descriptor_waits_gives_and_ends() -> None:
    reading, writing = os.pipe()
    stream = Descriptor(reading)
    assert stream.read(0.0) == b""
    Descriptor(writing).write(b"abc")
    assert stream.read(1.0) == b"abc"
    os.close(writing)
    with pytest.raises(EOFError):
        stream.read(1.0)
    os.close(reading)
    with pytest.raises(EOFError):
        stream.write(b"x")
