"""Clouds that are away or are something else: one typed error, the connection closed, in bounded time and memory."""

from __future__ import annotations

import asyncio

import pytest

from clouds import asked, request, running_cloud
from edge_agent.errors import CloudError
from edge_agent.transport.client import CloudClient
from failing import DEADLINE_MS, failure
from scripted import raw_server


def test_nobody_listening_is_unreachable():
    async def main():
        async with CloudClient("http://127.0.0.1:9") as client:
            with pytest.raises(CloudError) as caught:
                await asked(client, request(deadline_ms=DEADLINE_MS))
            return caught.value

    error = asyncio.run(main())
    assert (error.code, error.retryable, error.bytes_up, error.asked) == ("unreachable", True, 0, False)
    assert "python -m cloud_stub" in str(error)


def test_a_port_that_accepts_and_says_nothing_is_unreachable():
    async def silent(reader, writer):
        await asyncio.sleep(60)

    async def main():
        async with raw_server(silent) as url, CloudClient(url, connect_timeout_s=0.2) as client:
            with pytest.raises(CloudError) as caught:
                await asked(client, request())
            return caught.value.code

    assert asyncio.run(main()) == "unreachable"


@pytest.mark.parametrize(
    "answer",
    [
        b"\x00\xff\x13\x37" * 100,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: wrong\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["noise", "ssh", "http-200", "http-404", "wrong-accept", "redirect"],
)
def test_something_else_on_the_port_is_a_protocol_error(answer):
    async def other(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        await asyncio.sleep(60)

    error = failure(raw_server(other))
    assert (error.code, error.retryable) == ("protocol", False)


def test_an_http_server_that_hangs_up_is_unreachable():
    async def other(reader, writer):
        await reader.readuntil(b"\r\n\r\n")

    assert failure(raw_server(other)).code == "unreachable"


def test_a_wrong_token_is_an_auth_error_and_never_retried():
    async def main():
        async with running_cloud(token="right") as cloud, CloudClient(cloud.url, "wrong") as client:
            with pytest.raises(CloudError) as caught:
                await asked(client, request())
            return caught.value

    error = asyncio.run(main())
    assert (error.code, error.retryable) == ("auth", False)
    assert "EDGE_AGENT_CLOUD_TOKEN" in str(error)
    assert "wrong" not in str(error)


def test_the_right_token_is_let_in():
    async def main():
        async with running_cloud(token="right") as cloud, CloudClient(cloud.url, "right") as client:
            return await asked(client, request())

    assert asyncio.run(main())[0] == "w0 w1 w2"
