"""The API around a scripted agent, in this process; and `edge-agent serve` as a child process."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import wave
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from aiohttp.test_utils import TestClient, TestServer

from agents import Bench, FixedPolicy
from edge_agent.api.access import Access
from edge_agent.api.app import Api
from edge_agent.clock import SystemClock
from edge_agent.config import ApiSettings, Config
from edge_agent.features import FeatureExtractor
from edge_agent.types import Frame, Route


def picture(size: tuple[int, int] = (48, 64), suffix: str = ".jpg") -> bytes:
    """A busy picture, encoded."""
    pixels = np.random.default_rng(1).integers(60, 200, (*size, 3), dtype=np.uint8)
    return cv2.imencode(suffix, pixels)[1].tobytes()


def sound(seconds: float = 1.0) -> bytes:
    """Noise as a WAV file."""
    samples = np.random.default_rng(1).integers(-8000, 8000, int(16000 * seconds), dtype=np.int16)
    made = io.BytesIO()
    with wave.open(made, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes(samples.tobytes())
    return made.getvalue()


def image_part(data: bytes, kind: str = "jpeg") -> dict[str, Any]:
    url = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def audio_part(data: bytes) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(data).decode(), "format": "wav"}}


def asking(*parts: dict[str, Any], text: str = "what is in the picture?", **more: Any) -> dict[str, Any]:
    """A request's body."""
    content = [{"type": "text", "text": text}, *parts]
    return {"model": "edge-agent", "messages": [{"role": "user", "content": content}], **more}


@contextlib.asynccontextmanager
async def serving(
    agent: Any,
    settings: ApiSettings | None = None,
    access: Access | None = None,
    config: Config | None = None,
) -> AsyncIterator[tuple[Api, TestClient[Any, Any]]]:
    """The application on a free port of loopback, with an open desk."""
    api = Api(config or Config(api=settings or ApiSettings()), SystemClock(), "scripted", "scripted-encoder")
    if agent is not None:
        api.desk.open(agent)
        api.health.phase = ""
    server = TestServer(api.app(access or Access(None)), handler_cancellation=True)
    async with TestClient(server) as client:
        yield api, client


def with_api(check: Callable[[Api, TestClient[Any, Any]], Awaitable[None]], config: Config | None = None) -> None:
    """Run `check` beside an agent that answers on the device."""

    async def go() -> None:
        async with serving(Bench(FixedPolicy(Route.LOCAL)).agent, config=config) as (api, client):
            await check(api, client)

    asyncio.run(go())


def look(api: Api, seen: Frame, extractor: FeatureExtractor | None = None) -> None:
    """A frame comes, as the watcher tells the API."""
    api.senses.watching = True
    api.senses.look_back.add(seen)
    api.senses.saw(seen, *(extractor or FeatureExtractor()).vision(seen.pixels))


def events_of(stream: str) -> list[Any]:
    """The data of a stream's events; `[DONE]` as it is."""
    lines = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


class Process:
    """`edge-agent serve` or `run` with the API: its `url`, its output, and its end."""

    def __init__(self, *arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by kill
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edge_agent", *arguments, "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, **(env or {})},
            cwd=cwd,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self._reading = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reading.start()  # a pipe that nobody reads would hold the agent up
        assert line, self._said()
        self.url = json.loads(line)["url"]

    def _read(self, out: IO[str]) -> None:
        self.lines.extend(out)

    def _said(self) -> str:
        self._process.wait(60)
        self._errors.seek(0)
        return self._errors.read()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code and what it said on stderr."""
        self._process.send_signal(number)
        return self._process.wait(60), self._said()

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(60)
        self._reading.join(60)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._errors.close()


@contextlib.contextmanager
def process(*arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> Iterator[Process]:
    made = Process(*arguments, env=env, cwd=cwd)
    try:
        yield made
    finally:
        made.kill()


def command(*arguments: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """One run of edge-agent: exit code and stderr."""
    words: Sequence[str] = [sys.executable, "-m", "edge_agent", *arguments]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, env={**os.environ, **(env or {})})
    return done.returncode, done.stderr.strip()
