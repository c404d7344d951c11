"""A question that waits, as bytes and back: its words, its key frame as JPEG, its sound as 16-bit samples."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_agent.types import AudioWindow, Frame, Observation, Turn

JPEG_QUALITY = 95
MAX_PIXELS = 64_000_000
MAX_PARCEL_BYTES = 16 << 20  # of one question, all in all


@dataclass(frozen=True, slots=True)
class Parcel:
    """`meta` is JSON in UTF-8; `picture` a JPEG or empty; `sound` int16 little-endian or empty."""

    meta: bytes
    picture: bytes
    sound: bytes

    @property
    def size(self) -> int:
        """Bytes in all."""
        return len(self.meta) + len(self.picture) + len(self.sound)


def pack(observation: Observation) -> Parcel:
    """What a later answer needs: of the frames the key frame alone. Raises ValueError for what is too large to keep,
    or private: what may never leave the device has nothing to wait for.
    """
    if observation.private:
        raise ValueError("a private question never waits for the cloud")
    picture, size = b"", None
    frame = observation.frames[observation.key_frame] if observation.frames else None
    if frame is not None:
        picture, size = _jpeg(frame), [int(frame.pixels.shape[1]), int(frame.pixels.shape[0])]
    sound, rate_hz = b"", 0
    if observation.audio is not None:
        samples = np.clip(observation.audio.samples, -1.0, 1.0)
        sound, rate_hz = (samples * 32767.0).round().astype("<i2").tobytes(), observation.audio.rate_hz
    meta = {
        "question": observation.question,
        "history": [[turn.question, turn.answer] for turn in observation.history],
        "source": observation.source,
        "picture": size,
        "rate_hz": rate_hz,
        "frame_s": None if frame is None else frame.timestamp_s,
        "sound_s": None if observation.audio is None else observation.audio.start_s,
    }
    parcel = Parcel(json.dumps(meta, separators=(",", ":")).encode(), picture, sound)
    if parcel.size > MAX_PARCEL_BYTES:
        raise ValueError(f"the question weighs {parcel.size} bytes, at most {MAX_PARCEL_BYTES} are kept")
    return parcel


def unpack(parcel: Parcel) -> Observation:
    """The observation that was packed. Raises ValueError for what none was ever packed into."""
    try:
        meta = json.loads(parcel.meta)
        frames = (Frame(_pixels(parcel.picture, meta["picture"]), float(meta["frame_s"])),) if parcel.picture else ()
        audio = None
        if parcel.sound:
            samples = np.frombuffer(parcel.sound, "<i2").astype(np.float32) / 32767.0  # [N] float32
            audio = AudioWindow(samples, int(meta["rate_hz"]), float(meta["sound_s"]))
        history = tuple(Turn(str(question), str(answer)) for question, answer in meta["history"])
        return Observation(str(meta["question"]), frames, audio, history, source=str(meta["source"]))
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"not a question: {type(error).__name__} {error}") from error


def question_of(parcel: Parcel) -> str:
    """Its words alone. Raises ValueError."""
    meta: Any = json.loads(parcel.meta)
    if not isinstance(meta, dict) or not isinstance(meta.get("question"), str):
        raise ValueError("not a question")
    return str(meta["question"])


def _jpeg(frame: Frame) -> bytes:
    import cv2

    done, data = cv2.imencode(".jpg", frame.pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise ValueError("the picture cannot be coded")
    return bytes(data.tobytes())


def _pixels(data: bytes, size: Any) -> Any:
    """[H, W, 3] uint8 of the declared `size` (width, height), which is checked before anything is decoded."""
    import cv2

    width, height = (int(side) for side in size)
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise ValueError(f"a picture of {width}x{height} pixels")
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None or pixels.shape != (height, width, 3):
        raise ValueError("the picture cannot be decoded")
    return np.asarray(pixels, dtype=np.uint8)
