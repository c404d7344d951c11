"""Seconds and money of each action in M4A1: devices, networks, and the published or the measured cost of the device.

The published latency of the device counts the compute of two tokens, where an answer has hundreds, so it is about a
thousand times too small; "measured" takes what the data itself recorded for turns on the device. The cloud's figures
are the published ones of each network in both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_agent.errors import InputError
from edge_agent.policy.conversation import LOCAL, UPLOADS, Prices
from edge_agent.sim.m4a1_data import Conversation

COSTS = ("published", "measured")
DEVICES: dict[str, tuple[float, float]] = {  # GFLOPS, W [C]
    "pi4": (13.5, 8.0),
    "pi5": (31.4, 12.0),
    "nano": (472.0, 10.0),
    "tx2": (1330.0, 15.0),
    "xavier-nx": (21e3, 20.0),
    "orin-nx": (100e3, 25.0),
    "agx-orin": (275e3, 60.0),
}
NETWORKS: dict[str, tuple[float, ...]] = {  # seconds of a cloud turn with 0, 1, 2, 3 views [C]
    "wired": (6.46030, 4.76134, 6.24569, 6.98211),
    "wifi": (0.5, 1.898, 2.016, 2.238),
    "5g": (0.5, 6.037, 6.412, 7.118),
    "4g": (0.5, 16.603, 17.636, 19.573),
}
CLOUD_USD = (0.00049, 0.00500, 0.00945, 0.01368)  # of a cloud turn with 0, 1, 2, 3 views [C]
TWO_TOKENS_FLOP = (2 * 3.8e9 / 1024) * 2048
USD_PER_JOULE = 0.1668 / 3.6e6


def published_local(device: str) -> tuple[float, float]:
    """(seconds, USD) of a turn on the device: the released formula, two tokens of a 3.8 G model at peak speed."""
    gflops, watts = DEVICES[device]
    latency_s = TWO_TOKENS_FLOP / (gflops * 1e9)
    return latency_s, watts * latency_s * USD_PER_JOULE


def measured_local(conversations: Sequence[Conversation]) -> tuple[float, float]:
    """(seconds, USD) of a turn on the device: the means of what was recorded; the file does not say on which device."""
    turns = [turn for c in conversations for turn in c.turns if turn.action == LOCAL]
    if not turns:
        raise InputError("no turn of the file ran on the device", "use --cost published")
    return float(np.mean([t.latency_s for t in turns])), float(np.mean([t.cost_usd for t in turns]))


def prices_of(local: tuple[float, float], network: str) -> Prices:
    """Each action's latency and money, the device's as given."""
    by_views = np.array([local[0], *NETWORKS[network]]), np.array([local[1], *CLOUD_USD])
    kind = np.array([0, *(1 + UPLOADS[1:])])  # local, then cloud by the number of views
    return Prices(latency_s=by_views[0][kind], cost_usd=by_views[1][kind])
