"""Files and devices that a command names, as one Observation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_agent.errors import UsageError
from edge_agent.parts import Extractor
from edge_agent.sources.base import redacted
from edge_agent.sources.masks import Mask, blanked
from edge_agent.types import AudioWindow, Frame, Observation

PHOTO_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
SOUND_ENDINGS = frozenset({".wav", ".ogg", ".flac", ".mp3", ".m4a", ".opus"})
CLIP_FRAMES = 8
MICROPHONE_S = 2.0


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the question is about, as named on the command line."""

    image: Path | None = None
    video: Path | None = None
    camera: str | None = None
    audio: Path | None = None
    mic: bool = False


def inputs_of_file(path: Path) -> Inputs:
    """A single FILE argument by its ending: a photo, a sound, and anything else as a clip."""
    ending = path.suffix.lower()
    if ending in PHOTO_ENDINGS:
        return Inputs(image=path)
    return Inputs(audio=path) if ending in SOUND_ENDINGS else Inputs(video=path)


async def gather(
    inputs: Inputs,
    question: str,
    private: bool,
    make_extractor: Callable[[], Extractor],
    masks: Sequence[Mask] = (),
) -> Observation:
    """Read everything that is named; `masks` blank a camera's picture.

    Raises UsageError for a combination that makes no sense, else InputError.
    """
    pictures = [name for name in ("image", "video", "camera") if getattr(inputs, name) is not None]
    if len(pictures) > 1:
        raise UsageError(f"--{pictures[0]} and --{pictures[1]} together", "name one picture source")
    if inputs.camera == "":
        raise UsageError("the camera's name is empty", "name one, as in --camera 0")
    if inputs.audio is not None and inputs.mic:
        raise UsageError("--audio and --mic together", "name one sound source")
    if not pictures and inputs.audio is None and not inputs.mic:
        raise UsageError("there is nothing to ask about", "add --image F, --video F, --camera URI, --audio F or --mic")
    frames, sound = await _see(inputs, masks)
    heard = await _hear(inputs)
    return Observation(
        question=question,
        frames=frames,
        audio=heard if heard is not None else sound,
        private=private,
        source=redacted(str(inputs.image or inputs.video or inputs.camera or inputs.audio or "microphone")),
        key_frame=richest(frames, make_extractor) if inputs.video is not None else -1,
    )


def richest(frames: tuple[Frame, ...], make_extractor: Callable[[], Extractor]) -> int:
    """The frame with the highest spatial entropy: clips like to begin and end in black."""
    extractor = make_extractor()
    entropy = [extractor.vision(frame.pixels)[0].entropy_bits for frame in frames]
    return max(range(len(frames)), key=entropy.__getitem__)


async def _see(inputs: Inputs, masks: Sequence[Mask]) -> tuple[tuple[Frame, ...], AudioWindow | None]:
    if inputs.image is not None:
        from edge_agent.sources.photo import load_photo

        return (await asyncio.to_thread(load_photo, inputs.image),), None
    if inputs.video is not None:
        from edge_agent.sources.clip import read_clip

        clip = await asyncio.to_thread(read_clip, inputs.video, CLIP_FRAMES)
        return clip.frames, clip.audio
    if inputs.camera is not None:
        from edge_agent.sources.camera import take_frame

        frame = await take_frame(inputs.camera)
        return (replace(frame, pixels=blanked(frame.pixels, masks)),), None
    return (), None


async def _hear(inputs: Inputs) -> AudioWindow | None:
    if inputs.audio is not None:
        from edge_agent.sources.sound import load_sound

        return await asyncio.to_thread(load_sound, inputs.audio)
    if inputs.mic:
        from edge_agent.sources.microphone import record

        return await record(MICROPHONE_S)
    return None
