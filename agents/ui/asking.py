"""Asks an accepted or a released model a question, as the kernel would: tables first, then the model, then rules."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import NamedTuple

from agents.questions import Answer, ask_all, ask_flat
from slm.errors import AutonError, ServingError
from slm.layout import Layout
from slm.lineage import read_manifest
from slm.model.files import FLAT

#: Characters of a question; models have contexts of a few hundred tokens.
LONGEST = 300
#: Models that come with the sources.
_RELEASED = Path(__file__).parents[2] / "checkpoints" / "released"
#: Held while a model is asked: one at a time, and whoever ends the process waits until the model's server is stopped.
ASKING = threading.Lock()


class Answered(NamedTuple):
    """An answer with the name of the model that was asked."""

    model: str
    answer: Answer


def models(layout: Layout) -> dict[str, Path]:
    """Return the folders of the models that can be asked, by the names to choose them by; accepted ones come first."""
    found = {}
    for folder in sorted(layout.registry.glob("*/")):
        try:
            build = read_manifest(folder).name
        except AutonError:
            continue
        if _can_be_asked(layout.export(build)):
            found[f"{folder.name}, accepted as {build}"] = layout.export(build)
    # Editions, which answer from tables that they know by heart, come last.
    for folder in sorted(_RELEASED.glob("*/"), key=lambda folder: ((folder / FLAT).exists(), folder.name)):
        if _can_be_asked(folder):
            found[f"{folder.name}, released"] = folder
    return found


def ask(layout: Layout, model: str, question: str, place: Path) -> Answered:
    """Ask ``model``, one of :func:`models`, and wait for its answer; that takes seconds, and at most about two minutes.

    :param place: a folder for the server's log.
    :raises ServingError: when there is no such model, it does not answer, or the question is none.
    """
    question = question.strip()
    if not question or not question.isprintable():
        raise ServingError("A question is one line of text.", "Write one, such as: which driver for pci 8086:10d3?")
    if len(question) > LONGEST:
        raise ServingError(f"The question has {len(question):,} characters; {LONGEST} are the most.", "Shorten it.")
    folder = models(layout).get(model)
    if folder is None:
        raise ServingError(f"There is no model {model!r} here.", "Choose one of the list.")
    flat = folder / FLAT
    with ASKING:
        [answer] = ask_flat(flat, [question]) if flat.exists() else ask_all(folder, place, [question])
    return Answered(model, answer)


def _can_be_asked(folder: Path) -> bool:
    return (folder / FLAT).exists() or any(folder.glob("*.gguf"))
