"""How long work tells its caller where it stands, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """``done`` of ``total`` ``unit`` (bytes, documents, steps, …) of ``stage`` is behind us; ``text`` says more."""

    stage: str
    done: float
    total: float
    unit: str = ""
    text: str = ""


Reporter = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """A reporter for callers who do not care."""
