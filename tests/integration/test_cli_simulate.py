"""`edge-agent simulate` through the command line: tables, headlines, logs that replay, and what is refused."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from edge_agent.cli.main import main
from edge_agent.values import unpacked
from m4a1 import drawn

DEMO = str(files("edge_agent") / "assets" / "demo.mp4")
SMALL = "version = 1\n[arrivals]\nquestions = 30\n[device]\ncount = 2\n"


@pytest.fixture
def small(tmp_path: Path) -> str:
    path = tmp_path / "small.toml"
    path.write_text(SMALL, encoding="utf-8")
    return str(path)


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_policies_are_ranked_by_worth_with_intervals(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", small, "--policy", "local,cloud,moa-off", "--seeds", "3", "--json"]) == 0
    (table,) = lines(capsys.readouterr().out)
    assert table["seeds"] == [0, 1, 2]
    assert sorted(row["policy"] for row in table["policies"]) == ["cloud", "local", "moa-off"]
    worths = [row["worth"][0] for row in table["policies"]]
    assert worths == sorted(worths, reverse=True)
    for row in table["policies"]:
        mean, low, high = row["latency_ms"]
        assert low <= mean <= high
    cloud = next(row for row in table["policies"] if row["policy"] == "cloud")
    assert cloud["latency_cut"] == [0.0, 0.0, 0.0]


def test_the_same_seeds_give_the_same_table(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for seed in ("5", "5", "6"):
        assert main(["simulate", small, "--policy", "msao,random", "--seeds", "2", "--seed", seed, "--json"]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] != said[2]


def test_a_person_reads_a_table(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--scenario", small, "--policy", "local,cloud", "--seeds", "2"]) == 0
    out = capsys.readouterr().out
    assert "behind best" in out
    assert "±" in out


def test_the_shipped_scenarios_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--list", "--json"]) == 0
    assert {"wifi-light", "4g-crowd"} <= {line["scenario"] for line in lines(capsys.readouterr().out)}


def test_headlines_say_for_each_method_in_how_many_cells_they_hold(
    small: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", small, "--headlines", "--seeds", "2", "--json"]) == 0
    said = {line["method"]: line for line in lines(capsys.readouterr().out)}
    assert set(said) == {"moa-off", "msao", "qlmio", "hybrid"}
    for line in said.values():
        cell = line["cells"]["small"]
        assert line["reached"] == int(cell["reached"])
        assert bool(cell["missed"]) is not cell["reached"]
    assert {"without MAS", "without entropy-guided drafting"} < set(said["msao"]["cells"]["small"]["ablations"])


@pytest.mark.parametrize("policy", ["hybrid", "msao", "tmo", "ucb", "random", "qlmio", "msao-no-mas"])
def test_a_simulated_log_replays_to_the_same_decisions(
    small: str, policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = str(tmp_path / "log.jsonl")
    assert main(["simulate", small, "--policy", policy, "--seeds", "1", "--log", log, "--json"]) == 0
    capsys.readouterr()
    assert main(["simulate", "--replay", log, "--json"]) == 0
    (said,) = lines(capsys.readouterr().out)
    assert (said["same"], said["different"], said["skipped"]) == (30, 0, {})


def test_an_agents_own_log_replays(own_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asking = ["ask", "--video", DEMO, "--cloud", "", "--policy", "msao", "--deadline-ms", "100000", "--json"]
    for question in ("is there a cat?", "how many are there?"):
        assert main([*asking, question]) == 0
    (log,) = own_home.rglob("decisions.jsonl")
    capsys.readouterr()
    assert main(["simulate", "--replay", str(log), "--json"]) == 0
    (said,) = lines(capsys.readouterr().out)
    assert (said["same"], said["different"]) == (2, 0)
    written = [json.loads(line) for line in log.read_text().splitlines()]
    assert "f32" in written[0]["features"]["image"]["tile_entropy_bits"]
    log.write_text("".join(json.dumps(in_digits(record) | {"schema": 1}) + "\n" for record in written))
    assert main(["simulate", "--replay", str(log), "--json"]) == 0
    (said,) = lines(capsys.readouterr().out)
    assert (said["same"], said["different"]) == (2, 0), "what the first version wrote is read for ever"


def in_digits(value: Any) -> Any:
    """A record as the first version of the log wrote it: arrays as lists of numbers."""
    if isinstance(value, dict):
        packed = "f32" in value
        return unpacked(value).tolist() if packed else {name: in_digits(one) for name, one in value.items()}
    return [in_digits(one) for one in value] if isinstance(value, list) else value


def test_a_log_of_other_decisions_is_told_with_its_line(
    small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    assert main(["simulate", small, "--policy", "moa-off", "--seeds", "1", "--log", str(log)]) == 0
    kept = log.read_text().splitlines()
    record = json.loads(kept[4])
    record["decision"]["route"] = "cascade"
    kept[4] = json.dumps(record)
    log.write_text("\n".join(kept) + "\n")
    capsys.readouterr()
    assert main(["simulate", "--replay", str(log), "--json"]) == 5
    (said,) = lines(capsys.readouterr().out)
    assert (said["different"], said["first"][0]["line"]) == (1, 5)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": 99}, "schema 99"),
        ({"features": {}}, "cannot be replayed"),
        ({"state": {"unknown": 1}}, "cannot be replayed"),
        ({"time_s": float("nan")}, "time_s is no number"),
        ({"time_s": -1e9}, "time runs backwards"),
    ],
)
def test_a_log_that_does_not_fit_is_refused_with_file_and_line(
    small: str, change: dict[str, Any], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    assert main(["simulate", small, "--policy", "local", "--seeds", "1", "--log", str(log)]) == 0
    kept = log.read_text().splitlines()
    kept[2] = json.dumps({**json.loads(kept[2]), **change})
    log.write_text("\n".join(kept) + "\n")
    capsys.readouterr()
    assert main(["simulate", "--replay", str(log)]) == 3
    err = capsys.readouterr().err
    assert f"{log}:3:" in err
    assert reason in err


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["simulate"], 2, "no scenario"),
        (["simulate", "wifi-buzy"], 2, "did you mean 'wifi-busy'"),
        (["simulate", "wifi-busy", "--policy", "hybird"], 2, "did you mean 'hybrid'"),
        (["simulate", "wifi-busy", "--seeds", "0"], 2, "seeds"),
        (["simulate", "--replay", "nowhere.jsonl"], 3, "no decision log"),
    ],
)
def test_bad_usage_is_one_line_and_its_exit_code(
    arguments: list[str], code: int, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    err = capsys.readouterr().err
    assert reason in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        ("version = 1\n[table]\nedge = 'nobody'\n", 3, "no node 'nobody'"),
        ("version = 1\n[table]\nfile = 'nowhere.npz'\n", 3, "no table of measured nodes"),
        ("version = 1\n[table]\nsource = 'nothing'\n", 3, "no source 'nothing'"),
        ("version = 1\n[link]\nkind = 'file'\nfile = 'nowhere.csv'\n", 3, "nowhere.csv cannot be read"),
        ("version = 1\n[limits]\ndeadline_s = 1\n", 2, ":3: limits.deadline_s: wrong unit"),
    ],
)
def test_a_scenario_that_cannot_run_is_refused(
    text: str, code: int, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.toml"
    path.write_text(text, encoding="utf-8")
    assert main(["simulate", str(path), "--seeds", "1", "--policy", "local"]) == code
    assert reason in capsys.readouterr().err


def test_a_drawing_is_made_or_refused_before_anything_runs(
    small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", small, "--plot", "drawing.txt"]) == 2
    assert "no .png, .svg, .pdf file" in capsys.readouterr().err
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    path = tmp_path / "d.svg"
    assert main(["simulate", small, "--policy", "local,cloud", "--seeds", "2", "--plot", str(path)]) == 0
    assert b"<svg" in path.read_bytes()


def test_a_drawing_without_matplotlib_says_what_to_install(
    small: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["simulate", small, "--plot", "d.png"]) == 2
    assert "pip install 'edge-agent[plot]'" in capsys.readouterr().err


def test_conversations_are_compared_on_the_same_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "M4A1.json"
    data.write_text(json.dumps(drawn(20)), encoding="utf-8")
    arguments = ["simulate", "m4a1", "--data", str(data), "--policy", "local,cloud,oracle", "--seeds", "2"]
    assert main([*arguments, "--json"]) == 0
    (table,) = lines(capsys.readouterr().out)
    assert table["policies"][0]["policy"] == "oracle"
    assert table["policies"][0]["over_budget"][0] == 0.0
    assert main(arguments) == 0
    assert "reward" in capsys.readouterr().out


def test_conversations_need_their_data_and_their_own_policies(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "m4a1", "--seeds", "1"]) == 2
    assert "name the published M4A1.json with --data" in capsys.readouterr().err
    assert main(["simulate", "m4a1", "--policy", "hybrid"]) == 2
    assert "no policy 'hybrid'" in capsys.readouterr().err
