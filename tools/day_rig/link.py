"""The link of the day rig: a TCP relay before the cloud that is fast, slow, a black hole, or cut."""

from __future__ import annotations

import asyncio
import contextlib

OK, SLOW, HOLE, CUT = "ok", "slow", "hole", "cut"
SLOW_DELAY_S = 0.15
SLOW_BYTES_S = 40_000
BLOCK = 16_384


class Relay:
    """Listens at `port`; connections are passed to `target` (a port, changed when the cloud is restarted) as `mode`
    says. `cut` also ends what is open.
    """

    def __init__(self) -> None:
        self.mode = OK
        self.target = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def change(self, mode: str) -> None:
        """From now on the link is so."""
        self.mode = mode
        if mode == CUT:
            self.cut()

    def cut(self) -> None:
        """End every connection, in the middle of whatever it was doing."""
        for writer in tuple(self._open):
            writer.transport.abort()

    async def close(self) -> None:
        self.cut()
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up: asyncio.StreamWriter | None = None
        self._open.add(writer)
        try:
            if self.mode != CUT:
                down, up = await asyncio.open_connection("127.0.0.1", self.target)
                self._open.add(up)
                await asyncio.gather(self._pump(reader, up), self._pump(down, writer))
        except OSError:
            pass  # either side is gone: so is the connection
        finally:
            for end in (writer, up):
                if end is not None:
                    self._open.discard(end)
                    end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while block := await reader.read(BLOCK):
            while self.mode == HOLE:  # noqa: ASYNC110 - a mode is no event
                await asyncio.sleep(0.05)
            if self.mode == SLOW:
                await asyncio.sleep(SLOW_DELAY_S + len(block) / SLOW_BYTES_S)
            writer.write(block)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()
