"""The live picture of the page: small, sent once, and with its faces blurred where faces are blurred at all."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import cv2
import numpy as np

from apis import look, with_api
from edge_agent.clock import ManualClock
from edge_agent.config import Config, Loaded
from edge_agent.errors import ModelError
from edge_agent.sources.faces import FaceVeil
from edge_agent.types import F32, U8, Frame, Observation

PICTURE = "/edge/v1/frame.jpg"
BLURRING = Loaded(Config(), {}).override("run.blur_faces", True, "test").config


class Finder:
    """One face in the left half of every picture; counts how often it looked, and takes `takes_s` of `clock`."""

    def __init__(self, clock: ManualClock, takes_s: float = 0.1) -> None:
        self.clock, self.takes_s, self.looks, self.threads = clock, takes_s, 0, set[str]()

    def find(self, pixels: U8) -> F32:
        self.looks += 1
        self.threads.add(threading.current_thread().name)
        self.clock.advance(self.takes_s)
        return np.array([[8, 8, 22, 40, 0.9]], np.float32)


def noise(seed: int) -> Frame:
    return Frame(np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8), float(seed))


def roughness(pixels: Any) -> float:
    return float(np.abs(np.diff(pixels.astype(int), axis=1)).mean())


async def shown(client: Any) -> Any:
    async with client.get(PICTURE) as got:
        assert got.status == 200, await got.text()
        return cv2.imdecode(np.frombuffer(await got.read(), np.uint8), cv2.IMREAD_COLOR)


def blurring(api: Any, takes_s: float = 0.1) -> Finder:
    api.clock = ManualClock()
    finder: Any = Finder(api.clock, takes_s)
    api.veil = FaceVeil(finder)
    return finder


def test_the_picture_is_scaled_down_and_sent_once() -> None:
    async def check(api: Any, client: Any) -> None:
        look(api, Frame(np.full((720, 1280, 3), 90, np.uint8), 0.0))
        async with client.get(PICTURE) as got:
            small = cv2.imdecode(np.frombuffer(await got.read(), np.uint8), cv2.IMREAD_COLOR)
            tag = got.headers["ETag"]
        assert small.shape == (360, 640, 3)
        assert abs(int(small.mean()) - 90) <= 2
        async with client.get(PICTURE, headers={"If-None-Match": tag}) as got:
            assert (got.status, await got.read()) == (304, b"")

    with_api(check)


def test_the_page_shows_no_face_that_questions_do_not_see() -> None:
    async def check(api: Any, client: Any) -> None:
        finder = blurring(api)
        look(api, noise(1))
        pixels = await shown(client)
        assert roughness(pixels[10:38, 10:20]) < 0.3 * roughness(pixels[:, 40:])
        assert finder.looks == 1
        assert threading.main_thread().name not in finder.threads

    with_api(check, BLURRING)


def test_without_the_wish_faces_are_not_looked_for() -> None:
    async def check(api: Any, client: Any) -> None:
        finder = blurring(api)
        look(api, noise(1))
        pixels = await shown(client)
        assert roughness(pixels[10:38, 10:20]) > 0.5 * roughness(pixels[:, 40:])
        assert finder.looks == 0

    with_api(check)


def test_all_who_watch_share_one_look_and_a_slow_board_looks_seldom() -> None:
    async def check(api: Any, client: Any) -> None:
        finder = blurring(api, takes_s=2.0)
        look(api, noise(1))
        pictures = await asyncio.gather(*(shown(client) for _ in range(5)))
        assert finder.looks == 1
        look(api, noise(2))
        api.clock.advance(5.9)
        assert np.array_equal(await shown(client), pictures[0]), "three times two seconds are not over"
        api.clock.advance(0.2)
        assert not np.array_equal(await shown(client), pictures[0])
        api.clock.advance(100)
        await shown(client)
        assert finder.looks == 2, "no frame came since"

    with_api(check, BLURRING)


def test_a_mask_that_was_drawn_shows_at_once_however_seldom_faces_are_looked_for() -> None:
    async def check(api: Any, client: Any) -> None:
        blurring(api)
        look(api, noise(1))
        await shown(client)
        api.senses.forget()
        async with client.get(PICTURE) as got:
            assert got.status == 404
        look(api, Frame(np.zeros((48, 64, 3), np.uint8), 2.0))
        assert (await shown(client)).max() < 10

    with_api(check, BLURRING)


def test_where_faces_cannot_be_blurred_no_picture_is_shown() -> None:
    def broken(_: Observation) -> Observation:
        raise ModelError("no faces can be looked for")

    async def check(api: Any, client: Any) -> None:
        look(api, noise(1))
        for veil, words in ((None, "still starting"), (broken, "no faces can be looked for")):
            api.veil = veil
            async with client.get(PICTURE) as got:
                assert got.status == 503
                assert words in (await got.json())["error"]["message"]

    with_api(check, BLURRING)
