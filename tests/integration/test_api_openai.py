"""The official `openai` client against a real `edge-agent serve` with the shipped model: its examples, unchanged."""

from __future__ import annotations

import base64
import json
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apis import Process, audio_part, command, image_part, picture, process, sound

openai = pytest.importorskip("openai", reason="the official client is not installed: pip install openai")
pydantic = pytest.importorskip("pydantic", reason="it comes with the official client")

QUESTION = "what is in the picture?"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    home = tmp_path_factory.mktemp("home")
    env = {"XDG_STATE_HOME": str(home), "XDG_CONFIG_HOME": str(home)}
    with process("serve", "--port", "0", "--cloud", "", "--deadline-ms", "60000", env=env, cwd=home) as made:
        yield made


@pytest.fixture
def client(server: Process) -> Iterator[Any]:
    """As the examples make it, with the address of the device. It waits for the model by itself: 503 says when."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="not needed here", max_retries=30) as made:
        yield made


def shown(text: str = QUESTION) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "text", "text": text}, image_part(picture((480, 640)))]}]


def test_models_are_listed_and_looked_up(client: Any) -> None:
    assert {model.id for model in client.models.list()} == {"edge-agent", "edge-agent-local", "edge-agent-cloud"}
    assert client.models.retrieve("edge-agent").owned_by == "edge-agent"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4o")


def test_a_chat_of_words(client: Any) -> None:
    completion = client.chat.completions.create(
        model="edge-agent", messages=[{"role": "user", "content": "Say this is a test"}]
    )
    assert isinstance(completion.choices[0].message.content, str)
    assert completion.choices[0].finish_reason in ("stop", "length")
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens
    assert completion.usage.prompt_tokens > 4
    assert completion.edge["about"].startswith("the words alone")


def test_a_picture_by_data_url_from_a_file(client: Any, tmp_path: Path) -> None:
    path = tmp_path / "a_photo.png"
    path.write_bytes(picture((480, 640), ".png"))
    base64_image = base64.b64encode(path.read_bytes()).decode("utf-8")
    url = {"url": f"data:image/png;base64,{base64_image}", "detail": "low"}
    content = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": url}]
    completion = client.chat.completions.create(
        model="edge-agent", messages=[{"role": "user", "content": content}], max_completion_tokens=8
    )
    assert completion.choices[0].message.content
    assert completion.edge["about"] == "the picture sent"
    assert completion.usage.prompt_tokens > 51  # the picture's own tokens


def test_a_stream_ends_with_usage_and_says_the_same_as_the_whole_answer(client: Any) -> None:
    whole = client.chat.completions.create(model="edge-agent", messages=shown())
    text, ended, usage = "", None, None
    stream = client.chat.completions.create(
        model="edge-agent", messages=shown(), stream=True, stream_options={"include_usage": True}
    )
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            ended = choice.finish_reason or ended
    assert text == whole.choices[0].message.content
    assert (ended, usage) == (whole.choices[0].finish_reason, whole.usage)


def test_the_stream_helper_of_the_client_puts_the_answer_together(client: Any) -> None:
    with client.chat.completions.stream(model="edge-agent", messages=shown()) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    deltas = [event.delta for event in events if event.type == "content.delta"]
    assert "".join(deltas) == final.choices[0].message.content
    (edge,) = [event.chunk.edge for event in events if event.type == "chunk" and hasattr(event.chunk, "edge")]
    assert edge["route"] == "local"


def test_a_sound_of_the_examples_shape(client: Any) -> None:
    content = [{"type": "text", "text": "what do you hear?"}, audio_part(sound(2.0))]
    completion = client.chat.completions.create(
        model="edge-agent", modalities=["text"], messages=[{"role": "user", "content": content}]
    )
    assert completion.choices[0].message.content
    assert completion.edge["about"] == "the sound sent"


class Step(pydantic.BaseModel):
    there: bool
    number: int


class Seen(pydantic.BaseModel):
    cat: bool
    steps: list[Step]


def test_parse_gives_an_object_of_the_class_that_was_asked_for(client: Any) -> None:
    completion = client.chat.completions.parse(model="edge-agent", messages=shown(), response_format=Seen)
    parsed = completion.choices[0].message.parsed
    assert isinstance(parsed, Seen)
    assert completion.edge["route"] == "local"


def test_a_json_schema_by_hand_holds_in_a_stream_too(client: Any) -> None:
    schema = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"]}
    form = {"type": "json_schema", "json_schema": {"name": "colour", "strict": True, "schema": schema}}
    for stream in (False, True):
        got = client.chat.completions.create(
            model="edge-agent", messages=shown(), response_format=form, stream=stream, max_tokens=3
        )
        parts = [c.choices[0].delta.content or "" for c in got if c.choices] if stream else []
        text = "".join(parts) if stream else got.choices[0].message.content
        assert json.loads(text)["colour"] in ("red", "blue")


def test_the_devices_own_wishes_go_in_extra_body_and_come_back_beside_the_answer(client: Any) -> None:
    wishes = {"prefer": "cloud", "privacy": "private", "deadline_ms": 60_000, "max_cost": 0.0}
    raw = client.chat.completions.with_raw_response.create(
        model="edge-agent", messages=shown(), extra_body={"edge": wishes}
    )
    assert raw.headers["x-edge-route"] == "local"
    edge = raw.parse().edge
    assert edge["guards"][0].startswith("private")
    assert edge["bytes_up"] == 0
    assert edge["deadline_met"]


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"n": 2}, "BadRequestError", "n is not 1"),
        ({"model": "gpt-4o"}, "NotFoundError", "edge-agent-local"),
        ({"extra_body": {"edge": {"prefer": "moon"}}}, "BadRequestError", "auto, local, cloud"),
    ],
)
def test_errors_are_those_that_the_client_knows(client: Any, change: Any, kind: str, words: str) -> None:
    with pytest.raises(getattr(openai, kind)) as caught:
        client.chat.completions.create(**{"model": "edge-agent", "messages": shown(), **change})
    assert words in caught.value.message
    assert caught.value.type in ("invalid_request_error", "not_found_error")


def test_a_request_beyond_the_limit_is_one_clear_error(server: Process) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0) as client:
        content = [{"type": "text", "text": QUESTION}, image_part(bytes(24_000_000))]
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(model="edge-agent", messages=[{"role": "user", "content": content}])
    assert caught.value.status_code == 413
    assert "api.max_body_mb" in caught.value.message


def test_two_agents_on_one_port_is_one_line_and_exit_code_2(server: Process) -> None:
    port = server.url.rpartition(":")[2]
    code, said = command("serve", "--port", port, "--cloud", "")
    assert (code, len(said.splitlines())) == (2, 1)
    assert f"127.0.0.1:{port} is in use" in said


def test_with_a_token_and_tls_the_client_gets_in_and_nobody_else(tmp_path: Path) -> None:
    """On all addresses of this machine; the certificate is for localhost, and the client checks it."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    files = ["-keyout", "api.key", "-out", "api.pem"]
    subprocess.run([*made, *files, *names], cwd=tmp_path, check=True, capture_output=True)
    config = tmp_path / "config.toml"
    config.write_text('[api]\nhost = "0.0.0.0"\nport = 0\ntls_cert = "api.pem"\ntls_key = "api.key"\n')
    env = {"EDGE_AGENT_API_TOKEN": "the-kitchen-token", "XDG_STATE_HOME": str(tmp_path)}
    with process("serve", "--config", str(config), "--cloud", "", env=env, cwd=tmp_path) as server:
        url = f"https://localhost:{server.url.rpartition(':')[2]}/v1"
        trusted = ssl.create_default_context(cafile=str(tmp_path / "api.pem"))
        for token, wanted in (("the-kitchen-token", True), ("the-kitchen-tokem", False), ("k", False)):
            with (
                openai.DefaultHttpxClient(verify=trusted) as http,
                openai.OpenAI(base_url=url, api_key=token, http_client=http, max_retries=0) as client,
            ):
                if wanted:
                    assert client.models.retrieve("edge-agent").id == "edge-agent"
                else:
                    with pytest.raises(openai.AuthenticationError):
                        client.models.list()
        with pytest.raises(urllib.error.URLError, match="certificate"):  # who does not know the certificate stays out
            urllib.request.urlopen(f"{url}/models")


def test_beyond_this_machine_needs_a_token_and_tls() -> None:
    code, said = command("serve", "--port", "0", "--host", "0.0.0.0")
    assert (code, len(said.splitlines())) == (2, 1)
    assert "a token (api.token_file) and TLS" in said
    code, said = command("serve", "--port", "0", "--host", "0.0.0.0", env={"EDGE_AGENT_API_TOKEN": "abc"})
    assert code == 2
    assert "a token" not in said
