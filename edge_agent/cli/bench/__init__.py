"""`edge-agent bench`: how fast the parts are on this machine, beside what others offer for the same work."""

from __future__ import annotations

import click

from edge_agent.cli.lazy import LazyGroup

SUBJECTS = {
    "features": "statistics of pictures and motion, against other libraries",
    "audio": "statistics of sound, against other libraries",
    "codec": "embeddings: quantising kernels, and bytes and accuracy of each codec",
    "decide": "one decision, by policy",
    "ingest": "a frame on its way into the cloud, against a bare WebSocket and POST",
    "vlm": "the model runtime, against plain onnxruntime and transformers",
    "idle": "watching while nothing happens: share of a core, memory, time a frame",
    "goals": "rows of several runs against the goals",
}


@click.group(cls=LazyGroup, table=SUBJECTS, package="edge_agent.cli.bench")
def command() -> None:
    """Measure speed on this machine; ratios are the time of the other / ours.

    One thread, its CPU clock, alternatives in turn. `pip install 'edge-agent[bench]'` brings those to compare with.
    """
