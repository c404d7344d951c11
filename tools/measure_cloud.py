"""How many questions a cloud answers when many agents ask at once, in one batch and one after the other.

    python -m tools.measure_cloud --agents 16 --questions 4 --json

Each agent is one connection that asks one question after the other, about pictures that nobody saw before (drawn by
chance, embedded by the edge's encoder). `python -m cloud_stub` runs in a process of its own for each way; the ways take
turns, `--rounds` of them. Told are questions a second, milliseconds an answer, and whether every answer is the same.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from cloud_stub.backends.onnx import KEPT
from edge_agent.transport.client import CloudClient, TurnRequest, TurnResult
from edge_agent.transport.codecs import EncodedTensor, find_codec
from edge_agent.transport.messages import uuid7
from edge_agent.vlm import Bundle, find_bundle, open_vision

QUESTIONS = (
    "describe the picture.",
    "what is in the picture?",
    "how many people are there?",
    "list everything that you see.",
)
DEADLINE_MS = 300_000


def main(arguments: Sequence[str] | None = None) -> int:
    """0: every answer is the same in all ways; 1: one is not."""
    given = _parser().parse_args(arguments)
    tensors = pictures(given.agents * given.questions)
    if given.one_picture:
        tensors = tensors[: given.agents] * given.questions
    rows: dict[int, list[dict[str, Any]]] = {way: [] for way in given.ways}
    said: dict[int, list[str]] = {}
    for number in range(given.rounds + 1):
        for way in given.ways:
            row, said[way] = asyncio.run(measured(way, given.agents, tensors, given.kept))
            if number:  # the first of each only warms the machine up
                rows[way].append(row)
    made = [summary(way, of, given.agents) for way, of in rows.items()]
    same = [sum(a == b for a, b in zip(said[way], said[given.ways[0]], strict=True)) for way in given.ways]
    for one, count in zip(made, same, strict=True):
        print(json.dumps(one | {"same_answers": f"{count}/{len(tensors)}"}) if given.json else one)
    return 0 if min(same) == len(tensors) else 1


def pictures(count: int) -> list[EncodedTensor]:
    """The embeddings of coloured blocks on a ground."""
    vision, codec, rng = (
        open_vision(Bundle.open(find_bundle("edge-vqa")), 1, "onnx"),
        find_codec("int8-zstd"),
        np.random,
    )
    made = []
    for number in range(count):
        drawn = rng.default_rng(number).integers(0, 255, (4, 4, 3), dtype=np.uint8).repeat(56, 0).repeat(56, 1)
        made.append(codec.encode(vision.encode(drawn)))
    return made


async def measured(way: int, agents: int, tensors: list[EncodedTensor], kept: int) -> tuple[dict[str, Any], list[str]]:
    """One cloud, all agents at once: its figures, and what it said to each question."""
    process = started("--max-turns", str(2 * agents), "--side-by-side", str(way), "--kept", str(kept))
    assert process.stdout is not None
    try:
        url = json.loads(process.stdout.readline())["url"]
        began_s = time.monotonic()
        answers = await asyncio.gather(*(agent(url, tensors[at::agents]) for at in range(agents)))
        taken_s = time.monotonic() - began_s
    finally:
        process.terminate()
        process.wait()
    waits_ms = sorted(ms for one in answers for _, ms, _ in one)
    row = {
        "questions_per_s": len(tensors) / taken_s,
        "p50_ms": statistics.median(waits_ms),
        "p95_ms": waits_ms[int(0.95 * (len(waits_ms) - 1))],
        "tokens": sum(count for one in answers for _, _, count in one),
    }
    return row, [text for one in answers for text, _, _ in one]


def started(*arguments: str) -> subprocess.Popen[str]:
    """The cloud, without a vision encoder."""
    command = [sys.executable, "-m", "cloud_stub", "--port", "0", "--json", "--vision", "", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


async def agent(url: str, tensors: list[EncodedTensor]) -> list[tuple[str, float, int]]:
    """Text, milliseconds and tokens of each answer, one question after the other."""
    made = []
    async with CloudClient(url) as client:
        for number, one in enumerate(tensors):
            began_s, text, count = time.monotonic(), "", 0
            asked = TurnRequest(QUESTIONS[number % len(QUESTIONS)], (one,), uuid7(time.time_ns() // 10**6), DEADLINE_MS)
            async for item in client.turn(asked):
                if not isinstance(item, TurnResult):
                    text, count = text + item.text, count + 1
            made.append((text, (time.monotonic() - began_s) * 1000, count))
    return made


def summary(way: int, rows: list[dict[str, Any]], agents: int) -> dict[str, Any]:
    """Medians over the rounds, and how far questions a second lie apart."""
    rates = [row["questions_per_s"] for row in rows]
    middle = {name: round(statistics.median(row[name] for row in rows), 2) for name in rows[0]}
    spread = round(100 * (max(rates) - min(rates)) / (2 * statistics.median(rates)), 1)
    return {"side_by_side": way, "agents": agents, "rounds": len(rows), **middle, "spread_pct": spread}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.measure_cloud", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--agents", type=int, default=16)
    parser.add_argument("--questions", type=int, default=4, help="of each agent")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", type=int, nargs="+", default=[1, 8], help="how many answers at once (1 8)")
    parser.add_argument(
        "--one-picture", action="store_true", help="each agent asks all its questions about one picture"
    )
    parser.add_argument("--kept", type=int, default=KEPT, help="pictures that the cloud keeps read (%(default)s)")
    parser.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
