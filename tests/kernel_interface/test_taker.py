from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kernel_interface.intents import Intent, SubCommand, classify
from kernel_interface.taker import Rules
from slm.evaluation.benchmark.device import Device
from slm.evaluation.benchmark.predictor import installed


def test_the_library_finds_the_rules() -> None:
    assert [taker.name for taker in installed()] == ["rules"]


@given(st.text() | st.sampled_from(["restart nginx", "which driver for 8086:100e?", "my disk makes noises"]))
def test_they_rank_everything_and_put_first_what_the_server_takes(text: str) -> None:
    intents, subs = Rules().intents(text), Rules().sub_commands(text)
    assert {name for name, _ in intents} == set(Intent.__members__)
    assert {name for name, _ in subs} == set(SubCommand.__members__)
    for ranked in (intents, subs):
        assert abs(sum(chance for _, chance in ranked) - 1) < 1e-9
        assert [chance for _, chance in ranked] == sorted((chance for _, chance in ranked), reverse=True)
    if classify(text).evidence:
        assert intents[0][0] == classify(text).intent.name


def test_a_class_has_a_driver_whoever_made_the_device() -> None:
    disk = Device.model_validate({"bus": "pci", "vendor": "1234", "device": "5678", "class": "010601"})
    assert Rules().drivers(disk) == [("ahci", 1.0)]
    assert Rules().drivers(disk.model_copy(update={"class_code": None})) == ()
