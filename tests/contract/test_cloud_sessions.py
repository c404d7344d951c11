"""Sessions that wait for their clients: billed, forgotten, taken over by nobody else, and not too many."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from clouds import asked, raw_client, request, running_cloud, until
from edge_agent.transport.client import CloudClient
from edge_agent.transport.frames import Frame, FrameType
from edge_agent.transport.resume import Resume
from resuming import PRICES, Checking, content, cut, greeted, read_raw, recorded, resume, whole


def test_a_session_that_waits_for_its_client_goes_on_computing_and_is_billed():
    async def main():
        backend = Checking(words=5, stop_before=2)
        async with running_cloud(backend, prices=PRICES) as cloud, greeted(cloud.url) as first:
            for frame in recorded():
                await first.send(frame)
            await until(lambda: backend.made == 2)
            cut(first.socket)
            await until(lambda: cloud.app._reception._parked)
            backend.gate.set()
            await until(lambda: cloud.desk.computed == 1)
            async with raw_client(cloud.url, greet=False) as second:
                await resume(second, first, ((1, 0),))
                return await read_raw(second, 100), await whole()

    cut_off, wanted = asyncio.run(main())
    assert content(cut_off) == content(wanted)


def test_a_session_that_nobody_resumes_is_forgotten_and_its_turns_are_cancelled():
    async def main():
        backend = Checking(words=1000, stop_before=2)
        async with running_cloud(backend) as cloud, greeted(cloud.url) as first:
            cloud.app._reception._window_s = 0.05
            for frame in recorded():
                await first.send(frame)
            await until(lambda: backend.made == 2)
            cut(first.socket)
            await until(backend.stopped.is_set)
            await until(lambda: not cloud.app._reception.count)
            async with raw_client(cloud.url, greet=False) as second:
                second.numbering.session = first.numbering.session
                await second.send(Resume(first.welcome.resume_token, ()).to_frame(), 0)
                return (await second.read()).meta["code"], cloud.desk.billed_microusd

    assert asyncio.run(main()) == ("forgotten", 0)


@pytest.mark.parametrize("wrong", ["token", "number", "owner"])
def test_nobody_takes_over_the_session_of_another(wrong):
    async def main():
        async with running_cloud(token="secret") as cloud:
            header = {"Authorization": "Bearer secret"}
            async with greeted(cloud.url, **header) as first, raw_client(cloud.url, greet=False, **header) as second:
                if wrong == "owner":
                    for session in cloud.app._reception._sessions.values():
                        session.principal = "someone else/"
                second.numbering.session = first.numbering.session + (wrong == "number")
                token = "0" * 32 if wrong == "token" else first.welcome.resume_token
                await second.send(Resume(token, ()).to_frame(), 0)
                return (await second.read()).meta["code"], await second.closed_with()

    assert asyncio.run(main()) == ("forgotten", 1000)


def test_a_goodbye_ends_the_session_for_good():
    async def main():
        async with running_cloud() as cloud, greeted(cloud.url) as first:
            await first.send(Frame(FrameType.BYE), 0)
            before = cloud.app._reception.count
            await first.closed_with()
            await until(lambda: not cloud.app._reception.count)
            return before, cloud.app._reception.count

    assert asyncio.run(main()) == (1, 0)


@pytest.mark.parametrize(
    "streams",
    [[[0, 1]], [[1, 0], [1, 0]], [[1]], [["a", 0]], [[1, -1]], [[1, 2**32]], [[n, 0] for n in range(1, 18)], {}],
    ids=["session", "twice", "single", "text", "negative", "huge", "many", "object"],
)
def test_a_broken_resume_is_refused(streams):
    async def main():
        async with (
            running_cloud() as cloud,
            greeted(cloud.url) as first,
            raw_client(cloud.url, greet=False) as second,
        ):
            second.numbering.session = first.numbering.session
            meta = {"resume_token": first.welcome.resume_token, "streams": streams}
            await second.send(Frame(FrameType.RESUME, meta), 0)
            return (await second.read()).meta["code"]

    assert asyncio.run(main()) in ("protocol", "too_large")


class Cutting:
    """Between client and cloud; cuts connection k after so many bytes of the cloud's as `limits[k]` says."""

    def __init__(self, limits: list[int]) -> None:
        self.limits = limits
        self.connections = 0
        self.passed = 0

    async def serve(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        limit = self.limits[self.connections] if self.connections < len(self.limits) else 1 << 30
        self.connections += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        up = asyncio.create_task(self._pump(reader, far_writer, 1 << 30))
        self.passed += await self._pump(far_reader, writer, limit)
        up.cancel()
        for one in (writer, far_writer):
            one.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int) -> int:
        passed = 0
        with contextlib.suppress(ConnectionError):
            while passed < most and (data := await reader.read(min(most - passed, 4096))):
                writer.write(data)
                await writer.drain()
                passed += len(data)
        return passed


def test_the_client_goes_on_over_another_connection_wherever_the_link_breaks():
    """Every 50 bytes from the end of the answer backwards."""

    async def once(limits: list[int]) -> tuple[str, int, int, Cutting]:
        async with running_cloud(Checking(words=9), prices=PRICES) as cloud:
            between = Cutting(limits)
            port = int(cloud.url.rsplit(":", 1)[1])
            server = await asyncio.start_server(lambda r, w: between.serve(port, r, w), "127.0.0.1", 0)
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with CloudClient(url) as client:
                text, result = await asked(client, request())
            server.close()
            await until(lambda: between.passed)
            return text, result.tokens, cloud.desk.computed, between

    async def main() -> None:
        passed, resumed = (await once([]))[3].passed, 0
        for missing in range(60, 560, 50):
            text, tokens, computed, between = await once([passed - missing])
            assert (text, tokens, computed) == (" ".join(f"w{n}" for n in range(9)), 9, 1), missing
            resumed += between.connections == 2  # fewer frames may hold the tokens than in the first run
        assert resumed > 5

    asyncio.run(main())


def test_no_more_sessions_wait_for_their_clients_than_may_be_connected():
    async def main():
        async with running_cloud(max_sessions=2) as cloud:
            for _ in range(5):
                async with greeted(cloud.url) as client:
                    cut(client.socket)
                await until(lambda: len(cloud.app._reception._parked) == cloud.app._reception.count)
            return cloud.app._reception.count

    assert asyncio.run(main()) == 2
