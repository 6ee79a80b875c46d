from __future__ import annotations

import argparse
import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_interface.access import Address, address, read_token
from slm.errors import ServingError
from slm.token_file import MIN_TOKEN_BYTES

ports = st.integers(0, 65_535)


@given(st.ip_addresses() | st.from_regex(r"[a-z0-9-]+(\.[a-z0-9-]+)*", fullmatch=True), ports)
def test_an_address_is_read_as_it_is_written(
    host: ipaddress.IPv4Address | ipaddress.IPv6Address | str, port: int
) -> None:
    written = Address(str(host), port)
    assert address(str(written)) == written


@given(ports)
def test_a_port_alone_is_on_the_loopback(port: int) -> None:
    assert ipaddress.ip_address(address(str(port)).host).is_loopback


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        read = address(text)
    except argparse.ArgumentTypeError:
        return
    assert read.host
    assert 0 <= read.port <= 65_535


@pytest.mark.parametrize(
    "text", ["", ":7777", "host:", "host:port", "::1:7777", "[]:1", "1:65536", "h:-1", "h:١", "h: 1"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no address"):
        address(text)


def token_file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "token"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_token_without_the_blanks_around_it(tmp_path: Path) -> None:
    token = b"x" * MIN_TOKEN_BYTES
    assert read_token(token_file(tmp_path, b" \t" + token + b"\r\n")) == token
    assert read_token(token_file(tmp_path, token, 0o400)) == token


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o666])
def test_a_token_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ServingError, match="open to others") as refused:
        read_token(token_file(tmp_path, b"secret" * 10, mode))
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "0 bytes"), (b" \n" * 20, "0 bytes"), (b"x" * 15 + b"\n", "15 bytes"), (b"x" * 4097, "more than 4096")],
)
def test_a_token_of_a_wrong_size_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(ServingError, match=reason):
        read_token(token_file(tmp_path, content))


def test_what_is_no_token_file_is_refused(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none", "No such file"), (tmp_path, "directory")):
        with pytest.raises(ServingError, match=reason):
            read_token(path)
