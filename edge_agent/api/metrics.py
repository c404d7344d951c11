"""Figures for Prometheus, in its text format: questions by outcome, times, bytes, money, and how the device is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edge_agent.api.desk import Ended
from edge_agent.types import Decision

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
STATUS = Path("/proc/self/status")
Gauges = Callable[[], dict[str, tuple[str, float | None]]]
"""Gives {name: (help, value)} of this moment; None: not known, and then not shown."""


class Metrics:
    """All figures of one agent. The outcome is a label of every latency: a question that was cancelled early must not
    make the times look good.
    """

    def __init__(self, gauges: Gauges) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nobody asks for
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._questions = Counter(
            "edge_agent_questions",
            "Questions by who asked and how they ended",
            ["origin", "outcome"],
            registry=registry,
        )
        self._answers = Counter("edge_agent_answers", "Answers by who gave them", ["route"], registry=registry)
        self._offload = Counter(
            "edge_agent_offload",
            "Decisions of answered questions, by what decided",
            ["route", "reason"],
            registry=registry,
        )
        self._total_s = Histogram(
            "edge_agent_question_seconds",
            "From being asked to the end, with waiting",
            ["outcome"],
            buckets=SECONDS,
            registry=registry,
        )
        self._first_s = Histogram(
            "edge_agent_time_to_first_token_seconds",
            "From being asked to the first token, with waiting",
            ["outcome"],
            buckets=SECONDS,
            registry=registry,
        )
        self._bytes_up = Counter("edge_agent_upload_bytes", "Bytes sent to the cloud", registry=registry)
        self._bytes_down = Counter("edge_agent_download_bytes", "Bytes that came from the cloud", registry=registry)
        self._usd = Counter("edge_agent_cost_usd", "Money spent in the cloud, in dollars", registry=registry)
        self._hedges = Counter(
            "edge_agent_hedges",
            "Questions answered at both ends, by whose answer it was",
            ["won"],
            registry=registry,
        )
        self._wasted_s = Counter(
            "edge_agent_hedge_wasted_seconds", "Time of the device for nothing in them", registry=registry
        )
        self._wasted_bytes = Counter(
            "edge_agent_hedge_wasted_bytes", "Bytes that went up for nothing in them", registry=registry
        )
        self._wasted_usd = Counter("edge_agent_hedge_wasted_usd", "Money spent for nothing in them", registry=registry)
        self._tokens = Counter("edge_agent_generated_tokens", "Tokens of answers", ["route"], registry=registry)
        self._requests = Counter(
            "edge_agent_http_requests", "HTTP requests by address and status", ["path", "status"], registry=registry
        )
        registry.register(_Now(gauges))

    def ended(self, end: Ended) -> None:
        """A question ended."""
        self._questions.labels(end.origin, end.outcome).inc()
        self._total_s.labels(end.outcome).observe(end.total_s)
        if end.first_token_s is not None:
            self._first_s.labels(end.outcome).observe(end.first_token_s)
        answer = end.answer
        if answer is None:
            return
        route = answer.route.value
        self._answers.labels(route).inc()
        self._offload.labels(route, reason_of(answer.decision)).inc()
        self._tokens.labels(route).inc(answer.tokens)
        self._bytes_up.inc(answer.bytes_up)
        self._bytes_down.inc(answer.bytes_down)
        self._usd.inc(answer.cost_usd)
        if answer.hedged is not None:
            self._hedges.labels(answer.hedged.won.value).inc()
            self._wasted_s.inc(answer.hedged.device_ms / 1000)
            self._wasted_bytes.inc(answer.hedged.bytes_up)
            self._wasted_usd.inc(answer.hedged.cost_usd)

    def request(self, path: str, status: int) -> None:
        """An HTTP request was answered; `path` is that of its handler, so that there are few."""
        self._requests.labels(path, str(status)).inc()

    def text(self) -> bytes:
        """What Prometheus reads."""
        return generate_latest(self._registry)


def reason_of(decision: Decision) -> str:
    """What settled a decision, in one word of a few: the guard that did, else the policy."""
    return decision.guards[0].partition(":")[0] if decision.guards else decision.policy


class _Now(Collector):
    """Gauges that are read when they are asked for."""

    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        anonymous = {"anonymous_memory_bytes": ("Memory that is no cache of files", anonymous_bytes())}
        for name, (words, value) in {**self._gauges(), **anonymous}.items():
            if value is not None:
                yield GaugeMetricFamily(f"edge_agent_{name}", words, value=value)


def anonymous_bytes(status: Path = STATUS) -> float | None:
    """Anonymous resident memory of this process; None where the system does not tell."""
    try:
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(":")
        if name == "RssAnon":
            return float(value.split()[0]) * 1024
    return None
