"""`edge-agent eval m4a1` from the outside: its JSON keys, its table, its refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge_agent.cli.main import main
from m4a1 import drawn, written

KEYS = {"reward", "response", "latency_s", "cost_usd", "over_latency", "over_cost", "actions", "n", "exceeded"}


def asked(capfd: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    assert main(["eval", "m4a1", *arguments, "--json"]) == 0
    return [json.loads(line) for line in capfd.readouterr().out.splitlines()]


def test_the_documented_keys_for_each_policy(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = str(written(tmp_path, drawn(20)))
    records = asked(capfd, "--data", data, "--policy", "greedy,random", "--seed", "2")
    assert [r["policy"] for r in records] == ["greedy", "random"]
    for record in records:
        assert record.keys() >= KEYS
        assert record["n"] == 4
        assert sum(record["actions"].values()) == record["turns"]
        assert record["seed"] == 2
    assert records[0]["reward"] > records[1]["reward"]


def test_several_seeds_give_means_and_each_seeds_reward(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = str(written(tmp_path, drawn(20)))
    (over,) = asked(capfd, "--data", data, "--policy", "greedy", "--seeds", "3")
    singles = [asked(capfd, "--data", data, "--policy", "greedy", "--seed", str(s))[0] for s in range(3)]
    assert over["reward_by_seed"] == [s["reward"] for s in singles]
    assert over["n"] == 12


def test_devices_networks_and_the_measured_cost_change_the_figures(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = str(written(tmp_path, drawn(20)))
    (tx2,) = asked(capfd, "--data", data, "--policy", "local")
    (pi,) = asked(capfd, "--data", data, "--policy", "local", "--device", "pi4")
    (measured,) = asked(capfd, "--data", data, "--policy", "local", "--cost", "measured")
    (mobile,) = asked(capfd, "--data", data, "--policy", "constant-8", "--network", "4g")
    assert tx2["latency_s"] < pi["latency_s"] < measured["latency_s"]
    assert mobile["over_latency"] > 0


def test_a_table_for_people(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "m4a1", "--data", str(written(tmp_path, drawn(20))), "--policy", "local,greedy"]) == 0
    head, *lines = capfd.readouterr().out.splitlines()
    assert head.split()[:3] == ["policy", "reward", "response"]
    assert [line.split()[0] for line in lines] == ["local", "greedy"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--policy", "greedi"], 2, "greedy"),
        (["--budget-s", "nan"], 2, "--budget-s is nan"),
        (["--budget-usd", "-1"], 2, "--budget-usd is -1.0"),
        (["--budget-s", "0.001"], 2, "no policy can hold five turns"),
        (["--network", "token-ring"], 2, "wired"),
        (["--seeds", "0"], 2, "--seeds"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    data = str(written(tmp_path, drawn(20)))
    assert main(["eval", "m4a1", "--data", data, *arguments, "--json"]) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert words in err
    assert err.count("\n") == 1


def test_a_file_that_cannot_be_read_ends_with_3(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for document in ([], drawn(3), {"version": 2}):
        assert main(["eval", "m4a1", "--data", str(written(tmp_path, document)), "--json"]) == 3
    assert main(["eval", "m4a1", "--data", str(tmp_path / "none.json"), "--json"]) == 3
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 4


def test_tmo_beats_greedy_on_the_real_sample_within_the_budgets(
    data_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = str(data_dir / "m4a1" / "M4A1.json")
    tmo, greedy, oracle = asked(capfd, "--data", data, "--policy", "tmo,greedy,oracle", "--seed", "0")
    assert greedy["reward"] < tmo["reward"] < oracle["reward"]
    assert tmo["exceeded"] == 0
    assert tmo["over_latency"] == tmo["over_cost"] == 0.0
