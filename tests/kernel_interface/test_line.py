from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from kernel_interface.line import Line

Item = tuple[str, int, bool]
arrivals = st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60)


async def fill(arriving: list[tuple[str, bool]], length: int) -> tuple[list[Item], list[Item]]:
    """Let everybody in, then empty the line: who came out, in order, and who was refused."""
    line: Line[Item] = Line(length)
    refused = []
    for number, (peer, urgent) in enumerate(arriving):
        if (gone := line.put(peer, (peer, number, urgent), urgent)) is not None:
            refused.append(gone)
        assert len(line) <= length
    return [await line.get() for _ in range(len(line))], refused


@given(arrivals, st.integers(1, 12))
def test_nothing_is_lost_and_the_order_holds(arriving: list[tuple[str, bool]], length: int) -> None:
    served, refused = asyncio.run(fill(arriving, length))
    assert sorted(served + refused) == sorted((peer, n, urgent) for n, (peer, urgent) in enumerate(arriving))
    assert served == sorted(served, key=lambda item: (not item[2], item[1]))
    if refused:
        assert len(served) == length


@given(arrivals, st.integers(3, 12))
def test_only_who_takes_more_than_a_fair_share_is_refused(arriving: list[tuple[str, bool]], length: int) -> None:
    _, refused = asyncio.run(fill(arriving, length))
    asked = Counter(peer for peer, _ in arriving)
    for peer, _, _ in refused:
        assert asked[peer] > length // 3


def test_a_flood_does_not_shut_others_out() -> None:
    served, refused = asyncio.run(fill([("flood", False)] * 500 + [("other", False)] * 3, 128))
    assert [item[0] for item in served].count("other") == 3
    assert {item[0] for item in refused} == {"flood"}


@given(arrivals, st.sampled_from("abc"))
def test_what_is_taken_out_leaves_the_rest_in_its_order(arriving: list[tuple[str, bool]], peer: str) -> None:
    async def part() -> tuple[list[Item], list[Item]]:
        line: Line[Item] = Line(len(arriving) + 1)
        for number, (who, urgent) in enumerate(arriving):
            line.put(who, (who, number, urgent), urgent)
        taken = line.take_out(lambda item: item[0] == peer)
        return taken, [await line.get() for _ in range(len(line))]

    taken, served = asyncio.run(part())
    everybody, _ = asyncio.run(fill(arriving, len(arriving) + 1))
    assert served == [item for item in everybody if item[0] != peer]
    assert taken == [item for item in everybody if item[0] == peer]


def test_waits_for_an_item() -> None:
    async def meet() -> int:
        line: Line[int] = Line(1)
        getting = asyncio.create_task(line.get())
        await asyncio.sleep(0)
        assert line.put("peer", 7, False) is None
        return await getting

    assert asyncio.run(meet()) == 7
