"""The measured table: what it gives a policy, and what of a file is refused, with file and reason."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))  # tools are not installed; last, so that edge_agent stays

from edge_agent.errors import InputError
from edge_agent.sim.table import CLOUD, EDGE, TRAINED_ON, UNSEEN, MeasuredTable, Node, NodeColumns, Photos
from edge_agent.sim.table_file import merge, read_table, shipped_table, write_table
from tools.nodes.times import STAGES, parse_slower, timed_as


def node(name: str, place: str = EDGE) -> Node:
    return Node(name, place, "m", "1", "e", "int8", 1, 1, "", "a machine", "2026-01-01", "a command", overhead_ms=2.5)


def columns(count: int, right: int = 1) -> NodeColumns:
    floats = {n: np.full(count, 0.5, np.float32) for n in ("confidence", "entropy", "least_probability", "gain")}
    times = {n: np.full(count, 4.0, np.float32) for n in ("encode_ms", "code_ms", "prefill_ms", "decode_ms")}
    return NodeColumns(
        right=np.full(count, right, np.uint8),
        answer=np.zeros(count, np.int32),
        tokens=np.ones(count, np.uint16),
        bytes_up=np.zeros(count, np.int64),
        bytes_down=np.zeros(count, np.int64),
        **floats,
        **times,
    )


def small(
    identity: tuple[int, ...] = (11, 22, 33), name: str = "edge-1t", answers: tuple[str, ...] = ("yes",)
) -> MeasuredTable:
    photos = Photos(
        name=np.array(["a.jpg", "b.jpg"]),
        source=np.array([0, 0], np.uint8),
        split=np.array([UNSEEN, TRAINED_ON], np.uint8),
        width=np.array([64, 32], np.int32),
        height=np.array([32, 32], np.int32),
        entropy_bits=np.array([5.0, 1.0], np.float32),
        edge_density=np.array([0.2, 0.0], np.float32),
        laplacian_variance=np.array([90.0, 0.0], np.float32),
        features_ms=np.array([0.1, 0.1], np.float32),
        tile_rows=np.array([1, 1], np.int32),
        tile_columns=np.array([2, 1], np.int32),
        tiles=np.array([255, 0, 51], np.uint8),
    )
    return MeasuredTable(
        sources=("a-set",),
        kinds=("count",),
        answers=answers,
        photos=photos,
        identity=np.array(identity, np.int64),
        photo=np.array([0, 0, 1], np.int32),
        question=np.array(["how many things?", "is it red?", "what is this?"]),
        kind=np.zeros(3, np.uint8),
        nodes={name: node(name)},
        columns={name: columns(3)},
        provenance={"made_by": "a test"},
    )


def changed(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> Path:
    """The table in `path` with `change(arrays, meta)` done to it."""
    with zipfile.ZipFile(path) as packed:
        arrays = {n.removesuffix(".npy"): np.load(io.BytesIO(packed.read(n))) for n in packed.namelist()}
    meta = json.loads(bytes(arrays.pop("meta")))
    change(arrays, meta)
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    np.savez(path, **arrays)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "t.npz"
    write_table(made, small())
    return made


def test_a_table_survives_writing_and_reading_to_the_byte(path: Path) -> None:
    read = read_table(path)
    assert read.nodes == small().nodes
    assert list(read.question) == list(small().question)
    again = path.with_name("again.npz")
    write_table(again, read)
    assert again.read_bytes() == path.read_bytes()


def test_a_question_becomes_the_features_that_the_kernels_saw(path: Path) -> None:
    features = read_table(path).features(1)
    assert features.question == "is it red?"
    assert features.image is not None
    assert (features.image.width, features.image.height) == (64, 32)
    assert features.image.tile_entropy_bits.tolist() == [[8.0, 0.0]]


def test_photos_that_were_trained_on_are_kept_apart() -> None:
    assert small().rows().tolist() == [0, 1]
    assert small().rows(TRAINED_ON).tolist() == [2]


def test_questions_about_one_photo_share_a_fold() -> None:
    folds = small().folds(7)
    assert folds[0] == folds[1]


def test_photos_are_left_for_judging_that_no_predictor_was_fitted_on() -> None:
    table = shipped_table()
    judged = table.judged()
    fitted = np.setdiff1d(table.rows(), judged)
    assert not set(table.photo[judged]) & set(table.photo[fitted])
    assert 0.2 < len(judged) / len(table.rows()) < 0.6


def test_nodes_of_another_machine_join_by_question_in_any_order() -> None:
    other = small((33, 11, 22), "pi5-edge", answers=("no", "yes"))
    moved = replace(other.columns["pi5-edge"], answer=np.array([0, 1, 1], np.int32))
    joined = merge(small(), replace(other, columns={"pi5-edge": moved}))
    assert list(joined.nodes) == ["edge-1t", "pi5-edge"]
    assert [joined.answers[a] for a in joined.columns["pi5-edge"].answer] == ["yes", "yes", "no"]


def test_nodes_that_were_not_asked_everything_are_refused() -> None:
    with pytest.raises(InputError, match="1 of 3 questions"):
        merge(small(), small((11, 22, 44), "other"))


def test_two_nodes_of_one_name_are_refused() -> None:
    with pytest.raises(InputError, match="a node 'edge-1t'"):
        merge(small(), small())


def drop(column: str) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda arrays, meta: arrays.pop(column)


def put(column: str, value: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def change(arrays: dict[str, Any], meta: dict[str, Any]) -> None:
        arrays[column] = np.asarray(value)

    return change


def say(key: str, value: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def change(arrays: dict[str, Any], meta: dict[str, Any]) -> None:
        meta[key] = value

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (drop("node0/prefill_ms"), "column node0/prefill_ms is missing"),
        (put("node0/decode_ms", [1.0, float("nan"), 1.0]), "node0/decode_ms holds NaN or infinity in row 1"),
        (put("node0/confidence", [0.5, 0.5, 1.5]), "node0/confidence has 1.5 in row 2"),
        (put("node0/encode_ms", [1.0, -1.0, 1.0]), "node0/encode_ms has -1.0 in row 1"),
        (put("node0/right", [1, 1]), "node0/right has 2 rows instead of 3"),
        (put("node0/answer", [0, 0, 7]), "node0/answer has 7 in row 2"),
        (put("question/photo", [0, 0, 9]), "question/photo has 9 in row 2"),
        (put("question/identity", [5, 5, 6]), "a question stands in it twice"),
        (put("question/question", [1, 2, 3]), "instead of text"),
        (put("photo/tiles", [1]), "photo/tiles does not hold as many"),
        (say("version", 2), "has version 2, this program reads version 1"),
        (say("units", {"encode_ms": "s"}), "column encode_ms is in 's' instead of 'ms'"),
        (say("nodes", []), "it has no nodes"),
        (say("nodes", [{"name": "x"}]), "a node lacks"),
    ],
)
def test_what_does_not_fit_is_refused_with_file_and_reason(
    path: Path, change: Callable[[dict[str, Any], dict[str, Any]], None], reason: str
) -> None:
    with pytest.raises(InputError) as refused:
        read_table(changed(path, change))
    assert str(path) in str(refused.value)
    assert reason in str(refused.value)


def test_no_table_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "t.npz"
    other.write_bytes(b"no zip")
    with pytest.raises(InputError, match="no table of measured nodes"):
        read_table(other)
    with pytest.raises(InputError, match="no table of measured nodes"):
        read_table(tmp_path / "missing.npz")


def test_objects_are_never_unpickled(path: Path) -> None:
    np.savez(path, meta=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="no table of measured nodes"):
        read_table(path)


def test_the_shipped_table_has_both_places_thousands_of_questions_and_says_where_it_is_from() -> None:
    table = shipped_table()
    assert len(table) > 3000
    assert {n.place for n in table.nodes.values()} == {EDGE, CLOUD}
    assert table.provenance["splits"]
    assert 0.1 < table.columns["edge-1t"].right[table.rows()].mean() < 0.99
    assert (table.columns["cloud-tiles"].bytes_up > table.columns["cloud-overview"].bytes_up).all()


def test_a_further_question_takes_what_was_measured_of_such_or_as_much_as_a_first_one() -> None:
    measured = replace(node("edge-1t"), again_overhead_ms=1.5)
    assert [measured.beyond_ms(again) for again in (False, True)] == [2.5, 1.5]
    assert [node("edge-1t").beyond_ms(again) for again in (False, True)] == [2.5, 2.5]


def other_machine(table: MeasuredTable) -> MeasuredTable:
    """The same answers, on a machine whose stages and overhead take twice as long."""
    (name,) = table.nodes
    own = table.columns[name]
    slow = {stage: 2 * getattr(own, stage) + 1 for stage in STAGES}
    nodes = {name: replace(table.nodes[name], machine="slow", overhead_ms=9.0, again_prefill=0.5, version="before")}
    return replace(table, nodes=nodes, columns={name: replace(own, **slow)}, provenance={"times": "by the wall"})


def test_the_times_of_another_machine_are_taken_and_nothing_else() -> None:
    table = small()
    slow = other_machine(replace(table, columns={"edge-1t": replace(columns(3), confidence=np.zeros(3, np.float32))}))
    made = timed_as(table, slow, {"edge-1t": (2.0, 3.0)})
    node, own = made.nodes["edge-1t"], made.columns["edge-1t"]
    assert (node.machine, node.overhead_ms, node.version) == ("slow", 9.0, table.nodes["edge-1t"].version)
    assert node.again_prefill == 0.75  # half of a prompt, three times as long, of a prompt that takes twice as long
    np.testing.assert_array_equal(own.prefill_ms, 2 * slow.columns["edge-1t"].prefill_ms)
    np.testing.assert_array_equal(own.encode_ms, slow.columns["edge-1t"].encode_ms)
    np.testing.assert_array_equal(own.confidence, table.columns["edge-1t"].confidence)
    assert made.provenance["times"].endswith("before: by the wall")
    assert made.provenance["made_by"] == "a test"


def test_times_of_other_questions_or_nodes_are_not_taken() -> None:
    with pytest.raises(SystemExit, match="other questions"):
        timed_as(small(), small(identity=(11, 22, 34)), {})
    with pytest.raises(SystemExit, match="or photos"):
        timed_as(small(), small(name="pi5-edge"), {})
    moved = replace(small().photos, name=np.array(["a.jpg", "c.jpg"]))
    with pytest.raises(SystemExit, match="or photos"):
        timed_as(small(), replace(small(), photos=moved), {})
    with pytest.raises(SystemExit, match="no node 'pi'"):
        timed_as(small(), small(), {"pi": (1.0, 1.0)})


def test_how_much_slower_a_node_is_now_is_said_by_two_factors() -> None:
    assert parse_slower("cloud-tiles=1.05,1.15") == ("cloud-tiles", (1.05, 1.15))
    for wrong in ("cloud-tiles", "cloud-tiles=1.05", "cloud-tiles=1,2,3", "cloud-tiles=0,1", "cloud-tiles=1,nan"):
        with pytest.raises(ValueError, match=r"."):
            parse_slower(wrong)
