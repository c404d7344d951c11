"""What systemd is told: the test plays systemd with a datagram socket."""

from __future__ import annotations

import os
import random
import select
import socket
import uuid
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from edge_agent.clock import ManualClock
from edge_agent.service.systemd import Notifier, Watchdog, watchdog_interval_s


class Systemd:
    """The receiving end of a notify socket."""

    def __init__(self, address: str) -> None:
        self.environ = {"NOTIFY_SOCKET": address.replace("\0", "@")}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)

    def heard(self) -> list[str]:
        messages = []
        while select.select([self.socket], [], [], 0)[0]:
            messages.append(self.socket.recv(4096).decode())
        return messages


@pytest.fixture(params=["path", "abstract"])
def systemd(request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    monkeypatch.chdir(tmp_path)  # a socket's path may have 107 bytes
    short = f"/tmp/edge-agent-{uuid.uuid4().hex[:12]}"
    peer = Systemd(short if request.param == "path" else f"\0edge-agent-{uuid.uuid4().hex}")
    yield peer
    peer.socket.close()
    Path(short).unlink(missing_ok=True)


def test_ready_status_and_stopping_arrive_word_for_word(systemd):
    notifier = Notifier(systemd.environ)
    assert notifier.notify("READY=1", "STATUS=watching camera 0")
    assert notifier.notify("STOPPING=1")
    assert systemd.heard() == ["READY=1\nSTATUS=watching camera 0", "STOPPING=1"]


def test_a_line_break_in_a_status_starts_no_field_of_its_own(systemd):
    Notifier(systemd.environ).notify("STATUS=camera\nMAINPID=1\r\nWATCHDOG=trigger")
    assert systemd.heard() == ["STATUS=camera MAINPID=1 WATCHDOG=trigger"]


def test_without_systemd_nothing_happens():
    notifier = Notifier({})
    assert not notifier.active
    assert not notifier.notify("READY=1")


def test_a_socket_that_is_gone_is_logged_once_and_never_raised(tmp_path, caplog):
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    assert not notifier.notify("READY=1")
    assert not notifier.notify("WATCHDOG=1")
    assert len(caplog.records) == 1


@pytest.mark.parametrize("address", ["vsock:2:1234", "relative/path", "/" + "x" * 200])
def test_an_address_that_cannot_be_used_is_no_error(address):
    assert not Notifier({"NOTIFY_SOCKET": address}).notify("READY=1")


def test_a_systemd_that_does_not_read_cannot_hang_the_agent(systemd):
    notifier = Notifier(systemd.environ, timeout_s=0.01)
    sent = 0
    while sent < 5000 and notifier.notify("STATUS=" + "x" * 1000):
        sent += 1
    assert sent < 5000
    assert systemd.heard()
    assert notifier.notify("READY=1")


def test_progress_pings_at_most_every_third_of_the_interval(systemd):
    clock = ManualClock()
    watchdog = Watchdog(Notifier(systemd.environ), clock, interval_s=30.0)
    for _ in range(600):  # a minute of ten frames a second
        watchdog.progress()
        clock.advance(0.1)
    assert systemd.heard() == ["WATCHDOG=1"] * 6


def test_without_progress_there_is_no_ping(systemd):
    clock = ManualClock()
    watchdog = Watchdog(Notifier(systemd.environ), clock, interval_s=30.0)
    clock.advance(100)
    assert systemd.heard() == []
    watchdog.progress()
    assert systemd.heard() == ["WATCHDOG=1"]


def test_progress_every_two_thirds_of_the_interval_never_lets_it_pass(systemd):
    clock, rng = ManualClock(), random.Random(5)
    watchdog = Watchdog(Notifier(systemd.environ), clock, interval_s=30.0)
    pinged_s = [0.0]
    for _ in range(500):
        watchdog.progress()
        pinged_s += [clock.monotonic_s()] * len(systemd.heard())
        clock.advance(rng.uniform(0, 20.0))
    gaps_s = [after - before for before, after in pairwise(pinged_s)]
    assert max(gaps_s) <= 30.0
    assert min(gaps_s[1:]) >= 10.0


def test_a_ping_that_was_not_handed_over_is_tried_again_at_the_next_progress(tmp_path):
    path = f"/tmp/edge-agent-{uuid.uuid4().hex[:12]}"
    watchdog = Watchdog(Notifier({"NOTIFY_SOCKET": path}), ManualClock(), interval_s=30.0)
    watchdog.progress()
    peer = Systemd(path)
    watchdog.progress()
    assert peer.heard() == ["WATCHDOG=1"]
    peer.socket.close()
    Path(path).unlink()


def test_without_a_watchdog_in_the_unit_nothing_is_sent(systemd, monkeypatch):
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    Watchdog(Notifier(systemd.environ), ManualClock()).progress()
    assert systemd.heard() == []


@pytest.mark.parametrize(
    ("environ", "interval_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_interval_is_the_units_if_it_is_meant_for_this_process(environ, interval_s):
    assert watchdog_interval_s(environ) == interval_s
