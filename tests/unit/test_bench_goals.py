"""The goals: their table in the code and in the documentation, and verdicts from the rows of several runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from edge_agent.cli.bench import audio, codec, features
from edge_agent.cli.bench.goals import judge, line, read_rows, tougher
from edge_agent.cli.bench.targets import GOALS, TOUGHER, Goal
from edge_agent.cli.main import main
from edge_agent.config import POLICY_NAMES
from edge_agent.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
GOAL = Goal("features", "grey", ("cv2", "numba"), 2.0, 3.0)


def row(size: str = "640x480", ours_us: float = 10.0, **ratios: float) -> dict[str, Any]:
    peers = {name: {"ratio": ratio} for name, ratio in ratios.items()}
    return {"bench": "features", "case": "grey", "size": size, "ours_us": ours_us, "peers": peers}


def test_the_median_of_the_runs_counts_and_the_worst_size() -> None:
    rows = [row(cv2=9.0), row(cv2=2.5), row(cv2=3.5), row("64x64", cv2=2.8)]
    verdict = judge(GOAL, rows)
    assert verdict.by_size == {"640x480": 3.5, "64x64": 2.8}
    assert (verdict.reached, verdict.worst_size, verdict.word, verdict.runs) == (2.8, "64x64", "must", 3)


def test_of_several_peers_the_fastest_counts() -> None:
    assert judge(GOAL, [row(cv2=5.0, numba=1.5, other=0.1)]).reached == 1.5


@pytest.mark.parametrize(("ratio", "word"), [(1.99, "MISSED"), (2.0, "must"), (2.99, "must"), (3.0, "stretch")])
def test_a_verdict_is_exact_at_its_bounds(ratio: float, word: str) -> None:
    assert judge(GOAL, [row(cv2=ratio)]).word == word


def test_of_times_less_is_better_and_the_largest_counts() -> None:
    goal = Goal("features", "grey", (), 12.0, 8.0)
    verdict = judge(goal, [row(ours_us=7.0), row("64x64", ours_us=11.0)])
    assert (verdict.reached, verdict.word) == (11.0, "must")
    assert judge(goal, [row(ours_us=8.0)]).word == "stretch"
    assert judge(goal, [row(ours_us=12.5)]).word == "MISSED"


def test_real_inputs_and_a_cold_cache_are_shown_and_not_judged() -> None:
    rows = [
        row(cv2=2.5),
        row(cv2=1.0) | {"input": "bikes", "variant": "warm"},
        row(cv2=1.5) | {"input": "texture", "variant": "cold"},
    ]
    verdict = judge(GOAL, rows)
    assert (verdict.reached, verdict.word) == (2.5, "must")
    assert verdict.elsewhere == {"bikes warm 640x480": 1.0, "texture cold 640x480": 1.5}
    assert "1.00 (bikes warm 640x480)" in line(verdict)


def test_without_rows_nothing_is_claimed() -> None:
    verdict = judge(GOAL, [row(other=9.0)])
    assert (verdict.reached, verdict.word) == (None, "no rows")


def test_a_goal_for_one_kind_of_pixels_or_some_sizes_looks_at_those_alone() -> None:
    rows = [row(cv2=2.0) | {"pixels": "grey"}, row("64x64", cv2=4.0) | {"pixels": "bgr"}]
    assert judge(Goal("features", "grey", ("cv2",), 1.0, None, pixels="bgr"), rows).by_size == {"64x64": 4.0}
    assert judge(Goal("features", "grey", ("cv2",), 1.0, None, ("640x480",)), rows).by_size == {"640x480": 2.0}


def test_who_wins_is_named_where_no_goal_was_set() -> None:
    rows = [row(numba=0.8)]
    assert ("features", "grey") in TOUGHER
    assert [words for words in tougher(rows) if "wins" in words]


def test_of_a_codec_the_bytes_beside_others_count() -> None:
    payload = {"bench": "codec", "case": "payload", "size": "49x192", "input": "coco", "bytes_mean": 100.0}
    others = {"order0": 98.0, "jpeg_q80": 300.0}
    rows = [
        payload | {"codec": "int8-zstd", "others_bytes": others},
        payload | {"codec": "raw-f32", "others_bytes": {}},
    ]
    assert judge(Goal("codec", "payload", ("order0",), 0.97, None, codec="int8-zstd"), rows).reached == 0.98
    assert judge(Goal("codec", "payload", ("jpeg_q80",), 1.0, None, codec="int8-zstd"), rows).word == "must"


def test_goals_name_cases_that_exist() -> None:
    known = {"features": (*features.CASES, features.BINDING), "audio": audio.CASES, "codec": codec.CASES}
    for goal in GOALS:
        assert goal.case in {**known, "decide": POLICY_NAMES}[goal.bench]
        assert goal.stretch is None or goal.reached(goal.stretch, goal.must), "a stretch is harder than its must"


def test_the_documentation_has_the_goals_of_the_code() -> None:
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    table = {}
    for cells in re.findall(r"^\| (.+) \|$", text, re.MULTILINE):
        first, *others = (cell.strip() for cell in cells.split(" | "))
        table[first] = others
    for goal in GOALS:
        sign = ">=" if goal.is_ratio else "<="
        stretch = "-" if goal.stretch is None else f"{sign} {goal.stretch:g}"
        assert goal.title() in table, goal.title()
        assert table[goal.title()][:2] == [f"{sign} {goal.must:g}", stretch]


def test_the_command_prints_one_line_a_goal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row(cv2=2.5)) for _ in range(3)) + "\n")
    assert main(["bench", "goals", str(path)]) == 0
    out = capfd.readouterr().out
    assert "| grey / cv2 | >= 2.4 | >= 3 | 2.50 | 640x480 | must |" in out
    assert "1 of 1 musts, 0 of 1 stretches" in out
    assert main(["bench", "goals", str(path), "--json"]) == 0
    verdicts = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert len(verdicts) == len(GOALS)
    assert [v["verdict"] for v in verdicts if v["reached"] is not None] == ["must"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json", ":1: not JSON"),
        ("[1]", ":1: no row of a benchmark"),
        ('{"bench": 3}', ":1: no row"),
        (None, "cannot"),
    ],
)
def test_a_file_that_holds_no_rows_is_named(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "rows.jsonl"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_rows(path)
    assert main(["bench", "goals", str(path)]) == 3
