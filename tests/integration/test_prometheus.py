"""A real Prometheus scrapes the device, and finds no fault with what it reads: only where it is installed."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from agents import Bench, FixedPolicy
from apis import asking, serving
from edge_agent.types import Route

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
pytestmark = pytest.mark.skipif(not PROMETHEUS or not PROMTOOL, reason="there is no prometheus: apt install prometheus")
CONFIG = """
scrape_configs:
  - job_name: edge-agent
    scrape_interval: 1s
    scrape_timeout: 1s
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def queried(port: int, query: str) -> list[dict[str, Any]]:
    address = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    try:
        with urllib.request.urlopen(address, timeout=5) as response:
            return list(json.load(response)["data"]["result"])
    except (OSError, urllib.error.URLError):
        return []  # not up yet


async def until_scraped(port: int) -> list[dict[str, Any]]:
    for _ in range(300):
        if found := await asyncio.to_thread(queried, port, 'up{job="edge-agent"} == 1'):
            return found
        await asyncio.sleep(0.2)
    return []


def test_a_prometheus_scrapes_the_device_and_its_linter_finds_no_fault(tmp_path: Path) -> None:
    assert PROMETHEUS
    assert PROMTOOL

    async def play() -> tuple[list[dict[str, Any]], list[dict[str, Any]], bytes]:
        async with serving(Bench(FixedPolicy(Route.LOCAL)).agent) as (_, client):
            async with client.post("/v1/chat/completions", json=asking()) as answered:
                assert answered.status == 200
            async with client.get("/metrics") as got:
                text = await got.read()
            port = free_port()
            (tmp_path / "prometheus.yml").write_text(CONFIG.format(port=client.port))
            command = [
                *(
                    PROMETHEUS,
                    f"--config.file={tmp_path / 'prometheus.yml'}",
                    f"--storage.tsdb.path={tmp_path / 'data'}",
                ),
                f"--web.listen-address=127.0.0.1:{port}",
            ]
            with (tmp_path / "log").open("wb") as log:
                server = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
            try:
                up = await until_scraped(port)
                names = await asyncio.to_thread(queried, port, '{job="edge-agent",__name__=~"edge_agent.*"}')
            finally:
                server.terminate()
                await server.wait()
            return up, names, text

    up, names, text = asyncio.run(play())
    assert len(up) == 1, (tmp_path / "log").read_text()[-2000:]
    assert names, "it found nothing of ours"
    linted = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (linted.returncode, linted.stdout + linted.stderr) == (0, b"")
