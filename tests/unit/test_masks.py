"""Privacy masks: no masked pixel reaches a feature, a model or an upload, whatever else happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from agents import frame
from edge_agent.api.mask_file import Masks
from edge_agent.api.refusals import Refusal
from edge_agent.clock import SystemClock
from edge_agent.engines.base import Query
from edge_agent.engines.local import BundleModel, LocalEngine
from edge_agent.engines.upload import Coding, Upload
from edge_agent.errors import UsageError
from edge_agent.features import FeatureExtractor
from edge_agent.sources.masks import MAX_MASKS, Mask, blanked, masked, masks_of
from edge_agent.transport.messages import Welcome
from edge_agent.types import Action, AudioWindow, Decision, Frame, Modality, ModalityPlan, Observation, Route
from edge_agent.vlm import open_bundle

SECRET = Mask(0.25, 0.5, 0.3, 0.4)


def scene(secret: int, size: tuple[int, int] = (240, 320)) -> Frame:
    """The same noise each time; another noise where SECRET is, by the number."""
    height, width = size
    pixels = np.random.default_rng(7).integers(0, 255, (height, width, 3), dtype=np.uint8)
    top, left = int(0.5 * height), int(0.25 * width)
    hidden = np.random.default_rng(secret).integers(0, 255, (int(0.4 * height), int(0.3 * width), 3), dtype=np.uint8)
    pixels[top : top + hidden.shape[0], left : left + hidden.shape[1]] = hidden
    return Frame(pixels, 1.0)


async def through(frames: list[Frame | AudioWindow], masks: tuple[Mask, ...]) -> list[Frame | AudioWindow]:
    async def items() -> AsyncIterator[Frame | AudioWindow]:
        for one in frames:
            yield one

    return [one async for one in masked(items(), lambda: masks)]


def test_a_mask_blanks_every_pixel_that_it_touches_and_no_other() -> None:
    pixels = np.full((10, 10, 3), 200, np.uint8)
    made = blanked(pixels, [Mask(0.25, 0.0, 0.3, 0.55)])
    hidden = np.zeros((10, 10), bool)
    hidden[0:6, 2:6] = True
    assert (made[hidden] == 0).all()
    assert (made[~hidden] == 200).all()
    assert (pixels == 200).all()


def test_a_mask_over_everything_and_over_an_edge_stays_within_the_picture() -> None:
    assert not blanked(np.full((7, 5, 3), 9, np.uint8), [Mask(0, 0, 1, 1)]).any()
    assert blanked(np.full((7, 5, 3), 9, np.uint8), [Mask(0.9, 0.9, 1, 1)])[:6, :4].all()


def test_without_masks_no_copy_is_made() -> None:
    pixels = np.zeros((2, 2, 3), np.uint8)
    assert blanked(pixels, ()) is pixels


def test_what_is_behind_a_mask_changes_no_feature() -> None:
    one, other = (asyncio.run(through([scene(n)], (SECRET,)))[0] for n in (1, 2))
    assert isinstance(one, Frame)
    assert isinstance(other, Frame)
    assert np.array_equal(one.pixels, other.pixels)
    features = [FeatureExtractor().observe(Observation("?", (f,))) for f in (one, other)]
    assert features[0].image is not None
    assert features[1].image is not None
    assert features[0].image.entropy_bits == features[1].image.entropy_bits


def test_sound_passes_untouched() -> None:
    sound = AudioWindow(np.zeros(10, np.float32), 16000)
    assert asyncio.run(through([sound, frame()], (SECRET,)))[0] is sound


def test_the_bytes_of_an_upload_are_the_same_whatever_is_behind_a_mask() -> None:
    """With the shipped model, its learned codec and all detail views; and they differ without the mask."""
    model = BundleModel(open_bundle("edge-vqa"), 1)
    codecs = ("int8-zstd", *(codec.codec_id for codec in _projected()))
    welcome = Welcome(1, "cloud", codecs, (), 192, detail_views=model.grid)
    plan = ModalityPlan(Modality.IMAGE, Action.UPLOAD, "projected")

    async def uploads(masks: tuple[Mask, ...]) -> list[list[bytes]]:
        clock, made = SystemClock(), []
        engine = LocalEngine(model, clock)
        for seen in await through([scene(1), scene(2)], masks):
            assert isinstance(seen, Frame)
            query = Query("what is it?", await engine.encode(seen), detail=engine.detail(seen))
            upload = Upload(query, Decision(Route.CLOUD, "test", "", (plan,)), Coding(), clock)
            made.append([tensor.payload for tensor in await upload.tensors(welcome)])
            assert upload.views == 5
        await engine.close()
        return made

    hidden, shown = asyncio.run(uploads((SECRET,))), asyncio.run(uploads(()))
    assert hidden[0] == hidden[1]
    assert sum(map(len, hidden[0])) > 1000
    assert shown[0] != shown[1]


def _projected() -> tuple[object, ...]:
    from edge_agent.transport.projected import projected_codecs

    return tuple(projected_codecs(open_bundle("edge-vqa", verify=False).encoder_id))


def test_masks_are_read_from_the_configuration() -> None:
    assert masks_of("") == ()
    assert masks_of(" 0,0,.5,1 ; 0.25, 0.5, 0.3, 0.4;") == (Mask(0, 0, 0.5, 1), SECRET)


@pytest.mark.parametrize(
    "text", ["1,2", "a,b,c,d", "0,0,0,1", "0,0,1.5,1", "-0.1,0,1,1", "nan,0,1,1", ";".join(["0,0,1,1"] * 33)]
)
def test_a_mask_that_is_none_is_one_clear_error(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        masks_of(text)
    assert "mask" in str(caught.value)


def test_drawn_masks_survive_a_restart_and_stand_beside_the_configured_ones(tmp_path: Path) -> None:
    path, told = tmp_path / "state" / "masks.json", []
    masks = Masks("0,0,1,0.1", path)
    masks.changed = lambda: told.append(len(masks()))
    masks.draw({"masks": [[0.25, 0.5, 0.3, 0.4]]})
    assert tuple(masks()) == (Mask(0, 0, 1, 0.1), SECRET)
    assert told == [2]
    assert tuple(Masks("0,0,1,0.1", path)()) == tuple(masks())
    masks.draw({"masks": []})
    assert Masks("", path)() == ()


@pytest.mark.parametrize(
    "body", [None, [], {"masks": 1}, {"masks": [[1, 2]]}, {"masks": [[0, 0, 2, 1]]}, {"masks": [["0", 0, 1, 1]]}]
)
def test_what_is_no_mask_is_not_drawn(tmp_path: Path, body: object) -> None:
    masks = Masks("", tmp_path / "masks.json")
    with pytest.raises(Refusal):
        masks.draw(body)
    assert not (tmp_path / "masks.json").exists()


def test_too_many_masks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=f"at most {MAX_MASKS}"):
        Masks("", tmp_path / "masks.json").draw({"masks": [[0, 0, 1, 1]] * (MAX_MASKS + 1)})


@pytest.mark.parametrize("text", ["", "{", "[]", '{"masks": [[9, 9, 9, 9]]}', "x" * 200_000])
def test_a_damaged_file_of_masks_stops_the_agent_instead_of_showing_everything(tmp_path: Path, text: str) -> None:
    (tmp_path / "masks.json").write_text(text)
    with pytest.raises(UsageError, match=r"masks\.json"):
        Masks("", tmp_path / "masks.json")


def test_a_file_in_place_of_the_state_folder_is_no_damaged_file_of_masks(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    with pytest.raises(UsageError) as caught:
        Masks("", tmp_path / "state" / "masks.json")
    assert str(caught.value) == f"{tmp_path / 'state'} is no folder: set run.state_dir to another folder"


def test_a_disk_that_is_full_changes_nothing(tmp_path: Path) -> None:
    masks = Masks("", tmp_path / "file" / "masks.json")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Refusal, match="nothing was changed"):
        masks.draw({"masks": [[0, 0, 1, 1]]})
    assert masks() == ()
