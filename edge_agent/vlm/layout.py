"""Where picture, sound and text stand in a prompt, as `config.json` of our own bundles says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_agent.errors import ModelError
from edge_agent.vlm.tiling import DetailViews

MAX_RATE_HZ = 192_000
MAX_SAMPLES = 60 * MAX_RATE_HZ


@dataclass(frozen=True, slots=True)
class SoundInput:
    """What the audio encoder reads: `samples` float32 values of `rate_hz`; and the `tokens` that it gives."""

    rate_hz: int
    samples: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Layout:
    """View v of a picture begins at position v * `tokens_per_image`, sound at `audio_position`, text at
    `text_position`.

    `detail` are the tiles that may follow the whole picture; `sound` is None where the decoder reads none.
    """

    tokens_per_image: int
    text_position: int
    audio_position: int
    max_images: int
    detail: DetailViews | None
    sound: SoundInput | None

    @property
    def views_per_image(self) -> int:
        """How many views one picture may have: the whole, and its tiles."""
        return 1 + (self.detail.count if self.detail is not None else 0)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], tokens_per_image: int, context: int, name: object) -> Layout:
        """Reads `config`, which is the file `name`. Raises ModelError where the parts do not fit into `context`."""
        prompt, detail = config.get("prompt", {}), config.get("detail_views")
        sound = _sound(config["audio"], name) if "audio" in config else None
        try:
            made = cls(
                tokens_per_image=tokens_per_image,
                text_position=int(prompt.get("text_position", tokens_per_image)),
                audio_position=int(prompt.get("audio_position", tokens_per_image)),
                max_images=int(config.get("max_images", 1)),
                detail=None if detail is None else DetailViews.from_config(detail, name),
                sound=sound,
            )
        except (AttributeError, TypeError, ValueError) as error:
            raise ModelError(f"{name}: prompt or max_images is not what it should be ({error!r})") from error
        if not (0 < tokens_per_image <= made.text_position < context and made.max_images >= 1):
            raise ModelError(f"{name}: the context of {context} tokens holds no picture and question")
        if sound is not None and not (made.audio_position > 0 and made.audio_position + sound.tokens < context):
            raise ModelError(f"{name}: sound at {made.audio_position} is outside the context of {context} tokens")
        return made


def _sound(raw: Mapping[str, Any], name: object) -> SoundInput:
    try:
        made = SoundInput(int(raw["rate_hz"]), int(raw["samples"]), int(raw["tokens"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{name}: audio has no rate_hz, samples and tokens ({error!r})") from error
    if not (0 < made.rate_hz <= MAX_RATE_HZ and 0 < made.samples <= MAX_SAMPLES and made.tokens > 0):
        raise ModelError(f"{name}: audio of {made.samples} samples at {made.rate_hz} Hz")
    return made
