"""A seeded sample of the fuzzer; ``python -m tests.fuzz_server`` runs as much as you like."""

from __future__ import annotations

import pytest

from kernel_interface.wire import ErrorCode, Message, MessageType, encode_error
from tests.fuzz_server.__main__ import fuzz
from tests.fuzz_server.traffic import Ledger

ASKED = Message(MessageType.SLM_QUERY, b"x", sender=1, receiver=2, timestamp=3, sequence=4)
FULL = ASKED.reply(MessageType.ERROR, encode_error(ErrorCode.FULL, "full"))


@pytest.mark.parametrize(
    ("replies", "wrong"),
    [
        ([FULL], 0),
        ([], 1),
        ([FULL, FULL], 2),
        ([ASKED.reply(MessageType.ACK, b"")], 1),
        ([FULL, Message(MessageType.ERROR, FULL.payload, sender=2, receiver=1, timestamp=3, sequence=5)], 1),
        ([FULL, Message(MessageType.ERROR, FULL.payload, sender=2, receiver=9, timestamp=3, sequence=4)], 1),
    ],
)
def test_the_ledger_sees_what_is_wrong(replies: list[Message], wrong: int) -> None:
    ledger = Ledger()
    ledger.promise(ASKED, "e1000")
    ledger.sent(ASKED.encode())
    ledger.came(b"".join(reply.encode() for reply in replies))
    assert ledger.is_complete() == bool(replies)
    ledger.settle(whole=True)
    assert len(ledger.wrong) == wrong


@pytest.mark.slow
def test_a_sample() -> None:
    totals, states = fuzz(frames=4000, connections=100, seed=11)
    assert totals.wrong == []
    assert totals.spoilt >= 4000
    assert totals.frames > 5000
    assert totals.answered > 1000
    assert states
