"""A cloud behind TLS and a token, by the commands of docs/cloud.md: the certificate, the server, the device."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import numpy as np
import pytest

from cloud_stub.options import parse
from clouds import asked, request, running_cloud
from edge_agent.errors import CloudError, UsageError
from edge_agent.transport.client import CloudClient
from edge_agent.transport.dialing import CLOSE_S
from scripted import scripted_cloud

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "cloud.md"
LATE_S = 0.25


@dataclass(frozen=True)
class Keys:
    """The files that the guide makes, for the name localhost."""

    folder: Path

    @property
    def cert(self) -> str:
        return str(self.folder / "cloud.pem")

    @property
    def key(self) -> str:
        return str(self.folder / "cloud.key")

    def server(self) -> ssl.SSLContext:
        context = parse(["--tls-cert", self.cert, "--tls-key", self.key]).tls()
        assert context is not None
        return context

    def trusting(self) -> Callable[[], aiohttp.ClientSession]:
        """Makes sessions that trust only this certificate, as strictly as the newest Python does by itself."""
        context = ssl.create_default_context(cafile=self.cert)
        context.verify_flags |= ssl.VERIFY_X509_STRICT

        def session() -> aiohttp.ClientSession:
            return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context))

        return session


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: no certificate can be made")
    folder = tmp_path_factory.mktemp("keys")
    (line,) = [line for line in GUIDE.read_text(encoding="utf-8").splitlines() if line.startswith("openssl req ")]
    subprocess.run(shlex.split(line.replace("HOST", "localhost")), cwd=folder, check=True, capture_output=True)
    return Keys(folder)


def test_a_turn_with_a_token_travels_over_tls(keys: Keys):
    async def main():
        async with (
            running_cloud(token="right", tls=keys.server()) as cloud,
            CloudClient(cloud.url, "right", session_factory=keys.trusting()) as client,
        ):
            assert client.url.startswith("wss://localhost:")
            texts = [(await asked(client, request()))[0] for _ in range(2)]
            return texts, client.connects, await client.probe()

    texts, connects, health = asyncio.run(main())
    assert texts == ["w0 w1 w2"] * 2
    assert connects == 1
    assert health.reachable


@pytest.mark.parametrize(
    ("case", "code", "words"),
    [
        ("wrong token", "auth", "EDGE_AGENT_CLOUD_TOKEN"),
        ("unknown certificate", "auth", "not trusted: docs/cloud.md"),
        ("another name", "auth", "not trusted: docs/cloud.md"),
        ("no tls", "protocol", "does not speak TLS"),
    ],
)
def test_what_is_wrong_with_token_or_certificate_is_said(keys: Keys, case: str, code: str, words: str):
    trust = {} if case == "unknown certificate" else {"session_factory": keys.trusting()}
    token = "wrong" if case == "wrong token" else "right"

    async def main():
        async with running_cloud(token="right", tls=None if case == "no tls" else keys.server()) as cloud:
            url = cloud.url.replace("http://", "https://")
            url = url.replace("localhost", "127.0.0.1") if case == "another name" else url
            async with CloudClient(url, token, **trust) as client:
                with pytest.raises(CloudError) as caught:
                    await asked(client, request())
                return caught.value, await client.probe()

    error, health = asyncio.run(main())
    assert (error.code, error.retryable, error.asked, error.bytes_up) == (code, False, False, 0)
    assert words in str(error)
    assert health.reachable == (case == "wrong token")
    assert health.reachable or words.split(":")[0] in health.detail


def test_who_asks_for_no_tls_where_there_is_some_is_told_how(keys: Keys):
    async def main():
        async with (
            running_cloud(tls=keys.server()) as cloud,
            CloudClient(cloud.url.replace("https://", "http://")) as client,
        ):
            with pytest.raises(CloudError, match="is asked by https://"):
                await asked(client, request())

    asyncio.run(main())


def test_a_certificate_without_its_key_is_told_where_the_key_goes(keys: Keys):
    with pytest.raises(UsageError, match="give its key with --tls-key"):
        parse(["--tls-cert", keys.cert]).tls()


def test_a_cloud_that_stalls_behind_tls_is_given_up_by_the_deadline(keys: Keys):
    async def script(peer):
        await peer.welcome()
        await peer.question()
        await asyncio.sleep(60)

    async def main():
        async with scripted_cloud(script, keys.server()) as url:
            client, started_s = CloudClient(url, session_factory=keys.trusting()), time.monotonic()
            with pytest.raises(CloudError) as caught:
                await asked(client, request(deadline_ms=500))
            failed_s = time.monotonic()
            await client.close()
            return caught.value, failed_s - started_s, time.monotonic() - failed_s

    error, took_s, closing_s = asyncio.run(main())
    assert (error.code, error.asked) == ("timeout", True)
    assert took_s < 0.5 + LATE_S
    assert closing_s < CLOSE_S + LATE_S


@pytest.fixture(scope="module")
def process(keys: Keys) -> Iterator[str]:
    """The URL of the server of the guide, in its own process, on loopback."""
    (keys.folder / "token").write_text("right\n", encoding="utf-8")
    command = "-m cloud_stub --port 0 --json --token-file token --tls-cert cloud.pem --tls-key cloud.key"
    child = subprocess.Popen(
        [sys.executable, *shlex.split(command)],
        cwd=keys.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdout is not None
    try:
        yield json.loads(child.stdout.readline())["url"].replace("127.0.0.1", "localhost")
    finally:
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 0
        child.stdout.close()


def environment(**extra: str) -> dict[str, str]:
    own = {"EDGE_AGENT_CLOUD_TOKEN", "SSL_CERT_FILE", "SSL_CERT_DIR"}
    return {name: value for name, value in os.environ.items() if name not in own} | extra


@pytest.mark.parametrize("trusted", [True, False])
def test_the_command_line_asks_a_cloud_with_token_and_certificate(
    keys: Keys, process: str, trusted: bool, tmp_path: Path
):
    import cv2

    photo = tmp_path / "photo.jpg"
    assert cv2.imwrite(str(photo), np.random.default_rng(1).integers(60, 200, (480, 640, 3), dtype=np.uint8))
    own = {"SSL_CERT_FILE": keys.cert} if trusted else {}
    asking = ["ask", "--json", "--cloud", process, "--route", "cloud", "--deadline-ms", "20000", "--image", str(photo)]
    done = subprocess.run(
        [sys.executable, "-m", "edge_agent", *asking, "what is on the table?"],
        cwd=tmp_path,
        env=environment(EDGE_AGENT_CLOUD_TOKEN="right", **own),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert process.startswith("https://localhost:")
    assert record["route"] == ("cloud" if trusted else "local")
    assert ("is not trusted" in record["reason"]) == (not trusted)
