"""A server that speaks OpenAI's chat completions, as our backends ask it: one streamed answer, nothing of a client.

Blocking, for worker threads. What comes back is bounded and checked; what is wrong is a CloudError.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from edge_agent.errors import CloudError, ModelError, UsageError

MAX_LINE_BYTES = 1 << 18
MAX_LIST_BYTES = 1 << 20
MAX_WHOLE_BYTES = 1 << 24
WAIT_S = 60.0
MAX_RETRY_S = 86_400
Told = tuple[int, float, tuple[float, ...]]
"""A token: its id, its logprob and the logprobs of the likeliest in its place."""
_ACCEPT = "text/event-stream, application/json"
_RETRY = {429: "overloaded", 503: "overloaded", 500: "internal", 502: "internal", 504: "timeout"}


@dataclass(frozen=True, slots=True)
class Piece:
    """What one event of a stream adds: `text`, the tokens of it where the server tells (text, logprob and the logprobs
    of the likeliest), and why the answer ended, "" while it has not. `told`: the tokens by their ids, where a server
    that was asked for them (`return_token_ids`) tells.
    """

    text: str
    tokens: tuple[tuple[str, float, tuple[float, ...]], ...] = ()
    finish_reason: str = ""
    told: tuple[Told, ...] = ()


@dataclass(frozen=True, slots=True)
class ChatServer:
    """The server at `url`, like http://127.0.0.1:8000 or https://HOST/some/path. Raises UsageError for no URL."""

    url: str
    key: str | None = field(default=None, repr=False)
    wait_s: float = WAIT_S

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise UsageError(f"{self.url!r} is not the URL of a server", "give --engine-url http://HOST:PORT")

    def first_model(self) -> str:
        """The first of /v1/models. Raises ModelError."""
        try:
            with closing(self._connection()) as connection:
                connection.request("GET", self._path("/v1/models"), headers=self._headers())
                response = connection.getresponse()
                body = response.read(MAX_LIST_BYTES)
            if response.status != 200:
                raise ModelError(f"the engine {self.url} answered {response.status}", "see --engine-key-file")
            name = json.loads(body)["data"][0]["id"]
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
            text = f"the engine {self.url} lists no model ({error!r})"
            raise ModelError(text, "start it, or see --engine-url") from error
        if not isinstance(name, str) or not 0 < len(name) <= 128:
            raise ModelError(f"the engine {self.url} has a model without a usable name", "give --engine-model")
        return name

    def stream(self, body: Mapping[str, Any], cancelled: Callable[[], bool]) -> Iterator[Piece]:
        """The pieces of one answer; `cancelled` is asked before each, and ends the connection. Raises CloudError."""
        with self._asked({**body, "stream": True}) as response:
            yield from _pieces(response, cancelled)

    def whole(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """One answer that is not streamed, as the server sent it: nothing of it is checked. Raises CloudError."""
        with self._asked(body) as response:
            data = response.read(MAX_WHOLE_BYTES + 1)
        try:
            if len(data) > MAX_WHOLE_BYTES:
                raise ValueError
            made = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise CloudError("the engine sent what is no answer", code="internal") from error
        if not isinstance(made, dict):
            raise CloudError("the engine sent what is no answer", code="internal")
        return made

    @contextmanager
    def _asked(self, body: Mapping[str, Any]) -> Iterator[http.client.HTTPResponse]:
        data = json.dumps(body).encode()
        try:
            with closing(self._connection()) as connection:
                headers = {**self._headers(), "Content-Type": "application/json", "Accept": _ACCEPT}
                connection.request("POST", self._path("/v1/chat/completions"), data, headers)
                response = connection.getresponse()
                if response.status != 200:
                    raise _refused(response.status, response.getheader("Retry-After"))
                yield response
        except TimeoutError as error:
            raise CloudError("the engine took too long", code="timeout") from error
        except (OSError, http.client.HTTPException) as error:
            raise CloudError(f"the engine was not reached ({type(error).__name__})", code="internal") from error

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        host = str(parts.hostname)
        if parts.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, parts.port, timeout=self.wait_s, context=context)
        return http.client.HTTPConnection(host, parts.port, timeout=self.wait_s)

    def _path(self, path: str) -> str:
        return urlsplit(self.url).path.rstrip("/").removesuffix("/v1") + path

    def _headers(self) -> dict[str, str]:
        return {} if self.key is None else {"Authorization": f"Bearer {self.key}"}


def _refused(status: int, retry_after: str | None) -> CloudError:
    """The engine's words stay here: they may tell of others. How long it wants to be left alone is passed on."""
    if status in (400, 404, 413, 422):
        return CloudError(
            f"the engine does not take this question (HTTP {status})", code="bad_request", retryable=False
        )
    error = CloudError(f"the engine answered HTTP {status}", code=_RETRY.get(status, "internal"))
    if retry_after is not None and retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 6:
        error.retry_after_ms = min(int(retry_after), MAX_RETRY_S) * 1000
    return error


def _pieces(response: http.client.HTTPResponse, cancelled: Callable[[], bool]) -> Iterator[Piece]:
    ended = said = False
    while not cancelled():
        line = response.readline(MAX_LINE_BYTES + 1)
        if not line and not ended:
            raise CloudError("the engine broke off in the middle of an answer", code="internal")
        if not line or line.strip() == b"data: [DONE]":
            if not (ended or said):
                raise CloudError("the engine ended without an answer", code="internal")
            return
        if len(line) > MAX_LINE_BYTES:
            raise CloudError("the engine sent an event that is too long", code="internal")
        if line.startswith(b"data:"):
            piece = _piece(line[5:])
            if piece is not None:
                ended, said = ended or bool(piece.finish_reason), said or bool(piece.text)
                yield piece


def _piece(raw: bytes) -> Piece | None:
    """One chat.completion.chunk; None for one that adds nothing. Raises CloudError."""
    try:
        chunk = json.loads(raw)
        if "error" in chunk:
            raise CloudError("the engine failed in the middle of an answer", code="internal")
        if not chunk["choices"]:
            return None
        choice = chunk["choices"][0]
        text = choice.get("delta", {}).get("content") or ""
        tokens = _tokens(choice)
        by_id = told_of(choice)
        if not isinstance(text, str):
            raise TypeError
        if "".join(token[0] for token in tokens) != text:
            tokens = ()
        return Piece(text, tokens, str(choice.get("finish_reason") or ""), by_id)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise CloudError("the engine sent what is no event of a chat", code="internal") from error


def _tokens(choice: Mapping[str, Any]) -> tuple[tuple[str, float, tuple[float, ...]], ...]:
    told = (choice.get("logprobs") or {}).get("content") or ()
    return tuple(
        (str(one["token"]), float(one["logprob"]), tuple(float(top["logprob"]) for top in one.get("top_logprobs", ())))
        for one in told
    )


def told_of(choice: Mapping[str, Any]) -> tuple[Told, ...]:
    """The tokens of one of `choices` by their ids; none where the server tells none, or not each of them.

    Raises ValueError, LookupError, TypeError or AttributeError for what is no choice.
    """
    ids, tokens = choice.get("token_ids") or (), _tokens(choice)
    if len(ids) != len(tokens) or not all(type(one) is int and one >= 0 for one in ids):
        return ()
    return tuple((number, logprob, top) for number, (_, logprob, top) in zip(ids, tokens, strict=True))


def messages(history: Sequence[tuple[str, str]], question: str, evidence: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Earlier (question, answer) pairs and the question, as chat messages; `evidence` parts stand before the first."""
    made: list[Any] = []
    for asked, answered in history:
        made += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    made.append({"role": "user", "content": question})
    if evidence:
        made[0] = {"role": "user", "content": [*evidence, {"type": "text", "text": made[0]["content"]}]}
    return made
