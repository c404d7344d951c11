"""`edge-agent bench` end to end on tiny inputs: rows with the fixed keys, and one line for what cannot be right."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from edge_agent.cli.main import main

FIXED = {"bench", "case", "size", "ours_us", "spread_pct", "peers", "machine"}
QUICK = ("--rounds", "3", "--data", "")


def rows(capfd: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    code = main(["bench", *arguments, "--json"])
    out, err = capfd.readouterr()
    assert code == 0, err
    return [json.loads(line) for line in out.splitlines()]


def check_timing(row: dict[str, Any]) -> None:
    assert row.keys() >= FIXED
    assert row["ours_us"] > 0
    assert row["spread_pct"] >= 0
    assert row["machine"]["cpu"]
    assert row["machine"]["python"].count(".") == 2
    for peer in row["peers"].values():
        assert peer["version"]
        assert peer["us"] > 0
        assert math.isfinite(peer["ratio"])
        assert peer["ratio"] > 0
        assert peer["work"].split(":")[0] in ("same", "less", "other")


def test_each_case_of_features_is_a_row_with_the_fixed_keys(capfd: pytest.CaptureFixture[str]) -> None:
    found = rows(capfd, "features", *QUICK, "--size", "70x50", "--variant", "warm", "--peers", "numpy,cv2")
    for row in found:
        check_timing(row)
        assert row["bench"] == "features"
        assert row["size"] == "70x50"
    assert [(row["case"], row["pixels"]) for row in found] == [
        ("grey", "bgr"),
        ("hist_entropy", "grey"),
        ("tile32_entropy", "grey"),
        ("tile16_entropy", "grey"),
        ("edge_laplacian", "grey"),
        ("frame_diff", "grey"),
        ("all_vision", "bgr"),
        ("all_vision", "grey"),
    ]
    assert {"numpy", "cv2"} <= found[0]["peers"].keys()


def test_a_case_a_variant_and_no_peers_can_be_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    found = rows(
        capfd,
        *("features", *QUICK, "--size", "64x48", "--size", "32x32"),
        *("--case", "grey,frame_diff", "--variant", "warm", "--peers", "none", "--runs", "2"),
    )
    assert [(row["size"], row["case"], row["run"]) for row in found] == [
        (size, case, run) for run in (1, 2) for size in ("64x48", "32x32") for case in ("grey", "frame_diff")
    ]
    assert all(row["peers"] == {} for row in found)


def test_people_get_a_table_that_marks_who_wins(capfd: pytest.CaptureFixture[str]) -> None:
    quick = (*QUICK, "--size", "640x480", "--case", "frame_diff", "--variant", "warm", "--peers", "cv2")
    assert main(["bench", "features", *quick]) == 0
    out = capfd.readouterr().out
    assert "frame_diff" in out
    assert "cv2_norm_sad_only" in out
    assert "sad_only, the mean alone" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("featurs",), "did you mean 'features'?"),
        (("features", "--case", "hist"), "no case 'hist': did you mean"),
        (("features", "--size", "640"), "--size '640' is no size: a size is WIDTHxHEIGHT"),
        (("features", "--size", "8x100000"), "is no size"),
        (("features", "--peers", "opencv"), "no peer 'opencv': "),
        (("features", "--peers", ""), "no peer"),
        (("features", "--variant", "hot"), "no variant 'hot': known: warm, cold"),
        (("features", "--input", "cats"), "no input 'cats': "),
        (("features", "--rounds", "1"), "1 is not in the range"),
        (("features", "--data", "/no/such/folder"), "--data /no/such/folder is no folder"),
    ],
)
def test_bad_usage_is_one_line_and_2(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.delenv("EDGE_AGENT_DATA", raising=False)
    assert main(["bench", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert said in err


def test_a_folder_without_clips_leaves_the_texture(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ("--size", "32x32", "--case", "grey", "--variant", "warm", "--peers", "none", "--rounds", "3")
    found = rows(capfd, "features", *arguments, "--data", str(tmp_path))
    assert [row["input"] for row in found] == ["texture"]
