"""What the server counts and times: for SYS_STATS as JSON, and for Prometheus over HTTP on the loopback.

Both are read from one registry, so they cannot disagree. No label holds anything that a peer wrote.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import prometheus_client
from prometheus_client import CollectorRegistry, Gauge, Histogram, ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kernel_interface.access import Address
from kernel_interface.dispatch import QUESTIONS
from kernel_interface.model.supervisor import STATES, Status
from kernel_interface.service import Answer
from kernel_interface.wire import ErrorCode, MessageType
from slm.errors import ServingError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

#: The histogram's upper bounds in seconds. So few, so that all of it fits a frame.
BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
#: How long one HTTP client may keep the others waiting.
HTTP_SECONDS = 5.0


class Metrics:
    """The server's counters and times, in a registry of their own.

    :param waiting: tells how many requests wait.
    :param model: tells how the model is.
    """

    def __init__(self, waiting: Callable[[], int], model: Callable[[], Status] = lambda: Status("none", 0)) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(_ModelCollector(model))
        self._waiting, self._model = waiting, model
        self._messages = prometheus_client.Counter(
            "auton_messages", "Well-formed messages that came.", ["transport", "type"], registry=self.registry
        )
        self._refused = prometheus_client.Counter(
            "auton_refused", "ERRORs that were sent.", ["code"], registry=self.registry
        )
        self._turned_away = prometheus_client.Counter(
            "auton_turned_away", "Peers that were not let in.", ["transport", "why"], registry=self.registry
        )
        self._requests = prometheus_client.Summary(
            "auton_request_seconds", "From a request's coming to its answer.", registry=self.registry
        )
        self._answers = Histogram(
            "auton_answer_seconds",
            "The same by answer; a discovered device has two.",
            ["intent", "source"],
            buckets=BOUNDS,
            registry=self.registry,
        )
        self._broken_actions = prometheus_client.Counter(
            "auton_broken_actions", "Actions that broke their schema, and were not sent.", registry=self.registry
        )
        self._connections = Gauge("auton_connections", "Peers that are served.", ["transport"], registry=self.registry)
        Gauge("auton_waiting", "Requests that wait.", registry=self.registry).set_function(waiting)
        # To look a child up by its labels' values costs more than to count in it.
        self._message, self._answer = cache(self._messages.labels), cache(self._answers.labels)

    def message(self, transport: str, kind: MessageType) -> None:
        """Count a message."""
        self._message(transport, kind.name).inc()

    def refused(self, code: ErrorCode) -> None:
        """Count an ERROR."""
        self._refused.labels(code.name).inc()

    def turned_away(self, transport: str, why: str) -> None:
        """Count a peer that was not let in."""
        self._turned_away.labels(transport, why).inc()

    def answered(self, answers: Iterable[Answer], seconds: float) -> None:
        """Count a request's answers, and how long they took."""
        self._requests.observe(seconds)
        for answer in answers:
            self._answer(answer.intent.name, answer.source).observe(seconds)
            if answer.broken:
                self._broken_actions.inc()

    @contextlib.contextmanager
    def connected(self, transport: str) -> Iterator[None]:
        """Count a peer for as long as the block lasts."""
        gauge = self._connections.labels(transport)
        gauge.inc()
        try:
            yield
        finally:
            gauge.dec()

    def figures(self) -> dict[str, object]:
        """Return everything as the content of SYS_STATS; ``specs/kernel_interface.md`` says what each means."""
        by_transport: Counter[str] = Counter()
        by_type: Counter[str] = Counter()
        for (transport, kind), number in _counts(self._messages).items():
            by_transport[transport] += number
            by_type[kind] += number
        refused, turned_away = _counts(self._refused), _counts(self._turned_away)
        responses, seconds = _values(self._requests, "_count"), _values(self._requests, "_sum")
        taken, total = int(responses[()]), seconds[()]
        sources: Counter[str] = Counter()
        for (_, source), count in _values(self._answers, "_count").items():
            sources[source] += int(count)
        return {
            "commands": sum(by_type[kind.name] for kind in QUESTIONS),
            "responses": taken,
            "refused": sum(refused.values()),
            "events": by_type[MessageType.SLM_EVENT.name],
            "removed": by_type[MessageType.DEV_REMOVED.name],
            "turned_away": sum(turned_away.values()),
            "waiting": self._waiting(),
            "model": asdict(self._model()),
            "average_latency_ms": round(1000 * total / taken, 3) if taken else 0.0,
            "sources": dict(sources),
            "broken_actions": _counts(self._broken_actions)[()],
            "connections": {labels[0]: int(peers) for labels, peers in _values(self._connections, "").items()},
            "messages": dict(by_type),
            "transports": dict(by_transport),
            "refused_by": _flat(refused),
            "turned_away_by": _flat(turned_away),
            "bounds_ms": [1000 * bound for bound in BOUNDS],
            "answers": {name: _differences(buckets) for name, buckets in self._buckets().items()},
        }

    def _buckets(self) -> dict[str, list[int]]:
        """Return for each intent and source how many answers were within each bound, the last one without a bound."""
        found: dict[str, list[int]] = {}
        for family in self._answers.collect():
            for sample in family.samples:  # in the order of the bounds
                if sample.name.endswith("_bucket"):
                    name = f"{sample.labels['intent']}/{sample.labels['source']}"
                    found.setdefault(name, []).append(int(sample.value))
        return found


class _ModelCollector(Collector):
    """Tells how the model is when it is asked."""

    def __init__(self, model: Callable[[], Status]) -> None:
        self._model = model

    def collect(self) -> Iterable[Metric]:
        """Return the state, as 1 for the one that it is, and the restarts."""
        status = self._model()
        states = GaugeMetricFamily("auton_model_state", "1 for the model's state.", labels=["state"])
        for state in STATES:
            states.add_metric([state], float(state == status.state))
        yield states
        yield CounterMetricFamily(
            "auton_model_restarts", "How often the model was started again.", value=status.restarts
        )


def _values(metric: prometheus_client.metrics.MetricWrapperBase, ending: str) -> dict[tuple[str, ...], float]:
    """Return a metric's values by its labels' values; ``ending`` is that of the sample's name."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in metric.collect()
        for sample in family.samples
        if sample.name == family.name + ending
    }


def _counts(counter: prometheus_client.Counter) -> dict[tuple[str, ...], int]:
    return {labels: int(value) for labels, value in _values(counter, "_total").items()}


def _flat(counts: dict[tuple[str, ...], int]) -> dict[str, int]:
    return {"/".join(labels): number for labels, number in counts.items()}


def _differences(cumulated: list[int]) -> list[int]:
    return [this - before for this, before in zip(cumulated, [0, *cumulated], strict=False)]


@contextlib.contextmanager
def exposed(metrics: Metrics, address: Address) -> Iterator[Address]:
    """Serve GET /metrics in Prometheus' text format while the block lasts, from a thread of its own.

    :returns: the address, with the port that was free where port 0 was asked for.
    :raises ServingError: when the address is not on the loopback, since nobody is asked for a token; or cannot be had.
    """
    if not _is_loopback(address.host):
        raise ServingError(
            f"{address} is not on the loopback, and metrics are served without a token.",
            "Use 127.0.0.1, and a proxy that knows who may read them.",
        )
    try:
        server = _HttpServer(address, metrics.registry)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ServingError(f"Nobody can listen on {address}: {reason}.", "Choose another --metrics PORT.") from error
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield Address(address.host, server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Handler(WSGIRequestHandler):
    timeout = HTTP_SECONDS

    def log_message(self, format: str, *arguments: Any) -> None:
        log.debug(format, *arguments)


class _HttpServer(WSGIServer):
    """One client at a time, so that many cannot tie up threads."""

    def __init__(self, address: Address, registry: CollectorRegistry) -> None:
        self.address_family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        super().__init__((address.host, address.port), _Handler)
        self.set_app(_only_metrics(prometheus_client.make_wsgi_app(registry)))

    def handle_error(self, request: object, client_address: object) -> None:
        log.debug("An HTTP client was not served.", exc_info=True)


def _only_metrics(metrics: WSGIApplication) -> WSGIApplication:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/metrics":
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"There is only /metrics here.\n"]
        return metrics(environ, start_response)

    return application
