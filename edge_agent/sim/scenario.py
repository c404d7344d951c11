"""What a scenario says of devices, link, arrivals, cloud and limits; each with default, unit, range and a sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_agent.config import setting
from edge_agent.sim.m4a1_prices import COSTS, DEVICES, NETWORKS

VERSION = 1
LINK_KINDS = ("wired", "wifi", "5g", "4g", "4g-weak", "loopback", "file")
ARRIVAL_KINDS = ("steady", "bursty", "diurnal")
SPLITS = ("judged", "fitted", "unseen")


@dataclass(frozen=True, slots=True)
class TableSpec:
    """`[table]`: which questions are asked, and which nodes of the measured table answer them."""

    file: str = setting("", "a table that `python -m tools.measure_nodes` made; empty: the one that is shipped")
    split: str = setting(
        "judged", "photos: judged (no predictor was fitted on them), fitted (for tuning), or both", choices=SPLITS
    )
    source: str = setting("", "only questions of this set, e.g. coco-dev; empty: all, as often as they stand there")
    edge: str = setting("edge-1t", "the device's node")
    cloud: str = setting("cloud-tiles", "the cloud's node")
    overview: str = setting(
        "cloud-overview", "the same where a picture goes up as its overview alone; empty: all views go up always"
    )


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """`[device]`: what every device is like. Heat and battery are first-order models."""

    count: int = setting(1, "devices that share the cloud, each with a link of its own", low=1, high=1000)
    slowdown: float = setting(1.0, "how much longer it computes than the machine of the table", low=0.01, high=1000)
    at_once: int = setting(1, "questions that it works on at a time; the agent takes one", low=1, high=64)
    queue: int = setting(32, "questions that may wait; the newest is refused when it is full", low=0, high=100_000)
    cores: int = setting(4, "cores, for the load that policies are told", low=1, high=1024)
    other_load: float = setting(0.0, "load by other programs, runnable tasks a core", low=0, high=100)
    private_share: float = setting(0.0, "share of the questions that may not leave the device", low=0, high=1)
    idle_w: float = setting(3.0, "power while it waits", unit="W", low=0, high=10_000)
    busy_w: float = setting(6.0, "power while it computes", unit="W", low=0, high=10_000)
    radio_w: float = setting(1.0, "power that sending adds", unit="W", low=0, high=1000)
    battery_wh: float = setting(0.0, "a battery of so much; empty, it answers no more; 0: mains", unit="Wh", low=0)
    ambient_celsius: float = setting(25.0, "air around it", unit="degrees", low=-40, high=80)
    celsius_per_w: float = setting(0.0, "how much a watt warms it in the long run; 0: no heat", low=0, high=100)
    heat_s: float = setting(120.0, "time constant of warming", unit="s", low=1, high=100_000)
    throttle_celsius: float = setting(80.0, "from here on it slows down, as a Raspberry Pi does", low=0, high=150)
    hottest_celsius: float = setting(85.0, "from here on it runs at `hot_slowdown`", low=1, high=151)
    hot_slowdown: float = setting(2.0, "how much longer it computes then", low=1, high=100)


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """`[link]`: a kind whose parameters stand in edge_agent/sim/traces.py, or a trace file; with interruptions."""

    kind: str = setting("wifi", "the link of each device", choices=LINK_KINDS)
    file: str = setting("", "CSV of time_s,uplink_mbps,rtt_ms beside the scenario; repeated when it ends")
    scale: float = setting(1.0, "factor on the uplink", low=0.001, high=1000)
    outage_every_s: float = setting(0.0, "mean time between outages; 0: none", unit="s", low=0, high=1e6)
    outage_s: float = setting(10.0, "mean length of an outage", unit="s", low=0.01, high=1e5)
    handover_every_s: float = setting(0.0, "mean time between handovers; 0: none", unit="s", low=0, high=1e6)
    handover_s: float = setting(0.3, "how long a handover interrupts", unit="s", low=0.001, high=60)


@dataclass(frozen=True, slots=True)
class ArrivalSpec:
    """`[arrivals]`: when questions come, for each device on its own."""

    kind: str = setting(
        "steady",
        "steady: at random at one rate; bursty: bursts of five times that rate with pauses between; diurnal: the rate "
        "swings by nine tenths over `day_s`",
        choices=ARRIVAL_KINDS,
    )
    per_minute: float = setting(6.0, "mean rate", unit="questions/min", low=1e-3, high=1e5)
    questions: int = setting(300, "questions of all devices together", low=1, high=1_000_000)
    turns: int = setting(1, "questions of one conversation; 1: each stands alone", low=1, high=5)
    burst_s: float = setting(20.0, "mean length of a burst", unit="s", low=0.1, high=1e5)
    day_s: float = setting(1200.0, "length of a day", unit="s", low=1, high=1e6)


@dataclass(frozen=True, slots=True)
class CloudSpec:
    """`[cloud]`: workers behind one queue, each taking a batch."""

    workers: int = setting(1, "batches that it computes at a time", low=1, high=10_000)
    batch: int = setting(1, "most questions in a batch", low=1, high=1024)
    batch_cost: float = setting(
        0.5, "what each further question of a batch adds, in parts of the longest", low=0, high=1
    )
    queue: int = setting(64, "questions that may wait; more are refused as overloaded", low=0, high=1_000_000)
    slowdown: float = setting(1.0, "how much longer it computes than the machine of the table", low=0.001, high=1000)
    usd_per_question: float = setting(0.0, "price of an answer", unit="USD", low=0, high=100)
    connect_timeout_ms: float = setting(2000.0, "longest wait for a link that is down", unit="ms", low=1, high=60_000)


@dataclass(frozen=True, slots=True)
class LimitSpec:
    """`[limits]`: as in the agent's configuration."""

    deadline_ms: float = setting(
        10_000.0, "a question is answered or refused within this", unit="ms", low=1, high=3.6e6
    )
    max_cost_usd: float = setting(0.01, "most that one question may cost", unit="USD", low=0, high=100)
    budget_usd_per_day: float = setting(0.10, "most that a day of one device may cost", unit="USD", low=0, high=1e4)


@dataclass(frozen=True, slots=True)
class ConversationSpec:
    """`[conversations]`: the M4A1 sample instead of the measured table, as `edge-agent eval m4a1` plays it."""

    file: str = setting("", "the published M4A1.json, beside the scenario; empty: the one given by --data")
    device: str = setting("tx2", "the board, for the published cost", choices=tuple(DEVICES))
    network: str = setting("wired", "the link to the cloud", choices=tuple(NETWORKS))
    cost: str = setting("published", "cost of the device", choices=COSTS)
    budget_s: float = setting(30.0, "seconds of a conversation", unit="s", low=0.01, high=1e6)
    budget_usd: float = setting(0.05, "money of a conversation", unit="USD", low=1e-6, high=1e6)


@dataclass(frozen=True, slots=True)
class Scenario:
    """The whole of it. `policy` are settings of `[policy]` laid over the configuration's; `folder` holds its files.

    With `conversations`, the other sections say nothing.
    """

    name: str
    about: str = ""
    table: TableSpec = field(default_factory=TableSpec)
    device: DeviceSpec = field(default_factory=DeviceSpec)
    link: LinkSpec = field(default_factory=LinkSpec)
    arrivals: ArrivalSpec = field(default_factory=ArrivalSpec)
    cloud: CloudSpec = field(default_factory=CloudSpec)
    limits: LimitSpec = field(default_factory=LimitSpec)
    policy: Mapping[str, Any] = field(default_factory=dict)
    conversations: ConversationSpec | None = None
    folder: Path = Path()


SECTIONS: dict[str, Any] = {
    f.name: f.default_factory
    for f in dataclasses.fields(Scenario)
    if f.name not in ("policy",) and f.default_factory is not dataclasses.MISSING
} | {"conversations": ConversationSpec}
