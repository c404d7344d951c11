"""Makes edge_agent/assets/demo.mp4 and demo.json: four photos with hard cuts, and bells in a quiet room.

    python -m venv /tmp/clip && /tmp/clip/bin/pip install scikit-image av opencv-python-headless
    /tmp/clip/bin/python -m tools.make_demo_clip

The same releases of PyAV and its FFmpeg give the same bytes: nothing is random, no time or version is written.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 640, 480
FPS = 12
SCENE_FRAMES = 30
RATE_HZ = 16_000
ONSETS_S = (1.25, 3.75, 9.25)
"""One bell in the first, second and last scene, far from the cuts; the third scene is quiet."""
ROOM_NOISE = 3e-4
PHOTOS = {
    "coffee.png": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    "chelsea.png": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    "astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    "rocket.jpg": "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
}
"""sha256 of each photo: those, and only those, are the ones whose licences assets/README.md names."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A photo seen through a window that moves from `start` to `end`; both are centre x, centre y, width, as shares
    of the photo's width and height.
    """

    photo: str
    start: tuple[float, float, float]
    end: tuple[float, float, float]


SCENES = (
    Scene("coffee.png", (0.47, 0.50, 0.84), (0.53, 0.50, 0.84)),
    Scene("astronaut.png", (0.50, 0.41, 0.92), (0.50, 0.45, 0.92)),
    Scene("rocket.jpg", (0.46, 0.50, 0.80), (0.50, 0.50, 0.84)),
    Scene("chelsea.png", (0.50, 0.50, 0.84), (0.50, 0.48, 0.78)),
)


def main() -> int:
    """Write both files; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="folder of the photos; default: scikit-image's own data")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "edge_agent" / "assets")
    options = parser.parse_args()
    photos = options.photos or sample_photos()
    options.out.mkdir(parents=True, exist_ok=True)
    clip = options.out / "demo.mp4"
    write_clip(clip, photos)
    duration_s = len(SCENES) * SCENE_FRAMES / FPS
    cuts_s = [n * SCENE_FRAMES / FPS for n in range(1, len(SCENES))]
    sidecar = {"cuts_s": cuts_s, "onsets_s": list(ONSETS_S), "duration_s": duration_s, "fps": FPS}
    (options.out / "demo.json").write_text(json.dumps(sidecar) + "\n", encoding="utf-8")
    print(f"{clip}: {clip.stat().st_size} bytes, {duration_s:g} s")
    return 0


def sample_photos() -> Path:
    """The folder of scikit-image's sample photos, found without importing it."""
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        sys.exit("scikit-image is not installed: pip install scikit-image, or name the folder with --photos")
    return Path(found.origin).parent / "data"


def load(folder: Path, name: str) -> NDArray[np.uint8]:
    """One photo, [H, W, 3] uint8 BGR, after its bytes were found to be the licensed ones."""
    data = (folder / name).read_bytes()
    if hashlib.sha256(data).hexdigest() != PHOTOS[name]:
        sys.exit(f"{folder / name} is not the photo whose licence is known")
    pixels: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(pixels, dtype=np.uint8)


def scene_frames(photo: NDArray[np.uint8], scene: Scene) -> Iterator[NDArray[np.uint8]]:
    """SCENE_FRAMES pictures [HEIGHT, WIDTH, 3] uint8 BGR of a slow move over `photo`."""
    high, wide = photo.shape[:2]
    for n in range(SCENE_FRAMES):
        share = n / (SCENE_FRAMES - 1)
        x, y, width = (a + (b - a) * share for a, b in zip(scene.start, scene.end, strict=True))
        scale = WIDTH / (width * wide)
        move = np.array([[scale, 0, WIDTH / 2 - x * wide * scale], [0, scale, HEIGHT / 2 - y * high * scale]])
        inside = (x - width / 2) * wide >= 0 and (x + width / 2) * wide <= wide
        reach = HEIGHT / scale / 2
        if not (inside and y * high - reach >= 0 and y * high + reach <= high):
            raise ValueError(f"{scene.photo}: the window leaves the photo at frame {n}")
        yield np.asarray(cv2.warpAffine(photo, move, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR), dtype=np.uint8)


def bell(pitch_hz: float) -> NDArray[np.float64]:
    """A struck bell of 0.6 s: five partials of a church bell, the high ones dying first, behind a click of 4 ms."""
    t = np.arange(int(0.6 * RATE_HZ)) / RATE_HZ
    partials = ((0.5, 0.25), (1.0, 1.0), (1.2, 0.6), (2.0, 0.5), (3.0, 0.3))
    tone = sum(level * np.sin(2 * np.pi * pitch_hz * ratio * t) * np.exp(-t * 6 * ratio) for ratio, level in partials)
    click = np.random.default_rng(7).uniform(-1, 1, len(t)) * np.exp(-t / 0.004)
    struck: NDArray[np.float64] = (0.30 * tone + 0.35 * click) * np.minimum(1.0, (0.6 - t) / 0.05)
    return struck


def soundtrack() -> NDArray[np.int16]:
    """[N] int16 at RATE_HZ: the hiss of a quiet room, and a bell at each of ONSETS_S."""
    length = len(SCENES) * SCENE_FRAMES * RATE_HZ // FPS
    samples = np.random.default_rng(11).normal(0.0, ROOM_NOISE, length)
    for n, at_s in enumerate(ONSETS_S):
        start = int(at_s * RATE_HZ)
        struck = bell(660.0 * 1.125**n)
        samples[start : start + len(struck)] += struck
    return np.asarray(np.clip(samples, -1, 1) * 32767, dtype=np.int16)


def write_clip(path: Path, photos: Path) -> None:
    """Encode pictures and sound as H.264 and AAC in an MP4 that says nothing about when and by what it was made."""
    with av.open(str(path), "w", options={"fflags": "+bitexact", "movflags": "+faststart"}) as out:
        video: Any = out.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.options = {"crf": "27", "preset": "veryslow", "threads": "1", "flags": "+bitexact"}
        audio: Any = out.add_stream("aac", rate=RATE_HZ, layout="mono")
        audio.bit_rate = 48_000
        audio.options = {"flags": "+bitexact"}
        packets = [*_video_packets(video, photos), *_audio_packets(audio)]
        for packet in sorted(packets, key=lambda p: (p.dts * p.time_base, p.stream.index)):
            out.mux(packet)


def _video_packets(stream: Any, photos: Path) -> Iterator[Any]:
    for number, pixels in enumerate(p for s in SCENES for p in scene_frames(load(photos, s.photo), s)):
        frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
        frame.pts, frame.time_base = number, Fraction(1, FPS)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _audio_packets(stream: Any) -> Iterator[Any]:
    samples = soundtrack()
    for start in range(0, len(samples), 1024):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, start, Fraction(1, RATE_HZ)
        yield from stream.encode(frame)
    yield from stream.encode(None)


if __name__ == "__main__":
    sys.exit(main())
