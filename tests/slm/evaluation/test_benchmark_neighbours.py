from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm.errors import ArtefactError
from slm.evaluation.benchmark.items import Device, DriverSelect, Task
from slm.evaluation.benchmark.neighbours import NEAR, Neighbours, WithNeighbours, _Bus, fitted
from slm.evaluation.benchmark.predictor import Abstaining, Ranked

#: The figures that come of numbers and classes; the rest come of words.
_BY_NUMBER = 9
_CHIPS = {"e1000e": "Gigabit", "igb": "Server Adapter", "ath9k": "Wireless", "nvme": "Solid State", "r8169": "RTL8169"}


def devices(seed: int = 0, count: int = 240) -> list[DriverSelect]:
    """Devices of three makers; a driver has runs of numbers, and a word that its devices' names have."""
    rng = random.Random(seed)
    found = {}
    for _ in range(count):
        number = rng.randrange(0x1000)
        driver = sorted(_CHIPS)[(number >> 7) % len(_CHIPS)]
        device = Device.model_validate(
            {
                "bus": "pci",
                "vendor": rng.choice(("8086", "10ec", "168c")),
                "device": f"{number:04x}",
                "class": rng.choice(("0200", None)),
                "name": rng.choice((f"{_CHIPS[driver]} {number:x}", None)),
            }
        )
        found[device.key] = DriverSelect(device=device, answer=(driver,))
    return list(found.values())


class Sure(Abstaining):
    """Says one driver of every device."""

    name = "sure"
    tasks: tuple[Task, ...] = ("driver_select",)

    def __init__(self, said: Ranked) -> None:
        self._said = said

    def drivers(self, device: Device) -> Ranked:
        return self._said


def right(taker: Neighbours | WithNeighbours, items: Sequence[DriverSelect]) -> float:
    return sum(taker.drivers(item.device)[0][0] in item.answer for item in items) / len(items)


def test_drivers_of_new_devices_are_found_among_those_alike() -> None:
    items = devices()
    known, asked = items[:-60], items[-60:]
    learnt = Neighbours.learnt(known)
    assert right(learnt, asked) > 0.8
    for item in asked:
        chances = [chance for _, chance in learnt.drivers(item.device)]
        assert chances == sorted(chances, reverse=True) and sum(chances) == pytest.approx(1)
    assert not learnt.drivers(Device(bus="usb", vendor="8086", device="1000"))


@given(own=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_a_device_does_not_see_itself(own: int) -> None:
    items = devices(count=100)
    own %= len(items)
    bus, others = _Bus(items), _Bus([*items[:own], *items[own + 1 :]])
    assert bus.drivers == others.drivers
    device = items[own].device
    seen, without = (each.figures(device, place, 0) for each, place in ((bus, own), (others, None)))
    # Words weigh by their rarity, which the device's own words have a part in; counts of drivers do not.
    np.testing.assert_allclose(seen[:, :_BY_NUMBER], without[:, :_BY_NUMBER])
    np.testing.assert_allclose(seen[:, _BY_NUMBER + 2 : _BY_NUMBER + 4], without[:, _BY_NUMBER + 2 : _BY_NUMBER + 4])


@given(number=st.integers(0, 0xFFF))
@settings(max_examples=20, deadline=None)
def test_hidden_neighbours_are_as_if_they_were_not_there(number: int) -> None:
    items = devices()
    device = Device.model_validate({"bus": "pci", "vendor": "8086", "device": f"{number:04x}", "class": "0200"})
    left = [i for i in items if i.device.vendor != "8086" or abs(i.device.key[2] - number) >= NEAR]
    bus, others = _Bus(items), _Bus(left)
    assert bus.drivers == others.drivers
    np.testing.assert_allclose(
        bus.figures(device, None, NEAR)[:, :_BY_NUMBER], others.figures(device, None, 0)[:, :_BY_NUMBER]
    )


def test_what_is_fitted_is_likelier_than_what_it_began_with() -> None:
    rng = np.random.default_rng(0)
    figures = [rng.normal(size=(int(rng.integers(2, 9)), 3)) for _ in range(200)]
    hits = [each @ np.array([2.0, -1.0, 0.0]) + rng.gumbel(size=len(each)) for each in figures]
    answers = [scores == scores.max() for scores in hits]
    weights = fitted(figures, answers)
    assert weights == pytest.approx([2, -1, 0], abs=0.35)
    assert (fitted(figures, [np.zeros(len(each), bool) for each in figures]) == 0.2).all()


def test_the_blend_trusts_who_is_right(tmp_path: Path) -> None:
    items = devices()
    known, held, asked = items[:120], items[120:180], items[180:]
    # A model that says the same of everything takes nothing away; one that knows is believed.
    ignorant = WithNeighbours.learnt(Sure([("nvme", 0.9)]), known, held)
    assert right(ignorant, asked) >= right(ignorant.neighbours, asked) - 0.05
    answers = {item.device.key: item.answer[0] for item in items}

    class Knows(Sure):
        def drivers(self, device: Device) -> Ranked:
            return [(answers[device.key], 0.8), ("tg3", 0.1)]

    knowing = WithNeighbours.learnt(Knows(()), known, held)
    assert right(knowing, asked) == 1
    knowing.write(tmp_path / "neighbours.json")
    again = WithNeighbours.read(Knows(()), tmp_path / "neighbours.json")
    assert [again.drivers(item.device) for item in asked] == [knowing.drivers(item.device) for item in asked]


def test_a_bus_that_nothing_was_fitted_for_is_the_models(tmp_path: Path) -> None:
    stick = Device(bus="usb", vendor="0bda", device="8153")
    helped = WithNeighbours.learnt(Sure([("r8152", 0.7)]), devices(), devices()[:40])
    assert helped.drivers(stick) == [("r8152", 0.7)]
    (tmp_path / "neighbours.json").write_text('{"devices": []}')
    with pytest.raises(ArtefactError, match="holds no neighbours"):
        WithNeighbours.read(Sure(()), tmp_path / "neighbours.json")
