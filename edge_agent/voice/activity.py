"""How likely it is that somebody speaks, every 32 ms: Silero's network, run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_agent.types import F32
from edge_agent.vlm.session import check_nodes, open_session, run

RATE_HZ = 16_000
WINDOW = 512  # samples that one probability is of
CONTEXT = 64  # samples before them that the network reads, too
STATE = (2, 1, 128)
INPUTS, OUTPUTS = ("input", "state", "sr"), ("output", "stateN")


class SpeechActivity:
    """A stream of sound in, one probability a window out. `path`: silero_vad_16k_op15.onnx. One thread at a time.

    Raises ModelError where the file is none that can be run.
    """

    def __init__(self, path: Path) -> None:
        self._session = open_session(path, 1)
        check_nodes(self._session, path, INPUTS, OUTPUTS)
        self.reset()

    def reset(self) -> None:
        """Forget all that was heard."""
        self._state = np.zeros(STATE, np.float32)
        self._rest: F32 = np.zeros(0, np.float32)
        self._context: F32 = np.zeros(CONTEXT, np.float32)

    def feed(self, samples: F32) -> list[float]:
        """[N] float32 mono at 16 kHz, -1..1, of any length; the probabilities 0..1 of the windows that it completes."""
        heard = np.concatenate([self._rest, samples])
        count = len(heard) // WINDOW
        made = [self._probability(heard[at * WINDOW : (at + 1) * WINDOW]) for at in range(count)]
        self._rest = heard[count * WINDOW :]
        return made

    def _probability(self, window: F32) -> float:
        feeds = {
            "input": np.concatenate([self._context, window])[None],  # [1, 576]
            "state": self._state,
            "sr": np.array(RATE_HZ, np.int64),
        }
        output, self._state = run(self._session, list(OUTPUTS), feeds, "telling speech")
        self._context = window[-CONTEXT:]
        return float(output[0, 0])
