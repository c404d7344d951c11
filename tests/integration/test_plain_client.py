"""docs/protocol.md is enough: a short client that knows nothing of ours asks a real cloud and is answered as we are."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_agent.types import Embeddings, Turn
from edge_agent.vlm import Bundle, Generator, VisionEncoder, find_bundle, summarise
from edge_agent.vlm.selftest import picture

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "tests" / "support" / "plain_client.py"
QUESTION = "what is in the picture?"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "cloud_stub", "--port", "0", "--json", "--price-per-1k-tokens", "0.5"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def seen() -> Embeddings:
    return VisionEncoder(Bundle.open(find_bundle("edge-vqa"))).encode(picture())


def asked(url: str, seen: Embeddings) -> dict[str, object]:
    given = json.dumps({"rows": seen.data.tolist(), "encoder_id": seen.encoder_id})
    done = subprocess.run(
        [sys.executable, "-I", str(CLIENT), url, QUESTION], input=given, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_client_written_from_the_document_alone_is_answered(url: str, seen: Embeddings):
    bundle = Bundle.open(find_bundle("cloud-vqa"))
    generator = Generator(bundle)
    sent = Embeddings(np.ascontiguousarray(seen.data), seen.encoder_id)
    wanted = summarise(list(generator.stream([sent], QUESTION)), bundle.calibration)
    told = (Turn(QUESTION, wanted.text),)
    again = summarise(list(generator.stream([sent], QUESTION, history=told)), bundle.calibration)
    found = asked(url, seen)
    assert (found["model"], found["answer"], found["again"]) == ("cloud-vqa", wanted.text, again.text)
    assert found["done"]["confidence"] == pytest.approx(wanted.confidence)
    assert found["usage"]["cost_microusd"] == -(-found["usage"]["completion_tokens"] * 500_000 // 1000)


def test_that_client_is_short_and_knows_nothing_of_ours():
    source = CLIENT.read_text(encoding="utf-8")
    imported = {line.split()[1] for line in source.splitlines() if line.startswith(("import ", "from "))}
    assert imported - {"__future__", "aiohttp"} <= set(sys.stdlib_module_names)
    assert len(source.splitlines()) < 150
