"""Wake words: openWakeWord's three networks, one after the other, run by LiteRT.

Sound becomes mel frames of 10 ms, 76 of these one embedding every 80 ms, and a word's own network reads the last 16 or
so of them (https://github.com/dscripka/openWakeWord, "Model Architecture").
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_agent.errors import ModelError, UsageError
from edge_agent.types import F32
from edge_agent.vlm.litert import TfliteGraph

MELS, EMBEDDING = "melspectrogram.tflite", "embedding_model.tflite"
STEP = 1280  # samples, 80 ms
MEL_SAMPLES = 1760  # what the mel frames of one step are made of
MEL_BANDS = 32
EMBEDDING_FRAMES = 76
WIDTH = 96
FULL_SCALE = 32_767.0  # the networks know 16-bit samples


def wake_words(folder: Path) -> list[str]:
    """Names of the words that there are networks for in `folder`."""
    return sorted(path.stem for path in folder.glob("*.tflite") if path.name not in (MELS, EMBEDDING))


class WakeWord:
    """A stream of sound in, one probability every 80 ms out. `folder` holds the two shared networks and NAME.tflite.

    Raises UsageError for a word that it has no network for, ModelError where no LiteRT is installed or a file is unfit.
    """

    def __init__(self, folder: Path, name: str) -> None:
        if name not in (known := wake_words(folder)):
            raise UsageError(f"there is no wake word {name[:60]!r}", f"choose {', '.join(known) or 'another folder'}")
        self._mels = TfliteGraph(folder / MELS, input_shape=(1, MEL_SAMPLES))
        self._embedding = TfliteGraph(folder / EMBEDDING, input_shape=(1, EMBEDDING_FRAMES, MEL_BANDS, 1))
        self._word = TfliteGraph(folder / f"{name}.tflite")
        shape = self._word.input_shape
        if len(shape) != 3 or shape[0] != 1 or shape[2] != WIDTH or self._word.output_shape != (1, 1):
            raise ModelError(
                f"{folder / name}.tflite is no wake word: it reads {list(shape)}", "use one of openWakeWord"
            )
        self._reads = shape[1]
        self.reset()

    def reset(self) -> None:
        """Forget all that was heard."""
        self._samples: F32 = np.zeros(MEL_SAMPLES - STEP, np.float32)
        self._frames: F32 = np.zeros((0, MEL_BANDS), np.float32)
        self._embeddings: F32 = np.zeros((0, WIDTH), np.float32)

    def feed(self, samples: F32) -> list[float]:
        """[N] float32 mono at 16 kHz, -1..1, of any length; the probabilities 0..1 of the steps that it completes. The
        first comes after about two seconds.
        """
        self._samples = np.concatenate([self._samples, samples * np.float32(FULL_SCALE)])
        made = []
        while len(self._samples) >= MEL_SAMPLES:
            probability = self._step(self._samples[None, :MEL_SAMPLES])
            self._samples = self._samples[STEP:]
            if probability is not None:
                made.append(probability)
        return made

    def _step(self, samples: F32) -> float | None:
        mels = self._mels.run(np.ascontiguousarray(samples)).reshape(-1, MEL_BANDS) / 10 + 2  # [8, 32]
        self._frames = np.concatenate([self._frames, mels])[-EMBEDDING_FRAMES:]
        if len(self._frames) < EMBEDDING_FRAMES:
            return None
        made = self._embedding.run(np.ascontiguousarray(self._frames[None, :, :, None])).reshape(1, WIDTH)
        self._embeddings = np.concatenate([self._embeddings, made])[-self._reads :]
        if len(self._embeddings) < self._reads:
            return None
        return float(self._word.run(np.ascontiguousarray(self._embeddings[None]))[0, 0])
