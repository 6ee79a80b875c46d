"""What a document answers, before it is worded."""

from __future__ import annotations

from typing import NamedTuple

from slm.corpus.instructions.topics import Topic


class Question(NamedTuple):
    """A question that a document answers, in several wordings.

    ``kind`` is the sort of question, over which exchanges are spread evenly; ``subject`` makes it one of its kind;
    ``pairs`` are wordings with their answers, any of which will do.
    """

    kind: str
    subject: str
    topic: Topic
    pairs: tuple[tuple[str, str], ...]
