from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kernel_interface import serve
from kernel_interface.access import Address
from kernel_interface.client import Client
from kernel_interface.intents import SubCommand
from kernel_interface.knowledge import Knowledge
from kernel_interface.metrics import BOUNDS, Metrics, exposed
from kernel_interface.service import Answer, Service, Source
from kernel_interface.transports.unix import UnixTransport
from kernel_interface.wire import MAX_PAYLOAD, ErrorCode, MessageType
from slm.errors import ServingError
from tests.ports import free_port
from tests.streams import frame, receive, unix

LOOPBACK = Address("127.0.0.1", 0)
SOURCES: tuple[Source, ...] = ("knowledge", "model", "rules")


def answer(sub_command: SubCommand, source: Source) -> Answer:
    return Answer(sub_command, "", "", False, source, 1.0)


def get(where: Address, path: str = "/metrics", method: str = "GET") -> str:
    request = urllib.request.Request(f"http://{where}{path}", method=method)
    with urllib.request.urlopen(request, timeout=10) as response:
        return str(response.read().decode())


def samples(text: str) -> dict[str, float]:
    """A page's samples by their names and labels' values."""
    return {
        "/".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_happened_is_on_the_page_and_in_the_statistics(knowledge: Knowledge, tmp_path: Path) -> None:
    port, path = free_port(), tmp_path / "slm.sock"
    with (
        serve.in_background(Service(knowledge, None), UnixTransport(path), metrics=Address("127.0.0.1", port)),
        Client(path) as client,
        unix(path) as connection,
    ):
        client.query("what is 8086:100e")
        client.query("which driver for 8086:100e?")
        client.query("format /dev/sda1 as ext4")
        client.discovered("PCI 8086:10D3")
        connection.sendall(
            frame("eth0 is up", 1, kind=MessageType.SLM_EVENT) + b"junk " + frame("x", 2, kind=MessageType.RAW)
        )
        receive(connection, 2)
        figures = client.statistics()
        page = samples(get(Address("127.0.0.1", port)))
    counted = {name: figures[name] for name in ("commands", "responses", "refused", "events", "removed", "waiting")}
    assert counted == {"commands": 4, "responses": 4, "refused": 2, "events": 1, "removed": 0, "waiting": 0}
    assert figures["sources"] == {"knowledge": 4, "rules": 1}
    assert figures["refused_by"] == {"INVALID": 2}
    assert figures["connections"] == {"unix": 2}
    assert figures["messages"] == {"SLM_QUERY": 3, "DEV_DISCOVERED": 1, "SLM_EVENT": 1, "RAW": 1, "SYS_STATS": 1}
    assert sum(figures["answers"]["DRIVER_SELECT/knowledge"]) == 2
    # The page says the same.
    assert page["auton_messages_total/unix/SLM_QUERY"] == 3
    assert page["auton_refused_total/INVALID"] == 2
    assert page["auton_request_seconds_count"] == 4
    assert page["auton_request_seconds_sum"] / 4 == pytest.approx(figures["average_latency_ms"] / 1000, abs=1e-6)
    assert page["auton_connections/unix"] == 2
    assert page["process_open_fds"] > 2
    for name, buckets in figures["answers"].items():
        assert page[f"auton_answer_seconds_count/{name}"] == sum(buckets)
        intent, source = name.split("/")
        for at, bound in enumerate(figures["bounds_ms"]):
            sample = f"auton_answer_seconds_bucket/{intent}/{bound / 1000}/{source}"  # in the labels' order
            assert page[sample] == sum(buckets[: at + 1])


def test_each_server_counts_for_itself() -> None:
    first, second = Metrics(lambda: 3), Metrics(lambda: 0)
    first.refused(ErrorCode.FULL)
    assert (first.figures()["refused"], first.figures()["waiting"]) == (1, 3)
    assert (second.figures()["refused"], second.figures()["waiting"]) == (0, 0)


def test_actions_that_were_not_sent_are_counted() -> None:
    metrics = Metrics(lambda: 0)
    good = answer(SubCommand.DRV_SELECT, "rules")
    metrics.answered([good, replace(good, broken=True)], 0.1)
    assert metrics.figures()["broken_actions"] == 1


def test_all_figures_fit_a_frame() -> None:
    metrics, million = Metrics(lambda: 128), 10**6
    for transport in ("unix", "tcp", "serial"):
        for kind in MessageType:
            metrics._messages.labels(transport, kind.name).inc(million)
        for why in ("crowded out", "went away", "no token", "wrong token", "too late"):
            metrics._turned_away.labels(transport, why).inc(million)
    for code in ErrorCode:
        metrics._refused.labels(code.name).inc(million)
    for sub_command in {sub_command.intent: sub_command for sub_command in SubCommand}.values():
        for source in SOURCES:
            for bound in (*BOUNDS, 10.0):
                metrics.answered([answer(sub_command, source)], bound)
            histogram = metrics._answers.labels(sub_command.intent.name, source)
            for bucket in histogram._buckets:
                bucket.inc(million)
    figures = metrics.figures()
    answers = figures["answers"]
    assert isinstance(answers, dict)
    assert all(set(buckets) == {million + 1} for buckets in answers.values())
    assert len(answers) == 18
    assert len(json.dumps(figures, separators=(",", ":"))) <= MAX_PAYLOAD


def test_there_is_nothing_but_metrics() -> None:
    with exposed(Metrics(lambda: 0), LOOPBACK) as where:
        assert "auton_waiting 0.0" in get(where)
        for path, method, status in (("/", "GET", 404), ("/metrics/x", "GET", 404), ("/metrics", "POST", 405)):
            with pytest.raises(urllib.error.HTTPError) as refused:
                get(where, path, method)
            assert refused.value.code == status
            refused.value.close()
        with pytest.raises(ServingError, match="Nobody can listen"), exposed(Metrics(lambda: 0), where):
            pass
    with pytest.raises(urllib.error.URLError):
        get(where)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.1.2.3", "::", "example.org"])
def test_metrics_stay_on_the_loopback(host: str) -> None:
    with pytest.raises(ServingError, match="not on the loopback"), exposed(Metrics(lambda: 0), Address(host, 0)):
        pass
