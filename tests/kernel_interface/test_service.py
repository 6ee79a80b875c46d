from __future__ import annotations

import contextlib
import json
import logging
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel_interface.actions import StartService, read_action
from kernel_interface.devices import Device
from kernel_interface.goals import GOALS, Progress
from kernel_interface.intents import Intent, SubCommand
from kernel_interface.knowledge import Knowledge
from kernel_interface.rules import GUIDANCE, NOT_WANTED
from kernel_interface.serve import prepared
from kernel_interface.service import DRIVER_THRESHOLD, Answer, Service
from slm.evaluation.benchmark import device as benchmark
from slm.evaluation.benchmark import items
from slm.evaluation.benchmark.asked import question_about
from slm.evaluation.benchmark.devices import drivers_by_bus
from slm.evaluation.benchmark.gguf import GgufModel
from slm.evaluation.benchmark.neighbours import RememberedDrivers, WithNeighbours
from slm.evaluation.benchmark.predictor import Ranked
from slm.model.files import NEIGHBOURS
from slm.prompts import ASSISTANT, EOS, prompt
from slm.serving.confidence import FIRST, HELPED, Calibration, write_calibrations
from slm.serving.engine import Engine
from tests.home import wait

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
    answer = Service(knowledge, engine, sure_of_drivers={FIRST: doubtful}).command(SubCommand.DRV_SELECT, NEW)
    assert answer.action_data != "e1000e"
    trusted = Calibration(temperature=1, slope=0, intercept=3, n=100)
    answer = Service(knowledge, engine, sure_of_drivers={FIRST: trusted}).command(SubCommand.DRV_SELECT, NOBODYS)
    assert answer.source == "model" and answer.action_data
    assert answer.confidence == pytest.approx(trusted.confidence([0.5]))


def test_what_was_fitted_on_all_drivers_says_nothing_about_some(knowledge: Knowledge, engine: Engine) -> None:
    text = f"{NEW} driver=e1000e"
    services = [
        Service(knowledge, engine, sure_of_drivers={FIRST: Calibration(temperature=1, slope=0, intercept=at, n=100)})
        for at in (-9, 9)
    ]
    doubted, trusted = (service.command(SubCommand.DRV_FALLBACK, text) for service in services)
    assert doubted == trusted
    assert trusted.source == "model" and 0 < trusted.confidence < 0.99


def test_a_folders_calibration_is_used(tables: Path, gguf: Path, tmp_path: Path) -> None:
    shutil.copy(gguf, tmp_path / "tiny.gguf")
    for intercept in (-3, 3):
        calibration = Calibration(temperature=1, slope=0, intercept=intercept, n=100)
        write_calibrations(tmp_path / "calibration.json", {FIRST: {"driver_select": calibration}})
        with prepared(tmp_path / "tiny.gguf", tables) as (service, _):
            answer = service.command(SubCommand.DRV_SELECT, NOBODYS)
        assert answer.confidence == pytest.approx(calibration.confidence([0.5]))
        assert bool(answer.action_data) == (intercept > 0)


@pytest.fixture
def taught(tables: Path, gguf: Path, tmp_path: Path) -> tuple[Path, Ranked]:
    """A model that is sure of e1000e, which no device like the new one has; and what the benchmark would say of it."""
    known = [
        items.DriverSelect(
            device=benchmark.Device(bus="pci", vendor="8086", device=f"{number:04x}", class_code="0200"),
            answer=("ahci",) if number < 0xA000 else ("e1000", "unheard_of")[: 1 + number % 2],
        )
        # Two blocks of each, so that one says something where the other is hidden.
        for block in (0x1000, 0x2000, 0xABA0, 0xB8A0)
        for number in range(block, block + 0x40)
        if number != 0xABCD
    ]
    model = tmp_path / "tiny.gguf"
    shutil.copy(gguf, model)
    with contextlib.closing(GgufModel(model, drivers_by_bus(tables))) as alone:
        helped = WithNeighbours.learnt(alone, known, known[::3], {})
        helped.write(tmp_path / NEIGHBOURS)
        asked = benchmark.Device(
            bus="pci", vendor="8086", device="abcd", class_code="0200", vendor_name="Intel Corporation"
        )
        assert alone.drivers(asked)[0][0] == "e1000e"
        return model, helped.drivers(asked)


def test_what_a_taught_model_remembers_is_weighed_in(tables: Path, taught: tuple[Path, Ranked]) -> None:
    model, expected = taught
    assert expected[0][0] == "e1000" and "unheard_of" in dict(expected)
    sure = Calibration(temperature=8, slope=1.5, intercept=-1, n=100)
    first = Calibration(temperature=1, slope=0, intercept=-5, n=100)
    file = model.with_name("calibration.json")
    write_calibrations(file, {FIRST: {"driver_select": first}, HELPED: {"driver_select": sure}})
    with prepared(model, tables) as (service, _):
        answer = service.command(SubCommand.DRV_SELECT, NEW)
        # Which driver is surest among what is left of the memory's, nobody has measured: the model answers alone.
        failed = service.command(SubCommand.DRV_FALLBACK, f"{NEW} driver=e1000")
        virtio = service.command(SubCommand.DRV_SELECT, "VIRTIO 1AF4:0009")
    told = sure.confidence([chance for _, chance in expected])
    assert answer.confidence == pytest.approx(told, rel=1e-2)
    assert told != pytest.approx(sure.confidence([expected[0][1]]), rel=2e-2)
    assert (answer.source, "unheard_of" in answer.response) == ("model", False)
    assert failed.source == "model" and "suggests e1000e" in failed.response
    assert virtio.source == "model" and virtio.confidence == pytest.approx(first.confidence([0.5]))
    # Without what its confidence means, what is remembered has no part.
    write_calibrations(file, {FIRST: {"driver_select": sure}})
    with prepared(model, tables) as (service, _):
        assert "suggests e1000e" in service.command(SubCommand.DRV_SELECT, NEW).response


def test_where_the_best_by_both_is_no_driver_of_these_tables_the_model_stands(
    taught: tuple[Path, Ranked],
) -> None:
    model, expected = taught
    memory = RememberedDrivers.read(model.with_name(NEIGHBOURS))
    asked = benchmark.Device(
        bus="pci", vendor="8086", device="abcd", class_code="0200", vendor_name="Intel Corporation"
    )
    question = prompt(question_about(asked))
    with contextlib.closing(Engine(model, threads=1)) as engine:
        engine.memory = memory
        both = engine.drivers(question, ["ahci", "e1000", "e1000e"], asked)
        assert both.weighed and both.answers[0].text == expected[0][0]
        alone = engine.drivers(question, ["ahci", "e1000e"], asked)
        assert not alone.weighed and alone == engine.drivers(question, ["ahci", "e1000e"])
        stick = benchmark.Device(bus="usb", vendor="8086", device="abcd")  # of whose bus nothing is remembered
        assert engine.drivers(question, ["ahci", "e1000e"], stick) == alone


def test_a_memory_that_is_damaged_is_told_and_rules_answer(
    tables: Path, gguf: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copy(gguf, tmp_path / "tiny.gguf")
    (tmp_path / NEIGHBOURS).write_text("{}")
    with prepared(tmp_path / "tiny.gguf", tables) as (service, _):
        assert service.command(SubCommand.DRV_SELECT, NEW).source == "rules"
        assert wait(lambda: "holds no neighbours" in caplog.text, 30)


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
    assert (answer.source, answer.sub_command) == ("rules", SubCommand.FORMAT_FS)
    answer = service.query("format the usb stick")
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


def test_a_wish_is_answered_with_its_action(knowledge: Knowledge) -> None:
    service = Service(knowledge, None)
    answer = service.query("restart nginx")
    assert answer.response == "Run 'systemctl restart nginx'."
    assert (answer.source, answer.requires_followup, answer.sub_command) == ("rules", False, SubCommand.SVC_START)
    assert read_action(answer.sub_command, answer.action_data) == StartService(operation="restart", service="nginx")
    assert service.command(SubCommand.SVC_START, "service=nginx op=restart").action_data == answer.action_data
    assert service.command(SubCommand.SVC_START, "start nginx").action_data
    assert service.command(SubCommand.SVC_START, "nginx").action_data == ""  # a name alone is no wish


@pytest.mark.parametrize(
    "text",
    [
        "how do I restart nginx?",
        "should I restart nginx",
        "what is the command to restart nginx",
        "restart nginx if it hangs",
        "restart nginx tomorrow",
        "please restart nginx in 10 minutes",
    ],
)
def test_a_question_about_a_deed_is_answered_in_words(knowledge: Knowledge, text: str) -> None:
    answer = Service(knowledge, None).query(text)
    assert (answer.response, answer.action_data) == ("Run 'systemctl restart nginx'.", "")


def test_what_is_refused_is_not_done(knowledge: Knowledge) -> None:
    answer = Service(knowledge, None).query("please do not restart nginx")
    assert (answer.action_data, answer.response) == ("", NOT_WANTED)


def test_in_doubt_it_is_a_suggestion(knowledge: Knowledge) -> None:
    answer = Service(knowledge, None).query("start frobnicated")
    assert answer.response.startswith("Perhaps this is meant: Run 'systemctl start frobnicated'.")
    assert (answer.action_data, answer.requires_followup, answer.source) == ("", True, "rules")
    assert answer.confidence < 0.5


def test_a_wish_without_a_name_wants_one(knowledge: Knowledge) -> None:
    answer = Service(knowledge, None).query("install my favourite editor")
    assert (answer.action_data, answer.requires_followup) == ("", True)
    assert answer.response.startswith(GUIDANCE[SubCommand.PKG_INSTALL])


def test_trouble_has_checks(knowledge: Knowledge) -> None:
    answer = Service(knowledge, None).query("I/O errors on /dev/sda")
    assert json.loads(answer.action_data)["device"] == "/dev/sda"
    assert "smartctl -a /dev/sda" in answer.response


@pytest.mark.parametrize(
    "text",
    ["what is the capital of france?", "what is usb?", "who invented the mouse", "what is a driver?", "tell me a joke"],
)
def test_a_plain_question_is_none_about_a_device(knowledge: Knowledge, text: str) -> None:
    answer = Service(knowledge, None).query(text, Device("pci", 0x8086, 0x10D3))
    assert (answer.intent, answer.device, answer.action_data) == (Intent.TROUBLESHOOT, None, "")
    assert answer.response.startswith("Nothing in this says what is wanted.")


def test_a_plan_is_gone_through_step_by_step(knowledge: Knowledge) -> None:
    service = Service(knowledge, None)
    answer = service.query("set up this machine as a web server")
    steps = GOALS["web server"][1]
    assert "The whole plan: 1. " in answer.response
    for number, step in enumerate(steps, 1):
        assert step.action is not None
        assert (answer.sub_command, answer.action_data) == (step.sub_command, step.action.data())
        assert answer.requires_followup == (number < len(steps))
        assert json.loads(answer.result().data)["plan"] == {"goal": "web server", "step": number, "of": len(steps)}
        # Another question in between changes nothing.
        assert service.query("which driver for pci 8086:10d3?", None, answer.plan).plan is None
        plan = answer.plan
        answer = service.query("next", None, plan)
    assert (answer.action_data, answer.plan) == ("", None)
    assert "No plan is under way" in answer.response


def test_a_plan_asks_for_the_device_that_it_is_about(knowledge: Knowledge) -> None:
    service = Service(knowledge, None)
    card, other = Device("pci", 0x8086, 0x10D3, 0x0200), Device("pci", 0x8086, 0x2922, 0x0106)
    first = service.query("get the network card working")
    waiting = service.query("next", other, first.plan)
    assert (waiting.sub_command, waiting.action_data, waiting.requires_followup) == (SubCommand.DRV_SELECT, "", True)
    assert service.query("next", other, waiting.plan).action_data == ""
    done = service.query("next", card, waiting.plan)
    assert (done.action_data, done.source, done.requires_followup, done.device) == ("e1000e", "knowledge", True, card)
    assert service.query("next", card, done.plan).sub_command == SubCommand.NETWORK_CONFIG
    assert service.query("next", card, first.plan).action_data == "e1000e"


def test_a_plan_can_be_given_up(knowledge: Knowledge) -> None:
    service = Service(knowledge, None)
    first = service.query("update everything and reboot")
    over = service.query("cancel", None, first.plan)
    assert over.plan is not None
    assert over.plan.is_over
    assert "No plan is under way" in service.query("next", None, over.plan).response
    assert service.query("cancel").plan is None


def test_an_unknown_goal_is_admitted(knowledge: Knowledge) -> None:
    answer = Service(knowledge, None).query("turn this box into a nuclear reactor controller")
    assert (answer.action_data, answer.requires_followup, answer.plan) == ("", True, None)
    assert answer.response.startswith("Nobody here knows the steps to that goal. Known are: web server,")


def test_the_machine_is_restarted_only_when_a_person_agrees(knowledge: Knowledge) -> None:
    answer = Service(knowledge, None).query("reboot")
    assert json.loads(answer.action_data) == {"operation": "start", "service": "reboot.target", "confirm": True}


def test_an_action_that_breaks_its_schema_is_not_sent(
    make_tables: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # A table that somebody has tampered with.
    alias = ("pci", 0x8086, 0x10D3, "pci:v00008086d000010D3sv*sd*bc*sc*i*", "e1000e; reboot")
    knowledge = Knowledge(make_tables(tmp_path / "broken.sqlite", [alias]))
    service = Service(knowledge, None)
    plan = service.query("get the network card working").plan
    assert isinstance(plan, Progress)
    for answer in (
        service.query("which driver for pci 8086:10d3?"),
        service.command(SubCommand.IDENTIFY_PCI, "PCI 8086:10D3"),
        service.query("next", Device("pci", 0x8086, 0x10D3, 0x0200), plan),
    ):
        assert (answer.action_data, answer.source, answer.requires_followup) == ("", "rules", True)
        assert answer.broken
        assert "reboot" not in answer.result().data
    assert "was not sent" in caplog.text
    knowledge.close()


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
        content.pop("plan", None)
        assert content.keys() == {"response", "action_data", "requires_followup", "source", "confidence"}
        assert content["response"]
        assert not answer.broken
        assert read_action(answer.sub_command, content["action_data"]) is None or content["confidence"] >= 0.5
        assert 0 <= content["confidence"] <= 1
        assert len(answer.result().encode()) == 3852
