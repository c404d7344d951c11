"""`edge-agent bench` end to end on tiny inputs: rows with the fixed keys, and one line for what cannot be right."""

from __future__ import annotations

import importlib.util
import json
import math
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_agent.cli.main import main
from edge_agent.config import POLICY_NAMES, CloudSettings

FIXED = {"bench", "case", "size", "ours_us", "spread_pct", "peers", "machine"}
QUICK = ("--rounds", "3", "--data", "")


def rows(capfd: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    code = main(["bench", *arguments, "--json"])
    out, err = capfd.readouterr()
    assert code == 0, err
    return [json.loads(line) for line in out.splitlines()]


def check_timing(row: dict[str, Any]) -> None:
    assert row.keys() >= FIXED
    assert math.isfinite(row["ours_us"])
    assert row["ours_us"] > 0 or row["case"] == "binding"  # that one is a difference of two timings
    assert row["spread_pct"] >= 0 or row["case"] == "binding"
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
        assert row["size"] == ("8x8" if row["case"] == "binding" else "70x50")
    assert [(row["case"], row.get("pixels")) for row in found] == [
        ("binding", None),
        ("grey", "bgr"),
        ("hist_entropy", "grey"),
        ("tile32_entropy", "grey"),
        ("tile16_entropy", "grey"),
        ("edge_laplacian", "grey"),
        ("frame_diff", "grey"),
        ("all_vision", "bgr"),
        ("all_vision", "grey"),
    ]
    assert {"numpy", "cv2"} <= found[1]["peers"].keys()


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


def test_each_case_of_audio_is_a_row_with_the_fixed_keys(capfd: pytest.CaptureFixture[str]) -> None:
    found = rows(capfd, "audio", *QUICK, "--size", "1s/hop160,hop160", "--peers", "numpy,scipy")
    for row in found:
        check_timing(row)
        assert row["bench"] == "audio"
    assert [(row["case"], row["size"]) for row in found] == [
        ("flux_only", "1s/hop160"),
        ("all_audio", "1s/hop160"),
        ("hop", "hop160"),
    ]
    assert "numpy_flux" in found[0]["peers"]
    assert "ours_named_fields" in found[2]["peers"]
    assert found[2]["ours_us"] < found[1]["ours_us"]


def test_each_kernel_of_codec_is_a_row_with_the_fixed_keys(capfd: pytest.CaptureFixture[str]) -> None:
    kernels = ("quantise_int8", "dequantise_int8", "quantise_int4", "dequantise_int4", "row_changes", "delta_int8")
    found = rows(
        capfd,
        *("codec", *QUICK, "--case", ",".join(kernels)),
        *("--size", "50x192", "--input", "normal", "--peers", "numpy"),
    )
    for row in found:
        check_timing(row)
        assert (row["bench"], row["size"]) == ("codec", "50x192")
    assert tuple(row["case"] for row in found) == kernels


@pytest.mark.slow
def test_a_sound_in_its_basis_takes_a_tenth_of_int8_and_is_heard_alike(
    capfd: pytest.CaptureFixture[str], data_dir: Path
) -> None:
    found = {row["codec"]: row for row in rows(capfd, "codec", "--case", "sound", "--data", str(data_dir))}
    if not found:
        pytest.skip("EDGE_AGENT_DATA has no esc10")
    usual = found["projected/2"]
    assert usual["bytes_mean"] < found["int8-zstd"]["bytes_mean"] / 10
    assert usual["accuracy"] >= found["raw-f32"]["accuracy"] - 0.01
    assert found["raw-f32"]["changed_pct"] == 0


@pytest.mark.slow
def test_each_codec_is_a_row_with_bytes_and_times_and_no_accuracy_without_questions(
    capfd: pytest.CaptureFixture[str],
) -> None:
    found = {row["codec"]: row for row in rows(capfd, "codec", *QUICK, "--case", "payload")}
    dropped = [f"{name}/{percent}" for percent in (25, 50) for name in ("dropped", "refilled")]
    assert found.keys() == {"int4-zstd", "int8-zstd", "raw-f32", *(f"projected/{n}" for n in range(6)), *dropped}
    for row in found.values():
        assert row.keys() >= {"codec", "bytes_mean", "accuracy", "changed_pct", "encode_us", "decode_us"}
        assert row["encode_us"] > 0
        assert row["decode_us"] > 0
        assert (row["accuracy"], row["changed_pct"], row["questions"]) == (None, None, 0)
    tokens, hidden = (int(side) for side in found["raw-f32"]["size"].split("x"))
    assert found["raw-f32"]["bytes_mean"] == found["raw-f32"]["views"] * tokens * hidden * 4
    assert found["int8-zstd"]["bytes_mean"] < found["raw-f32"]["bytes_mean"] / 3
    sizes = [found[f"projected/{level}"]["bytes_mean"] for level in range(6)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] < found["int4-zstd"]["bytes_mean"] / 3
    assert found["refilled/25"]["bytes_mean"] < found["refilled/50"]["bytes_mean"] < found["int4-zstd"]["bytes_mean"]


@pytest.mark.slow
def test_a_whole_picture_there_and_back_is_one_row(capfd: pytest.CaptureFixture[str]) -> None:
    (row,) = rows(capfd, "codec", *QUICK, "--case", "round_trip")
    assert (row["case"], row["codec"], row["size"]) == ("round_trip", f"projected/{CloudSettings().level}", "5x51x192")
    assert row["ours_us"] > 0


@pytest.mark.slow
def test_answers_from_coded_embeddings_are_held_against_those_without_loss(
    capfd: pytest.CaptureFixture[str], data_dir: Path
) -> None:
    arguments = ("codec", "--rounds", "3", "--case", "payload", "--limit", "6", "--data", str(data_dir))
    found = {row["codec"]: row for row in rows(capfd, *arguments)}
    for row in found.values():
        assert row["questions"] == 6
        assert 0 <= row["accuracy"] <= 1
        assert 0 <= row["changed_pct"] <= 100
    assert found["raw-f32"]["changed_pct"] == 0


def test_decide_has_a_row_for_each_policy_and_cites_what_others_say(capfd: pytest.CaptureFixture[str]) -> None:
    found = rows(capfd, "decide", "--rounds", "3", "--size", "features,640x480+1s")
    for row in found:
        check_timing(row)
        assert row["bench"] == "decide"
        assert row["published"]["rule router"]["us"] == 99.0
    assert [(row["size"], row["case"]) for row in found] == [
        (size, policy) for size in ("features", "640x480+1s") for policy in POLICY_NAMES
    ]
    given, seen = found[: len(POLICY_NAMES)], found[len(POLICY_NAMES) :]
    assert sum(row["ours_us"] for row in given) < sum(row["ours_us"] for row in seen)


def test_a_library_that_is_missing_is_named_with_what_brings_it(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "numba" else there(name))
    quick = ("--size", "32x32", "--case", "grey", "--variant", "warm", "--peers", "numpy,numba")
    assert main(["bench", "features", *QUICK, *quick, "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["missing"] == {"numba": "pip install 'edge-agent[bench]'"}
    assert "not compared with numba, which is not installed: pip install 'edge-agent[bench]'" in err


def test_a_library_that_cannot_be_imported_is_named(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "edge_agent.cli.bench.peers.arrays", None)
    assert main(["bench", "features", *QUICK, "--peers", "numpy"]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "numpy is installed and cannot be imported" in err


def test_ctrl_c_leaves_the_rows_so_far_and_ends_with_130() -> None:
    arguments = ("bench", "features", *QUICK, "--peers", "none", "--size", "64x48", "--runs", "100", "--json")
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_agent", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip() == "edge-agent: interrupted"
    for line in [first, *out.splitlines()]:
        check_timing(json.loads(line))


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
        (("audio", "--size", "1s"), "no size '1s': known: 1s/hop160"),
        (("audio", "--case", "hops"), "no case 'hops': did you mean 'hop'?"),
        (("codec", "--case", "quantize_int8"), "no case 'quantize_int8': did you mean 'quantise_int8'?"),
        (("codec", "--size", "1x1"), "no size '1x1': "),
        (("decide", "--case", "msoa"), "no case 'msoa': did you mean 'msao'?"),
        (("decide", "--size", "720p"), "no size '720p': known: features"),
        (("goals",), "Missing argument"),
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


def test_ingest_times_a_frame_of_ours_beside_a_bare_websocket_and_post(capfd: pytest.CaptureFixture[str]) -> None:
    found = rows(capfd, "ingest", "--rounds", "3", "--connections", "2", "--frames", "12")
    assert [row["case"] for row in found] == ["frame", "short_turns", "whole_turn"]
    for row in found:
        check_timing(row)
        assert (row["bench"], row["size"], row["rounds"]) == ("ingest", "8KiB/2", 3)
        assert set(row["peers"]) == {"aiohttp_websocket", "aiohttp_post"}
        assert all(peer["work"].startswith("less:") for peer in row["peers"].values())
    parts = found[0]["parts_us"]
    assert set(parts) == {"intake", "checksum", "copy", "name"}
    assert all(value > 0 for value in parts.values())


def test_idle_watches_without_asking_and_tells_its_shares(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("idle", "--size", "160x120", "--fps", "20", "--seconds", "1.5", "--rounds", "3", "--json")
    assert main(["bench", *arguments]) == 0
    watching, frame = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (watching["case"], watching["size"], watching["asked"]) == ("watching", "160x120@20", 0)
    assert watching["frames_s"] > 0
    assert watching["resident_mib"] > 0
    assert watching["core_share_pct"] >= 0
    assert set(frame) >= FIXED
    parts = [frame[f"{name}_us"] for name in ("features", "decide", "log")]
    assert all(one > 0 for one in parts)


@pytest.mark.parametrize("size", ["1280", "1280x", "x720", "1280x720x3", "8x8", "99999x99999", "-1x5"])
def test_idle_refuses_what_is_no_size(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "idle", "--size", size]) == 2
    assert size in capsys.readouterr().err
