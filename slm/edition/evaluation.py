"""Does an edition answer? Asked through the flat file's own decoding, as the kernel asks.

Two figures: of ids sampled from the device tables, asked in several forms and cases, the share with the exact answer;
and of lines in people's own words, none of which was trained on, the share with a right one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from slm.edition.facts import read_devices
from slm.edition.flat import Reader, spelled
from slm.edition.questions import Question, id_questions, phrasing_questions
from slm.evaluation.figures import EditionScore, Miss
from slm.export.flat import read_checkpoint
from slm.export.flat_file import FlatModel, read_flat

#: Misses that are kept, to be looked at.
_KEPT = 20


def load(path: Path, spellings: int) -> FlatModel:
    """Read a flat file, or an edition's checkpoint with spellings added, as the export does.

    :raises ArtefactError: when it is neither.
    """
    return spelled(read_checkpoint(path), spellings) if path.is_dir() else read_flat(path)


def score_edition(model: FlatModel, tables: Path) -> EditionScore:
    """Ask an edition about the devices of ``tables`` (a ``devices.sqlite``) and in people's own words."""
    reader = Reader(model)
    ids, id_misses = _ask(reader, id_questions(read_devices(tables)))
    phrasings, phrasing_misses = _ask(reader, phrasing_questions())
    return EditionScore(
        ids=ids,
        known_ids=1 - len(id_misses) / ids,
        lines=phrasings,
        phrasings=1 - len(phrasing_misses) / phrasings,
        misses=[*id_misses[:_KEPT], *phrasing_misses[:_KEPT]],
    )


def _ask(reader: Reader, questions: Sequence[Question]) -> tuple[int, list[Miss]]:
    answers = reader.answers([question.line for question in questions])
    misses = [
        Miss(line=question.line, answer=answer, right=list(question.right))
        for question, answer in zip(questions, answers, strict=True)
        if not question.is_right(answer)
    ]
    return len(questions), misses
