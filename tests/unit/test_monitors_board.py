"""Heat, throttling, power and memory from files of the kernel; whatever is missing or broken is unknown."""

from __future__ import annotations

import socket
import struct
import threading
from pathlib import Path

import pytest

from edge_agent.clock import ManualClock
from edge_agent.monitors import device as device_module
from edge_agent.monitors.device import DeviceMonitors
from edge_agent.monitors.heat import hottest_celsius
from edge_agent.monitors.link import UPLOADS_KEPT, Link
from edge_agent.monitors.load import memory_available_mb
from edge_agent.monitors.power import Throttle, throttle, watts
from edge_agent.transport.wire import UNKNOWN, Wire, parse, wire_of
from edge_agent.types import Generation
from edge_agent.uplink import HANDLING_MS


def put(root: Path, files: dict[str, object]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else f"{text}\n".encode())
    return root


PI = "devices/platform/soc/soc:firmware/get_throttled"


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        ("0", Throttle(False, False)),
        ("50005", Throttle(True, True)),
        ("50000", Throttle(False, False)),
        ("8", Throttle(True, False)),
        ("1", Throttle(False, True)),
        ("junk", Throttle(None, None)),
        ("", Throttle(None, None)),
    ],
)
def test_a_raspberry_pis_flags_of_this_moment_count_and_those_of_the_past_do_not(
    tmp_path: Path, flags: str, found: Throttle
) -> None:
    assert throttle(put(tmp_path, {PI: flags})) == found


def test_a_weak_supply_is_seen_by_its_alarm_alone(tmp_path: Path) -> None:
    root = put(tmp_path, {"class/hwmon/hwmon1/name": "rpi_volt", "class/hwmon/hwmon1/in0_lcrit_alarm": 1})
    assert throttle(root) == Throttle(None, True)


def test_the_kernels_own_cooling_is_seen_and_a_fan_is_none(tmp_path: Path) -> None:
    cooling = "class/thermal/cooling_device"
    files = {f"{cooling}0/type": "cpufreq-cpu0", f"{cooling}0/cur_state": 0, f"{cooling}1/type": "pwm-fan"}
    root = put(tmp_path, {**files, f"{cooling}1/cur_state": 4})
    assert throttle(root) == Throttle(False, None)
    assert throttle(put(root, {f"{cooling}0/cur_state": 2})) == Throttle(True, None)


def test_a_jetsons_input_rail_is_its_power(tmp_path: Path) -> None:
    rails = "class/hwmon/hwmon3/"
    files = {"name": "ina3221", "in1_label": "VDD_CPU", "in1_input": 5000, "curr1_input": 100}
    more = {"in2_label": "VDD_IN", "in2_input": 4960, "curr2_input": 1500}
    assert watts(put(tmp_path, {rails + k: v for k, v in {**files, **more}.items()})) == pytest.approx(7.44)


def test_a_jetson_with_an_old_kernel_has_it_elsewhere(tmp_path: Path) -> None:
    folder = "bus/i2c/drivers/ina3221x/6-0040/iio:device0/"
    root = put(tmp_path, {folder + "rail_name_0": "POM_5V_IN", folder + "in_power0_input": 2340})
    assert watts(root) == pytest.approx(2.34)


def test_a_battery_that_is_drained_tells_power_too(tmp_path: Path) -> None:
    assert watts(put(tmp_path, {"class/power_supply/BAT0/power_now": -6_500_000})) == pytest.approx(6.5)


@pytest.mark.parametrize("text", ["junk", "", "99999999999999", b"\xff\xfe", "-"])
def test_what_no_sensor_says_is_unknown(tmp_path: Path, text: str | bytes) -> None:
    zone = "class/thermal/thermal_zone0/temp"
    root = put(tmp_path, {zone: text, "class/hwmon/hwmon0/power1_input": text, PI: b"\xff"})
    assert hottest_celsius(root / "class/thermal") is None
    assert watts(root) is None
    assert throttle(root) == Throttle(None, None)


def test_without_any_file_all_is_unknown(tmp_path: Path) -> None:
    assert (throttle(tmp_path), watts(tmp_path), hottest_celsius(tmp_path)) == (Throttle(None, None), None, None)


def test_the_hottest_zone_counts_and_a_zone_that_measures_nothing_does_not(tmp_path: Path) -> None:
    zones = {"thermal_zone0/temp": 61500, "thermal_zone1/temp": 48000, "thermal_zone2/temp": 100000}
    root = put(tmp_path, {**zones, "thermal_zone2/type": "PMIC-Die", "thermal_zone0/type": "CPU-therm"})
    assert hottest_celsius(root) == pytest.approx(61.5)


def test_the_services_own_memory_limit_counts(tmp_path: Path) -> None:
    top = "sys/fs/cgroup/system.slice/"
    files = {"proc/self/cgroup": "0::/system.slice/edge-agent.service", top + "memory.max": "max"}
    own = {"memory.max": 300_000_000, "memory.current": 290_000_000, "memory.stat": "anon 1\ninactive_file 40000000"}
    root = put(tmp_path, {**files, **{top + "edge-agent.service/" + k: v for k, v in own.items()}})
    assert memory_available_mb(root) == pytest.approx(50.0)
    unlimited = memory_available_mb(put(root, {top + "edge-agent.service/memory.max": "max"}))
    assert unlimited is None or unlimited != pytest.approx(50.0)


def test_a_monitor_that_throws_is_unknown_said_once_and_harms_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> float:
        raise ZeroDivisionError("a driver's bug")

    monkeypatch.setattr(device_module, "hottest_celsius", broken)
    monkeypatch.setattr(device_module, "watts", lambda: 3.5)
    clock = ManualClock()
    monitors = DeviceMonitors(clock, None, 0.0)
    for _ in range(3):
        state = monitors.state()
        assert (state.temperature_celsius, state.power_watts) == (None, 3.5)
        clock.advance(60)
    assert caplog.text.count("the monitor of heat failed (a driver's bug): it is unknown") == 1


def test_round_trip_and_loss_come_from_the_turns_own_packets() -> None:
    monitors = DeviceMonitors(ManualClock(), None, 0.0)
    assert (monitors.state().rtt_ms, monitors.state().loss_share) == (None, None)
    monitors.cloud_answered(Generation("cup", 0.9, 0.1, 1, rtt_ms=20.0, loss_share=0.1), 50.0)
    monitors.cloud_answered(Generation("cup", 0.9, 0.1, 1, rtt_ms=None, loss_share=None), 50.0)
    assert (monitors.state().rtt_ms, monitors.state().loss_share) == (20.0, 0.1)
    link = Link(ManualClock())
    for rtt_ms in (10.0, 20.0):
        link.answered(50.0, 0, 0.0, rtt_ms, 0.0)
    assert link.rtt_ms == pytest.approx(13.0)


def test_the_uplink_is_what_pictures_reached_and_not_what_a_question_alone_took() -> None:
    link = Link(ManualClock())
    link.answered(50.0, 120, 90.0)  # a further question about a picture that the cloud holds
    assert (link.uplink_mbps, link.reachable) == (None, True)
    link.answered(50.0, 2000, 16.0 + HANDLING_MS)
    link.answered(50.0, 120, 90.0)
    assert link.uplink_mbps == pytest.approx(1.0)


def test_the_round_trip_is_no_part_of_what_bytes_take() -> None:
    link = Link(ManualClock())
    link.answered(100.0, 2000, 60.0 + 8.0 + HANDLING_MS, rtt_ms=60.0)
    assert link.uplink_mbps == pytest.approx(2.0)


def test_an_uplink_that_is_faster_than_can_be_told_is_unknown() -> None:
    link = Link(ManualClock())
    for upload_ms in (0.5, HANDLING_MS, HANDLING_MS + 1.0):
        link.answered(50.0, 2000, upload_ms)
        assert link.uplink_mbps is None


def test_one_slow_upload_does_not_make_a_slow_link_but_some_in_a_row_do() -> None:
    link = Link(ManualClock())
    link.answered(50.0, 2000, HANDLING_MS)
    told = []
    for _ in range(UPLOADS_KEPT):
        link.answered(50.0, 2000, 160.0 + HANDLING_MS)
        told.append(link.uplink_mbps)
    assert told == [None] * (UPLOADS_KEPT - 1) + [pytest.approx(0.1)]
    link.answered(50.0, 2000, 16.0 + HANDLING_MS)
    assert link.uplink_mbps == pytest.approx(1.0)


def tcp_info(rtt_us: int, again: int, out: int, length: int = 232) -> bytes:
    info = bytearray(232)
    struct.pack_into("=I", info, 68, rtt_us)
    struct.pack_into("=I", info, 100, again)
    struct.pack_into("=I", info, 136, out)
    return bytes(info[:length])


def test_the_kernels_words_are_read_as_far_as_they_go() -> None:
    assert parse(tcp_info(23_500, 3, 60)) == Wire(23.5, 0.05)
    assert parse(tcp_info(23_500, 3, 60, 104)) == Wire(23.5, None), "an old kernel tells less"
    assert parse(tcp_info(0, 0, 0)) == UNKNOWN
    assert parse(b"") == UNKNOWN
    assert wire_of(None) == UNKNOWN


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="Linux alone tells")
def test_a_real_connection_has_a_round_trip_and_loses_nothing_at_home() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        other, _ = server.accept()
        with other:
            echo = threading.Thread(target=lambda: other.sendall(other.recv(100)))
            echo.start()
            client.sendall(b"hello")
            assert client.recv(100) == b"hello"
            echo.join()
            seen = wire_of(client)  # type: ignore[arg-type]
    assert seen.rtt_ms is not None
    assert 0 < seen.rtt_ms < 1000
    assert seen.loss_share == 0.0
