"""Where a cloud is: which URLs are taken, what a token needs, and whether somebody answers there."""

from __future__ import annotations

import asyncio

import pytest

from clouds import running_cloud
from edge_agent.errors import UsageError
from edge_agent.transport.client import CloudClient
from scripted import raw_server


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8787",
        "ftp://x",
        "http://",
        "http://x:99999",
        "http://user:pw@x",
        "http://x/?q=1",
        "http://[::1",
        "file:///etc",
    ],
)
def test_a_bad_url_is_a_usage_error(url):
    with pytest.raises(UsageError):
        CloudClient(url)


def test_urls_get_the_path_and_scheme_of_the_protocol():
    assert CloudClient("http://h:1").url == "ws://h:1/eap/v1/ws"
    assert CloudClient("https://h/").url == "wss://h/eap/v1/ws"
    assert CloudClient("wss://h/other/ws").url == "wss://h/other/ws"


def test_a_token_never_travels_in_the_clear_to_another_machine():
    with pytest.raises(UsageError, match="unencrypted"):
        CloudClient("http://192.0.2.1:8787", "secret")
    CloudClient("https://192.0.2.1:8787", "secret")
    CloudClient("http://127.0.0.1:8787", "secret")
    CloudClient("http://192.0.2.1:8787")


def test_a_probe_tells_reachable_from_not_without_raising():
    async def wrong(reader, writer):
        writer.write(b"garbage\r\n\r\n")
        await writer.drain()

    async def silent(reader, writer):
        await asyncio.sleep(60)

    async def main():
        async with running_cloud() as cloud, raw_server(wrong) as garbage, raw_server(silent) as stuck:
            health = []
            for url in (cloud.url, garbage, stuck, "http://127.0.0.1:9"):
                async with CloudClient(url) as client:
                    health.append(await client.probe(0.3))
            return health

    alive, *dead = asyncio.run(main())
    assert alive.reachable
    assert alive.rtt_ms > 0
    assert [(one.reachable, bool(one.detail)) for one in dead] == [(False, True)] * 3
