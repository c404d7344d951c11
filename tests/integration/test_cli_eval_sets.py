"""`edge-agent eval vqav2` and `eval mmbench` with the shipped model on small files in the official formats."""

from __future__ import annotations

import base64
import json
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_agent.cli.main import main
from edge_agent.cli.vqav2_score import vqa_accuracy

FIXED = {"accuracy", "accuracy_ci", "latency_ms", "bytes_up_mean", "cloud_share", "cost_usd", "per_route", "kinds"}


def photo(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    encoded, data = cv2.imencode(".jpg", pixels)
    assert encoded
    return bytes(data)


def asked(capfd: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["eval", *arguments, "--route", "local", "--cloud", "", "--json"]) == 0
    (line,) = capfd.readouterr().out.splitlines()
    record: dict[str, Any] = json.loads(line)
    return record


def vqav2_folder(folder: Path, answers: list[str]) -> Path:
    """Questions 0, 1, ... about as many photos; `answers` are the ten of each."""
    (folder / "val2014").mkdir()
    questions, annotations = [], []
    for number in range(3):
        (folder / "val2014" / f"COCO_val2014_{number:012d}.jpg").write_bytes(photo(number))
        ids = {"question_id": number * 1000, "image_id": number}
        questions.append({**ids, "question": "is there a cat?"})
        tens = [{"answer": a, "answer_confidence": "yes", "answer_id": i} for i, a in enumerate(answers, 1)]
        annotations.append({**ids, "question_type": "is there a", "answer_type": "yes/no", "answers": tens})
    subset = {"data_subtype": "val2014"}
    (folder / "v2_OpenEnded_mscoco_val2014_questions.json").write_text(json.dumps({**subset, "questions": questions}))
    (folder / "v2_mscoco_val2014_annotations.json").write_text(json.dumps({**subset, "annotations": annotations}))
    return folder


def test_vqav2_scores_what_the_model_says(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    answers = ["yes"] * 7 + ["no"] * 3
    record = asked(capfd, "vqav2", "--data", str(vqav2_folder(tmp_path, answers)))
    assert record.keys() >= FIXED
    assert (record["n"], record["errors"]) == (3, 0)
    scores = [vqa_accuracy(said, answers) for said in ("yes", "no", "a cup")]
    means = {round(sum(three) / 3, 4) for three in product(scores, repeat=3)}
    assert round(record["accuracy"], 4) in means
    assert record["kinds"]["yes/no"]["n"] == record["question_types"]["is there a"]["n"] == 3
    assert record["kinds"]["yes/no"]["accuracy"] == record["accuracy"]


def test_vqav2_counts_a_damaged_photo_as_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = vqav2_folder(tmp_path, ["yes"] * 10)
    (folder / "val2014" / "COCO_val2014_000000000001.jpg").write_bytes(photo(1)[:200])
    record = asked(capfd, "vqav2", "--data", str(folder))
    assert record["errors"] == 1
    assert "COCO_val2014_000000000001.jpg" in record["first_error"]


def test_a_set_of_which_nothing_can_be_answered_says_so_and_fails(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "0.jpg").write_bytes(photo(0)[:200])
    row = {"image": "0.jpg", "question": "is there a cat?", "answer": "no"}
    (tmp_path / "set.jsonl").write_text(json.dumps(row) + "\n")
    arguments = ["eval", "vqa", "--data", str(tmp_path / "set.jsonl"), "--route", "local", "--json"]
    assert main(arguments) == 4
    out, err = capfd.readouterr()
    assert json.loads(out)["errors"] == 1
    assert err.startswith(f"edge-agent: no question had an answer: {tmp_path / '0.jpg'} is cut short")


def test_a_cloud_that_is_away_is_told_beside_the_figures(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "0.jpg").write_bytes(photo(0))
    row = {"image": "0.jpg", "question": "is there a cat?", "answer": "no"}
    (tmp_path / "set.jsonl").write_text(2 * (json.dumps(row) + "\n"))
    arguments = ["eval", "vqa", "--data", str(tmp_path / "set.jsonl"), "--cloud", "http://127.0.0.1:9"]
    assert main([*arguments, "--route", "cloud"]) == 0
    assert "wanted and not had: 2 answers of the cloud; at first the cloud was not reached (" in capfd.readouterr().out
    assert main([*arguments, "--route", "local"]) == 0
    assert "wanted" not in capfd.readouterr().out


def test_mmbench_asks_each_question_once_per_option(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lines = ["\t".join(("index", "question", "hint", "A", "B", "C", "D", "answer", "category", "image"))]
    for number in range(2):
        image = base64.b64encode(photo(number)).decode()
        lines.append("\t".join((str(number), "What is it?", "", "a cat", "a dog", "", "", "A", "things", image)))
    path = tmp_path / "MMBench_DEV_EN.tsv"
    path.write_text("\n".join(lines) + "\n")
    record = asked(capfd, "mmbench", "--data", str(path))
    assert record.keys() >= FIXED
    assert (record["n"], record["passes"], record["errors"]) == (2, 4, 0)
    assert record["accuracy"] <= record["accuracy_first_pass"]
    assert record["per_route"]["local"]["n"] == 4
    one = asked(capfd, "mmbench", "--data", str(path), "--limit", "1")
    assert (one["n"], one["passes"]) == (1, 2)


@pytest.mark.parametrize("name", ["vqav2", "mmbench"])
def test_what_cannot_be_read_ends_with_3_in_one_line(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad").write_text("{}")
    for path in (tmp_path / "bad", tmp_path / "none"):
        assert main(["eval", name, "--data", str(path), "--json"]) == 3
        out, err = capfd.readouterr()
        assert out == ""
        assert err.count("\n") == 1
