"""Pictures that go up as JPEG or WebP: when they do, what is checked of them, and what the cloud makes of them."""

from __future__ import annotations

import asyncio
import dataclasses
import tracemalloc
from collections.abc import Coroutine
from typing import Any, TypeVar

import cv2
import numpy as np
import pytest

from agents import LIMITS, SURE, Bench, FixedPolicy
from agents import photo as asked_photo
from cloud_stub.backends.base import Prompt, opened
from cloud_stub.backends.onnx import OnnxBackend
from clouds import ENCODER, FakeBackend, opening, raw_client, running_cloud
from edge_agent.clock import SystemClock
from edge_agent.engines.base import Query
from edge_agent.engines.cloud import CloudEngine
from edge_agent.engines.scripted import Script
from edge_agent.engines.upload import Coding
from edge_agent.errors import CloudError, ModelError
from edge_agent.transport.client import CloudClient
from edge_agent.transport.codecs import PIXELS, EncodedTensor
from edge_agent.transport.frames import FrameError, FrameType
from edge_agent.transport.limits import Limits
from edge_agent.transport.pictures import PictureCoding, decode_picture, encode_picture
from edge_agent.types import U8, Action, Decision, Embeddings, Generation, Modality, ModalityPlan, Route
from edge_agent.vlm import Bundle, VisionEncoder, find_bundle

T = TypeVar("T")
ROWS = Embeddings(np.ones((4, 8), np.float32), ENCODER)
FOREIGN = Embeddings(np.ones((4, 8), np.float32), "an encoder that no cloud knows")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def photo(height: int = 60, width: int = 80) -> U8:
    smooth = cv2.resize(np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8), (width, height))
    return np.asarray(smooth, np.uint8)


def plan(codec: str | None = None) -> Decision:
    return Decision(Route.CLOUD, "test", "test", (ModalityPlan(Modality.IMAGE, Action.UPLOAD, codec=codec),))


def taking_pictures() -> FakeBackend:
    backend = FakeBackend()
    backend.encoder_ids = (ENCODER, PIXELS)
    return backend


async def answered(url: str, query: Query, coding: Coding, codec: str | None = None) -> Generation:
    async with CloudClient(url) as client:
        *_, last = [item async for item in CloudEngine(client, SystemClock(), coding).generate(query, plan(codec))]
    assert isinstance(last, Generation)
    return last


async def prompt_of(backend: FakeBackend, query: Query, coding: Coding, codec: str | None = None) -> Prompt:
    async with running_cloud(backend) as cloud:
        await answered(cloud.url, query, coding, codec)
    return backend.prompts[-1]


@pytest.mark.parametrize("codec", ["jpeg", "webp"])
def test_a_picture_goes_up_itself_where_that_is_set_and_arrives_as_it_was(codec: str) -> None:
    backend, coding = taking_pictures(), PictureCoding(side=40, quality=95)
    prompt = run(prompt_of(backend, Query("what?", (), picture=photo()), Coding(codec, pictures=coding)))
    (picture,) = prompt.pictures
    assert (prompt.embeddings, picture.codec, picture.shape) == ((), codec, (30, 40))
    small = cv2.resize(photo(), (40, 30), interpolation=cv2.INTER_AREA)
    assert np.abs(decode_picture(picture).astype(int) - small).mean() < 4


def test_a_small_picture_is_not_enlarged() -> None:
    assert encode_picture(photo(20, 30), "jpeg", PictureCoding(side=384)).shape == (20, 30)


def test_embeddings_go_up_where_the_cloud_reads_them_though_it_takes_pictures_too() -> None:
    prompt = run(prompt_of(taking_pictures(), Query("what?", (ROWS,), picture=photo()), Coding()))
    assert (len(prompt.embeddings), prompt.pictures) == (1, ())


def test_a_cloud_that_reads_pictures_alone_gets_none_from_who_did_not_choose_that() -> None:
    async def work() -> None:
        backend = taking_pictures()
        async with running_cloud(backend) as cloud:
            with pytest.raises(CloudError, match="to jpeg") as caught:
                await answered(cloud.url, Query("what?", (FOREIGN,), picture=photo()), Coding())
            assert (caught.value.code, backend.prompts) == ("unknown_encoder", [])

    run(work())


def test_a_cloud_that_does_not_know_the_encoder_gets_the_picture_where_that_is_set() -> None:
    prompt = run(prompt_of(taking_pictures(), Query("what?", (FOREIGN,), picture=photo()), Coding("jpeg")))
    assert (prompt.embeddings, [one.codec for one in prompt.pictures]) == ((), ["jpeg"])


def test_a_picture_that_stays_on_the_device_does_not_go_up_as_jpeg_either() -> None:
    async def work() -> Prompt:
        backend = taking_pictures()
        kept = Decision(Route.CLOUD, "test", "test", (ModalityPlan(Modality.IMAGE, Action.KEEP),))
        async with running_cloud(backend) as cloud, CloudClient(cloud.url) as client:
            engine = CloudEngine(client, SystemClock(), Coding("jpeg"))
            async for _ in engine.generate(Query("what?", (ROWS,), picture=photo()), kept):
                pass
        return backend.prompts[-1]

    prompt = run(work())
    assert (prompt.embeddings, prompt.pictures) == ((), ())


def test_a_cloud_without_eyes_refuses_by_name_before_anything_is_sent() -> None:
    async def work() -> None:
        backend = FakeBackend()
        async with running_cloud(backend) as cloud:
            with pytest.raises(CloudError, match="takes no pictures") as caught:
                await answered(cloud.url, Query("what?", (), picture=photo()), Coding("jpeg"))
            assert (caught.value.code, backend.prompts) == ("unknown_codec", [])

    run(work())


def jpeg(**changes: Any) -> EncodedTensor:
    return dataclasses.replace(encode_picture(photo(), "jpeg", PictureCoding()), **changes)


def png() -> bytes:
    return bytes(cv2.imencode(".png", photo())[1])


def claiming(height: int, width: int) -> bytes:
    """A JPEG whose header says another size than it has."""
    data = bytearray(jpeg().payload)
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


WRONG = {
    "another size": (jpeg(shape=(61, 80)), "bad_tensor"),
    "sides swapped": (jpeg(shape=(80, 60)), "bad_tensor"),
    "a bomb behind a small size": (jpeg(payload=claiming(60_000, 60_000)), "bad_tensor"),
    "a bomb that says so": (jpeg(payload=claiming(30_000, 30_000), shape=(30_000, 30_000)), "too_large"),
    "more pixels than a turn may have": (jpeg(shape=(4096, 4096)), "too_large"),
    "another format": (jpeg(payload=png()), "bad_tensor"),
    "webp named jpeg": (jpeg(payload=encode_picture(photo(), "webp", PictureCoding()).payload), "bad_tensor"),
    "cut": (jpeg(payload=jpeg().payload[:-200]), "bad_tensor"),
    "noise": (jpeg(payload=bytes(range(256))), "bad_tensor"),
    "another type": (jpeg(dtype="float32"), "bad_tensor"),
    "a configuration": (jpeg(config={"quality": 3}), "bad_tensor"),
    "sound": (jpeg(modality=Modality.AUDIO), "bad_tensor"),
    "an encoder's name": (jpeg(encoder_id=ENCODER), "unknown_codec"),
    "a codec of embeddings": (jpeg(codec="int8-zstd", shape=(4, 8)), "unknown_codec"),
    "a codec to come": (jpeg(codec="jxl"), "unknown_codec"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_picture_that_is_not_what_it_declares_is_refused_and_the_next_one_answered(name: str) -> None:
    tensor, code = WRONG[name]

    async def work() -> None:
        async with running_cloud(taking_pictures()) as cloud, raw_client(cloud.url) as client:
            await client.ask(opening((tensor,)), (tensor,))
            *_, last = await client.until_end()
            assert (last.type, last.meta["code"]) == (FrameType.ERROR, code)
            if last.stream == 0:
                return  # over a limit: the session is closed, too
            await client.ask(opening((jpeg(),), turn_id="018bcfe5-6800-7abc-8def-0123456789ab"), (jpeg(),), stream=2)
            *_, last = await client.until_end(2)
            assert last.type == FrameType.DONE

    run(work())


def test_a_bomb_takes_no_memory() -> None:
    bomb = jpeg(payload=claiming(30_000, 30_000))
    tracemalloc.start()
    try:
        with pytest.raises(FrameError):
            opened((bomb,), Limits())
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_the_device_encodes_nothing_when_the_picture_itself_goes_up() -> None:
    bench = Bench(FixedPolicy(Route.CLOUD))
    assert bench.cloud is not None
    bench.cloud.sends_pictures = True
    answer = run(bench.agent.ask(asked_photo(), LIMITS))
    (query,) = bench.cloud.queries
    assert (answer.route, bench.local.encoded, query.embeddings) == (Route.CLOUD, 0, ())
    assert query.picture is not None


def test_the_device_encodes_after_all_when_the_cloud_fails() -> None:
    bench = Bench(FixedPolicy(Route.CLOUD), cloud_scripts=(Script((), SURE, error=CloudError("gone")),))
    assert bench.cloud is not None
    bench.cloud.sends_pictures = True
    answer = run(bench.agent.ask(asked_photo(), LIMITS))
    assert (answer.route, answer.text, bench.local.encoded) == (Route.LOCAL, "cup", 1)
    assert len(bench.local.queries[-1].embeddings) == 1


@pytest.fixture(scope="module")
def shipped() -> OnnxBackend:
    return OnnxBackend(find_bundle("cloud-vqa"), vision=find_bundle("edge-vqa"))


def test_the_shipped_cloud_reads_of_a_picture_what_the_device_would_have_sent(shipped: OnnxBackend) -> None:
    picture = encode_picture(photo(300, 400), "jpeg", PictureCoding())
    prompt = shipped.read(Prompt((), "what is it?", (), 4, pictures=(picture,)))
    own = VisionEncoder(Bundle.open(find_bundle("edge-vqa"))).encode_views(decode_picture(picture))
    assert (prompt.pictures, len(prompt.embeddings)) == ((), len(own))
    assert all(np.array_equal(a.data, b.data) for a, b in zip(prompt.embeddings, own, strict=True))
    assert shipped.prompt_tokens(prompt) > len(own) * len(own[0].data)


def test_two_pictures_in_one_turn_are_refused_by_a_model_that_reads_one(shipped: OnnxBackend) -> None:
    picture = encode_picture(photo(), "jpeg", PictureCoding())
    with pytest.raises(CloudError, match="2 pictures; cloud-vqa reads 1"):
        shipped.read(Prompt((), "what is it?", (), 4, pictures=(picture, picture)))


def test_an_encoder_of_another_pair_is_refused(tmp_path: Any) -> None:
    with pytest.raises(ModelError, match="has no vision encoder"):
        OnnxBackend(find_bundle("cloud-vqa"), vision=find_bundle("cloud-vqa"))
