"""Stock engines behind the cloud: what they are sent, what comes of what they answer, and what never reaches them."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import cv2
import numpy as np
import pytest

from cloud_stub.answering import refusal
from cloud_stub.app import Access, CloudApp
from cloud_stub.backends.base import Backend, Prompt
from cloud_stub.backends.chat_server import ChatServer
from cloud_stub.backends.openai import OpenAIBackend
from cloud_stub.backends.vllm import VllmBackend
from cloud_stub.options import parse
from cloud_stub.server import open_backend
from cloud_stub.turns import TurnDesk
from clouds import asked, listening, request
from edge_agent.errors import CloudError, ModelError, UsageError
from edge_agent.transport.client import CloudClient, TurnRequest, TurnResult
from edge_agent.transport.codecs import EncodedTensor, find_codec
from edge_agent.transport.messages import uuid7
from edge_agent.transport.pictures import PictureCoding, encode_picture
from edge_agent.types import Embeddings, Turn
from edge_agent.vlm import Bundle, find_bundle
from engines import Engine, served, tensor_in

T = TypeVar("T")
DEVICE = "kitchen-camera"


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def never() -> bool:
    return False


@pytest.fixture
def engine() -> Iterator[tuple[Engine, str]]:
    made = Engine()
    with served(made) as url:
        yield made, url


def picture() -> EncodedTensor:
    noise = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return encode_picture(np.asarray(cv2.resize(noise, (80, 60)), np.uint8), "jpeg", PictureCoding())


def prompt(question: str = "what is it?", **changes: Any) -> Prompt:
    return Prompt(**({"embeddings": (), "question": question, "history": (), "max_new_tokens": 8} | changes))


async def through(backend: Backend, turn: TurnRequest, token: str | None = None) -> tuple[str, TurnResult]:
    """One turn over the whole front."""
    app = CloudApp(TurnDesk(backend, workers=4), Access(token))
    async with listening(app.app) as url, CloudClient(url, token, device=DEVICE) as client:
        try:
            return await asked(client, turn)
        finally:
            await client.close()
            await app.close()


def test_a_picture_reaches_the_engine_as_a_data_url_and_its_words_come_back(engine: tuple[Engine, str]) -> None:
    fake, url = engine
    backend = OpenAIBackend(ChatServer(url, "engine-key"))
    assert backend.model == "served-model"
    text, result = run(through(backend, request("what is it?", tensors=(picture(),), history=(Turn("hello", "hi"),))))
    assert (text, result.finish_reason) == ("a red cup", "stop")
    (body,) = fake.bodies
    first, second, third = body["messages"]
    shown, said = first["content"]
    assert base64.b64decode(shown["image_url"]["url"].removeprefix("data:image/jpeg;base64,")) == picture().payload
    assert (said["text"], second["content"], third["content"]) == ("hello", "hi", "what is it?")
    assert (body["model"], body["max_tokens"], body["temperature"], body["stream"]) == ("served-model", 16, 0, True)
    assert {one["Authorization"] for one in fake.headers} == {"Bearer engine-key"}


def test_nothing_that_names_the_client_reaches_the_engine(engine: tuple[Engine, str]) -> None:
    fake, url = engine
    turn = request(tensors=(picture(),))
    run(through(OpenAIBackend(ChatServer(url)), turn, token="a" * 32))
    sent = json.dumps([fake.bodies, fake.headers])
    assert not [
        name for name in (turn.turn_id, DEVICE, picture().tensor_id(), "a" * 32, "uuid", "user_id") if name in sent
    ]
    assert "Authorization" not in fake.headers[-1]


def test_probabilities_are_the_engines_and_half_where_it_tells_none(engine: tuple[Engine, str]) -> None:
    fake, url = engine
    backend = OpenAIBackend(ChatServer(url))
    events = list(backend.stream(prompt(), never))
    assert [event.text for event in events] == [" a", " red", " cup", ""]
    assert events[0].probability == pytest.approx(np.exp(-0.1))
    assert 0 < events[0].entropy < 0.5
    told = backend.summarise(events)
    assert (told.text, told.tokens, told.finish_reason) == ("a red cup", 3, "stop")
    assert told.confidence == pytest.approx(np.exp(-0.1))
    fake.logprobs = False
    assert [event.probability for event in backend.stream(prompt(), never)][:3] == [0.5] * 3


def test_an_answer_that_is_cut_or_too_long_ends_by_its_length(engine: tuple[Engine, str]) -> None:
    fake, url = engine
    backend = OpenAIBackend(ChatServer(url))
    fake.words = tuple(f" w{n}" for n in range(20))
    events = list(backend.stream(prompt(max_new_tokens=4), never))
    assert (len(events), backend.summarise(events).finish_reason) == (4, "length")
    fake.finish = "length"
    fake.words = (" w",)
    assert backend.summarise(list(backend.stream(prompt(), never))).finish_reason == "length"


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "bad_request"), (413, "bad_request"), (401, "internal"), (429, "overloaded")],
)
def test_what_the_engine_refuses_is_typed_and_its_words_stay_here(
    engine: tuple[Engine, str], status: int, code: str
) -> None:
    fake, url = engine
    fake.status = status
    with pytest.raises(CloudError) as caught:
        run(through(OpenAIBackend(ChatServer(url)), request(tensors=(picture(),))))
    assert caught.value.code == code
    assert "secrets" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "wait_ms"),
    [("7", 7000), ("0", 0), ("99999", 86_400_000), ("soon", 1000), ("-3", 1000), ("9" * 400, 1000), (None, 1000)],
    ids=lambda one: str(one)[:8],
)
def test_how_long_an_engine_wants_to_be_left_alone_is_passed_on(
    engine: tuple[Engine, str], said: str | None, wait_ms: int
) -> None:
    fake, url = engine
    fake.status, fake.retry_after = 429, said
    with pytest.raises(CloudError) as caught:
        list(ChatServer(url).stream({}, lambda: False))
    assert refusal(caught.value).meta["retry_after_ms"] == wait_ms


RUBBISH = {
    "no json": b"data: {\n\n",
    "no object": b"data: [1]\n\n",
    "no choices": b"data: {}\n\n",
    "text that is none": b'data: {"choices":[{"delta":{"content":[1]}}]}\n\n',
    "deep": b"data: " + b"[" * 100_000 + b"\n\n",
    "a line without end": b"data: " + b"x" * (1 << 19),
    "nothing": b"",
    "an answer that breaks off": b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":null}]}\n\n',
    "no answer": b'data: {"choices":[]}\n\ndata: [DONE]\n\n',
    "an error": b'data: {"error":{"message":"secrets"}}\n\n',
}


@pytest.mark.parametrize("name", RUBBISH)
def test_an_engine_that_talks_rubbish_is_an_internal_error(engine: tuple[Engine, str], name: str) -> None:
    fake, url = engine
    fake.raw = RUBBISH[name]
    with pytest.raises(CloudError) as caught:
        run(through(OpenAIBackend(ChatServer(url)), request(tensors=(picture(),))))
    assert caught.value.code == "internal"
    assert "secrets" not in str(caught.value)


def test_a_cancelled_answer_ends_the_connection_to_the_engine(engine: tuple[Engine, str]) -> None:
    fake, url = engine
    fake.wait = threading.Event()
    stop = threading.Event()
    events = []
    for event in OpenAIBackend(ChatServer(url)).stream(prompt(), stop.is_set):
        events.append(event.text)
        stop.set()
    assert events == [" a"]
    assert fake.left.wait(10)


def test_several_questions_wait_for_the_engine_at_once(engine: tuple[Engine, str]) -> None:
    fake, url = engine
    fake.wait = threading.Event()

    async def work() -> list[str]:
        app = CloudApp(TurnDesk(OpenAIBackend(ChatServer(url)), workers=4), Access())
        async with listening(app.app) as own, CloudClient(own) as one, CloudClient(own) as other:
            turns = [
                asyncio.create_task(asked(client, request(tensors=(picture(),), turn_id=uuid7(n))))
                for n, client in enumerate((one, other))
            ]
            while len(fake.bodies) < 2:  # noqa: ASYNC110 - both are with the engine before either is answered
                await asyncio.sleep(0.005)
            fake.wait.set()
            try:
                return [text for text, _ in await asyncio.gather(*turns)]
            finally:
                await app.close()

    assert run(work()) == ["a red cup"] * 2


def test_an_engine_that_is_not_there_is_said_at_the_start() -> None:
    with pytest.raises(ModelError, match="lists no model"):
        OpenAIBackend(ChatServer("http://127.0.0.1:9", wait_s=2.0))
    with pytest.raises(UsageError, match="not the URL"):
        ChatServer("ftp://somewhere")


def bundle() -> Bundle:
    return Bundle.open(find_bundle("cloud-vqa"), verify=False)


def views(count: int = 1, seed: int = 0, bad: float | None = None) -> tuple[Embeddings, ...]:
    data = np.random.default_rng(seed).normal(size=(count, bundle().tokens_per_image, bundle().hidden_size))
    if bad is not None:
        data[0, 0, 0] = bad
    return tuple(Embeddings(one.astype(np.float32), bundle().encoder_id) for one in data)


def test_embeddings_reach_vllm_as_one_float32_array_in_order(engine: tuple[Engine, str]) -> None:
    fake, url = engine
    backend = VllmBackend(ChatServer(url), find_bundle("cloud-vqa"))
    coded = [find_codec("raw-f32").encode(one) for one in views(3)]
    text, result = run(through(backend, request(tensors=tuple(coded))))
    assert (text, result.finish_reason) == ("a red cup", "stop")
    part, said = fake.bodies[0]["messages"][0]["content"]
    assert said == {"type": "text", "text": "what is it?"}
    assert set(part) == {"type", "image_embeds"}  # no uuid: the engine names it by its content
    array = tensor_in(part)
    assert array.dtype == np.float32
    assert np.array_equal(array, np.concatenate([one.data for one in views(3)]))


def test_tenants_have_salts_of_their_own_that_tell_nothing(engine: tuple[Engine, str]) -> None:
    fake, url = engine
    backend = VllmBackend(ChatServer(url), find_bundle("cloud-vqa"))
    desk = TurnDesk(backend)
    coded = find_codec("raw-f32").encode(views()[0])

    async def work() -> None:
        for token in ("a" * 32, "b" * 32, "a" * 32):
            app = CloudApp(desk, Access(token))
            async with listening(app.app) as own, CloudClient(own, token, device=DEVICE) as client:
                await asked(
                    client,
                    request(tensors=(coded,), turn_id=uuid7(len(fake.bodies))),
                )
        await desk.close()

    run(work())
    first, other, again = (body["cache_salt"] for body in fake.bodies)
    assert first == again != other
    assert len(first) == 64
    assert DEVICE not in json.dumps(fake.bodies)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"embeddings": views(bad=float("nan"))}, "bad_tensor"),
        ({"embeddings": (Embeddings(np.zeros((3, 192), np.float32), "lite0-51x192-54722f846f5c275d"),)}, "bad_tensor"),
        ({"embeddings": (Embeddings(np.zeros((51, 192), np.float32), "another"),)}, "bad_tensor"),
        ({"embeddings": views(9)}, "bad_request"),
        ({"pictures": (picture(),)}, "bad_request"),
    ],
)
def test_what_vllm_might_fall_over_never_reaches_it(
    engine: tuple[Engine, str], wrong: dict[str, Any], code: str
) -> None:
    fake, url = engine
    with pytest.raises(CloudError) as caught:
        VllmBackend(ChatServer(url), find_bundle("cloud-vqa")).read(prompt(**wrong))
    assert caught.value.code == code
    assert fake.bodies == []


def test_the_command_line_opens_each_backend(engine: tuple[Engine, str]) -> None:
    _, url = engine
    assert isinstance(open_backend(parse(["--backend", "openai", "--engine-url", url])), OpenAIBackend)
    named = open_backend(parse(["--backend", "vllm", "--engine-url", url, "--engine-model", "mine"]))
    assert (type(named), named.model) == (VllmBackend, "mine")
    for wrong, hint in (
        (["--backend", "openai"], "give --engine-url http"),
        (["--engine-url", url], "add --backend openai or"),
    ):
        with pytest.raises(UsageError, match=hint):
            parse(wrong)
