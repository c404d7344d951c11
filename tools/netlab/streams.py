"""A link for machines without namespaces: a TCP relay that holds bytes back. An emulation of what TCP makes of a link.

It has rate, delay, jitter and cuts; a lost segment becomes the delay of its retransmission, a connection waits a round
trip. What it has not: slow start, congestion control, acknowledgements that use up the other direction.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Sequence
from functools import partial
from types import TracebackType

from tools.netlab.link import SEGMENT_BYTES, Conditions, Pipe, Trace, steady

HOST = "127.0.0.1"
_READ_BYTES = 10 * SEGMENT_BYTES
_IN_FLIGHT = 256
_CUT_LOOK_S = 0.02


class StreamLink:
    """Use as `with`; both sides run where they are."""

    way = "streams"
    cloud_host = HOST

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="link", daemon=True)
        self._trace = steady(Conditions(1e3, 1e3))
        self._start_s = 0.0
        self._pipes = (Pipe(True, seed), Pipe(False, seed + 1))
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.in_edge: Sequence[str] = ()
        self.in_cloud: Sequence[str] = ()
        self.bytes_up = 0

    def __enter__(self) -> StreamLink:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def url_for(self, port: int) -> str:
        """How the edge reaches a cloud that listens on `port`: through the relay."""
        own = asyncio.run_coroutine_threadsafe(self._listen(port), self._loop).result()
        return f"http://{HOST}:{own}"

    def begin(self, trace: Trace) -> None:
        """From now on the link is as `trace` says, with an empty queue."""
        self._trace, self._start_s, self.bytes_up = trace, time.monotonic(), 0
        self._pipes = (Pipe(True, self._seed), Pipe(False, self._seed + 1))

    async def _listen(self, cloud_port: int) -> int:
        server = await asyncio.start_server(partial(self._connected, cloud_port), HOST, 0)
        self._servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, cloud_port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await asyncio.sleep((await self._open_link()).rtt_ms / 1000)  # SYN and its answer
            far_reader, far_writer = await asyncio.open_connection(HOST, cloud_port)
            await asyncio.gather(self._relay(reader, far_writer, True), self._relay(far_reader, writer, False))
        except (OSError, asyncio.CancelledError):
            return
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, up: bool) -> None:
        """One direction of one connection; its end is passed on."""
        due: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_IN_FLIGHT)
        delivery = asyncio.get_running_loop().create_task(_deliver(due, writer))
        try:
            while data := await reader.read(_READ_BYTES):
                link = await self._open_link()
                free_s, arrives_s = self._pipes[0 if up else 1].stream(time.monotonic(), len(data), link)
                self.bytes_up += len(data) if up else 0
                await due.put((arrives_s, data))
                await asyncio.sleep(max(0.0, free_s - time.monotonic()))
            await due.put((0.0, b""))
            await delivery
        finally:
            delivery.cancel()

    async def _open_link(self) -> Conditions:
        """The state of the link, once it is not cut."""
        while (link := self._trace.at(time.monotonic() - self._start_s)).cut:  # noqa: ASYNC110 - a trace knows no loop
            await asyncio.sleep(_CUT_LOOK_S)
        return link


async def _deliver(due: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
    """Write what has arrived, in order; the empty one is the end."""
    try:
        while True:
            arrives_s, data = await due.get()
            await asyncio.sleep(max(0.0, arrives_s - time.monotonic()))
            if not data:
                return
            writer.write(data)
            await writer.drain()
    finally:
        with contextlib.suppress(OSError):
            writer.close()
