"""The other commands end to end: run, demo, features, decide, models, config, eval, each with its JSON."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_agent.cli.main import main
from edge_agent.features import available_isas
from media import make_clip, make_wav

AGENT = [sys.executable, "-m", "edge_agent"]
DEMO = str(files("edge_agent") / "assets" / "demo.mp4")


def lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def numbers(row: dict[str, Any]) -> dict[str, float]:
    return {key: value for key, value in row.items() if isinstance(value, (int, float))}


def run_json(capfd: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    code = main([*arguments, "--json"])
    out, err = capfd.readouterr()
    assert code == 0, err
    return lines(out)


def test_the_demo_answers_by_each_route_and_after_the_cut(tmp_path: Path) -> None:
    done = subprocess.run(
        [*AGENT, "demo", "--fast", "--json"], capture_output=True, text=True, cwd=tmp_path, timeout=120
    )
    assert done.returncode == 0, done.stderr
    answers = lines(done.stdout)
    assert {a["asked_for"] for a in answers} == {"local", "cloud", "auto"}
    assert {a["route"] for a in answers} == {"local", "cloud"}
    assert all(a["reason"] and a["timings_ms"]["total"] > 0 for a in answers)
    assert answers[-1]["asked_for"] == "cloud"
    assert answers[-1]["route"] == "local"
    assert "the cloud was not reached" in answers[-1]["reason"]


def test_a_demo_that_is_ended_takes_its_cloud_along(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        process = subprocess.Popen([*AGENT, "demo"], stdout=subprocess.PIPE, cwd=tmp_path)
        assert process.stdout is not None
        port = int(process.stdout.readline().split(b"127.0.0.1:")[1].split(b";")[0])
        process.send_signal(number)
        assert process.wait(20) == (128 + number if number == signal.SIGTERM else -number)
        process.stdout.close()
        for _ in range(100):
            if not listens(port):
                break
            time.sleep(0.1)
        assert not listens(port)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_run_answers_on_change_on_sound_and_when_asked(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "c.mp4", [60] * 20 + [180] * 20, tone_at_s=3.0)
    done = subprocess.run(
        [*AGENT, "run", "--clip", str(clip), "--fast", "--json", "--cloud", ""],
        input="is there a cat in the picture?\n",
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    asked = lines(done.stdout)
    assert {a["trigger"] for a in asked} == {"change", "sound", "asked"}
    at_s = {(a["trigger"], round(a["at_s"], 1)) for a in asked}
    assert ("change", 2.0) in at_s
    assert any(trigger == "sound" and 2.8 <= at <= 3.1 for trigger, at in at_s)
    assert next(a for a in asked if a["trigger"] == "asked")["question"] == "is there a cat in the picture?"
    assert all(a["route"] == "local" for a in asked)


def test_run_at_an_interval_until_it_is_told_to_stop(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "c.mp4", [60] * 600)
    config = tmp_path / "config.toml"
    config.write_text("[trigger]\non_change = false\non_sound = false\ninterval_s = 0.5\nmin_gap_s = 0.1\n")
    process = subprocess.Popen(
        [*AGENT, "run", "--clip", str(clip), "--json", "--cloud", "", "--config", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    assert first["trigger"] == "interval"
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0, err


def test_two_agents_may_run_at_once(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "c.mp4", [60] * 5)
    command = [*AGENT, "run", "--clip", str(clip), "--fast", "--json", "--cloud", ""]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=tmp_path) for _ in range(2)]
    for process in both:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert lines(out.decode())[0]["answer"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to watch"),
        (["--clip", "a.mp4", "--camera", "0"], "--clip and --camera together"),
        (["--clip", "a.mp4", "--question", ""], "the question is empty"),
    ],
)
def test_run_refuses_what_makes_no_sense(arguments: list[str], words: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *arguments]) == 2
    assert words in capfd.readouterr().err


def test_features_of_a_clip_show_its_cut_and_its_onset(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    clip = make_clip(tmp_path / "c.mp4", [60] * 20 + [180] * 20, tone_at_s=3.0)
    rows = run_json(capfd, "features", str(clip))
    frames = [r for r in rows if r["type"] == "frame"]
    chunks = [r for r in rows if r["type"] == "sound"]
    assert len(frames) == 40
    assert max(frames, key=lambda r: r["changed_share"])["index"] == 20
    assert max(chunks, key=lambda r: r["flux_max"] or 0)["time_s"] == pytest.approx(3.0, abs=0.11)
    assert not frames[0]["motion_valid"]
    assert all(0 <= r["entropy_bits"] <= 8 for r in frames)


def test_features_of_a_photo_with_tiles_and_of_a_sound(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cv2.imwrite(str(tmp_path / "p.png"), np.zeros((64, 96, 3), np.uint8))
    (row,) = run_json(capfd, "features", "--tiles", str(tmp_path / "p.png"))
    assert row["entropy_bits"] == 0
    assert np.shape(row["tile_entropy_bits"]) == (2, 3)
    sound = make_wav(tmp_path / "s.wav", np.random.default_rng(0).integers(-9999, 9999, 16000).astype(np.int16))
    rows = run_json(capfd, "features", str(sound))
    assert len(rows) == 10
    assert rows[5]["flatness"] > 0.3


def test_every_instruction_set_sees_the_same(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}
    for isa in available_isas():
        monkeypatch.setenv("EDGE_AGENT_ISA", isa)
        out = subprocess.run(
            [*AGENT, "features", DEMO, "--json"], capture_output=True, text=True, cwd=tmp_path, check=True
        )
        seen[isa] = lines(out.stdout)
    first = next(iter(seen.values()))
    for rows in seen.values():
        for row, expected in zip(rows, first, strict=True):
            assert numbers(row) == pytest.approx(numbers(expected), rel=1e-3, abs=1e-6)


def test_an_unknown_instruction_set_is_named(tmp_path: Path) -> None:
    environment = {**os.environ, "EDGE_AGENT_ISA": "avx9"}
    done = subprocess.run([*AGENT, "features", DEMO], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "avx9" in done.stderr


def test_decide_explains_and_runs_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    (record,) = run_json(capfd, "decide", DEMO, "what is in the picture?")
    assert record["decision"]["policy"] == "hybrid"
    (sparse,) = run_json(capfd, "decide", DEMO, "what is in the picture?", "--policy", "msao")
    assert {p["modality"]: p["action"] for p in sparse["decision"]["plans"]}["audio"] == "drop"
    assert record["state"]["cloud_configured"] is True
    assert main(["decide", DEMO, "what is in the picture?", "--private"]) == 0
    assert "guard private" in capfd.readouterr().out


def test_models_list_and_verify(capfd: pytest.CaptureFixture[str]) -> None:
    assert {m["name"] for m in run_json(capfd, "models", "list")} >= {"edge-vqa", "cloud-vqa"}
    assert {m["bundle"]: m["ok"] for m in run_json(capfd, "models", "verify")} == {"edge-vqa": True, "cloud-vqa": True}


def test_config_explain_and_diff(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[limits]\nprivate = true\n")
    explained = run_json(capfd, "config", "explain", "--config", str(config))
    assert {s["key"] for s in explained} >= {"limits.private", "policy.name", "cloud.url"}
    (only,) = run_json(capfd, "config", "diff", "--config", str(config))
    assert (only["key"], only["value"], only["origin"]) == ("limits.private", True, str(config))


def test_eval_on_a_small_set(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(3):
        assert cv2.imwrite(str(tmp_path / f"{number}.jpg"), rng.integers(0, 255, (64, 64, 3), dtype=np.uint8))
        row = {"image": f"{number}.jpg", "question": "is there a cat?", "answer": "no"}
        rows += [{**row, "kind": "presence"}, {**row, "kind": "count"}]
    data = tmp_path / "set.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    (record,) = run_json(capfd, "eval", "vqa", "--data", str(data), "--route", "local", "--limit", "4", "--seed", "1")
    assert record["n"] == 4
    low, high = record["accuracy_ci"]
    assert 0 <= low <= record["accuracy"] <= high <= 1
    assert sum(k["n"] for k in record["kinds"].values()) == 4
    assert set(record) >= {"latency_ms", "bytes_up_mean", "cloud_share", "cost_usd", "per_route"}
    assert record["errors"] == 0


def test_the_shipped_model_looks_at_the_picture(data_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = str(data_dir / "coco" / "dev.jsonl")
    (seeing,) = run_json(capfd, "eval", "vqa", "--data", data, "--route", "local", "--cloud", "")
    (blind,) = run_json(capfd, "eval", "vqa", "--data", data, "--route", "local", "--cloud", "", "--blind")
    assert seeing["n"] == blind["n"] == 489
    assert seeing["accuracy"] >= blind["accuracy"] + 0.08
    assert seeing["accuracy_ci"][0] > blind["accuracy_ci"][1]


def test_ctrl_c_while_watching(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "c.mp4", [60] * 600)
    process = subprocess.Popen(
        [*AGENT, "run", "--clip", str(clip), "--cloud", ""],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err.decode().strip() == "edge-agent: interrupted"
