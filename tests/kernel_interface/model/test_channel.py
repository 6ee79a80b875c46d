from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_interface.model.channel import (
    MAX_BYTES,
    Channel,
    ChannelError,
    Frames,
    Question,
    Reply,
    Started,
    decode,
    encode,
)
from tests.slm.evaluation.test_benchmark_items import DEVICES

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
QUESTIONS = st.builds(
    Question,
    number=st.integers(0, 2**40),
    prompt=TEXT,
    max_tokens=st.integers(1, 100),
    choices=st.lists(TEXT, max_size=4).map(tuple),
    seconds=st.floats(0, 10),
    about=st.none() | DEVICES,
)
REPLIES = st.builds(
    Reply,
    number=st.integers(0, 2**40),
    error=TEXT,
    abandoned=st.booleans(),
    text=TEXT,
    logprobs=st.lists(st.floats(max_value=0, allow_nan=False), max_size=5).map(tuple),
    finished=st.booleans(),
    prompt_tokens=st.integers(0, 5000),
    ranked=st.lists(st.tuples(TEXT, st.floats(0, 1)), max_size=3).map(tuple),
    weighed=st.booleans(),
)


@given(st.lists(QUESTIONS | REPLIES, max_size=5), st.data())
def test_what_was_said_is_heard_however_it_is_cut(said: list[Question | Reply], data: st.DataObject) -> None:
    stream = b"".join(encode(each) for each in said)
    frames, heard = Frames(), list[bytes]()
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        frames.feed(stream[:size])
        stream = stream[size:]
        while (content := frames.next()) is not None:
            heard.append(content)
    assert [decode(type(each), content) for each, content in zip(said, heard, strict=True)] == said


@given(st.binary(max_size=60))
def test_anything_else_is_refused_or_waited_for(data: bytes) -> None:
    frames = Frames()
    frames.feed(data)
    taken = b""
    try:
        while (content := frames.next()) is not None:
            taken += encode(decode(Reply, content))
    except ChannelError:
        return
    # It waits for the rest of a frame: a length, and fewer bytes than that.
    rest = data[len(taken) :]
    digits, end, content = rest.partition(b"\n")
    assert not rest or (digits.isdigit() and int(digits) <= MAX_BYTES)
    assert not end or len(content) <= int(digits)


@pytest.mark.parametrize(
    "data", [b"hello\n", b"\n", b"-1\n", b"99999999\n", b"4194305\n", b"123456789", b"2\n{}}", b"+2\n{}\n"]
)
def test_what_is_no_frame(data: bytes) -> None:
    frames = Frames()
    frames.feed(data)
    with pytest.raises(ChannelError):
        frames.next()


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b'{"error": 1}', b'{"error": "", "more": 1}', b'{"error": "\xff"}', b"{" * 9000]
)
def test_what_is_something_else(content: bytes) -> None:
    with pytest.raises(ChannelError):
        decode(Started, content)


def test_what_is_too_large_is_not_sent() -> None:
    with pytest.raises(ChannelError, match="too large"):
        encode(Started(error="x" * MAX_BYTES))


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Channel(ours), Channel(theirs)


def test_waiting_has_an_end(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    with pytest.raises(TimeoutError):
        ours.receive(Started, 0.01)
    with pytest.raises(TimeoutError):
        ours.receive(Started, -1.0)
    with pytest.raises(TimeoutError):
        ours.send(Started(error="x" * (MAX_BYTES - 100)), 0.01)  # nobody takes it
    theirs.end()
    with pytest.raises(ChannelError, match="gone"):
        ours.receive(Started, 1.0)
    with pytest.raises(ChannelError, match="gone"):
        ours.send(Started(error=""))
