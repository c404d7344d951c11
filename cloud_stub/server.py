"""Opens the model, listens, and ends when told to: what `python -m cloud_stub` runs."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import signal
import sys

from aiohttp import web

from cloud_stub.app import Access, CloudApp
from cloud_stub.backends.base import Backend
from cloud_stub.heap import keep_heap
from cloud_stub.link import LEFT_S
from cloud_stub.options import Options, parse
from cloud_stub.turns import TurnDesk
from edge_agent.errors import EdgeAgentError, UsageError


async def serve(options: Options) -> None:
    """Open the model, listen, and return after SIGINT or SIGTERM once running turns ended. Raises EdgeAgentError."""
    tls = options.tls()
    keep_heap()
    backend = await asyncio.to_thread(open_backend, options)
    most = options.max_turns
    desk = TurnDesk(backend, prices=options.prices, max_in_flight=most, workers=most)
    cloud = CloudApp(desk, Access(options.token), max_sessions=options.max_sessions)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(cloud.app, access_log=None, shutdown_timeout=1.0, lingering_time=LEFT_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, options.host, options.port, ssl_context=tls)
        try:
            await site.start()
        except OSError as error:
            raise _cannot_listen(options, error) from error
        _announce(options, runner, backend.model)
        await stop.wait()
        logging.getLogger("cloud_stub").info("stopping: running turns have %.0f s", options.drain_s)
        await cloud.drain(options.drain_s)
    finally:
        await cloud.close()
        await runner.cleanup()


def open_backend(options: Options) -> Backend:
    """What `--backend` names. Raises ModelError, UsageError."""
    from edge_agent.vlm import find_bundle

    if options.backend == "onnx":
        from cloud_stub.backends.onnx import OnnxBackend

        vision = find_bundle(options.vision) if options.vision else None
        model, side_by_side = find_bundle(options.model), options.side_by_side
        return OnnxBackend(model, options.threads, vision, side_by_side, options.kept)
    from cloud_stub.backends.chat_server import ChatServer
    from cloud_stub.backends.openai import OpenAIBackend
    from cloud_stub.backends.vllm import VllmBackend

    server = ChatServer(options.engine_url, options.engine_key)
    if options.backend == "openai":
        return OpenAIBackend(server, options.engine_model)
    return VllmBackend(server, find_bundle(options.model), options.engine_model)


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 stopped as asked, 2 bad usage, 4 the model cannot be used."""
    try:
        options = parse(arguments)
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
        asyncio.run(serve(options))
    except EdgeAgentError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def _announce(options: Options, runner: web.AppRunner, model: str) -> None:
    port = runner.addresses[0][1]
    host = f"[{options.host}]" if ":" in options.host else options.host
    url = f"{'https' if options.tls_cert else 'http'}://{host}:{port}"
    sys.stderr.write(f"listening on {url}\n")
    sys.stderr.flush()
    if options.json:
        sys.stdout.write(json.dumps({"event": "listening", "url": url, "port": port, "model": model}) + "\n")
        sys.stdout.flush()


def _cannot_listen(options: Options, error: OSError) -> UsageError:
    place = f"{options.host}:{options.port}"
    if error.errno == errno.EADDRINUSE:
        return UsageError(f"{place} is in use", "stop what listens there, or give another --port")
    return UsageError(f"cannot listen on {place} ({error.strerror or error})", "give another --host or --port")
