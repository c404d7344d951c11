"""Warms the device's model up before it is ready, and keeps how fast it was, for the policy's first questions."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge_agent.cli.paths import state_dir
from edge_agent.config import Config
from edge_agent.engines.base import Query
from edge_agent.engines.local import Model
from edge_agent.store.speed import Speed, read_speed, write_speed
from edge_agent.types import U8, AudioWindow, Frame

QUESTION = "what color is the shape?"
SHORT_TOKENS = 4
AGAIN_BELOW_MS = 1000.0  # the first run of a graph is slower; where it takes long, a second one is not worth the wait
log = logging.getLogger(__name__)


def warm_up(model: Model, name: str, clock_s: Callable[[], float] = time.perf_counter) -> Speed:
    """Run every graph, and measure: the picture's encoder, its tiles, the sound's, the decoder. Some tenths of a second
    for the shipped model. Raises ModelError: a model that fails here would fail at the first question.
    """

    def timed(work: Callable[[], object]) -> float:
        began_s = clock_s()
        work()
        return max(1e-3, (clock_s() - began_s) * 1000)

    first, second = Frame(_drawn(0), 0.0), Frame(_drawn(1), 0.0)
    if timed(lambda: model.look(first)) < AGAIN_BELOW_MS:
        model.look(second)
        list(model.encode_tiles(second))
    if model.sizes.sound_bytes is not None:
        model.encode_sound(AudioWindow(np.zeros(16_000, np.float32), 16_000))
    query = Query(QUESTION, model.look(second), max_new_tokens=SHORT_TOKENS)
    answer_ms = timed(lambda: list(model.stream(query, threading.Event())))
    if answer_ms < AGAIN_BELOW_MS:
        answer_ms = timed(lambda: list(model.stream(query, threading.Event())))
    return Speed(name, answer_ms)


def _drawn(shade: int) -> U8:
    rows, columns = np.mgrid[0:96, 0:128]
    return np.asarray(np.stack([rows, columns, rows + columns + shade], axis=-1), np.uint8)


def speed_path(config: Config) -> Path:
    """Where it is kept."""
    return state_dir(config) / "speed.json"


def speed_name(config: Config, identity: str) -> str:
    """The model with everything else that its speed hangs on."""
    model = config.model
    return f"{identity}, {model.encoder}, {model.provider}, {model.threads} threads, splitting {model.splitting}"


def keep_speed(config: Config, speed: Speed) -> None:
    """For later starts; a disk that takes nothing harms nobody."""
    try:
        write_speed(speed_path(config), speed)
    except OSError as error:
        log.warning("the measured speed cannot be kept (%s)", error)


def kept_speed(config: Config, identity: str) -> Speed | None:
    """What was measured at an earlier start with this model and these settings."""
    path = speed_path(config)
    try:
        return read_speed(path, speed_name(config, identity))
    except (OSError, ValueError) as error:
        log.warning("the measured speed %s is set aside: %s", path, error)
        return None
