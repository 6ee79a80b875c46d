from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm.adapt.confidence import _halves
from slm.corpus.instructions.exchange import INTENT_OF
from slm.errors import ArtefactError
from slm.evaluation.benchmark.alike import MAKER, WAYS, Bus, Floats
from slm.evaluation.benchmark.device import Device
from slm.evaluation.benchmark.items import DeviceTree, DriverSelect, Identify, Identity, Item
from slm.evaluation.benchmark.neighbours import NEAR, Neighbours, RememberedDrivers, WithNeighbours, _logs
from slm.evaluation.benchmark.phrases import both
from slm.evaluation.benchmark.predictor import Abstaining, Identified, Ranked
from slm.evaluation.benchmark.run import without
from slm.evaluation.benchmark.weights import fitted
from slm.files import read_json, write_json
from slm.serving.completion import LEAST_SUGGESTION, SUGGESTIONS
from slm.spec import Task

#: Where figures come from: the first from numbers and classes; the nearest text and those near; the regression.
_BY_NUMBER, _BY_RARITY, _BY_REGRESSION = 9, (9, 10), (14, 15, 18)
_CHIPS = {"e1000e": "Gigabit", "igb": "Server Adapter", "ath9k": "Wireless", "nvme": "Solid State", "r8169": "RTL8169"}
#: What drivers say of themselves; one has no device.
_TOLD = {"pci": {**dict.fromkeys(_CHIPS, ""), "saa7164": "Driver for NXP SAA7164 based TV cards"}}


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
    learnt = Neighbours.learnt(known, _TOLD)
    assert right(learnt, asked) > 0.8
    for item in asked:
        chances = [chance for _, chance in learnt.drivers(item.device)]
        assert chances == sorted(chances, reverse=True) and sum(chances) == pytest.approx(1)
    assert not learnt.drivers(Device(bus="usb", vendor="8086", device="1000"))


def test_a_driver_that_no_remembered_device_has_is_found_by_what_it_says_of_itself() -> None:
    # Some drivers have one device, so that the fit learns what one without any other looks like.
    chips = [f"{kind}{number}" for kind in ("mxb", "hexium", "budget", "zoran") for number in range(710, 730)]
    singles = [
        DriverSelect(
            device=Device(bus="pci", vendor="1131", device=f"{number:04x}", name=f"{chip.upper()} TV card"),
            answer=(chip,),
        )
        for number, chip in enumerate(chips, 0x7000)
    ]
    told = {"pci": _TOLD["pci"] | {chip: f"Driver for {chip} based cards" for chip in chips}}
    learnt = Neighbours.learnt([*devices(), *singles], told)
    card = Device(bus="pci", vendor="1131", device="9164", name="SAA7164 TV card")
    assert learnt.drivers(card)[0][0] == "saa7164"
    # A name that has nothing of the device's says nothing; a description that has does.
    radio = Device(bus="pci", vendor="1131", device="91ff", name="Quartz Q5000 shortwave receiver")
    silent = learnt.told["pci"] | {"qx": ""}
    telling = learnt.told["pci"] | {"qx": "Driver for Quartz Q5000 shortwave receivers"}
    places = []
    for said in (silent, telling):
        drivers, logs, _ = Neighbours(learnt.devices, {"pci": said}, learnt.scorers).logs(radio)
        places.append([drivers[place] for place in np.argsort(-logs)].index("qx"))
    assert places[1] == 0 < places[0]


def test_what_is_remembered_later_is_a_neighbour_too() -> None:
    items = devices()
    known, later = items[:120], items[120:]
    learnt = Neighbours.learnt(known, _TOLD)
    more = learnt.remembering(later)
    assert right(more, later) > right(learnt, later)
    assert len(more.devices) == len(items) and more.scorers == learnt.scorers


def test_a_class_on_a_bus_whose_devices_have_none_changes_little() -> None:
    sticks = [
        DriverSelect(device=Device(bus="usb", vendor="0bda", device=item.device.device), answer=item.answer)
        for item in devices()
    ]
    learnt = Neighbours.learnt(sticks, {})
    for item in sticks[:20]:
        classed = item.device.model_copy(update={"class_code": "ff00"})
        # It stands in the text that the regression compares, and no device's class is like it.
        np.testing.assert_allclose(learnt.logs(classed)[1], learnt.logs(item.device)[1], atol=2)


def test_phrases_remembered_later_count_too_and_what_was_fitted_stays() -> None:
    known, later = [*devices(), *phrases()], both("please hurry and stop it", "SVC_STOP", None)
    helped = WithNeighbours.learnt(Sure([("nvme", 0.9)]), known, [*devices()[:60], *phrases()], _TOLD)
    more = helped.remembering([*later, DeviceTree(compatible=("a,b",), answer=("c",))])
    assert len(more.remembered()) == len(helped.remembered()) + len(list(later))
    assert (more.blend, more.names) == (helped.blend, helped.names)
    before, after = (dict(each.sub_commands("please hurry and stop it"))["SVC_STOP"] for each in (helped, more))
    assert after > before


def assert_same(one: Floats, other: Floats) -> None:
    """Figures of two memories are the same, but for how rare words are: who is hidden has a part in that."""
    # The regression hides exactly what it is given (test_benchmark_ridge.py).
    exact = [place for place in range(WAYS) if place not in _BY_RARITY + _BY_REGRESSION]
    np.testing.assert_allclose(one[:, exact], other[:, exact], atol=1e-12)
    nearest, near = _BY_RARITY
    np.testing.assert_allclose(one[:, nearest], other[:, nearest], atol=0.15)
    np.testing.assert_allclose(np.exp(one[:, near]), np.exp(other[:, near]), atol=0.15)


@given(own=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_a_device_does_not_see_itself(own: int) -> None:
    items = devices(count=100)
    own %= len(items)
    bus, others = Bus(items, _TOLD["pci"], True), Bus([*items[:own], *items[own + 1 :]], _TOLD["pci"], False)
    assert bus.drivers == others.drivers
    device = items[own].device
    assert_same(bus.figures(device, own, 0), others.figures(device, None, 0))


@given(number=st.integers(0, 0xFFF), hidden=st.sampled_from([NEAR, MAKER]))
@settings(max_examples=20, deadline=None)
def test_hidden_neighbours_are_as_if_they_were_not_there(number: int, hidden: int) -> None:
    items = devices()
    device = Device.model_validate(
        {"bus": "pci", "vendor": "8086", "device": f"{number:04x}", "class": "0200", "name": f"Gigabit {number:x}"}
    )
    left = [i for i in items if i.device.vendor != "8086" or abs(i.device.key[2] - number) >= hidden]
    bus, others = Bus(items, _TOLD["pci"], True), Bus(left, _TOLD["pci"], False)
    assert bus.drivers == others.drivers
    assert_same(bus.figures(device, None, hidden), others.figures(device, None, 0))


def test_the_beginning_of_a_hidden_number_gives_nothing_away() -> None:
    items = [
        DriverSelect(
            device=Device.model_validate({"bus": "pci", "vendor": "8086", "device": f"{number:04x}", "class": "0200"}),
            answer=(sorted(_CHIPS)[(number >> 6) % 4],),
        )
        for number in range(512)
    ]
    device = Device.model_validate({"bus": "pci", "vendor": "8086", "device": "0101", "class": "0200"})
    left = [item for item in items if abs(item.device.key[2] - 0x101) >= NEAR]
    every, others = Bus(items, _TOLD["pci"], True), Bus(left, _TOLD["pci"], False)
    assert_same(every.figures(device, None, NEAR), others.figures(device, None, 0))


class Writes(Abstaining):
    """Says of every device what it is."""

    name = "writes"
    tasks: tuple[Task, ...] = ("identify",)

    def identify(self, device: Device) -> Identified | None:
        return Identified(Identity(vendor="Nobody", name="A name", type="Modem"), 0.4)


def test_makers_and_kinds_are_remembered_and_names_are_the_models() -> None:
    asked = Device.model_validate({"bus": "pci", "vendor": "8086", "device": "0001", "class": "0200"})
    training: list[Item] = [
        Identify(device=asked.model_copy(update={"device": f"000{number}"}), answer=answer)
        for number, answer in enumerate(
            (
                Identity(vendor="Intel", type="Ethernet controller", name="One"),
                Identity(vendor="Intel", name="Two"),
                Identity(vendor="intel corp.", type="Ethernet controller", name="Three"),
            ),
            2,
        )
    ]
    helped = WithNeighbours.learnt(Writes(), training, [], _TOLD)
    assert helped.identify(asked) == Identified(
        Identity(vendor="Intel", name="A name", type="Ethernet controller"), 0.4
    )
    other = asked.model_copy(update={"vendor": "10ec", "class_code": None})
    assert helped.identify(other) == Writes().identify(other)
    nothing = WithNeighbours.learnt(Abstaining(), training, [], _TOLD).identify(asked)
    assert nothing == Identified(Identity(vendor="Intel", type="Ethernet controller"), 0.0)


@given(shown=st.lists(st.floats(1e-4, 1), max_size=8), answers=st.integers(1, 12))
def test_what_was_not_ranked_shares_what_is_left(shown: list[float], answers: int) -> None:
    names = [f"a{number}" for number in range(answers)]
    chances = sorted((chance / max(sum(shown), 1) for chance in shown), reverse=True)
    said = list(zip(names, chances, strict=False))
    found = np.exp(_logs(said, names))
    assert found[: len(said)] == pytest.approx([chance for _, chance in said], rel=1e-6)
    rest = found[len(said) :]
    if len(rest):
        left = 1 - sum(chance for _, chance in said)
        assert rest == pytest.approx(min([left / len(rest), *chances]), abs=2e-6)


def phrases() -> list[Item]:
    """Two phrases of every sub-command, asked for both."""
    subs = list(INTENT_OF)
    texts = [(f"{word} {sub.replace('_', ' ').lower()}", sub) for sub in subs for word in ("please", "now")]
    return [item for text, sub in texts for item in both(text, sub, None)]


def test_a_phrases_answers_that_a_model_did_not_rank_are_told_apart_by_likeness_alone() -> None:
    class Three(Abstaining):
        name = "three"
        tasks: Collection[Task] = ("driver_select", "intent", "sub_command")

        def sub_commands(self, text: str) -> Ranked:
            return [("SVC_STOP", 0.5), ("SVC_START", 0.2), ("LOG_QUERY", 0.1)]

    helped = WithNeighbours.learnt(Three(), [*devices(), *phrases()], phrases(), _TOLD)
    answers, figures = helped._of_phrase("sub_command", "please svc stop")
    said = dict(zip(answers, np.exp(figures[:, -1]).tolist(), strict=True))
    assert said["SVC_STOP"] == pytest.approx(0.5)
    assert said["PKG_SEARCH"] == pytest.approx(0.2 / (len(INTENT_OF) - 3))
    # An intent has what its sub-commands have, those that were not ranked too.
    intents, figures = helped._of_phrase("intent", "please svc stop")
    assert float(np.exp(figures[:, -1]).sum()) == pytest.approx(1)
    assert set(intents) == set(INTENT_OF.values())


def test_the_model_weighs_the_more_the_farther_the_nearest_number_is() -> None:
    near = Bus(devices(), {}, hides=True)
    known = next(item.device for item in devices() if item.device.vendor == "8086")
    steps = [near.figures(known, None, hidden)[0, -1] for hidden in (0, 1, NEAR, 1024, MAKER)]
    assert steps[0] == 0 and steps[-1] == 1
    assert steps == sorted(set(steps))
    assert near.figures(Device(bus="pci", vendor="1af4", device="1000"), None, 0)[0, -1] == 1


def test_what_is_remembered_comes_back_as_the_items_that_it_was() -> None:
    known: list[Item] = [*devices(), *phrases()]
    helped = WithNeighbours.learnt(Sure([("nvme", 0.9)]), known, devices()[:60], _TOLD)
    assert without(known, helped.remembered())[0] == []
    assert len(helped.remembered()) == len(known)


def trees(count: int) -> list[DeviceTree]:
    """Nodes of four makers, whose chips' names tell the driver; some have an older chip's name beside their own."""
    chips = {"uart": "serial_mtk", "i2c": "i2c_mt65xx", "spi": "spi_mt65xx", "pwm": "pwm_mediatek"}
    rng = random.Random(1)
    found: dict[tuple[str, ...], DeviceTree] = {}
    while len(found) < count:
        kind, maker = rng.choice(list(chips)), rng.choice(("mediatek", "rockchip", "ti", "nxp"))
        names = tuple(f"{maker},chip{rng.randrange(9000)}-{kind}" for _ in range(rng.choice((1, 2))))
        found[names] = DeviceTree(
            compatible=names, answer=(chips[kind], "generic") if maker == "ti" else (chips[kind],)
        )
    return list(found.values())


def test_device_trees_are_remembered_beside_a_model_that_knows_none(tmp_path: Path) -> None:
    class Guesses(Sure):
        tasks: tuple[Task, ...] = ("driver_select", "device_tree")

        def compatible(self, compatible: Sequence[str]) -> Ranked:
            return [("generic", 0.9)]

    items = trees(160)
    known: list[Item] = [*devices(), *items[:100]]
    helped = WithNeighbours.learnt(Guesses([("nvme", 0.9)]), known, [*devices()[:40], *items[100:130]], _TOLD)
    asked = items[130:]
    assert sum(helped.compatible(item.compatible)[0][0] in item.answer for item in asked) >= 0.9 * len(asked)
    assert without(known, helped.remembered())[0] == [] and len(helped.remembered()) == len(known)
    file = tmp_path / "neighbours.json"
    helped.write(file)
    again = WithNeighbours.read(Guesses([("nvme", 0.9)]), file)
    assert [again.compatible(item.compatible) for item in asked] == [helped.compatible(i.compatible) for i in asked]
    stored = read_json(file)
    stored["blend"]["device_tree"].append(0.5)
    write_json(file, stored)
    with pytest.raises(ArtefactError, match="other figures than this version"):
        WithNeighbours.read(Guesses(()), file)


def test_weights_are_believed_as_far_as_they_hold_for_others() -> None:
    items = devices()
    known, held = items[:100], items[100:180]
    answers = {item.device.key: item.answer[0] for item in held[::2]}

    class KnowsOneHalf(Sure):
        def drivers(self, device: Device) -> Ranked:
            return [(answers.get(device.key, "nvme"), 0.9)]

    helped = WithNeighbours.learnt(KnowsOneHalf(()), known, held, _TOLD)
    halves = _halves(helped, held)
    assert [asked for _, asked in halves] == [held[1::2], held[::2]]
    # Weights of the half that the model knows trust it, and are wrong about the half that it does not.
    fair, own = (right(taker, held[1::2]) for taker, _ in halves)
    assert fair < own


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
    ignorant = WithNeighbours.learnt(Sure([("nvme", 0.9)]), known, held, _TOLD)
    assert right(ignorant, asked) >= right(ignorant.neighbours, asked) - 0.05
    answers = {item.device.key: item.answer[0] for item in items}

    class Knows(Sure):
        def drivers(self, device: Device) -> Ranked:
            return [(answers[device.key], 0.8), ("tg3", 0.1)]

    knowing = WithNeighbours.learnt(Knows(()), known, held, _TOLD)
    assert right(knowing, asked) == 1
    knowing.write(tmp_path / "neighbours.json")
    again = WithNeighbours.read(Knows(()), tmp_path / "neighbours.json")
    assert [again.drivers(item.device) for item in asked] == [knowing.drivers(item.device) for item in asked]


def test_a_server_that_hears_little_of_a_ranking_says_the_same(tmp_path: Path) -> None:
    items = devices()
    known, held, asked = items[:120], items[120:180], items[180:]
    said: Ranked = [("nvme", 0.5), ("igb", 0.2), ("tg3", 0.1), ("e1000e", 0.05), ("r8169", 0.04)]
    helped = WithNeighbours.learnt(Sure(said), known, held, _TOLD)
    helped.write(tmp_path / "neighbours.json")
    remembered = RememberedDrivers.read(tmp_path / "neighbours.json")
    unlikely = [*said[:2], ("tg3", LEAST_SUGGESTION / 2)]
    for item in asked:
        assert remembered.weighed(item.device, said[:SUGGESTIONS]) == helped.drivers(item.device)
        assert remembered.weighed(item.device, unlikely) == remembered.weighed(item.device, said[:2])
    stick = Device(bus="usb", vendor="0bda", device="8153")
    assert remembered.weighed(stick, said) is None
    stored = read_json(tmp_path / "neighbours.json")
    unknown = {"blend": stored["blend"] | {"usb": stored["blend"]["pci"]}}
    scorer = {"linear": [1.0], "hidden": [[1.0]], "bias": [0.0], "out": [1.0]}
    for change in ({"blend": {"pci": [1.0]}}, {"scorers": {"pci": scorer}}, unknown):
        write_json(tmp_path / "other.json", stored | change)
        with pytest.raises(ArtefactError, match="other figures"):
            RememberedDrivers.read(tmp_path / "other.json")
        with pytest.raises(ArtefactError, match="other figures"):
            WithNeighbours.read(Sure(said), tmp_path / "other.json")


def test_a_bus_that_nothing_was_fitted_for_is_the_models(tmp_path: Path) -> None:
    stick = Device(bus="usb", vendor="0bda", device="8153")
    helped = WithNeighbours.learnt(Sure([("r8152", 0.7)]), devices(), devices()[:40], _TOLD)
    assert helped.drivers(stick) == [("r8152", 0.7)]
    (tmp_path / "neighbours.json").write_text('{"devices": []}')
    with pytest.raises(ArtefactError, match="holds no neighbours"):
        WithNeighbours.read(Sure(()), tmp_path / "neighbours.json")
