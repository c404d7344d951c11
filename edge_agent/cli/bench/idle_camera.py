"""A camera for `bench idle`: raw frames of a still scene with a sensor's noise, at a pace. usage: WIDTH HEIGHT FPS"""

from __future__ import annotations

import os
import sys
import time

import numpy as np

from edge_agent.sources.child import RAW_HEAD, RAW_MAGIC

SCENES = 4
NOISE = 2  # grey levels: far below what counts as a change


def main() -> None:
    """Print frames until nobody reads them."""
    width, height, fps = (int(word) for word in sys.argv[1:4])
    rng = np.random.default_rng(1)
    coarse = rng.integers(NOISE, 255 - NOISE, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    still = np.repeat(np.repeat(coarse, 16, 0), 16, 1)[:height, :width].astype(np.int16)
    noisy = [still + rng.integers(-NOISE, NOISE + 1, still.shape, dtype=np.int16) for _ in range(SCENES)]
    frames = [RAW_HEAD.pack(RAW_MAGIC, width, height) + one.astype(np.uint8).tobytes() for one in noisy]
    began_s, number = time.monotonic(), 0
    while True:
        rest = memoryview(frames[number % SCENES])
        while rest:
            rest = rest[os.write(1, rest) :]
        number += 1
        time.sleep(max(0.0, began_s + number / fps - time.monotonic()))


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        os._exit(0)
