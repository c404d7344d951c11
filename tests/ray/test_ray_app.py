"""The Ray Serve application with 16 agents: a decoder killed in the middle of answers, then the front; no turn lost."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from clouds import asked, request, until
from edge_agent.errors import CloudError
from edge_agent.transport.client import CloudClient
from edge_agent.transport.codecs import EncodedTensor, decode_tensor, find_codec
from edge_agent.transport.limits import Limits
from edge_agent.transport.messages import uuid7
from edge_agent.types import Embeddings
from edge_agent.vlm import Bundle, Generator
from real_engines import cloud_bundle, free_port, stop  # noqa: F401 - a fixture

pytest.importorskip("ray", reason="Ray Serve is not installed: make test-ray")

ROOT = Path(__file__).resolve().parents[2]
AGENTS = 16
READY_S = 150
QUESTIONS = ("what is in the picture?", "how many people are there?", "describe the picture.", "is there a dog?")


class App:
    """`python -m cloud_stub.ray_app`, and how to kill parts of it."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._command = [sys.executable, "-m", "cloud_stub.ray_app", "--port", str(port), "--vision", ""]
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("EDGE_AGENT_", "RAY_"))}
        self.process = subprocess.Popen(
            self._command, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=keep | {"PYTHONPATH": str(ROOT)}
        )

    def wait(self) -> None:
        assert self.process.stderr is not None
        lines = []
        for line in self.process.stderr:
            lines.append(line)
            if line.startswith("listening"):
                return
        raise AssertionError("".join(lines))

    def parts(self, name: str) -> list[psutil.Process]:
        own = psutil.Process(self.process.pid).children(recursive=True)
        return [one for one in own if f":{name}" in "".join(one.cmdline())]

    def kill_one(self, name: str) -> None:
        parts = self.parts(name)
        assert parts, f"no {name} runs"
        parts[0].kill()


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    made = App(free_port())
    try:
        made.wait()
        yield made
    finally:
        stop(made.process)


def picture(bundle: Bundle, seed: int) -> EncodedTensor:
    size = (bundle.tokens_per_image, bundle.hidden_size)
    data = np.random.default_rng(seed).normal(size=size).astype(np.float32)
    return find_codec("int8-zstd").encode(Embeddings(data, bundle.encoder_id))


class Agent:
    """Asks each question until it is answered, always under the same turn id; counts how often it had to."""

    def __init__(self, url: str, bundle: Bundle, number: int) -> None:
        self._url, self._bundle, self._number = url, bundle, number
        self.said: list[str] = []
        self.waits_s: list[float] = []
        self.repeats: list[str] = []

    async def ask(self, rounds: int) -> None:
        tensor = picture(self._bundle, self._number)
        async with CloudClient(self._url, device=f"agent-{self._number}") as client:
            for number in range(rounds):
                turn = uuid7(time.time_ns() // 10**6)
                began_s, question = time.monotonic(), QUESTIONS[number % len(QUESTIONS)]
                self.said.append(await self._until_answered(client, question, tensor, turn))
                self.waits_s.append(time.monotonic() - began_s)

    async def _until_answered(self, client: CloudClient, question: str, tensor: EncodedTensor, turn: str) -> str:
        until_s = time.monotonic() + 120
        while True:
            try:
                text, _ = await asked(client, request(question, tensors=(tensor,), turn_id=turn, deadline_ms=60_000))
                return text
            except CloudError as error:  # noqa: PERF203 - it is asked again
                if not (error.retryable or error.code == "auth") or time.monotonic() > until_s:
                    raise
                self.repeats.append(error.code)
                await asyncio.sleep(0.5)


def expected(bundle: Bundle, number: int, rounds: int) -> list[str]:
    generator, seen = Generator(bundle), decode_tensor(picture(bundle, number), Limits())
    texts = []
    for at in range(rounds):
        events = generator.stream([seen], QUESTIONS[at % len(QUESTIONS)])
        texts.append("".join(event.text for event in events).strip())
    return texts


async def played(app: App, bundle: Bundle, rounds: int, kill: str) -> list[Agent]:
    agents = [Agent(app.url, bundle, number) for number in range(AGENTS)]
    tasks = [asyncio.create_task(one.ask(rounds)) for one in agents]
    await until(lambda: sum(len(one.said) for one in agents) >= AGENTS)
    if kill:
        await asyncio.to_thread(app.kill_one, kill)
    await asyncio.gather(*tasks)
    waits = sorted(wait for one in agents for wait in one.waits_s)
    repeats = [code for one in agents for code in one.repeats]
    sys.stderr.write(
        f"\n{kill or 'nothing'} killed: {len(waits)} turns, p50 {waits[len(waits) // 2]:.2f} s, "
        f"slowest {waits[-1]:.2f} s, asked again {len(repeats)} ({sorted(set(repeats))})\n"
    )
    return agents


@pytest.mark.parametrize("kill", ["", "Decoder", "Front"])
def test_no_turn_is_lost_whatever_is_killed(app: App, bundle: Bundle, kill: str) -> None:
    agents = asyncio.run(played(app, bundle, 4, kill))
    for number, one in enumerate(agents):
        assert one.said == expected(bundle, number, 4)
    if kill != "Front":
        assert [one.repeats for one in agents] == [[]] * AGENTS  # nobody noticed
