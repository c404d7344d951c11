"""`edge-agent bench vlm`: a row for each case, thread count and precision, and nothing unexplained in it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_agent.cli.bench.vlm import bare, drawn, plain_of
from edge_agent.cli.bench.vlm_floats import unpacked
from edge_agent.cli.bench.vlm_scene import Scene
from edge_agent.vlm import Bundle, find_bundle

TINY = Path(__file__).resolve().parents[1] / "data" / "tiny-smolvlm"


def bench(*arguments: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "edge_agent", "bench", "vlm", "--json", "--rounds", "3", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_pulled_model_is_measured_in_each_precision_on_one_thread_and_two() -> None:
    rows = bench("--model", str(TINY), "--peers", "onnxruntime")
    timed = [row for row in rows if row["case"] != "memory"]
    found = {(row["case"], row["variant"], row["threads"]) for row in timed}
    cases = ("encode", "prefill", "next_question", "token")
    assert found == {(c, v, t) for c in cases for v in ("fp32", "int8") for t in (1, 2)}
    assert all(row["bench"] == "vlm" and row["ours_us"] > 0 and row["size"] == "tiny-smolvlm" for row in timed)
    assert all(row["peers"]["onnxruntime"]["ratio"] > 0 for row in timed)
    tokens = [row for row in timed if row["case"] == "token"]
    assert all({"bare_session", "onnxruntime_no_cache"} < set(row["peers"]) for row in tokens)
    assert all(low <= row["loop_adds_pct"] <= high for row in tokens for low, high in [row["loop_adds_pct_quartiles"]])
    memory = [row for row in rows if row["case"] == "memory"]
    assert [row["variant"] for row in memory] == ["fp32", "int8"]
    assert all(row["ours_mb"] > 10 and row["peers"]["onnxruntime"]["resident_mb"] > 10 for row in memory)


def test_a_bundle_without_eyes_is_measured_without_encode() -> None:
    rows = bench(
        "--model", "cloud-vqa", "--threads", "1", "--case", "encode", "--case", "next_question", "--peers", "none"
    )
    found = [(row["case"], row["variant"], row["peers"]) for row in rows]
    assert found == [("next_question", "int8", {}), ("next_question", "fp32", {})]


def test_a_shipped_bundle_in_float32_has_larger_graphs_and_the_same_tokens(tmp_path: Path) -> None:
    shipped = Bundle.open(find_bundle("edge-vqa"))
    floats = unpacked(shipped, tmp_path)
    for name, path in floats.graphs.items():
        assert path.parent == tmp_path
        assert path.stat().st_size > 2 * shipped.graph(name).stat().st_size
    one, other = (Scene(bundle, drawn(), threads=1, tokens=4) for bundle in (shipped, floats))
    assert one.ids == other.ids
    np.testing.assert_allclose(one.seen[0].data, other.seen[0].data, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--case", "speed"], 2), (["--peers", "tensorflow"], 2), (["--model", "nothing"], 4), (["--image", "no.jpg"], 3)],
)
def test_what_cannot_be_measured_is_refused(arguments: list[str], code: int) -> None:
    command = [sys.executable, "-m", "edge_agent", "bench", "vlm", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("which", ["edge-vqa", "tiny"])
def test_all_ways_compute_the_same(which: str) -> None:
    scene = Scene(Bundle.open(find_bundle(TINY if which == "tiny" else which)), drawn(), threads=1, tokens=4)
    plain = plain_of(scene)
    by_hand, ours = plain.prefill()[0][0, -1], scene.prefill()  # [vocab] each; by hand, int8 is computed in other steps
    np.testing.assert_allclose(by_hand, ours, atol=0.1, rtol=0.01)
    assert by_hand.argmax() == ours.argmax()
    np.testing.assert_allclose(scene.next_question(), scene.prefill(), atol=1e-6)
    views = plain.encode()
    assert isinstance(views, list)
    for ours, theirs in zip(scene.seen, views, strict=True):
        np.testing.assert_allclose(ours.data, theirs[0], atol=0.1)
    assert [event.token_id for event in scene.decode()] == scene.ids
    cached, reread = plain.decode(), plain.decode_without_cache()
    np.testing.assert_allclose(cached[0, -1], reread[0, -1], atol=0.02)
    assert int(cached[0, -1].argmax()) == scene.ids[-1]
    bare(scene).call(0)
