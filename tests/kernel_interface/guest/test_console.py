"""The dialogue: with a stand-in on a pty for every fault that a console has, and with streams cut anywhere."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tests.guest_console
from kernel_interface.guest.console import MOST_BYTES, Console, loaded
from kernel_interface.guest.stream import Descriptor
from slm.errors import GuestError
from tests.guest_console import FAULTS
from tests.kernel_interface.guest.test_stream import STREAMS, pieces

QUESTION, ANSWER = "what is 1af4:1000", "Red Hat, Inc. Virtio network device"
OTHER, OTHER_ANSWER = "which driver for 8086:10d3", "e1000e"


@contextlib.contextmanager
def guest(fault: str = "") -> Iterator[Console]:
    """A console whose far end is the stand-in, on a pty."""
    ours, its = os.openpty()
    tty.setraw(its)
    program = [sys.executable, tests.guest_console.__file__, f"fd={its}"]
    with subprocess.Popen(program, pass_fds=[its], env={**os.environ, "GUEST_FAULT": fault}) as process:
        os.close(its)
        try:
            yield Console(Descriptor(ours))
        finally:
            process.kill()
            os.close(ours)


def test_a_model_answers(stand_in: pytest.MonkeyPatch) -> None:
    with guest() as console:
        booted = console.boot(20)
        assert loaded(booted.text)
        assert booted.text.splitlines()[:2] == ["AUTON stand-in", "memory: 192 MiB"]
        for _ in range(2):
            assert console.ask(QUESTION, 20).text == ANSWER
            assert console.ask(OTHER, 20).text == OTHER_ANSWER
        assert console.ask("x" * 255, 20).text == console.ask("<unk>", 20).text


def test_a_model_that_is_refused_without_a_word(stand_in: pytest.MonkeyPatch) -> None:
    with guest("refuses the model") as console:
        assert not loaded(console.boot(20).text)
        assert console.ask(QUESTION, 20).text == f"No rule for: {QUESTION}"


@pytest.mark.parametrize("fault", ["drops an echo", "doubles an echo", "prints into a line"])
def test_a_line_that_comes_back_wrong_once_is_typed_again(stand_in: pytest.MonkeyPatch, fault: str) -> None:
    with guest(fault) as console:
        console.boot(20)
        assert console.ask(QUESTION, 20).text == ANSWER
        assert console.ask(OTHER, 20).text == OTHER_ANSWER


def test_a_line_that_comes_back_wrong_always_is_given_up(stand_in: pytest.MonkeyPatch) -> None:
    with guest("doubles every echo") as console:
        console.boot(20)
        with pytest.raises(GuestError, match="shows 'ww' when 'what is 1af4:1000' is typed, 3 times"):
            console.ask(QUESTION, 20)


@pytest.mark.parametrize("fault", ["hangs while typing", "hangs before an answer"])
def test_a_guest_that_hangs_is_left(stand_in: pytest.MonkeyPatch, fault: str) -> None:
    with guest(fault) as console:
        console.boot(20)
        with pytest.raises(
            GuestError, match=r"did not answer 'what is .* within 1 s. The last it printed: 'wh"
        ) as caught:
            console.ask(QUESTION, 1)
    assert ("what is 1af4:1000\\n" in str(caught.value)) == (fault == "hangs before an answer")


@pytest.mark.parametrize("fault", ["starts again while typing", "starts again before an answer"])
@pytest.mark.parametrize("model", [True, False])
def test_a_guest_that_starts_again_is_noticed(stand_in: pytest.MonkeyPatch, fault: str, model: bool) -> None:
    if not model:
        stand_in.delenv("GUEST_MODEL")
    with guest(fault) as console:
        console.boot(20)
        with pytest.raises(GuestError, match="started again at 'what is 1af4:1000'"):
            console.ask(QUESTION, 20)


def test_a_guest_that_ends_is_noticed(stand_in: pytest.MonkeyPatch) -> None:
    with guest("ends before an answer") as console:
        console.boot(20)
        with pytest.raises(GuestError, match="is gone"):
            console.ask(QUESTION, 20)


def test_escape_sequences_are_left_out(stand_in: pytest.MonkeyPatch) -> None:
    with guest("prints escapes") as console:
        assert loaded(console.boot(20).text)
        assert console.ask(QUESTION, 20).text == ANSWER
        assert console.ask(OTHER, 20).text == OTHER_ANSWER


@pytest.mark.parametrize(
    ("fault", "said"),
    [("never prompts", r"prompt within 1 s. The last it printed: '.*\[SLM\] Backend: neural\\n'"), ("floods", "bytes")],
)
def test_a_guest_without_a_prompt_is_left(stand_in: pytest.MonkeyPatch, fault: str, said: str) -> None:
    with guest(fault) as console, pytest.raises(GuestError, match=said):
        console.boot(1 if fault == "never prompts" else 60)


def test_every_fault_is_tried() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert [fault for fault in FAULTS if f'"{fault}"' not in source] == []


class Scripted:
    """A guest on a clock of its own, whose output comes in the pieces that ``cuts`` make of it."""

    def __init__(self, booting: bytes, answer: Callable[[bytes], bytes], cuts: list[int]) -> None:
        self.now = 0.0
        self._answer = answer
        self._cuts = cuts
        self._line = b""
        self._pieces = pieces(booting, cuts)

    def clock(self) -> float:
        return self.now

    def read(self, seconds: float) -> bytes:
        while self._pieces:
            if piece := self._pieces.pop(0):
                return piece
        self.now += seconds
        return b""

    def write(self, data: bytes) -> None:
        if data == b"\r":
            self._pieces += pieces(b"\r\n" + self._answer(self._line), self._cuts)
            self._line = b""
        else:
            self._line += data
            self._pieces.append(data)


PROMPT = b"\r\nauton> "
CUTS = st.lists(st.integers(0, 2000), max_size=12)
WORDS = st.text(st.characters(max_codepoint=0x3FF).filter(str.isprintable))


@given(st.lists(WORDS, max_size=4), st.lists(st.lists(WORDS, max_size=3), min_size=1, max_size=3), CUTS)
def test_answers_are_what_the_guest_printed_however_it_came(
    boot: list[str], answers: list[list[str]], cuts: list[int]
) -> None:
    def printed(lines: list[str]) -> bytes:
        return "\r\n".join(lines).encode() + PROMPT

    def shown(lines: list[str]) -> list[str]:
        return [text for line in lines if (text := line.rstrip())]

    left = list(answers)
    scripted = Scripted(printed(["first", "second", *boot]), lambda _: printed(left.pop(0)), cuts)
    console = Console(scripted, scripted.clock)
    assert console.boot(10).text.splitlines() == ["first", "second", *shown(boot)]
    for lines in answers:
        assert console.ask("what is this?", 10).text.split("\n") == (shown(lines) or [""])
    assert not left


@given(STREAMS, STREAMS, CUTS)
@settings(max_examples=300)
def test_whatever_a_guest_prints_the_dialogue_ends_and_shows_nothing_raw(
    boot: bytes, answer: bytes, cuts: list[int]
) -> None:
    scripted = Scripted(boot + PROMPT, lambda _: answer, cuts)
    console = Console(scripted, scripted.clock)
    assert all(line.isprintable() for line in console.boot(10).text.split("\n"))
    try:
        text = console.ask("what is this?", 10).text
    except GuestError as error:
        text = str(error)
    assert all(line.isprintable() for line in text.split("\n"))
    assert scripted.now < 60


def test_a_prompt_is_one_only_when_nothing_follows() -> None:
    told = b"auton> is the prompt\r\nsay auton> \r\n  auton> \r\nthe end"
    for cut in range(len(told)):
        scripted = Scripted(b"booted" + PROMPT, lambda _: told + PROMPT, [2 + cut])
        console = Console(scripted, scripted.clock)
        console.boot(10)
        assert console.ask("x", 10).text == "auton> is the prompt\nsay auton>\n  auton>\nthe end"


def test_a_flood_while_typing_ends() -> None:
    class Flood(Scripted):
        def read(self, seconds: float) -> bytes:
            return b"tick " * 1000

    flood = Flood(b"", lambda _: b"", [])
    with pytest.raises(GuestError, match=f"{MOST_BYTES} bytes"):
        Console(flood, flood.clock).ask("x", 10)
