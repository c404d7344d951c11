"""Who may ask and what may be sent: names, foreign pages, tokens, sizes; and the addresses that tell how it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from agents import Bench, FixedPolicy
from apis import asking, image_part, picture, serving
from edge_agent.api.access import Access
from edge_agent.api.metrics import anonymous_bytes
from edge_agent.api.server import check_reach
from edge_agent.cli.secrets import api_secret
from edge_agent.config import ApiSettings, Config, Loaded
from edge_agent.errors import UsageError
from edge_agent.types import Route

TOKEN = "a-token-of-some-length"
CHAT = "/v1/chat/completions"


def with_api(
    check: Callable[[Any, Any], Awaitable[None]],
    settings: ApiSettings | None = None,
    access: Access | None = None,
) -> None:
    async def go() -> None:
        async with serving(Bench(FixedPolicy(Route.LOCAL)).agent, settings, access) as (api, client):
            await check(api, client)

    asyncio.run(go())


async def status(client: Any, path: str, **headers: str) -> int:
    async with client.get(path, headers=headers) as got:
        return int(got.status)


def test_a_foreign_name_that_leads_here_is_refused() -> None:
    async def check(_: Any, client: Any) -> None:
        for host, wanted in (
            ("localhost", 200),
            ("127.0.0.1:8686", 200),
            ("[::1]:8686", 200),
            ("192.168.1.7", 200),
            ("kitchen.local:8686", 200),
            ("KITCHEN.local", 200),
            ("evil.example", 403),
            ("127.0.0.1.evil.example", 403),
            ("localhost.evil.example:8686", 403),
            ("", 403),
        ):
            assert await status(client, "/v1/models", Host=host) == wanted, host

    with_api(check, access=Access(None, ("kitchen.local",)))


def test_pages_of_other_sites_may_not_ask() -> None:
    async def check(_: Any, client: Any) -> None:
        own = str(client.make_url("")).rstrip("/")
        for headers, wanted in (
            ({"Origin": "https://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Sec-Fetch-Site": "same-site"}, 403),
            ({"Sec-Fetch-Site": "none"}, 200),
            ({"Origin": own, "Sec-Fetch-Site": "same-origin"}, 200),
        ):
            assert await status(client, "/v1/models", **headers) == wanted, headers
        async with client.post(CHAT, data='{"messages": []}', headers={"Content-Type": "text/plain"}) as got:
            assert got.status == 415

    with_api(check)


@pytest.mark.parametrize(
    "given",
    ["", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer \u00e9"],
)
def test_a_missing_or_wrong_token_of_any_length_is_refused_before_the_body_is_read(given: str) -> None:
    async def check(api: Any, client: Any) -> None:
        headers = {"Authorization": given} if given else {}
        async with client.post(CHAT, json=asking(image_part(picture())), headers=headers) as got:
            assert (got.status, got.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert TOKEN not in await got.text()
        for path in ("/metrics", "/readyz", "/version", "/v1/models"):
            assert await status(client, path, **headers) == 401
        assert await status(client, "/healthz", **headers) == 200
        assert not api.desk.records

    with_api(check, access=Access(TOKEN))


def test_the_right_token_opens() -> None:
    async def check(_: Any, client: Any) -> None:
        for scheme in ("Bearer", "bearer"):
            assert await status(client, "/v1/models", Authorization=f"{scheme} {TOKEN}") == 200

    with_api(check, access=Access(TOKEN))


def test_a_picture_of_a_gigabyte_is_refused_by_its_header() -> None:
    async def check(_: Any, client: Any) -> None:
        url = client.make_url(CHAT)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(
            f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {1 << 30}\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 413")
        body = await reader.read(2000)
        assert b"1073741824 bytes, at most 1000000" in body
        writer.close()

    with_api(check, ApiSettings(max_body_mb=1.0))


def test_a_body_without_a_length_is_cut_off_at_the_limit() -> None:
    async def check(_: Any, client: Any) -> None:
        async def endless() -> Any:
            for _ in range(40):
                yield b" " * 50_000

        async with client.post(CHAT, data=endless(), headers={"Content-Type": "application/json"}) as got:
            assert got.status == 413
            assert (await got.json())["error"]["code"] == "too_large"

    with_api(check, ApiSettings(max_body_mb=1.0))


def test_unknown_addresses_and_methods_are_json_errors_too() -> None:
    async def check(_: Any, client: Any) -> None:
        for method, path, wanted in (("GET", "/v2/x", 404), ("GET", CHAT, 405), ("DELETE", "/healthz", 405)):
            async with client.request(method, path) as got:
                assert (got.status, (await got.json())["error"]["param"]) == (wanted, None)

    with_api(check)


def test_every_answer_carries_the_headers_that_keep_a_browser_in_its_place() -> None:
    async def check(_: Any, client: Any) -> None:
        for path in ("/healthz", "/v2/x", "/v1/models"):
            async with client.get(path) as got:
                assert "default-src 'none'" in got.headers["Content-Security-Policy"]
                assert got.headers["X-Content-Type-Options"] == "nosniff"

    with_api(check)


def test_readiness_names_a_lost_source_and_a_camera_without_pictures() -> None:
    async def check(api: Any, client: Any) -> None:
        assert await status(client, "/readyz") == 200

        class Lost:
            state, losses, last_error = "waiting", 3, "camera 0 was lost: check its cable or address"

        api.health.sources = [("camera 0", Lost)]
        api.senses.watching = True
        async with client.get("/readyz") as got:
            body = await got.json()
            assert got.status == 503
        assert "camera 0 is lost: camera 0 was lost" in body["reasons"][0]
        assert body["reasons"][1] == "no picture came yet"
        assert body["sources"][0]["losses"] == 3

    with_api(check)


def test_the_figures_are_in_the_text_that_prometheus_reads() -> None:
    async def check(api: Any, client: Any) -> None:
        async with client.post(CHAT, json=asking(image_part(picture()))) as got:
            assert got.status == 200
        async with client.post(CHAT, json={}) as got:
            assert got.status == 400
        async with client.get("/metrics") as got:
            assert got.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            text = await got.text()
        for line in (
            'edge_agent_questions_total{origin="api",outcome="answered"} 1.0',
            'edge_agent_answers_total{route="local"} 1.0',
            'edge_agent_offload_total{reason="fixed",route="local"} 1.0',
            'edge_agent_question_seconds_count{outcome="answered"} 1.0',
            'edge_agent_time_to_first_token_seconds_count{outcome="answered"} 1.0',
            'edge_agent_http_requests_total{path="/v1/chat/completions",status="400"} 1.0',
            "edge_agent_ready 1.0",
        ):
            assert line in text.splitlines(), line
        assert "process_resident_memory_bytes" in text
        assert "edge_agent_anonymous_memory_bytes" in text

    with_api(check)


def test_memory_that_is_not_told_is_not_made_up(tmp_path: Any) -> None:
    assert anonymous_bytes(tmp_path / "status") is None
    (tmp_path / "status").write_text("Name:\tx\n")
    assert anonymous_bytes(tmp_path / "status") is None
    (tmp_path / "status").write_text("RssAnon:\t    12 kB\n")
    assert anonymous_bytes(tmp_path / "status") == 12 * 1024


@pytest.mark.parametrize(("length", "host", "fine"), [(15, "0.0.0.0", False), (16, "0.0.0.0", True), (3, "::1", True)])
def test_a_token_that_other_machines_may_try_is_long(length: int, host: str, fine: bool) -> None:
    settings = ApiSettings(host=host, tls_cert="c.pem")
    if fine:
        check_reach(settings, "x" * length)
        return
    with pytest.raises(UsageError, match=r"15 characters.*openssl rand"):
        check_reach(settings, "x" * length)


@pytest.mark.parametrize(
    ("made", "words"),
    [(None, "is not there"), (b"x" * 5000, "at most 4096 bytes"), (b"", "no token"), (b"two words", "no token")],
)
def test_a_token_file_that_is_unfit_is_named_with_the_reason(made: bytes | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    if made is not None:
        path.write_bytes(made)
    config = Loaded(Config(), {}).override("api.token_file", str(path), "test").config
    with pytest.raises(UsageError, match=words):
        api_secret(config).value()


def test_a_token_in_the_environment_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_AGENT_API_TOKEN", "x" * 5000)
    with pytest.raises(UsageError, match="5000 characters"):
        api_secret(Config()).value()
