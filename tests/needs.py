"""What some tests need of the machine. Where it is missing they are skipped with the reason; in CI they fail."""

from __future__ import annotations

import os
import shutil

import pytest


def need(present: bool, what: str) -> None:
    """Skip the calling test, or in CI fail it, unless ``present``."""
    if present:
        return
    if os.environ.get("CI"):
        pytest.fail(f"CI lacks {what}")
    pytest.skip(f"this machine lacks {what}")


def need_program(name: str, package: str) -> str:
    """Return the path of a program; administration programs are found where a user's PATH does not reach."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    need(path is not None, f"{name} (package {package})")
    assert path is not None
    return path
