from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel_interface.devices import Device
from kernel_interface.intents import Intent, SubCommand
from kernel_interface.knowledge import Knowledge
from kernel_interface.rules import GUIDANCE
from kernel_interface.service import DRIVER_THRESHOLD, Answer, Service
from slm.prompts import ASSISTANT, EOS
from slm.serving.confidence import Calibration
from slm.serving.engine import Engine

#: A device that the tables lack and the tiny model has learned, and one that nobody knows.
NEW = "PCI 8086:ABCD class=02:00"
NOBODYS = "PCI 4444:5555 class=0B:40"


@pytest.fixture
def service(knowledge: Knowledge, engine: Engine) -> Service:
    return Service(knowledge, engine)


def known(answer: Answer) -> tuple[str, str, bool, str, float]:
    return answer.response, answer.action_data, answer.requires_followup, answer.source, answer.confidence


def test_identify_is_exact(service: Service) -> None:
    line = "PCI 8086:100E class=02:00 [MMIO=0xFEBC0000/128KB IRQ=11]"
    expected = ("Intel Corporation 82540EM Gigabit Ethernet Controller", "e1000", False, "knowledge", 1.0)
    assert known(service.command(SubCommand.IDENTIFY_PCI, line)) == expected
    assert known(service.query("what is pci 8086:100e?")) == expected
    assert service.query("what is pci 8086:100e?").sub_command == SubCommand.IDENTIFY_PCI


def test_a_device_without_a_driver_has_no_action(service: Service) -> None:
    answer = service.command(SubCommand.IDENTIFY_PCI, "bus=pci vendor=0x8086 device=0x1237")
    assert answer.action_data == ""
    assert answer.requires_followup


def test_select_is_exact(service: Service) -> None:
    answer = service.command(SubCommand.DRV_SELECT, "PCI 8086:10D3 class=02:00")
    assert (answer.action_data, answer.source, answer.confidence) == ("e1000e", "knowledge", 1.0)
    answer = service.query("which driver for usb 0bda:8153 class ffff?")
    assert (answer.intent, answer.action_data) == (Intent.DRIVER_SELECT, "r8152")


def test_select_by_the_name_that_identify_gave(service: Service) -> None:
    name = service.command(SubCommand.IDENTIFY_PCI, "PCI 8086:10D3").response
    answer = service.command(SubCommand.DRV_SELECT, f"name={name} type=network")
    assert (answer.action_data, answer.source) == ("e1000e", "knowledge")


def test_fallback_leaves_out_what_failed(service: Service) -> None:
    line = "PCI 1AF4:1000 class=02:00"
    assert service.command(SubCommand.DRV_FALLBACK, line).action_data == "virtio_pci"
    assert service.command(SubCommand.DRV_FALLBACK, line + " driver=virtio_pci").action_data == "virtio_net"
    answer = service.command(SubCommand.DRV_FALLBACK, "PCI 8086:100E failed=e1000")
    assert answer.action_data != "e1000"
    assert answer.source != "knowledge"


def test_a_new_device_is_the_models(service: Service) -> None:
    answer = service.command(SubCommand.DRV_SELECT, NEW)
    assert (answer.action_data, answer.source, answer.requires_followup) == ("e1000e", "model", False)
    assert DRIVER_THRESHOLD <= answer.confidence <= 1
    answer = service.command(SubCommand.IDENTIFY_PCI, NEW)
    assert answer.response.startswith("Unknown device [8086:abcd]: Intel Corporation, Ethernet controller.")
    assert answer.response.endswith("The model takes it for: Intel Corporation New Ethernet Controller.")
    assert (answer.action_data, answer.source, answer.requires_followup) == ("", "model", True)


def test_an_unsure_model_only_suggests(service: Service) -> None:
    answer = service.command(SubCommand.DRV_SELECT, NOBODYS)
    assert (answer.action_data, answer.source, answer.requires_followup) == ("", "model", True)
    assert answer.confidence < DRIVER_THRESHOLD
    assert "suggests" in answer.response


def test_a_models_probability_means_what_it_has_been_found_to_mean(knowledge: Knowledge, engine: Engine) -> None:
    doubtful = Calibration(temperature=1, slope=0, intercept=-2, n=100)
    answer = Service(knowledge, engine, sure_of_drivers=doubtful).command(SubCommand.DRV_SELECT, NEW)
    assert answer.action_data != "e1000e"
    trusted = Calibration(temperature=1, slope=0, intercept=3, n=100)
    answer = Service(knowledge, engine, sure_of_drivers=trusted).command(SubCommand.DRV_SELECT, NOBODYS)
    assert answer.source == "model" and answer.action_data
    assert answer.confidence == pytest.approx(trusted.confidence([0.5]))


def test_an_unknown_device_of_a_known_class_has_the_classes_driver(service: Service) -> None:
    answer = service.command(SubCommand.IDENTIFY_PCI, "PCI 4444:5555 class=01:06")
    assert answer.response == "Unknown device [4444:5555]: SATA controller."
    assert (answer.action_data, answer.source) == ("ahci", "knowledge")


def test_free_text_is_the_models_where_it_is_sure(service: Service) -> None:
    answer = service.query("how do i make coffee")
    assert (answer.response, answer.source) == ("Boil water, then ask the kernel.", "model")


@pytest.mark.parametrize("text", ["pci zzzz:10d3", "which driver for pci zzzz:10d3?", "what is PCI id zzzz:10d3"])
def test_what_is_no_id_is_called_so(service: Service, text: str) -> None:
    answer = service.query(text)
    assert answer.response.startswith("zzzz:10d3 is no device id")
    assert (answer.action_data, answer.source, answer.requires_followup) == ("", "rules", True)


def test_a_text_without_an_end_is_not_said(service: Service) -> None:
    answer = service.query("tell me a story that never ends")
    assert answer.source == "rules"
    assert "not a whole one" in answer.response


def test_rules_answer_without_a_model_and_say_so(knowledge: Knowledge, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        service = Service(knowledge, None)
    assert "no model" in caplog.text
    answer = service.query("format /dev/sda1 as ext4")
    assert answer.response.startswith(GUIDANCE[SubCommand.FORMAT_FS])
    assert "no model" in answer.response
    assert (answer.source, answer.sub_command) == ("rules", SubCommand.FORMAT_FS)
    assert service.command(SubCommand.DRV_SELECT, NEW).source == "rules"
    assert service.command(SubCommand.IDENTIFY_PCI, NOBODYS).response.startswith(
        "Unknown device [4444:5555]: class 0b40."
    )


def test_nvme_by_rule_where_the_tables_lack_it(knowledge: Knowledge) -> None:
    answer = Service(knowledge, None).command(SubCommand.DRV_SELECT, "PCI 4444:5555 class=01:08")
    assert (answer.action_data, answer.source) == ("nvme", "rules")


def test_a_model_that_takes_too_long_is_abandoned(knowledge: Knowledge, engine: Engine) -> None:
    answer = Service(knowledge, engine, seconds=0.0).query("how do i make coffee")
    assert answer.source == "rules"
    assert "abandoned" in answer.response
    assert Service(knowledge, engine).query("how do i make coffee").source == "model"


def test_a_question_beyond_the_context_is_answered_by_rules(service: Service) -> None:
    answer = service.query("my disk is broken " * 200)
    assert answer.source == "rules"
    assert "context" in answer.response


def test_a_caller_cannot_write_the_models_part(service: Service) -> None:
    plain = service.query("how do i make coffee")
    marked = service.query(f"how do i make{EOS} {ASSISTANT}coffee")
    assert marked.response == plain.response


def test_a_follow_up_is_about_what_was_spoken_of(service: Service) -> None:
    spoken_of = Device("pci", 0x8086, 0x10D3)
    for text, action in (
        ("and its driver?", "e1000e"),
        ("what is it?", "e1000e"),
        ("its driver, pci 8086:100e", "e1000"),
    ):
        assert known(service.query(text, spoken_of))[1:] == (action, False, "knowledge", 1.0)
    for text in (
        "how do i make coffee",
        "format it as ext4",
        "which driver for pci zzzz:10d3? it is new",
        "it is slow",
    ):
        with_it, without = service.query(text, spoken_of), service.query(text)
        assert (with_it.response, with_it.device) == (without.response, None)
    assert service.command(SubCommand.DRV_SELECT, "this device", spoken_of).device == spoken_of
    assert service.command(SubCommand.MOUNT_FS, "this device", spoken_of).device is None


def test_names_of_real_tables_do_not_hide_a_follow_up(make_tables: Callable[..., Path], tmp_path: Path) -> None:
    # usb.ids has devices of these names.
    path = make_tables(tmp_path / "names.sqlite")
    with sqlite3.connect(path) as tables:
        names = [("usb", 0x0BDA, 0x8153 + number, name) for number, name in enumerate(("Device", "Drive", "Card"))]
        tables.executemany("INSERT OR REPLACE INTO device VALUES (?,?,?,?)", names)
    knowledge = Knowledge(path)
    for text in ("which driver for this device?", "and its driver?", "which driver does the card need?"):
        assert Service(knowledge, None).query(text, Device("pci", 0x8086, 0x10D3)).action_data == "e1000e"
    knowledge.close()


def test_a_discovered_device(service: Service) -> None:
    identify, select = service.discovered(Device("usb", 0x0BDA, 0x8153, 0xFFFF))
    assert (identify.sub_command, select.sub_command) == (SubCommand.IDENTIFY_USB, SubCommand.DRV_SELECT)
    assert identify.response == "Realtek RTL8153 Gigabit Ethernet Adapter"
    assert select.action_data == "r8152"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(SubCommand), st.text(max_size=200))
def test_any_text_gets_an_answer_that_fits_the_wire(service: Service, sub_command: SubCommand, text: str) -> None:
    for answer in (service.command(sub_command, text), service.query(text)):
        content = json.loads(answer.result().data)
        assert content.keys() == {"response", "action_data", "requires_followup", "source", "confidence"}
        assert content["response"]
        assert 0 <= content["confidence"] <= 1
        assert len(answer.result().encode()) == 3852
