"""The door of the reference cloud: who is let in before the upgrade, and what its health tells."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from clouds import ENCODER, asked, raw_client, request, running_cloud, until
from edge_agent.transport.client import CloudClient
from edge_agent.transport.frames import (
    ENDPOINT,
    SUBPROTOCOL,
)


async def upgrade(url: str, *, protocols=(SUBPROTOCOL,), **headers: str) -> int:
    async with aiohttp.ClientSession() as session:
        try:
            socket = await session.ws_connect(url + ENDPOINT, protocols=protocols, headers=headers)
        except aiohttp.WSServerHandshakeError as error:
            return error.status
        await socket.close()
        return 101


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "right"}, 401),
        ({"Authorization": "Bearer right"}, 101),
    ],
)
def test_a_token_is_asked_for_before_the_upgrade(header, status):
    async def main():
        async with running_cloud(token="right") as cloud:
            return await upgrade(cloud.url, **header)

    assert asyncio.run(main()) == status


def test_a_web_page_may_not_open_a_session():
    async def main():
        async with running_cloud() as cloud:
            return await upgrade(cloud.url, Origin="http://evil.example")

    assert asyncio.run(main()) == 403


def test_another_subprotocol_is_refused_before_the_upgrade():
    async def main():
        async with running_cloud() as cloud:
            return await upgrade(cloud.url, protocols=("eap.v9",))

    assert asyncio.run(main()) == 400


def test_more_sessions_than_allowed_get_503():
    async def main():
        async with running_cloud(max_sessions=1) as cloud:
            async with raw_client(cloud.url):
                refused = await upgrade(cloud.url)
            await until(lambda: not cloud.app._reception.count)
            return refused, await upgrade(cloud.url)

    assert asyncio.run(main()) == (503, 101)


def test_permessage_deflate_is_not_agreed_to():
    async def main():
        async with running_cloud() as cloud, aiohttp.ClientSession() as session:
            socket = await session.ws_connect(cloud.url + ENDPOINT, protocols=(SUBPROTOCOL,), compress=15)
            compress = socket.compress
            await socket.close()
            return compress

    assert asyncio.run(main()) == 0


def test_health_tells_model_turns_and_readiness():
    async def get(session, url):
        async with session.get(url) as response:
            return response.status, await response.json()

    async def main():
        async with running_cloud() as cloud, CloudClient(cloud.url) as client, aiohttp.ClientSession() as session:
            await asked(client, request())
            health = await get(session, cloud.url + "/healthz")
            ready = await get(session, cloud.url + "/readyz")
            await cloud.app.drain(0.1)
            return health, ready, await get(session, cloud.url + "/readyz")

    (status, health), ready, draining = asyncio.run(main())
    assert status == 200
    assert (health["status"], health["model"], health["encoder_ids"], health["turns"]) == ("live", "fake", [ENCODER], 1)
    assert health["uptime_s"] >= 0
    assert (ready[0], draining[0]) == (200, 503)
