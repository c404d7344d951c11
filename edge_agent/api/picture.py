"""The live picture as the page shows it: a small JPEG, its faces blurred where faces are blurred at all."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge_agent.api.refusals import Refusal
from edge_agent.errors import ModelError
from edge_agent.types import U8, Frame, Observation

if TYPE_CHECKING:
    from edge_agent.api.app import Api
    from edge_agent.parts import Veil

PICTURE_WIDTH = 640
JPEG_QUALITY = 70
LEAST_PAUSE_S = 1.0  # from one look for faces to the next
PAUSES_PER_LOOK = 3.0  # at least so many times what the last look took: a quarter of a core, however slow the board


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture as it was sent. `forgotten`: how often what was seen had been forgotten before."""

    number: int
    data: bytes
    forgotten: int


@dataclass(slots=True)
class LivePicture:
    """The picture of now; where its faces are blurred, of a moment ago, so that all who watch share one look."""

    api: Api
    _shown: Shown | None = None
    _due_s: float = 0.0
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def after(self, tag: str | None) -> tuple[str, bytes | None]:
        """The tag of the picture of now and its JPEG; None if that is the one of `tag`. Raises Refusal."""
        if self.api.config.run.blur_faces:
            async with self._looking:
                shown = await self._blurred()
            return _tag(shown.number), None if tag == _tag(shown.number) else shown.data
        frame, now = self._frame(), _tag(self.api.senses.frames)
        return now, None if tag == now else await asyncio.to_thread(_jpeg, frame)

    def _frame(self) -> Frame:
        if (frame := self.api.senses.frame) is None:
            raise Refusal(404, "there is no picture", "start the agent with --camera URI", code="no_picture")
        return frame

    async def _blurred(self) -> Shown:
        """The last one until another look is due, or until a mask was drawn that it does not have yet."""
        frame, number, forgotten = self._frame(), self.api.senses.frames, self.api.senses.forgotten
        clock, shown, veil = self.api.clock, self._shown, self.api.veil
        if veil is None:
            raise Refusal(503, "the agent is still starting", "ask again in a moment", retry_after_s=1)
        started_s = clock.monotonic_s()
        if shown is not None and shown.forgotten == forgotten and (started_s < self._due_s or shown.number == number):
            return shown
        try:
            data = await asyncio.to_thread(lambda: _jpeg(_veiled(frame, veil)))
        except ModelError as error:
            raise Refusal(503, f"the picture is not shown, since faces are not found: {error}", code="faces") from error
        now_s = clock.monotonic_s()
        self._due_s = now_s + max(LEAST_PAUSE_S, PAUSES_PER_LOOK * (now_s - started_s))
        self._shown = Shown(number, data, forgotten)
        return self._shown


def _tag(number: int) -> str:
    return f'"{number}"'


def _veiled(frame: Frame, veil: Veil) -> Frame:
    return veil(Observation("?", (frame,))).frames[0]


def _jpeg(frame: Frame) -> bytes:
    """A picture of at most PICTURE_WIDTH pixels."""
    import cv2

    pixels: U8 = frame.pixels
    height, width = pixels.shape[:2]
    if width > PICTURE_WIDTH:
        size = (PICTURE_WIDTH, max(1, round(height * PICTURE_WIDTH / width)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype("uint8", copy=False)
    made, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not made:
        raise Refusal(500, "the picture cannot be encoded", "see the log", code="encode")
    return bytes(data)
