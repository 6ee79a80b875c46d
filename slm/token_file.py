"""Tokens in files: what a peer must show whom a server does not know by its address."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from slm.errors import ServingError

#: Shorter tokens can be guessed.
MIN_TOKEN_BYTES = 16


def read_token(path: Path, most: int) -> bytes:
    """Read a token; blanks and line ends around it do not count.

    :param most: how many bytes the file may have.
    :raises ServingError: when the file cannot be read, others may read it, or what it holds is too short or too long.
    """
    advice = f"Make one: (umask 077; head -c 24 /dev/urandom | base64 > {path})"
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(most + 1)
    except OSError as error:
        raise ServingError(f"The token file {path} cannot be read: {error.strerror}.", advice) from error
    if not stat.S_ISREG(mode):
        raise ServingError(f"The token file {path} is no file.", advice)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ServingError(
            f"The token file {path} is open to others than its owner (mode {stat.S_IMODE(mode):04o}).",
            f"Take their rights away and change the token, which they may have read: chmod 600 {path}",
        )
    token = content.strip()
    if len(token) < MIN_TOKEN_BYTES:
        raise ServingError(f"The token in {path} has {len(token)} bytes; {MIN_TOKEN_BYTES} are the least.", advice)
    if len(content) > most:
        raise ServingError(f"The token in {path} has more than {most} bytes, which are the most.", advice)
    return token
