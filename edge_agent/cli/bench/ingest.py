"""`edge-agent bench ingest`: what one uploaded frame costs our server, beside a bare WebSocket and a bare POST."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from edge_agent.cli.bench.measure import Contender, Timing
from edge_agent.cli.bench.options import rounds_option, runs_option
from edge_agent.cli.bench.rows import Report, timing_row
from edge_agent.cli.options import json_option
from edge_agent.cli.running import run

CONNECTIONS = 16
FRAMES = 128
OURS = ("frame", "short_turns", "whole_turn")
"""The rows, see ingest_client.OURS."""
WORKS = {
    "aiohttp_websocket": "less: receives, and looks at nothing",
    "aiohttp_post": "less: reads the body, and looks at nothing",
}


@click.command()
@click.option("--connections", type=click.IntRange(1, 64), default=CONNECTIONS, show_default=True, help="At once.")
@click.option(
    "--frames", type=click.IntRange(1, 512), default=FRAMES, show_default=True, help="Of each connection, a round."
)
@rounds_option
@runs_option
@json_option
def command(connections: int, frames: int, rounds: int, runs: int, as_json: bool) -> None:
    """The server's CPU time for a frame of 8 KiB that carries a piece of a tensor.

    Ours checks each frame's checksum and number and puts the tensor together; a bare aiohttp WebSocket of the same
    process and a bare POST only receive. All take turns, over open connections. The row `frame` is a tensor of
    --frames; `short_turns` has turns of 8 frames, `whole_turn` goes on to the answer (name checked, tensor decoded,
    no model): their times are all that the server did, by frames. `parts_us` says what of ours is what.
    """
    from edge_agent.cli.bench.ingest_parts import parts_us

    report = Report(as_json)
    for number in range(1, runs + 1):
        times = run(measured(connections, frames, rounds))
        for case in OURS:
            extra = {"parts_us": parts_us()} if case == "frame" else {}
            report.row(row(case, times, connections, frames) | extra | ({"run": number} if runs > 1 else {}))


def row(case: str, times: Mapping[str, Sequence[float]], connections: int, frames: int) -> dict[str, Any]:
    """One row of microseconds a frame, one value a round."""
    ours = times[case]
    peers = []
    for name, work in WORKS.items():
        ratios = tuple(theirs / mine for theirs, mine in zip(times[name], ours, strict=True))
        contender = Contender(name, "aiohttp", lambda _: None, work=work)
        peers.append((contender, Timing(name, tuple(times[name]), ratios)))
    extra = {"frame_bytes": 8192, "connections": connections, "frames": frames}
    return timing_row("ingest", case, f"8KiB/{connections}", Timing("ours", tuple(ours)), peers, extra)


async def measured(connections: int, frames: int, rounds: int) -> dict[str, list[float]]:
    """Microseconds of the server's CPU a frame, of each kind, round by round; a first round is not counted."""
    import aiohttp

    from edge_agent.cli.bench.ingest_client import Connections, side_by_side

    server = await asyncio.to_thread(started)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        port = json.loads(await asyncio.to_thread(server.stdout.readline))["port"]
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            opened = Connections(session, f"http://127.0.0.1:{port}", connections, frames)
            await opened.open()
            times: dict[str, list[float]] = {name: [] for name in (*OURS, *WORKS)}
            for number in range(rounds + 1):
                for name, ways in opened.rounds().items():
                    before_ns = cpu_ns(server.pid)
                    await side_by_side(ways)
                    taken_us = (cpu_ns(server.pid) - before_ns) / 1000
                    if number:
                        times[name].append(taken_us / (connections * opened.frames[name]))
            return times
    finally:
        server.stdin.close()
        await asyncio.to_thread(server.wait)
        server.stdout.close()


def started() -> subprocess.Popen[str]:
    """The server, in a process of its own; it ends when its input does."""
    command = [sys.executable, "-m", "edge_agent.cli.bench.ingest_server"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def cpu_ns(pid: int) -> int:
    """CPU time of another process, all its threads: its clock as clock_getcpuclockid(3) numbers it on Linux."""
    return time.clock_gettime_ns((~pid << 3) | 2)
