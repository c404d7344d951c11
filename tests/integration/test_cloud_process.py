"""The reference cloud as a child process with the shipped model: ready, asked, stopped; and wrongly started."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cloud_stub.__main__ import main
from cloud_stub.options import parse
from clouds import asked, request
from edge_agent.clock import SystemClock
from edge_agent.engines.base import Query
from edge_agent.engines.cloud import CloudEngine
from edge_agent.engines.upload import Coding
from edge_agent.errors import CloudError
from edge_agent.transport.client import CloudClient
from edge_agent.transport.codecs import decode_tensor, find_codec
from edge_agent.transport.limits import Limits
from edge_agent.transport.projected import projected_codecs
from edge_agent.transport.shipped import register_shipped
from edge_agent.types import Decision, Embeddings, Generation, Route
from edge_agent.vlm import Bundle, Generator, find_bundle

ROOT = Path(__file__).resolve().parents[2]
READY_S = 60


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cloud_stub", *arguments]


def environment(**extra: str) -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith("EDGE_AGENT_")}
    return known | {"PYTHONPATH": str(ROOT)} | extra


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.open(find_bundle("cloud-vqa"))


class Server:
    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url

    def stop(self, number: signal.Signals) -> tuple[int, str]:
        self.process.send_signal(number)
        _, log = self.process.communicate(timeout=READY_S)
        return self.process.returncode, log


@pytest.fixture
def server(bundle: Bundle) -> Iterator[Server]:
    process = subprocess.Popen(
        command("--port", "0", "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=ROOT,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    try:
        assert line, process.communicate()[1]
        yield Server(process, json.loads(line)["url"])
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def picture(bundle: Bundle) -> Embeddings:
    size = (bundle.tokens_per_image, bundle.hidden_size)
    return Embeddings(np.random.default_rng(3).normal(size=size).astype(np.float32), bundle.encoder_id)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_announces_its_url_serves_the_model_and_stops_with_0(server: Server, bundle: Bundle, number: signal.Signals):
    async def talk():
        async with CloudClient(server.url) as client:
            return await client.probe(10)

    assert asyncio.run(talk()).reachable
    code, log = server.stop(number)
    assert code == 0
    assert log.splitlines()[0] == f"listening on {server.url}"
    assert "Traceback" not in log


@pytest.mark.parametrize(("name", "most_bytes"), [("int8-zstd", 12_000), ("int4-zstd", 7_000), ("projected", 12_000)])
def test_the_cloud_says_what_its_model_says_about_what_was_sent(
    server: Server, bundle: Bundle, name: str, most_bytes: int
):
    register_shipped(bundle.codec_files)
    clock, made = SystemClock(), picture(bundle)
    codec = projected_codecs(bundle.encoder_id)[0].at(2) if name == "projected" else find_codec(name)
    received = decode_tensor(codec.encode(made), Limits())
    wanted = list(Generator(bundle).stream([received], "What is on the table?"))

    async def talk():
        query = Query("What is on the table?", (made,), deadline_s=clock.monotonic_s() + 60)
        async with CloudClient(server.url) as client:
            engine = CloudEngine(client, clock, Coding(name, 2))
            return [item async for item in engine.generate(query, Decision(Route.CLOUD, "test", "test"))]

    *tokens, last = asyncio.run(talk())
    assert [(event.token_id, event.text) for event in tokens] == [(event.token_id, event.text) for event in wanted]
    assert [event.probability for event in tokens] == pytest.approx([event.probability for event in wanted], abs=1e-6)
    assert isinstance(last, Generation)
    assert last.text == "".join(event.text for event in wanted).strip()
    assert 0 < last.bytes_up < most_bytes


def test_embeddings_of_another_encoder_are_refused(server: Server, bundle: Bundle):
    async def talk():
        async with CloudClient(server.url) as client:
            with pytest.raises(CloudError) as caught:
                await asked(client, request())
            return caught.value.code

    assert asyncio.run(talk()) == "unknown_encoder"


def test_killing_the_cloud_in_a_turn_is_a_closed_error(server: Server, bundle: Bundle):
    made = find_codec("int8-zstd").encode(picture(bundle))

    async def talk():
        async with CloudClient(server.url) as client:
            await asked(client, request(tensors=(made,)))
            server.process.send_signal(signal.SIGSTOP)
            turn = asyncio.create_task(asked(client, request(tensors=(made,), deadline_ms=30_000)))
            await asyncio.sleep(0.1)
            server.process.kill()
            with pytest.raises(CloudError) as caught:
                await turn
            return caught.value

    error = asyncio.run(talk())
    assert error.code in ("closed", "unreachable")
    assert error.retryable


def refused(*arguments: str, **extra: str) -> tuple[int, str]:
    """Exit code and stderr of a start that must fail at once; nothing on stdout, one line, no traceback."""
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, env=environment(**extra), cwd=ROOT, timeout=READY_S
    )
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("error: ")
    return done.returncode, done.stderr


def refused_here(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The same without a process, for what is refused before anything is opened."""
    code = main(list(arguments))
    output = capsys.readouterr()
    assert output.out == ""
    assert len(output.err.splitlines()) == 1, output.err
    assert output.err.startswith("error: ")
    return code, output.err


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.invalid"])
def test_a_public_address_without_a_token_is_refused(host: str, capsys: pytest.CaptureFixture[str]):
    code, text = refused_here(capsys, "--host", host)
    assert code == 2
    assert "EDGE_AGENT_CLOUD_TOKEN" in text


def test_a_refusal_in_a_real_process_is_one_line_and_2():
    assert refused("--host", "0.0.0.0")[0] == 2


def test_a_port_in_use_is_one_line_and_2(bundle: Bundle):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, text = refused("--port", str(taken.getsockname()[1]))
    assert code == 2
    assert "in use" in text


def test_an_unknown_model_is_one_line_and_4():
    code, text = refused("--model", "no-such-model")
    assert code == 4
    assert "no-such-model" in text


def test_a_folder_that_is_no_bundle_is_one_line_and_4(tmp_path: Path):
    assert refused("--model", str(tmp_path))[0] == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ("--port", "x"),
        ("--port", "65536"),
        ("--port", "-1"),
        ("--backend", "torch"),
        ("--price-per-1k-tokens", "-1"),
        ("--price-per-1k-tokens", "nan"),
        ("--token-file", "/no/such/file"),
        ("--token-file", ""),
        ("--tls-cert", ""),
        ("--tls-cert", "/no/such/file"),
        ("--tls-key", "/no/such/file"),
        ("--drain-s", "inf"),
        ("--unknown",),
    ],
)
def test_bad_options_are_one_line_and_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    assert refused_here(capsys, *arguments)[0] == 2


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb", b"\xff\xfe", "t\u00f6ken".encode(), b"x" * 5000])
def test_a_token_file_without_one_printable_line_is_refused(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "token"
    path.write_bytes(content)
    assert refused_here(capsys, "--host", "0.0.0.0", "--token-file", str(path))[0] == 2


def test_a_token_comes_from_the_file_and_the_variable_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "token"
    path.write_text("from-file\n", encoding="utf-8")
    assert parse(["--host", "0.0.0.0", "--token-file", str(path)]).token == "from-file"
    monkeypatch.setenv("EDGE_AGENT_CLOUD_TOKEN", "from-variable")
    assert parse(["--host", "0.0.0.0", "--token-file", str(path)]).token == "from-variable"
    assert "from-variable" not in repr(parse([]))
