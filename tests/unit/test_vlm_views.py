"""Detail views and prompt positions: tiles cover the picture, each part of a prompt stands where it should."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge_agent.errors import InputError, ModelError
from edge_agent.types import Embeddings, Modality
from edge_agent.vlm import Bundle, VisionEncoder, find_bundle
from edge_agent.vlm.ask_reply import AskReplyWriter
from edge_agent.vlm.evidence import evidence
from edge_agent.vlm.layout import Layout, SoundInput
from edge_agent.vlm.selftest import picture
from edge_agent.vlm.tiling import DetailViews, spans

SOUND = {"rate_hz": 16000, "samples": 80000, "tokens": 3}
CONFIG = {
    "detail_views": {"rows": 2, "columns": 2, "overlap": 0.1},
    "prompt": {"audio_position": 40, "text_position": 50},
    "audio": SOUND,
}


def layout(**changes: object) -> Layout:
    return Layout.from_config({**CONFIG, **changes}, tokens_per_image=7, context=64, name="config.json")


@pytest.mark.parametrize("size", [1, 2, 3, 99, 224, 4000])
@pytest.mark.parametrize(("count", "overlap"), [(1, 0.0), (2, 0.0), (2, 0.1), (3, 0.25), (8, 0.5)])
def test_spans_cover_everything_in_order_and_none_is_empty(size: int, count: int, overlap: float) -> None:
    made = spans(size, count, overlap)
    assert len(made) == count
    assert (made[0][0], made[-1][1]) == (0, size)
    assert all(0 <= begin < end <= size for begin, end in made)
    seen = set().union(*(range(begin, end) for begin, end in made))
    assert seen == set(range(size))


def test_neighbours_share_the_overlap_that_was_asked_for() -> None:
    (_, end), (begin, last) = spans(1900, 2, 0.1)
    assert (end - begin) / (last - begin) == pytest.approx(0.1, abs=0.002)


def test_tiles_come_row_by_row_and_copy_nothing() -> None:
    drawn = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    tiles = DetailViews(2, 2).cut(drawn)
    assert [tile.shape for tile in tiles] == [(2, 3, 3)] * 4
    assert (tiles[1] == drawn[:2, 3:]).all()
    assert (tiles[2] == drawn[2:, :3]).all()
    assert all(np.shares_memory(tile, drawn) for tile in tiles)


def test_a_layout_without_new_keys_is_the_one_of_the_first_release() -> None:
    made = Layout.from_config({}, tokens_per_image=49, context=256, name="config.json")
    assert (made.text_position, made.views_per_image, made.max_images, made.sound) == (49, 1, 1, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"detail_views": {"rows": 0, "columns": 2}},
        {"detail_views": {"rows": 2}},
        {"detail_views": {"rows": 2, "columns": 2, "overlap": 0.9}},
        {"prompt": {"text_position": 64, "audio_position": 40}},
        {"prompt": {"text_position": 3, "audio_position": 40}},
        {"prompt": {"text_position": 50, "audio_position": 62}},
        {"prompt": "none"},
        {"audio": {"rate_hz": 16000}},
        {"audio": {"rate_hz": 0, "samples": 1, "tokens": 1}},
        {"max_images": 0},
    ],
)
def test_a_layout_that_cannot_be_is_refused_with_the_file(changes: dict[str, object]) -> None:
    with pytest.raises(ModelError, match=r"config\.json"):
        layout(**changes)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    """The shipped edge bundle, as if it could read five views of 7 tokens and a sound."""
    shipped = Bundle.open(find_bundle("edge-vqa"))
    manifest = dataclasses.replace(shipped.manifest, tokens_per_image=7, audio_encoder_id="ears")
    return dataclasses.replace(shipped, manifest=manifest, layout=layout())


def view(bundle: Bundle, value: float = 0.0) -> Embeddings:
    return Embeddings(np.full((7, bundle.hidden_size), value, np.float32), bundle.encoder_id)


def sound(bundle: Bundle) -> Embeddings:
    return Embeddings(np.ones((3, bundle.hidden_size), np.float32), "ears", Modality.AUDIO)


def test_views_follow_each_other_then_sound_then_text(bundle: Bundle) -> None:
    made = evidence(bundle, [sound(bundle), *(view(bundle, v) for v in range(5))])
    assert [piece.positions for piece in made] == [*(range(at, at + 7) for at in range(0, 35, 7)), range(40, 43)]
    assert [piece.data[0, 0] for piece in made if piece.data is not None] == [0, 1, 2, 3, 4, 1]
    prompt = AskReplyWriter(bundle).write([view(bundle), sound(bundle)], "is there a dog?", (), 4)
    assert [chunk[0].start for chunk in prompt.chunks] == [0, 50]


def test_a_part_that_is_absent_moves_no_other(bundle: Bundle) -> None:
    assert [piece.positions for piece in evidence(bundle, [view(bundle)])] == [range(7)]
    assert [piece.positions for piece in evidence(bundle, [sound(bundle)])] == [range(40, 43)]
    assert bundle.layout.text_position == 50


def test_more_views_or_sounds_than_the_model_takes_are_refused(bundle: Bundle) -> None:
    with pytest.raises(ModelError, match="got 6 views"):
        evidence(bundle, [view(bundle)] * 6)
    with pytest.raises(ModelError, match="takes one sound"):
        evidence(bundle, [sound(bundle)] * 2)
    with pytest.raises(ModelError, match="takes no sound"):
        evidence(dataclasses.replace(bundle, layout=dataclasses.replace(bundle.layout, sound=None)), [sound(bundle)])


def test_a_sound_is_not_taken_for_a_picture(bundle: Bundle) -> None:
    with pytest.raises(ModelError, match="reads embeddings of ears"):
        evidence(bundle, [dataclasses.replace(view(bundle), modality=Modality.AUDIO)])


def test_the_encoder_gives_the_whole_picture_and_each_tile(bundle: Bundle) -> None:
    shipped = Bundle.open(find_bundle("edge-vqa"))
    encoder = VisionEncoder(dataclasses.replace(shipped, layout=dataclasses.replace(shipped.layout, detail=None)))
    detail = DetailViews(2, 2, 0.1)
    tiled = VisionEncoder(dataclasses.replace(shipped, layout=dataclasses.replace(shipped.layout, detail=detail)))
    assert list(encoder.encode_tiles(picture())) == []
    views = tiled.encode_views(picture())
    assert len(views) == 5
    assert (views[0].data == encoder.encode(picture()).data).all()
    assert (views[3].data == encoder.encode(detail.cut(picture())[2]).data).all()


@pytest.mark.parametrize("size", [(1, 1), (5000, 8000)], ids=["one pixel", "40 megapixels"])
def test_tiny_and_huge_pictures_have_all_their_views(size: tuple[int, int]) -> None:
    shipped = Bundle.open(find_bundle("edge-vqa"))
    detail = DetailViews(2, 2, 0.1)
    encoder = VisionEncoder(dataclasses.replace(shipped, layout=dataclasses.replace(shipped.layout, detail=detail)))
    views = encoder.encode_views(np.zeros((*size, 3), np.uint8))
    assert [bool(np.isfinite(one.data).all()) for one in views] == [True] * 5


def test_a_picture_over_the_limit_is_refused_before_it_is_cut() -> None:
    shipped = Bundle.open(find_bundle("edge-vqa"))
    made = dataclasses.replace(shipped, layout=dataclasses.replace(shipped.layout, detail=DetailViews(2, 2)))
    huge = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (9000, 9000, 3))
    with pytest.raises(InputError, match="is over 64000000 pixels"):
        list(VisionEncoder(made).encode_tiles(huge))


def test_sound_input_is_a_value() -> None:
    assert layout().sound == SoundInput(16000, 80000, 3)
