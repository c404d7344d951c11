"""The cloud as a Ray Serve application: a front that speaks EAP/1, and replicas of the decoder behind it.

    pip install 'edge-agent[ray]'
    python -m cloud_stub.ray_app --replicas 2 --port 8787

The sessions, limits and decoder of `python -m cloud_stub`, for those who outgrow one machine.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any

from cloud_stub.backends.base import Prompt
from cloud_stub.options import TOKEN_VARIABLE
from edge_agent.errors import EdgeAgentError, ModelError, UsageError
from edge_agent.transport.hosts import is_loopback
from edge_agent.types import Generation, TokenEvent

INSTALL = "pip install 'edge-agent[ray]'"
SIDE_BY_SIDE = 8
STARTS = 3
log = logging.getLogger("cloud_stub")


class Decoder:
    """One replica: the decoder of a bundle, for any number of prompts at once."""

    def __init__(self, model: str, vision: str, threads: int) -> None:
        from cloud_stub.backends.onnx import OnnxBackend
        from edge_agent.vlm import find_bundle

        self._backend = OnnxBackend(
            find_bundle(model), threads, find_bundle(vision) if vision else None, side_by_side=SIDE_BY_SIDE
        )

    async def facts(self) -> dict[str, Any]:
        """What a backend says of itself."""
        names = ("model", "encoder_ids", "codecs", "hidden_size", "detail_views", "tokenizer_id")
        return {name: getattr(self._backend, name) for name in names}

    async def read(self, prompt: Prompt) -> Prompt:
        return await asyncio.to_thread(self._backend.read, prompt)

    async def prompt_tokens(self, prompt: Prompt) -> int:
        return await asyncio.to_thread(self._backend.prompt_tokens, prompt)

    async def stream(self, prompt: Prompt) -> AsyncIterator[TokenEvent]:
        left = threading.Event()
        events = self._backend.stream(prompt, left.is_set)
        try:
            while (event := await asyncio.to_thread(next, events, None)) is not None:
                yield event
        finally:
            left.set()

    async def summarise(self, events: Sequence[TokenEvent]) -> Generation:
        return self._backend.summarise(events)


def application(given: argparse.Namespace, token: str | None) -> Any:
    """The two deployments, bound. Raises UsageError where Ray Serve is not installed."""
    try:
        from ray import serve

        from cloud_stub.ray_front import Front
    except ImportError as error:
        raise UsageError(f"Ray Serve cannot be imported ({error})", INSTALL) from error
    options = {"num_cpus": 0, "memory": 0}
    turns = given.max_turns
    decoder: Any = serve.deployment(
        Decoder,
        num_replicas=given.replicas,
        max_ongoing_requests=turns,
        health_check_period_s=2,
        ray_actor_options=options,
    )
    deployed: Any = Front
    front: Any = deployed.options(max_ongoing_requests=4 * given.max_sessions, ray_actor_options=options)
    return front.bind(decoder.bind(given.model, given.vision, given.threads), token, given.max_sessions, turns)


def started(start: Callable[[], object], stop: Callable[[], object]) -> None:
    """Start Ray, which gives its own processes 30 s and no more: on a busy machine the second attempt finds their files
    in memory. Raises ModelError where no attempt came through.
    """
    words = ""
    for attempt in range(STARTS):
        try:
            start()
        except Exception as error:  # noqa: BLE001, PERF203 - Ray raises nothing more precise; it is started again
            stop()
            words = str(error).partition(".")[0]
            log.warning("Ray did not start, attempt %d of %d (%s)", attempt + 1, STARTS, words)
        else:
            return
    raise ModelError(f"Ray did not start ({words})", "try again when the machine is less busy, or name a RAY_ADDRESS")


def run(given: argparse.Namespace) -> None:
    """Start Ray on this machine, or join the cluster of RAY_ADDRESS, and serve until interrupted."""
    token = os.environ.get(TOKEN_VARIABLE, "").strip() or None
    if token is None and not is_loopback(given.host):
        raise UsageError(f"{given.host} can be reached by other machines and no token is set", f"set {TOKEN_VARIABLE}")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    app = application(given, token)
    import ray
    from ray import serve

    own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": 100 << 20}
    own = {} if os.environ.get("RAY_ADDRESS") else own
    started(partial(ray.init, **own, log_to_driver=False), ray.shutdown)
    try:
        serve.start(http_options={"host": given.host, "port": given.port})
        serve.run(app, name="edge-agent", route_prefix="/")
        sys.stderr.write(f"listening on http://{given.host}:{given.port}\n")
        sys.stderr.flush()
        threading.Event().wait()
    finally:
        serve.shutdown()
        ray.shutdown()


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 stopped by Ctrl-C, 2 bad usage, 4 the model cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m cloud_stub.ray_app", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8787)
    parser.add_argument("--model", default="cloud-vqa", help="bundle: a name or a folder (default: %(default)s)")
    parser.add_argument("--vision", default="edge-vqa", help="bundle that encodes pictures sent as such; '': none")
    parser.add_argument("--replicas", type=int, default=2, help="decoders (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of one inference")
    parser.add_argument("--max-sessions", type=int, default=64)
    parser.add_argument("--max-turns", type=int, default=32, help="questions at once, over all sessions")
    try:
        run(parser.parse_args(arguments))
    except EdgeAgentError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    from cloud_stub.ray_app import main as start  # so that replicas find the class by its name

    sys.exit(start())
