"""From logged drafts to a threshold: shares, the conformal bound, what of a log is refused, and what goes stale."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.cli import build
from edge_agent.cli.main import main
from edge_agent.config import Config, PolicySettings
from edge_agent.errors import InputError
from edge_agent.policy.calibrate import LoggedDraft, describe, for_error, for_share, wilson
from edge_agent.store.decisions import DecisionLog
from edge_agent.store.drafts import StoredCalibration, read_calibration, read_lines, write_calibration


def drafts(gains: Sequence[float], agreed: Sequence[bool | None] | None = None) -> list[LoggedDraft]:
    labels = agreed or [None] * len(gains)
    return [LoggedDraft(60.0 * at, g, a, 0.001) for at, (g, a) in enumerate(zip(gains, labels, strict=True))]


@given(st.lists(st.floats(-1, 0.99), min_size=1, max_size=80), st.floats(0, 1))
def test_no_more_than_the_share_goes_up(gains: list[float], share: float) -> None:
    threshold = for_share(drafts(gains), share)
    assert sum(g >= threshold for g in gains) <= share * len(gains) + 1e-6 or share >= 1.0


def test_without_ties_the_share_is_met() -> None:
    gains = list(np.linspace(-0.5, 0.5, 100))
    for share in (0.0, 0.3, 0.77, 1.0):
        found = describe(drafts(gains), for_share(drafts(gains), share), None)
        assert found.cloud_share == pytest.approx(share)
        assert found.cloud_share_ci[0] <= share <= found.cloud_share_ci[1]


def test_ties_go_together_and_stay() -> None:
    assert sum(g >= for_share(drafts([0.1] * 10), 0.5) for g in [0.1] * 10) == 0


def test_the_bound_holds_on_questions_that_were_not_calibrated_on() -> None:
    """Mean loss of fresh questions over many calibrations: at most what was asked for, and not far below."""
    rng = np.random.default_rng(3)

    def traffic(count: int) -> list[LoggedDraft]:
        gains = rng.uniform(-0.2, 0.6, count)
        return drafts(list(gains), [bool(a) for a in rng.random(count) > np.clip(gains, 0.02, 1)])

    losses = []
    for _ in range(150):
        threshold = for_error(traffic(200), 0.1)
        assert threshold is not None
        losses.append(np.mean([d.gain < threshold and not d.agreed for d in traffic(200)]))
    assert 0.08 < np.mean(losses) < 0.103


def test_a_draft_that_nobody_compared_counts_as_wrong() -> None:
    gains = list(np.linspace(0, 1, 100))
    compared = for_error(drafts(gains, [True] * 100), 0.1)
    unknown = for_error(drafts(gains), 0.1)
    assert compared is not None
    assert unknown is not None
    assert compared == 1.0
    assert unknown < 0.1


def test_too_few_drafts_show_no_small_error() -> None:
    assert for_error(drafts([0.1] * 5, [True] * 5), 0.01) is None


def test_a_budget_shows_as_cost_a_day() -> None:
    day = [LoggedDraft(86_400.0 * at / 99, at / 100, True, 0.01) for at in range(100)]
    assert describe(day, 0.5, 0.01).usd_per_day == pytest.approx(0.5)


@given(st.integers(1, 500), st.floats(0, 1))
def test_wilsons_interval_holds_the_share(total: int, part: float) -> None:
    count = round(part * total)
    low, high = wilson(count, total)
    assert 0.0 <= low <= count / total + 1e-12
    assert count / total - 1e-12 <= high <= 1.0


def line(at_s: float, gain: float | None, **outcome: Any) -> dict[str, Any]:
    said = {"route": "local", "cost_usd": 0.0, "draft_accepted": None, "expected_gain": gain, **outcome}
    return {"time_s": at_s, "decision": {"policy": "cascade"}, "outcome": said, "error": None}


def logged(path: Path, model: str, count: int = 60) -> Path:
    log = DecisionLog(path, model=model)
    for at in range(count):
        up = at % 2 == 0
        cloud = {"route": "cloud", "cost_usd": 0.002, "draft_accepted": at % 4 == 0} if up else {}
        log.append(line(3600.0 * at, 0.01 * at, **cloud))
    return path


@pytest.fixture
def log_path(own_home: Path) -> Path:
    return build.state_dir(Config()) / "decisions.jsonl"


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["calibrate", "--json", *arguments]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_share_becomes_the_threshold_that_hybrid_decides_with(
    log_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logged(log_path, build.model_identity(Config()))
    found = run("--cloud-share", "0.3", capsys=capsys)
    assert found["cloud_share"] == pytest.approx(0.3)
    assert found["min_gain"] == pytest.approx(0.42)
    for name in ("hybrid", "cascade"):
        assert build.calibrated(replace(Config(), policy=PolicySettings(name=name))).min_gain == found["min_gain"]
    assert build.calibrated(replace(Config(), policy=PolicySettings(name="msao"))).min_gain == 2.0
    asked_for = PolicySettings(name="hybrid", min_gain=0.7)
    assert build.calibrated(replace(Config(), policy=asked_for)).min_gain == 0.7


def test_a_budget_is_kept_by_the_logged_traffic(log_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logged(log_path, build.model_identity(Config()))
    found = run("--budget", "0.01", capsys=capsys)
    assert 0.008 < found["usd_per_day"] <= 0.0101


def test_a_bound_that_traffic_cannot_show_is_refused(log_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logged(log_path, build.model_identity(Config()))
    assert main(["calibrate", "--max-error", "0.001"]) == 3
    assert "cannot show an error" in capsys.readouterr().err


def test_a_dry_run_leaves_nothing(log_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logged(log_path, build.model_identity(Config()))
    assert run("--max-error", "0.9", "--dry-run", capsys=capsys)["written"] is None
    assert not build.calibration_path(Config()).exists()


def test_drafts_of_another_model_are_not_calibrated_on(log_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logged(log_path, "an earlier model")
    assert main(["calibrate", "--cloud-share", "0.3"]) == 3
    assert "it has changed since" in capsys.readouterr().err


def test_a_calibration_of_another_model_goes_stale_loudly(own_home: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_calibration(build.calibration_path(Config()), StoredCalibration(0.1, "an earlier model", "share 0.3"), {})
    with caplog.at_level(logging.WARNING):
        settings = build.calibrated(replace(Config(), policy=PolicySettings(name="hybrid")))
    assert settings.min_gain == 2.0
    assert "stale" in caplog.text


@pytest.mark.parametrize("text", ["", "[]", '{"format": 9}', '{"format": 1, "min_gain": 7, "model": "m", "goal": "g"}'])
def test_a_calibration_that_is_none_is_set_aside(own_home: Path, caplog: pytest.LogCaptureFixture, text: str) -> None:
    path = build.calibration_path(Config())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"."):
        read_calibration(path)
    with caplog.at_level(logging.WARNING):
        assert build.calibrated(replace(Config(), policy=PolicySettings(name="hybrid"))).min_gain == 2.0
    assert "set aside" in caplog.text


@pytest.mark.parametrize("arguments", [[], ["--cloud-share", "0.1", "--budget", "1"], ["--cloud-share", "1.5"]])
def test_not_exactly_one_goal_is_bad_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", *arguments]) == 2


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("nonsense\n", "not JSON"),
        ('{"schema": 3, "time_s": 1, "decision": {}}\n', "schema 3, this program reads 1 and 2"),
        ('{"schema": 1, "time_s": NaN, "decision": {}}\n', "time_s is no number"),
        ('{"schema": 1, "time_s": 1}\n', "no decision"),
        ('{"schema": 1, "time_s": -9000, "decision": {}}\n', "time runs backwards"),
    ],
)
def test_a_line_that_does_not_fit_is_refused_with_file_line_and_reason(tmp_path: Path, bad: str, reason: str) -> None:
    path = logged(tmp_path / "d.jsonl", "m", 3)
    with path.open("a", encoding="utf-8") as log:
        log.write(bad)
    with pytest.raises(InputError, match=rf"d\.jsonl:4: .*{reason}"):
        list(read_lines(path))


def test_a_line_without_end_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = logged(tmp_path / "d.jsonl", "m", 3)
    os.truncate(path, 1 << 26)
    with pytest.raises(InputError, match=r"d\.jsonl:4: a line of more than \d+ characters"):
        list(read_lines(path))


def test_a_last_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    path = logged(tmp_path / "d.jsonl", "m", 3)
    with path.open("a", encoding="utf-8") as log:
        log.write('{"schema": 1, "ti')
    assert [one.number for one in read_lines(path)] == [1, 2, 3]
