"""The tensors of one question: chosen by the decision, coded once the cloud has said what it reads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from edge_agent.clock import Clock
from edge_agent.engines.base import Query
from edge_agent.errors import CloudError, UsageError
from edge_agent.transport.changes import Changes
from edge_agent.transport.codecs import (
    DEFAULT_CODEC,
    PICTURE_CODECS,
    PIXELS,
    Codec,
    EncodedTensor,
    LearnedT,
    find_codec,
    join_views,
    learned_codecs,
)
from edge_agent.transport.messages import Welcome
from edge_agent.transport.pictures import PictureCoding, encode_picture
from edge_agent.transport.projected import Projected
from edge_agent.transport.recall import Recall
from edge_agent.transport.refilled import Refilled
from edge_agent.types import Action, Decision, Embeddings, Modality

PROJECTED, REFILLED = "projected", "refilled"
"""As a codec's name: that of the basis, or of the medians, which both sides have for these embeddings, else
DEFAULT_CODEC.
"""


@dataclass(frozen=True, slots=True)
class Coding:
    """How embeddings are coded where a plan does not say it: the codec's name, and the level of `projected`. One of
    PICTURE_CODECS: the picture itself goes up, as `pictures` says. Nobody's picture goes up who did not choose that.
    With `changes`, what `projected` sends is told as a change of what the cloud holds, where that is smaller.

    Raises UsageError for an unknown codec.
    """

    codec_id: str = PROJECTED
    level: int = 0
    pictures: PictureCoding = field(default_factory=PictureCoding)
    changes: bool = True

    def __post_init__(self) -> None:
        if self.codec_id not in (PROJECTED, REFILLED, *PICTURE_CODECS):
            find_codec(self.codec_id)


class Upload:
    """The tensors of one question: what is encoded already, and the detail views if the cloud wants them."""

    def __init__(self, query: Query, decision: Decision, coding: Coding, clock: Clock) -> None:
        self._kept = {plan.modality for plan in decision.plans if plan.action is not Action.UPLOAD}
        self._codecs = {plan.modality: plan.codec for plan in decision.plans if plan.action is Action.UPLOAD}
        self._levels = {plan.modality: plan.level for plan in decision.plans if plan.level is not None}
        self._coding = coding
        self._clock = clock
        self._whole = [one for one in query.embeddings if one.modality not in self._kept]
        self._source = None if Modality.IMAGE in self._kept else query.detail
        self._overview = any(plan.overview for plan in decision.plans if plan.modality is Modality.IMAGE)
        self._picture = None if Modality.IMAGE in self._kept else query.picture
        self._tiles: tuple[Embeddings, ...] | None = None
        self._wholes: dict[tuple[str, tuple[int, ...]], EncodedTensor] = {}
        self.views = self.readable = 0
        self.encode_ms = 0.0

    async def tensors(self, welcome: Welcome, recall: Recall | None = None) -> tuple[EncodedTensor, ...]:
        """All of them; the tiles are made once, and only if the cloud wants the very grid that the device can make.
        What was told as a change of what `recall` knows is whole when it is asked for again, and has the same name.

        Raises CloudError `bad_tensor`.
        """
        started_s = self._clock.monotonic_s()
        codec = self._picture_codec(welcome)
        if codec is not None:
            made = await asyncio.to_thread(self._pictured, codec, welcome)
            self.encode_ms += (self._clock.monotonic_s() - started_s) * 1000
            return made
        source = self._source
        wanted = source is not None and welcome.detail_views == (source.rows, source.columns)
        sends = wanted and not self._overview
        if source is not None and sends and self._tiles is None:
            self._tiles = await source.encode()
        made = self._coded([*self._whole, *((self._tiles or ()) if sends else ())], welcome, recall)
        self.readable = self.views
        if source is not None and wanted and not sends:
            self.readable += source.rows * source.columns
        self.encode_ms += (self._clock.monotonic_s() - started_s) * 1000
        return made

    def _picture_codec(self, welcome: Welcome) -> str | None:
        """As what the picture itself goes up; None where its embeddings do. Raises CloudError where neither can."""
        if self._picture is None:
            return None
        wanted = self._codecs.get(Modality.IMAGE) or self._coding.codec_id
        seen = {one.encoder_id for one in self._whole if one.modality is Modality.IMAGE}
        takes = [one for one in PICTURE_CODECS if one in welcome.codecs and PIXELS in welcome.encoder_ids]
        if wanted not in PICTURE_CODECS:
            if takes and not seen <= set(welcome.encoder_ids):
                text = f"the cloud's model {welcome.model!r} reads pictures, not this device's embeddings"
                hint = "if pictures may leave the device, set cloud.codec to jpeg"
                raise CloudError(text, hint, code="unknown_encoder", retryable=False)
            return None
        if not takes and not seen:  # nothing was encoded, since the picture was to go
            text = f"the cloud's model {welcome.model!r} takes no pictures"
            raise CloudError(text, "set cloud.codec to projected", code="unknown_codec", retryable=False)
        return wanted if wanted in takes else next(iter(takes), None)

    def _pictured(self, codec: str, welcome: Welcome) -> tuple[EncodedTensor, ...]:
        """The picture itself, and the sound behind it."""
        assert self._picture is not None
        try:
            picture = encode_picture(self._picture, codec, self._coding.pictures)
        except UsageError as error:
            raise CloudError(error.message, error.hint, code="bad_tensor", retryable=False) from error
        sound = self._coded([one for one in self._whole if one.modality is not Modality.IMAGE], welcome)
        self.views = self.readable = 1
        return (picture, *sound)

    def _coded(
        self, embeddings: Sequence[Embeddings], welcome: Welcome, recall: Recall | None = None
    ) -> tuple[EncodedTensor, ...]:
        """The views of the picture before the sound, as one tensor where their codec can."""
        if any(one.place is not None for one in embeddings):
            raise CloudError("tiles of this model cannot travel", "switch its splitting off", code="bad_tensor")
        views = [one for one in embeddings if one.modality is Modality.IMAGE]
        self.views = len(views)
        try:
            sent = [*self._joined(views, welcome), *(one for one in embeddings if one.modality is not Modality.IMAGE)]
            return tuple(self._encoded(one, welcome, recall) for one in sent)
        except UsageError as error:
            raise CloudError(error.message, error.hint, code="bad_tensor", retryable=False) from error

    def _encoded(self, embeddings: Embeddings, welcome: Welcome, recall: Recall | None) -> EncodedTensor:
        codec, key = self._codec(embeddings, welcome), (embeddings.encoder_id, embeddings.data.shape)
        if key in self._wholes and self._wholes[key].codec == codec.codec_id:
            return self._wholes[key]
        if recall is None or not self._coding.changes or not isinstance(codec, Projected):
            return codec.encode(embeddings)
        for told in _agreed(Changes, embeddings, welcome):
            if told.projected.codec_id == codec.codec_id:
                base = recall.latest(partial(told.fits, embeddings=embeddings, level=codec.level))
                made = None if base is None else told.change(embeddings, base, codec.level)
                if made is not None and made.whole is not None:
                    self._wholes[key] = made.whole
                    return made
        return codec.encode(embeddings)

    def _joined(self, views: list[Embeddings], welcome: Welcome) -> list[Embeddings]:
        """All views as one, if each has a codec that holds several."""
        codecs = [self._codec(view, welcome) for view in views]
        if len(views) < 2 or any(codec.view_tokens is None for codec in codecs):
            return views
        if any(view.encoder_id != views[0].encoder_id for view in views):
            return views
        return [join_views(views)]

    def _codec(self, embeddings: Embeddings, welcome: Welcome) -> Codec:
        name = self._codecs.get(embeddings.modality) or self._coding.codec_id
        if name not in (PROJECTED, REFILLED, *PICTURE_CODECS):
            return find_codec(name)
        for refilled in _agreed(Refilled, embeddings, welcome) if name == REFILLED else ():
            if refilled.fits(embeddings):
                return refilled
        for projected in _agreed(Projected, embeddings, welcome):
            if projected.fits(embeddings):
                return projected.at(self._levels.get(embeddings.modality, self._coding.level))
        return find_codec(DEFAULT_CODEC)


def _agreed(kind: type[LearnedT], embeddings: Embeddings, welcome: Welcome) -> Iterator[LearnedT]:
    """The codecs of a kind that were learned of such embeddings, and that the cloud has, too."""
    return (codec for codec in learned_codecs(kind, embeddings.encoder_id) if codec.codec_id in welcome.codecs)
