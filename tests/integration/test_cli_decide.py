"""`edge-agent decide` beside what `ask` then sends: its bytes are a payload's, and frames come around them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge_agent.cli.decide import FRAMES_BYTES, GREETING_BYTES
from edge_agent.cli.main import main
from edge_agent.engines.upload import Upload
from edge_agent.transport.codecs import EncodedTensor

QUESTION = "what is on the table?"


def test_decide_says_what_frames_add_to_a_payload(
    photo: Path, cloud: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    payloads, coded = list[int](), Upload.tensors

    async def tensors(self: Upload, *arguments: Any) -> tuple[EncodedTensor, ...]:
        made = await coded(self, *arguments)
        payloads.append(sum(len(tensor.payload) for tensor in made))
        return made

    monkeypatch.setattr(Upload, "tensors", tensors)
    asked = ["--route", "cloud", "--cloud", cloud]
    assert main(["ask", "--image", str(photo), "--json", *asked, QUESTION]) == 0
    sent = json.loads(capfd.readouterr().out)
    (payload,) = payloads
    assert sent["bytes_up"] - payload == pytest.approx(FRAMES_BYTES + GREETING_BYTES, rel=0.1)
    predicted = sent["decision"]["predicted_bytes"]
    assert predicted == pytest.approx(payload, rel=0.5)  # it is of the usual picture
    assert main(["decide", str(photo), QUESTION, *asked, "--explain"]) == 0
    said = capfd.readouterr().out
    assert f"{predicted:.4g} bytes of payload up" in said
    assert f"a payload of about {predicted} bytes, in frames that add some {FRAMES_BYTES}" in said


def test_a_draft_that_may_go_up_is_told_whole(photo: Path, cloud: str, capfd: pytest.CaptureFixture[str]) -> None:
    asked = ["decide", str(photo), QUESTION, "--cloud", cloud]
    assert main([*asked, "--json"]) == 0
    record = json.loads(capfd.readouterr().out)
    assert record["decision"]["route"] == "cascade"
    views = 1 if record["decision"]["plans"][0]["overview"] else record["state"]["upload_views"]
    whole = record["state"]["embedding_bytes_estimate"] * views // record["state"]["upload_views"]
    assert 0 < record["decision"]["predicted_bytes"] < whole
    assert main([*asked, "--explain"]) == 0
    assert f"a payload of about {whole} bytes" in capfd.readouterr().out
