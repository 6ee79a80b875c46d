"""Which lines can be typed, and who answers them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_interface.guest.lines import answer_seconds, boot_seconds, own_state, read_lines
from slm.errors import SourceError


def test_lines_are_read_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "ask"
    path.write_bytes("what is 8086:100e\r\n\n  two  blanks \nwer ist da, größer?\n".encode() + b"x" * 255)
    assert read_lines(path) == ["what is 8086:100e", "  two  blanks ", "wer ist da, größer?", "x" * 255]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"fine\n" + b"x" * 256, "line 2 has 256 bytes; the console takes 255"),
        ("ü".encode() * 128, "line 1 has 256 bytes"),
        (b"a\rb", r"line 1 holds what cannot be typed: 'a\\rb'"),
        (b"\x1b[0m\nok\n\xff", r"(?s)line 1 holds.*line 3 holds what cannot be typed: '\\udcff'"),
        (b" \n\n", "holds no line"),
        (b"x\n" * 600_000, "more than"),
    ],
)
def test_lines_that_cannot_be_typed_are_told(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "ask"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=said):
        read_lines(path)


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(SourceError, match="cannot be read"):
            read_lines(path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("what is my ip", "ip + what"),
        ("What CHIP is 8086:100e", "ip + what"),  # parts of words count
        ("show the ip address", "ip + address"),
        ("restart the ip stack", ""),
        ("which programs are there", "ram"),
        ("make a file", "file"),
        ("is sshd up", "ssh"),
        ("which device needs e1000", "device"),
        ("which device is 8086:100e", ""),
        ("a technical question", "nic"),
        ("is there a nic: 1af4:1000", ""),
        ("which driver for 8086:10d3", ""),
    ],
)
def test_lines_that_the_kernel_answers_itself(line: str, words: str) -> None:
    assert own_state(line) == words


def test_patience_grows_with_the_model_and_the_words() -> None:
    # The document's figure: 10 M parameters answer a short line in about 2 s.
    assert answer_seconds("one two three four five six seven", 10_000_000) >= 2 * 5
    assert answer_seconds("x " * 50, 10_000_000) > answer_seconds("x", 10_000_000) > answer_seconds("x", 1_000_000)
    assert answer_seconds("x " * 64, 1_000_000) == answer_seconds("x " * 500, 1_000_000)
    assert boot_seconds(60_000_000) > boot_seconds(0) > 4
