"""A real vLLM serves the exported cloud model: held-out questions have the tokens of the `onnx` backend, drafts too."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from edge_agent.sources.photo import load_photo
from edge_agent.transport.client import CloudClient
from edge_agent.transport.codecs import EncodedTensor, decode_views, find_codec
from edge_agent.transport.drafts import Draft, Drafted, Judge
from edge_agent.transport.limits import Limits
from edge_agent.transport.messages import Welcome, uuid7
from edge_agent.transport.request import TurnRequest, TurnResult
from edge_agent.types import TokenEvent
from edge_agent.vlm import Bundle, Generator, find_bundle, open_vision
from real_vllm import Vllm, cloud, exported

PYTHON = os.environ.get("EDGE_AGENT_VLLM", "")
if not PYTHON:
    pytest.skip("EDGE_AGENT_VLLM names no Python with vLLM: make test-vllm", allow_module_level=True)

pytestmark = pytest.mark.timeout(3000)
QUESTIONS, DESCRIBED = 100, 20
DESCRIBE = ("describe the picture.", "what is in the picture?", "list everything that you see.")
TIE_NAT = 1e-3
TOKENS = 16


@dataclass(frozen=True)
class Asked:
    """One question, what goes up of its photo, and what the device would have answered."""

    question: str
    tensors: tuple[EncodedTensor, ...]
    draft: tuple[int, ...]


@dataclass(frozen=True)
class Said:
    ids: list[int]
    text: str
    result: TurnResult
    ms: float
    calls: int


@dataclass(frozen=True)
class Fixed:
    """Drafting that is done already."""

    made: Draft

    def begin(self, welcome: Welcome, bytes_up: int) -> None:
        assert welcome.tokenizer_id == self.made.tokenizer_id

    async def draft(self) -> Drafted:
        return Drafted(self.made)

    async def close(self) -> None:
        return


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vllm]:
    folder = tmp_path_factory.mktemp("vllm")
    python = os.path.abspath(PYTHON)  # noqa: PTH100 - the link of the environment must stay one
    made = Vllm(python, exported(python, find_bundle("cloud-vqa"), folder / "model"), folder / "log")
    try:
        made.wait()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.open(find_bundle("cloud-vqa"))


@pytest.fixture(scope="module")
def asked() -> list[Asked]:
    """Questions about photos that nothing was trained on, a few of which ask for more than a word or two."""
    data = os.environ.get("EDGE_AGENT_DATA")
    if not data:
        pytest.skip("EDGE_AGENT_DATA is not set: the photos are not part of the project")
    edge = Bundle.open(find_bundle("edge-vqa"))
    vision, device = open_vision(edge, 1, "onnx"), Generator(edge)
    rows = [json.loads(line) for line in (Path(data) / "coco" / "dev.jsonl").read_text("utf-8").splitlines()]
    chosen = random.Random(0).sample(rows, QUESTIONS)
    chosen += [one | {"question": DESCRIBE[at % 3]} for at, one in enumerate(chosen[:DESCRIBED])]
    made, views = [], find_codec("int8-zstd")
    for one in chosen:
        pixels = load_photo(Path(data) / "coco" / one["image"]).pixels
        seen = vision.look(pixels)
        whole = (*seen, *vision.encode_tiles(pixels))
        draft = [event.token_id for event in device.stream(seen, one["question"], max_new_tokens=TOKENS)]
        made.append(Asked(one["question"], tuple(map(views.encode, whole)), tuple(draft)))
    return made


async def answer(client: CloudClient, one: Asked, drafting: Fixed | None, engine: Vllm) -> Said:
    request = TurnRequest(
        one.question,
        one.tensors,
        uuid7(time.time_ns() // 10**6),
        deadline_ms=120_000,
        max_tokens=TOKENS,
        drafting=drafting,
    )
    before, began_s = engine.answered(), time.monotonic()
    events, result = list[TokenEvent](), None
    async for item in client.turn(request):
        if isinstance(item, TurnResult):
            result = item
        else:
            events.append(item)
    assert result is not None
    text = "".join(event.text for event in events)
    ms = (time.monotonic() - began_s) * 1000
    return Said([event.token_id for event in events], text, result, ms, engine.answered() - before)


async def answers(url: str, asked: list[Asked], tokenizer_id: str, engine: Vllm) -> list[Said]:
    """One after another; with a `tokenizer_id` each with its draft."""
    made = []
    async with CloudClient(url, device="tester") as client:
        for one in asked:
            drafting = Fixed(Draft(tokenizer_id, one.draft)) if tokenizer_id else None
            made.append(await answer(client, one, drafting, engine))
    return made


def gap_nat(bundle: Bundle, one: Asked, before: list[int]) -> float:
    """By how much the likeliest token leads after `before`, in our own runtime."""
    generator = Generator(bundle)
    views = [view for tensor in one.tensors for view in decode_views(tensor, Limits())]
    prompt = generator.prompt(views, one.question, (), TOKENS)
    logits, cache = generator.read(prompt)
    for position, token in enumerate(before, prompt.next_position):
        logits, cache = generator.decoder.next(token, position, cache)
    second, first = np.sort(logits)[-2:]
    return float(first - second)


def ties(bundle: Bundle, asked: list[Asked], ours: list[Said], theirs: list[Said]) -> list[str]:
    """The answers that differ where the two likeliest tokens are as good as equal. Fails for all others."""
    found, wrong = [], []
    for one, our, their in zip(asked, ours, theirs, strict=True):
        if our.ids == their.ids:
            assert our.text == their.text
            continue
        at = next((i for i, (a, b) in enumerate(zip(our.ids, their.ids, strict=False)) if a != b), 0)
        gap = gap_nat(bundle, one, our.ids[:at])
        (found if gap <= TIE_NAT else wrong).append(f"{one.question!r} token {at}, {gap:.2g} nat")
    assert wrong == []
    return found


def middle(said: list[Said]) -> int:
    return round(sorted(one.ms for one in said)[len(said) // 2])


def say(*lines: str) -> None:
    sys.stderr.write("\n" + "\n".join(lines) + "\n")


def test_a_real_vllm_says_what_our_own_runtime_says(engine: Vllm, bundle: Bundle, asked: list[Asked]) -> None:
    with cloud("--backend", "onnx") as url:
        ours = asyncio.run(answers(url, asked, "", engine))
        drafted = asyncio.run(answers(url, asked, bundle.tokenizer_id, engine))
    with cloud("--backend", "vllm", "--engine-url", engine.url) as url:
        theirs = asyncio.run(answers(url, asked, "", engine))
        verified = asyncio.run(answers(url, asked, bundle.tokenizer_id, engine))
    plain_ties = ties(bundle, asked, ours, theirs)
    draft_ties = ties(bundle, asked, ours, verified)
    unsure = max(abs(a.result.confidence - b.result.confidence) for a, b in zip(ours, theirs, strict=True))
    stood, sent = sum(one.result.accepted for one in verified), sum(len(one.draft) for one in asked)
    tokens = sum(len(one.ids) for one in ours)
    say(
        f"{len(asked)} prompts, {tokens} tokens: all equal but {len(plain_ties)} ties {plain_ties}",
        f"with drafts: all equal but {len(draft_ties)} ties {draft_ties}; {stood} of {sent} drafted tokens stood",
        f"confidence differs by at most {unsure:.4f}",
        f"ms of an answer (p50): onnx {middle(ours)}, vllm {middle(theirs)}; "
        f"with a draft {middle(drafted)} and {middle(verified)}",
    )
    assert [one.calls for one in theirs] == [1] * len(asked)
    for one, our, their in zip(asked, drafted, verified, strict=True):
        if our.ids == their.ids:
            assert our.result.accepted == their.result.accepted == accepted(one.draft, our.ids)
        stands = their.result.accepted
        ended = stands >= len(their.ids) - 1  # what came after the draft's last token came with the same call
        assert their.calls == (1 if ended else 2)


def accepted(draft: tuple[int, ...], ids: list[int]) -> int:
    court = Judge(draft)
    for token in ids:
        if (verdict := court.take(token)) is not None:
            return verdict.accepted
    return court.end().accepted


def test_another_picture_with_the_same_question_is_another_question(
    engine: Vllm, bundle: Bundle, asked: list[Asked]
) -> None:
    """No cache of the engine's answers for a picture that it does not hold: neither of ours nor of another tenant."""
    one, two = (replace(at, question="what is in the picture?") for at in (asked[0], asked[1]))
    with cloud("--backend", "vllm", "--engine-url", engine.url) as url:
        said = asyncio.run(answers(url, [one, two, one, two], "", engine))
    with cloud("--backend", "onnx") as url:
        ours = asyncio.run(answers(url, [one, two], "", engine))
    assert [at.ids for at in said[:2]] == [at.ids for at in said[2:]]
    ties(bundle, [one, two], ours, said[:2])
