"""Detail views and sound on their way to the cloud: sent where the cloud wants them, made only then, and only once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pytest

import bases
from clouds import ENCODER, HIDDEN, FakeBackend, running_cloud
from edge_agent.clock import SystemClock
from edge_agent.engines.base import Detail, Query
from edge_agent.engines.cloud import CloudEngine
from edge_agent.errors import CloudError
from edge_agent.transport.basis import parse_basis
from edge_agent.transport.client import CloudClient
from edge_agent.transport.codecs import register_codec
from edge_agent.transport.frames import Frame, FrameError, FrameType
from edge_agent.transport.messages import Welcome
from edge_agent.transport.projected import Projected
from edge_agent.types import Action, Decision, Embeddings, Generation, Modality, ModalityPlan, Route
from scripted import WELCOME, scripted_cloud

T = TypeVar("T")
EARS = "fake-ears"


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def rows(value: float, encoder_id: str = ENCODER, modality: Modality = Modality.IMAGE) -> Embeddings:
    return Embeddings(np.full((4, HIDDEN), value, np.float32), encoder_id, modality)


class Tiles:
    """A picture's detail views; counts how often they are made."""

    def __init__(self, count: int = 4, wait_s: float = 0.0) -> None:
        self.made = 0
        self._count = count
        self._wait_s = wait_s

    async def encode(self) -> tuple[Embeddings, ...]:
        self.made += 1
        await asyncio.sleep(self._wait_s)
        return tuple(rows(2.0 + at) for at in range(self._count))


def decision(**actions: Action) -> Decision:
    plans = tuple(ModalityPlan(Modality(name), action) for name, action in actions.items())
    return Decision(Route.CLOUD, "test", "test", plans)


class Wanting(FakeBackend):
    """A backend that wants tiles of a grid and hears."""

    encoder_ids = (ENCODER, EARS)

    def __init__(self, grid: tuple[int, int] | None = (2, 2)) -> None:
        super().__init__()
        self.detail_views = grid


async def asked(url: str, query: Query, plan: Decision, questions: int = 1) -> Generation:
    async with CloudClient(url) as client:
        engine = CloudEngine(client, SystemClock())
        for _ in range(questions):
            *_, last = [item async for item in engine.generate(query, plan)]
        assert isinstance(last, Generation)
        return last


def values(backend: FakeBackend) -> list[float]:
    """The number that each embedding of the last prompt is full of."""
    return [round(float(one.data[0, 0]), 3) for one in backend.prompts[-1].embeddings]


async def sent(backend: FakeBackend, query: Query, plan: Decision) -> Generation:
    async with running_cloud(backend) as cloud:
        return await asked(cloud.url, query, plan)


def test_a_cloud_that_wants_tiles_gets_the_picture_its_tiles_and_the_sound_in_one_turn() -> None:
    backend, tiles = Wanting(), Tiles()
    query = Query("what?", (rows(1), rows(9, EARS, Modality.AUDIO)), detail=Detail(2, 2, tiles.encode))
    end = run(sent(backend, query, decision(image=Action.UPLOAD, audio=Action.UPLOAD)))
    assert sorted(values(backend)) == [1, 2, 3, 4, 5, 9]
    views = [v for v, one in zip(values(backend), backend.prompts[-1].embeddings, strict=True) if v != 9]
    assert views == [1, 2, 3, 4, 5], "the whole picture comes first, then its tiles row by row"
    assert end.views_up == 5


@pytest.mark.parametrize("grid", [None, (3, 3)], ids=["an older cloud", "another grid"])
def test_no_tile_is_made_for_a_cloud_that_does_not_want_this_grid(grid: tuple[int, int] | None) -> None:
    backend, tiles = Wanting(grid), Tiles()
    end = run(sent(backend, Query("what?", (rows(1),), detail=Detail(2, 2, tiles.encode)), decision()))
    assert (values(backend), tiles.made, end.views_up) == ([1], 0, 1)


def test_what_the_decision_keeps_on_the_device_is_not_sent() -> None:
    backend, tiles = Wanting(), Tiles()
    query = Query("what?", (rows(1), rows(9, EARS, Modality.AUDIO)), detail=Detail(2, 2, tiles.encode))
    end = run(sent(backend, query, decision(image=Action.KEEP, audio=Action.UPLOAD)))
    assert (values(backend), tiles.made, end.views_up) == ([9], 0, 0)


def test_a_plan_for_the_overview_alone_makes_no_tile_but_says_what_the_cloud_reads() -> None:
    backend, tiles = Wanting(), Tiles()
    alone = replace(decision(), plans=(ModalityPlan(Modality.IMAGE, Action.UPLOAD, overview=True),))
    end = run(sent(backend, Query("what?", (rows(1),), detail=Detail(2, 2, tiles.encode)), alone))
    assert (values(backend), tiles.made, end.views_up, end.views_read) == ([1], 0, 1, 5)
    end = run(sent(backend, Query("what?", (rows(1),), detail=Detail(2, 2, tiles.encode)), decision()))
    assert (tiles.made, end.views_up, end.views_read) == (1, 5, 5)


class Knowing(Wanting):
    """Reads the embeddings of the golden basis."""

    encoder_ids = (bases.ENCODER,)
    hidden_size = bases.HIDDEN


async def shown(url: str) -> tuple[Generation, list[Embeddings]]:
    """A picture and its four tiles, asked about once."""
    views = [bases.embeddings(seed) for seed in range(5)]

    async def tiles() -> tuple[Embeddings, ...]:
        return tuple(views[1:])

    return await asked(url, Query("what?", (views[0],), detail=Detail(2, 2, tiles)), decision()), views


def test_where_both_sides_have_the_basis_all_views_go_up_as_one_tensor_in_it() -> None:
    codec = Projected(parse_basis(bases.basis_bytes()))
    register_codec(codec)
    backend = Knowing()

    async def main() -> tuple[Generation, list[Embeddings]]:
        async with running_cloud(backend) as cloud:
            return await shown(cloud.url)

    end, views = run(main())
    read = backend.prompts[-1].embeddings
    assert end.views_up == len(read) == 5
    for view, one in zip(views, read, strict=True):
        assert np.array_equal(one.data, codec.decode(codec.encode(view)).data)


def test_a_cloud_without_the_basis_gets_int8() -> None:
    register_codec(Projected(parse_basis(bases.basis_bytes())))
    codecs = []

    async def script(peer: Any) -> None:
        await peer.welcome(Welcome(1, "s", ("int8-zstd",), (bases.ENCODER,), bases.HIDDEN, detail_views=(2, 2)))
        await peer.question()
        codecs.extend(frame.meta["codec"] for frame in peer.frames if frame.type == FrameType.TENSOR_BEGIN)
        await peer.answer()

    async def main() -> Generation:
        async with scripted_cloud(script) as url:
            end, _ = await shown(url)
            return end

    assert run(main()).views_up == 5
    assert codecs == ["int8-zstd"] * 5


def test_the_time_that_tiles_took_is_told_apart_from_the_upload() -> None:
    end = run(sent(Wanting(), Query("what?", (rows(1),), detail=Detail(2, 2, Tiles(4, 0.05).encode)), decision()))
    assert end.encode_ms >= 50
    assert end.upload_ms >= 0


def test_tiles_are_made_once_even_if_the_kept_connection_turns_out_to_be_dead() -> None:
    turns = []

    async def script(peer: Any) -> None:
        await peer.welcome(Welcome(1, "s", ("int8-zstd",), (ENCODER,), HIDDEN, detail_views=(2, 2)))
        turns.append(await peer.question())
        await peer.answer()
        if len(turns) == 1:
            await peer.read()  # the second turn begins on this connection, which then breaks
            return
        await peer.read()

    tiles = Tiles()

    async def main() -> Generation:
        async with scripted_cloud(script) as url, CloudClient(url) as client:
            engine = CloudEngine(client, SystemClock())
            query = Query("what?", (rows(1),))
            _ = [item async for item in engine.generate(query, decision())]
            query = Query("what?", (rows(1),), detail=Detail(2, 2, tiles.encode))
            *_, last = [item async for item in engine.generate(query, decision())]
            assert isinstance(last, Generation)
            return last

    assert run(main()).views_up == 5
    assert [len(turn.meta["tensors"]) for turn in turns] == [1, 5]
    assert tiles.made == 1


def test_tiles_that_take_too_long_end_with_the_deadline_before_a_turn_is_asked() -> None:
    backend = Wanting()

    async def main() -> CloudError:
        clock = SystemClock()
        detail = Detail(2, 2, Tiles(4, 30.0).encode)
        async with running_cloud(backend) as cloud:
            query = Query("what?", (rows(1),), deadline_s=clock.monotonic_s() + 0.5, detail=detail)
            with pytest.raises(CloudError) as caught:
                await asked(cloud.url, query, decision())
            return caught.value

    error = run(main())
    assert (error.code, error.asked, backend.prompts) == ("timeout", False, [])


def test_a_sound_that_the_cloud_does_not_read_is_refused_before_it_is_sent() -> None:
    async def main() -> CloudError:
        async with running_cloud(FakeBackend()) as cloud:
            with pytest.raises(CloudError) as caught:
                await asked(cloud.url, Query("what?", (rows(9, EARS, Modality.AUDIO),)), decision())
            return caught.value

    assert run(main()).code == "unknown_encoder"


def test_more_tiles_than_a_turn_may_carry_are_refused_before_it_is_asked() -> None:
    async def main() -> CloudError:
        async with running_cloud(Wanting()) as cloud:
            with pytest.raises(CloudError) as caught:
                await asked(cloud.url, Query("what?", (rows(1),), detail=Detail(2, 2, Tiles(8).encode)), decision())
            return caught.value

    error = run(main())
    assert (error.code, error.asked) == ("too_large", False)


def test_the_wish_for_tiles_travels_in_welcome_and_older_ones_have_none() -> None:
    wish = Welcome(1, "m", (), (), 8, detail_views=(2, 3))
    assert Welcome.from_frame(wish.to_frame()).detail_views == (2, 3)
    assert "detail_views" not in WELCOME.to_frame().meta
    assert Welcome.from_frame(WELCOME.to_frame()).detail_views is None


@pytest.mark.parametrize("detail", [{"rows": 0, "columns": 2}, {"rows": 2}, {"rows": 2, "columns": 99}, [2, 2]])
def test_a_wish_that_cannot_be_is_a_broken_protocol(detail: object) -> None:
    meta = {**WELCOME.to_frame().meta, "detail_views": detail}
    with pytest.raises(FrameError):
        Welcome.from_frame(Frame(FrameType.WELCOME, meta))
