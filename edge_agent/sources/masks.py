"""Privacy masks: parts of the picture that nobody gets to see, blanked before anything is computed of it or sent."""

from __future__ import annotations

import math
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from edge_agent.errors import UsageError
from edge_agent.sources.base import Item
from edge_agent.types import U8, Frame

MAX_MASKS = 32


@dataclass(frozen=True, slots=True)
class Mask:
    """A rectangle in shares of the picture, 0..1 from its upper left corner. Raises UsageError for any other."""

    left: float
    top: float
    width: float
    height: float

    def __post_init__(self) -> None:
        numbers = (self.left, self.top, self.width, self.height)
        inside = all(math.isfinite(number) and 0 <= number <= 1 for number in numbers)
        if not inside or self.width == 0 or self.height == 0:
            words = ", ".join(f"{number:g}" for number in numbers)
            raise UsageError(f"the mask {words} is no part of a picture", "left, top, width, height, each 0 to 1")


def masks_of(text: str) -> tuple[Mask, ...]:
    """Masks as the configuration writes them: `left,top,width,height; ...`. Raises UsageError."""
    made = []
    for part in text.split(";"):
        if not part.strip():
            continue
        try:
            numbers = [float(number) for number in part.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) != 4:
            raise UsageError(
                f"the mask {part.strip()[:60]!r} is not four numbers", "left,top,width,height, each 0 to 1"
            )
        made.append(Mask(*numbers))
    return checked(made)


def checked(masks: Sequence[Mask]) -> tuple[Mask, ...]:
    """The masks, at most MAX_MASKS. Raises UsageError."""
    if len(masks) > MAX_MASKS:
        raise UsageError(f"{len(masks)} masks", f"at most {MAX_MASKS}; draw larger ones")
    return tuple(masks)


def blanked(pixels: U8, masks: Sequence[Mask]) -> U8:
    """A copy of `pixels` [H, W, 3] uint8 with every pixel that a mask touches black; itself without masks."""
    if not masks:
        return pixels
    made: U8 = pixels.copy()
    height, width = pixels.shape[:2]
    for mask in masks:
        left, top = math.floor(mask.left * width), math.floor(mask.top * height)
        right, bottom = math.ceil((mask.left + mask.width) * width), math.ceil((mask.top + mask.height) * height)
        made[top:bottom, left:right] = 0
    return made


async def masked(items: AsyncIterable[Item], masks: Callable[[], Sequence[Mask]]) -> AsyncIterator[Item]:
    """The items with every frame blanked by the masks of that moment."""
    async for item in items:
        if isinstance(item, Frame):
            yield Frame(blanked(item.pixels, masks()), item.timestamp_s, item.index)
        else:
            yield item
