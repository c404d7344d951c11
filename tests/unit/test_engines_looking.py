"""A further question about the last picture finds it encoded; another picture never gets its embeddings."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from edge_agent.engines import looking
from edge_agent.engines.looking import LastLook
from edge_agent.types import U8, Embeddings


class Eyes:
    """An encoder that writes down what it was shown; its embeddings hold the mean of the pixels."""

    def __init__(self, tiles: int = 3) -> None:
        self.shown: list[str] = []
        self._tiles = tiles

    def look(self, pixels: U8) -> tuple[Embeddings, ...]:
        self.shown.append("look")
        if pixels.max(initial=0) == 255:
            raise ValueError("unfit")
        return (self._made(pixels),)

    def tiles(self, pixels: U8) -> Iterator[Embeddings]:
        for at in range(self._tiles):
            self.shown.append(f"tile {at}")
            yield self._made(pixels)

    def _made(self, pixels: U8) -> Embeddings:
        return Embeddings(np.full((1, 4), pixels.mean(), np.float32), "eyes")


def picture(value: int = 7, size: tuple[int, int] = (48, 64)) -> U8:
    return np.full((*size, 3), value, np.uint8)


def test_a_picture_and_its_tiles_are_encoded_once() -> None:
    eyes = Eyes()
    last = LastLook(eyes.look, eyes.tiles)
    first = last.look(picture()), list(last.tiles(picture()))
    again = last.look(picture()), list(last.tiles(picture()))
    assert eyes.shown == ["look", "tile 0", "tile 1", "tile 2"]
    assert again[0] is first[0]
    assert all(a is b for a, b in zip(again[1], first[1], strict=True))


@pytest.mark.parametrize("at", [(0, 0), (17, 3), (47, 63)])
def test_one_other_pixel_makes_another_picture(at: tuple[int, int]) -> None:
    eyes = Eyes()
    last = LastLook(eyes.look, eyes.tiles)
    other = picture()
    other[(*at, 1)] += 100
    (before,), (after,) = last.look(picture()), last.look(other)
    assert eyes.shown == ["look", "look"]
    assert after.data[0, 0] == np.float32(other.mean()) != before.data[0, 0]


def test_a_buffer_that_the_camera_wrote_into_again_is_another_picture() -> None:
    eyes = Eyes()
    last = LastLook(eyes.look, eyes.tiles)
    buffer = picture(7)
    last.look(buffer)
    buffer[:] = 9
    assert last.look(buffer)[0].data[0, 0] == 9.0


def test_tiles_that_were_not_all_asked_for_are_not_kept() -> None:
    eyes = Eyes()
    last = LastLook(eyes.look, eyes.tiles)
    next(last.tiles(picture()))
    assert len(list(last.tiles(picture()))) == 3
    assert eyes.shown == ["tile 0", "tile 0", "tile 1", "tile 2"]


def test_tiles_overtaken_by_another_picture_are_not_taken_for_its() -> None:
    eyes = Eyes()
    last = LastLook(eyes.look, eyes.tiles)
    slow = last.tiles(picture(1))
    next(slow)
    last.look(picture(2))
    list(slow)
    assert [tile.data[0, 0] for tile in last.tiles(picture(2))] == [2.0, 2.0, 2.0]


def test_what_fails_is_not_kept() -> None:
    eyes = Eyes()
    last = LastLook(eyes.look, eyes.tiles)
    for _ in range(2):
        with pytest.raises(ValueError, match="unfit"):
            last.look(picture(255))
    assert eyes.shown == ["look", "look"]


def test_a_huge_picture_is_encoded_anew_and_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "MAX_KEPT_BYTES", 100)
    eyes = Eyes()
    last = LastLook(eyes.look, eyes.tiles)
    assert last.look(picture(7))[0].data[0, 0] == last.look(picture(7))[0].data[0, 0] == 7.0
    assert eyes.shown == ["look", "look"]
