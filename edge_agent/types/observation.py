"""What comes in: pictures, sound, and a question about them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from edge_agent.types.arrays import F32, U8


class Modality(str, Enum):
    """A kind of evidence that a question can be about."""

    IMAGE = "image"
    AUDIO = "audio"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture. `pixels` is [H, W, 3] uint8 BGR, owned by the frame and never written to again."""

    pixels: U8
    timestamp_s: float
    index: int = 0


@dataclass(frozen=True, slots=True)
class AudioWindow:
    """Mono sound. `samples` is [N] float32 in -1..1, `rate_hz` samples a second, from `start_s` on."""

    samples: F32
    rate_hz: int
    start_s: float = 0.0

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.rate_hz if self.rate_hz else 0.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier question of a conversation, with its answer."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Observation:
    """A question and everything that it is about.

    `private` means: nothing of it may leave the device. `key_frame` is the index of the frame that the model looks at
    (-1: the last); the others only tell what moved.
    """

    question: str
    frames: tuple[Frame, ...] = ()
    audio: AudioWindow | None = None
    history: tuple[Turn, ...] = ()
    private: bool = False
    source: str = ""
    key_frame: int = -1
