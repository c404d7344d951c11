"""The lab's tables: what a row says of a route, which claims are met, and what is measured again after a cut."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))  # tools are not installed; last, so that edge_agent stays

from edge_agent.cli.vqa import Row
from tools.netlab.cells import WorkFile, read_work, row_of
from tools.netlab.processes import Asking
from tools.netlab.report import Claim, claims, fixed_as_accurate, table

ASKING = Asking(Path("/data/coco/dev.jsonl"), 4, 0, None, 10_000.0, "cloud-vqa", None)
LINK = {"up_mbit": 20.0, "rtt_ms": 60.0, "loss": 0.0}


def measured(route: str, p50: float, scores: str = "1111", sent: float = 1000.0, link: str = "a") -> dict[str, Any]:
    latencies = [p50] * len(scores)
    return {
        "link": link,
        "conditions": LINK,
        "route": route,
        "n": len(scores),
        "accuracy": sum(map(int, scores)) / len(scores),
        "latency_ms": {"p50": p50, "p95": 2 * p50},
        "bytes_up_mean": sent,
        "wire_bytes_up_mean": sent + 100,
        "cloud_share": 1.0,
        "drafted_share": 0.0,
        "errors": 0,
        "latencies_ms": latencies,
        "scores": [float(one) for one in scores],
    }


def cell(**p50: float) -> dict[str, dict[str, Any]]:
    return {name: measured(name, ms) for name, ms in p50.items()}


def verdicts(found: dict[str, dict[str, Any]]) -> list[str]:
    return [claim.verdict for claim in claims(found)]


def test_every_claim_is_held_against_its_bound() -> None:
    good = cell(local=300, cloud=200, jpeg=250, verified=200, auto=100)
    good["auto"]["bytes_up_mean"] = 200.0
    assert verdicts(good) == ["met"] * 5
    bad = cell(local=300, cloud=200, jpeg=250, verified=201, auto=150)
    bad["auto"] |= measured("auto", 150, "1000", sent=201)
    assert verdicts(bad) == ["missed"] * 5


def test_a_claim_whose_interval_holds_the_bound_is_not_clear() -> None:
    assert Claim("x", 1.01, 1.0, (0.95, 1.05)).verdict == "not clear"
    assert Claim("x", 0.99, 1.0, (0.95, 1.05)).verdict == "met, not clear"
    assert Claim("x", 0.97, 1.0, (0.95, 0.99)).verdict == "met"
    assert Claim("x", None, 1.0).verdict == "not measured"


def test_the_best_fixed_route_is_the_fastest_that_is_as_accurate() -> None:
    found = cell(cloud=200, jpeg=250, auto=10)
    found["local"] = measured("local", 20, "1110")
    assert fixed_as_accurate(found) == "cloud"
    found["local"] = measured("local", 20)
    assert fixed_as_accurate(found) == "local"


def test_routes_that_were_not_measured_are_no_failure() -> None:
    assert verdicts(cell(local=1.0)) == ["not measured"] * 5
    assert "| local |" in table(list(cell(local=1.0).values()))


def test_the_tables_name_the_links_where_a_claim_fails() -> None:
    rows = [measured(name, 100.0, link="fast") for name in ("cloud", "verified")]
    rows += [measured("cloud", 100.0, link="slow"), measured("verified", 120.0, link="slow")]
    text = table(rows)
    assert "| fast | 100 (200) | 100 (200) | 4 |" in text
    assert "| verified: p50 at most that of cloud | 1 | 0 | 1 | 1.00 to 1.20 | slow |" in text


def test_a_row_counts_an_error_as_a_wrong_answer_and_no_time() -> None:
    rows = [Row(Path(f"{at}.jpg"), "?", "two", "all") for at in range(3)]
    told = [
        {"text": text, "route": "cloud", "total_ms": ms, "bytes_up": 10, "draft_tokens": drafted, "timings_ms": {}}
        | {"error": error, "wire_bytes_up": 20}
        for text, ms, drafted, error in (("2", 10.0, 1, None), ("three", 30.0, 0, None), ("", 0.0, 0, "no time"))
    ]
    row = row_of(rows, told, 0)
    assert (row["accuracy"], row["errors"], row["first_error"]) == (pytest.approx(1 / 3), 1, "no time")
    assert (row["latency_ms"]["p50"], row["drafted_share"], row["wire_bytes_up_mean"]) == (20.0, 0.5, 20.0)


def test_what_a_work_file_has_is_not_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "work.jsonl"
    about = {"link": "a", "route": "cloud", "data": "coco/dev.jsonl", "limit": 4, "seed": 0, "policy": None}
    about |= {"deadline_ms": 10_000.0, "cloud_model": "cloud-vqa"}
    WorkFile(path).add([about])
    again = WorkFile(path)
    assert again.has("a", "cloud", ASKING)
    assert not again.has("a", "jpeg", ASKING)
    assert not again.has("b", "cloud", ASKING)
    assert not WorkFile(None).has("a", "cloud", ASKING)


def test_a_row_that_was_cut_while_written_is_left_out_and_another_broken_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "work.jsonl"
    path.write_text(json.dumps({"link": "a"}) + '\n{"link": ')
    assert list(read_work(path)) == [{"link": "a"}]
    path.write_text('{"link": \n' + json.dumps({"link": "a"}) + "\n")
    with pytest.raises(SystemExit, match=r"work\.jsonl:1"):
        list(read_work(path))
