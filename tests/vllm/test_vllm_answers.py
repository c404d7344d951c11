"""A real vLLM serves the exported cloud model: held-out questions have the tokens of the `onnx` backend, drafts too."""

from __future__ import annotations

import asyncio
import base64
import io
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

from cloud_stub.backends.chat_server import ChatServer, messages
from edge_agent.errors import CloudError
from edge_agent.sources.photo import load_photo
from edge_agent.transport.client import CloudClient
from edge_agent.transport.codecs import EncodedTensor, decode_views, find_codec
from edge_agent.transport.drafts import Judge
from edge_agent.transport.limits import Limits
from edge_agent.transport.messages import uuid7
from edge_agent.transport.request import TurnRequest, TurnResult
from edge_agent.types import TokenEvent, Turn
from edge_agent.vlm import Bundle, Generator, find_bundle, open_vision
from fixed_draft import FixedDraft
from real_engines import cloud_bundle, stop  # noqa: F401 - a fixture
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
    history: tuple[Turn, ...] = ()


@dataclass(frozen=True)
class Said:
    ids: list[int]
    text: str
    result: TurnResult
    ms: float
    calls: int


@dataclass(frozen=True)
class Difference:
    """Between two answers from token `at` on, where the likeliest led by `gap_nat`; at most TIE_NAT is a tie."""

    question: str
    at: int | None
    gap_nat: float


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vllm]:
    folder = tmp_path_factory.mktemp("vllm")
    python = os.path.abspath(PYTHON)  # noqa: PTH100 - the link of the environment must stay one
    made = Vllm(python, exported(python, find_bundle("cloud-vqa"), folder / "model"), folder / "log")
    try:
        made.wait()
        yield made
    finally:
        stop(made.process)


@pytest.fixture(scope="module")
def asked(data_dir: Path) -> list[Asked]:
    """Questions about photos that nothing was trained on, a few of which ask for more than a word or two; of five, one
    goes without tiles and one after another question.
    """
    edge = Bundle.open(find_bundle("edge-vqa"))
    vision, device = open_vision(edge, 1, "onnx"), Generator(edge)
    rows = [json.loads(line) for line in (data_dir / "coco" / "dev.jsonl").read_text("utf-8").splitlines()]
    chosen = random.Random(0).sample(rows, QUESTIONS)
    chosen += [one | {"question": DESCRIBE[at % 3]} for at, one in enumerate(chosen[:DESCRIBED])]
    made, views = [], find_codec("int8-zstd")
    for at, one in enumerate(chosen):
        pixels = load_photo(data_dir / "coco" / one["image"]).pixels
        seen = vision.look(pixels)
        sent = (*seen, *(vision.encode_tiles(pixels) if at % 5 else ()))
        before = (Turn("is it outside?", "no"),) if at % 5 == 1 else ()
        said = device.stream(seen, one["question"], history=before, max_new_tokens=TOKENS)
        draft = tuple(event.token_id for event in said)
        made.append(Asked(one["question"], tuple(map(views.encode, sent)), draft, before))
    return made


async def answer(client: CloudClient, one: Asked, drafting: FixedDraft | None, engine: Vllm) -> Said:
    request = TurnRequest(
        one.question,
        one.tensors,
        uuid7(time.time_ns() // 10**6),
        deadline_ms=120_000,
        max_tokens=TOKENS,
        history=one.history,
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


async def answers(url: str, asked: list[Asked], tokenizer_id: str, engine: Vllm, device: str = "tester") -> list[Said]:
    """One after another; with a `tokenizer_id` each with its draft."""
    made = []
    async with CloudClient(url, device=device) as client:
        for one in asked:
            drafting = FixedDraft(one.draft, tokenizer_id) if tokenizer_id else None
            made.append(await answer(client, one, drafting, engine))
    return made


def gap_nat(bundle: Bundle, one: Asked, before: list[int]) -> float:
    """By how much the likeliest token leads after `before`, in our own runtime."""
    generator = Generator(bundle)
    views = [view for tensor in one.tensors for view in decode_views(tensor, Limits())]
    prompt = generator.prompt(views, one.question, one.history, TOKENS)
    logits, cache = generator.read(prompt)
    for position, token in enumerate(before, prompt.next_position):
        logits, cache = generator.decoder.next(token, position, cache)
    second, first = np.sort(logits)[-2:]
    return float(first - second)


def differences(bundle: Bundle, asked: list[Asked], ours: list[Said], theirs: list[Said]) -> list[Difference]:
    """Of the answers that are not the same."""
    found = []
    for one, our, their in zip(asked, ours, theirs, strict=True):
        if (our.ids, our.text) != (their.ids, their.text):
            at = next((i for i, (a, b) in enumerate(zip(our.ids, their.ids, strict=False)) if a != b), None)
            gap = float("inf") if at is None else gap_nat(bundle, one, our.ids[:at])
            found.append(Difference(one.question, at, gap))
    return found


def middle(said: list[Said]) -> int:
    return round(sorted(one.ms for one in said)[len(said) // 2])


def confidence_gap(one: Said, other: Said) -> float:
    return abs(one.result.confidence - other.result.confidence)


def say(*lines: str) -> None:
    sys.stderr.write("\n" + "\n".join(lines) + "\n")


def test_a_real_vllm_says_what_our_own_runtime_says(engine: Vllm, bundle: Bundle, asked: list[Asked]) -> None:
    with cloud("--backend", "onnx") as url:
        ours = asyncio.run(answers(url, asked, "", engine))
        drafted = asyncio.run(answers(url, asked, bundle.tokenizer_id, engine))
    with cloud("--backend", "vllm", "--engine-url", engine.url) as url:
        theirs = asyncio.run(answers(url, asked, "", engine))
        verified = asyncio.run(answers(url, asked, bundle.tokenizer_id, engine))
    plain, checked = (differences(bundle, asked, ours, other) for other in (theirs, verified))
    unsure = [max(map(confidence_gap, ours, other)) for other in (theirs, verified)]
    stood, sent = sum(one.result.accepted for one in verified), sum(len(one.draft) for one in asked)
    tokens = sum(len(one.ids) for one in ours)
    say(
        f"{len(asked)} prompts, {tokens} tokens: all equal but {plain}",
        f"with drafts: all equal but {checked}; {stood} of {sent} drafted tokens stood",
        f"confidence differs by at most {unsure[0]:.4f}, with drafts by {unsure[1]:.4f}",
        f"ms of an answer (p50): onnx {middle(ours)}, vllm {middle(theirs)}; "
        f"with a draft {middle(drafted)} and {middle(verified)}",
    )
    assert [one for one in (*plain, *checked) if one.gap_nat > TIE_NAT] == []
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


async def at_once(url: str, asked: list[Asked], agents: int, engine: Vllm) -> list[Said]:
    """The same by `agents` devices side by side, each with its share of the questions."""
    shares = [asked[at::agents] for at in range(agents)]
    jobs = [answers(url, share, "", engine, f"agent-{at}") for at, share in enumerate(shares)]
    made = await asyncio.gather(*jobs)
    return [made[at % agents][at // agents] for at in range(len(asked))]


def test_several_agents_at_once_get_the_same_tokens(engine: Vllm, bundle: Bundle, asked: list[Asked]) -> None:
    """vLLM reads and decodes them in one batch; a question without a picture is among them."""
    some = [*asked[:30], *asked[-9:], Asked("is there a cat in the picture?", (), ())]
    with cloud("--backend", "vllm", "--engine-url", engine.url) as url:
        theirs = asyncio.run(at_once(url, some, 4, engine))
    with cloud("--backend", "onnx") as url:
        ours = asyncio.run(answers(url, some, "", engine))
    different = differences(bundle, some, ours, theirs)
    say(f"{len(some)} prompts of 4 agents at once: all equal but {different}")
    assert [one for one in different if one.gap_nat > TIE_NAT] == []


def test_other_pictures_and_other_tenants_get_answers_of_their_own(
    engine: Vllm, bundle: Bundle, asked: list[Asked]
) -> None:
    """What vLLM keeps of pictures and prompts changes no token, whoever asked before."""
    one, two = (replace(at, question="what is in the picture?") for at in asked[2:4])
    with cloud("--backend", "vllm", "--engine-url", engine.url) as url:
        said = asyncio.run(answers(url, [one, two, one, two], "", engine, "first"))
        said += asyncio.run(answers(url, [two, one], "", engine, "second"))
    with cloud("--backend", "onnx") as url:
        ours = asyncio.run(answers(url, [one, two], "", engine))
    assert [at.ids for at in said[2:]] == [at.ids for at in (*said[:2], said[1], said[0])]
    assert [at for at in differences(bundle, [one, two], ours, said[:2]) if at.gap_nat > TIE_NAT] == []


@pytest.mark.parametrize("rows", [1, 50, 52, 306])
def test_embeddings_of_another_size_are_refused_and_nothing_falls_over(engine: Vllm, rows: int) -> None:
    """Asked past our front, which would not let them through."""
    server = ChatServer(engine.url)
    file = io.BytesIO()
    np.save(file, np.zeros((rows, 192), np.float32))
    sent = {"type": "image_embeds", "image_embeds": base64.b64encode(file.getvalue()).decode("ascii")}
    with pytest.raises(CloudError) as caught:
        server.whole({"messages": messages((), "what is it?", [sent]), "max_tokens": 1})
    assert caught.value.code == "bad_request"
    assert server.whole({"messages": messages((), "what is it?", []), "max_tokens": 1})["choices"]
