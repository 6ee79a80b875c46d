"""Exchanges drawn from documents: a stream of any length gives the same few, whatever its order."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from slm.corpus.documents import MADE, Document
from slm.corpus.instructions.exchange import Exchange, Provenance, make_exchange
from slm.corpus.instructions.handbooks import handbook_questions
from slm.corpus.instructions.manuals import manual_questions
from slm.corpus.instructions.question import Question


class _Ranked(NamedTuple):
    """A candidate; the smaller, the sooner taken. What it asks decides first, its document breaks ties."""

    rank: int
    key: str
    path: str
    question: Question
    origin: Provenance


def document_exchanges(documents: Iterable[Document], count: int, seed: int) -> Iterator[Exchange]:
    """Draw at most ``count`` different exchanges from manual pages and handbooks, evenly over their kinds of question.

    Where a kind has too few, the others give more. Memory does not grow with the stream: of each kind at most
    ``2 * count`` candidates are held. Documents of our own making are passed over; the others are taken as
    :mod:`slm.corpus.prepare` leaves them, without the ids that are held out.
    """
    held: dict[str, dict[int, _Ranked]] = {}
    bounds: dict[str, int] = {}
    for document in documents:
        if document.source == MADE or count <= 0:
            continue
        origin = Provenance(
            source=document.source, version=document.version, licence=document.licence, path=document.path
        )
        for question in (*manual_questions(document), *handbook_questions(document)):
            rank = _rank(seed, question)
            if rank > bounds.get(question.kind, rank):
                continue
            candidate = _Ranked(rank, document.key, document.path, question, origin)
            kind = held.setdefault(question.kind, {})
            if rank not in kind or candidate[:3] < kind[rank][:3]:
                kind[rank] = candidate
            if len(kind) > 2 * count:
                first = heapq.nsmallest(count, kind)
                bounds[question.kind] = first[-1]
                held[question.kind] = {rank: kind[rank] for rank in first}
    yield from _evenly([_different(kind) for _, kind in sorted(held.items())], count)


def _rank(seed: int, question: Question) -> int:
    text = "\0".join((str(seed), question.kind, question.subject, question.pairs[0][1]))
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _different(kind: dict[int, _Ranked]) -> Iterator[Exchange]:
    for rank, (_, key, _, question, origin) in sorted(kind.items()):
        turns = question.pairs[rank % len(question.pairs)]
        exchange = make_exchange(turns, question.topic.sub_command, question.topic.intent, origin, key)
        if exchange is not None:
            yield exchange


def _evenly(kinds: list[Iterator[Exchange]], count: int) -> Iterator[Exchange]:
    """Take from the kinds in turn until ``count`` are taken or all are empty; the same text is taken once."""
    seen: set[str] = set()
    while kinds:
        for kind in list(kinds):
            if len(seen) >= count:
                return
            found = next((exchange for exchange in kind if exchange.text not in seen), None)
            if found is None:
                kinds.remove(kind)
            else:
                seen.add(found.text)
                yield found
