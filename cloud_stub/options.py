"""The command line of the reference cloud, checked before anything is opened."""

from __future__ import annotations

import argparse
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cloud_stub.turns import Prices
from edge_agent.errors import UsageError
from edge_agent.transport.hosts import is_loopback

TOKEN_VARIABLE = "EDGE_AGENT_CLOUD_TOKEN"
KEY_VARIABLE = "EDGE_AGENT_ENGINE_KEY"
BACKENDS = ("onnx", "openai", "vllm")
_MAX_TOKEN_CHARS = 4096


@dataclass(frozen=True, slots=True)
class Options:
    """What the server was asked to be. `port` 0: any free one."""

    host: str
    port: int
    model: str
    vision: str
    backend: str
    engine_url: str
    engine_model: str
    engine_key: str | None = field(repr=False)
    token: str | None = field(repr=False)
    threads: int
    prices: Prices
    max_sessions: int
    side_by_side: int
    kept: int
    max_turns: int
    drain_s: float
    tls_cert: Path | None
    tls_key: Path | None
    json: bool

    def tls(self) -> ssl.SSLContext | None:
        """The TLS context, if a certificate was given. Raises UsageError if it cannot be used."""
        if self.tls_cert is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.tls_cert, self.tls_key)
        except OSError as error:
            hint = "give PEM files" if self.tls_key else "give its key with --tls-key"
            raise UsageError(f"the certificate {self.tls_cert} cannot be used ({error})", hint) from error
        return context


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise UsageError(message, "python -m cloud_stub --help")


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read and check the command line. Raises UsageError."""
    given = _parser().parse_args(arguments)
    token = _token(given.token_file, TOKEN_VARIABLE)
    if given.backend != "onnx" and not given.engine_url:
        raise UsageError(f"--backend {given.backend} without --engine-url", "give --engine-url http://HOST:PORT")
    if given.backend == "onnx" and given.engine_url:
        raise UsageError("--engine-url without --backend", "add --backend openai or --backend vllm")
    if token is None and not is_loopback(given.host):
        raise UsageError(
            f"{given.host} can be reached by other machines and no token is set",
            f"set {TOKEN_VARIABLE} or --token-file",
        )
    if given.tls_key is not None and given.tls_cert is None:
        raise UsageError("--tls-key without --tls-cert", "give both")
    return Options(
        host=given.host,
        port=given.port,
        model=given.model,
        vision=given.vision,
        backend=given.backend,
        engine_url=given.engine_url,
        engine_model=given.engine_model,
        engine_key=_token(given.engine_key_file, KEY_VARIABLE),
        token=token,
        threads=given.threads,
        prices=Prices(_micro(given.price_per_1k_prompt_tokens), _micro(given.price_per_1k_tokens)),
        max_sessions=given.max_sessions,
        max_turns=given.max_turns,
        side_by_side=given.side_by_side,
        kept=given.kept,
        drain_s=given.drain_s,
        tls_cert=given.tls_cert,
        tls_key=given.tls_key,
        json=given.json,
    )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m cloud_stub", description="The reference cloud of edge-agent (docs/protocol.md).")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_within(0, 65535), default=8787, help="0: any free one (default: %(default)s)")
    parser.add_argument("--model", default="cloud-vqa", help="bundle: a name or a folder (default: %(default)s)")
    parser.add_argument(
        "--vision",
        default="edge-vqa",
        help="bundle that encodes pictures sent as such; '': none (default: %(default)s)",
    )
    parser.add_argument("--backend", choices=BACKENDS, default="onnx", help="what runs the model (docs/cloud.md)")
    parser.add_argument(
        "--engine-url", default="", metavar="URL", help="of openai and vllm: the server behind this one"
    )
    parser.add_argument("--engine-model", default="", metavar="ID", help="its model; the first it lists otherwise")
    parser.add_argument("--engine-key-file", type=_path, help=f"file with its key; {KEY_VARIABLE} wins over it")
    parser.add_argument("--threads", type=_within(1, 64), default=1, help="threads of one inference")
    parser.add_argument("--token-file", type=_path, help=f"file with the bearer token; {TOKEN_VARIABLE} wins over it")
    parser.add_argument("--tls-cert", type=_path, help="certificate chain, PEM: serve https and wss")
    parser.add_argument("--tls-key", type=_path, help="its private key, PEM")
    parser.add_argument("--price-per-1k-tokens", type=_price, default=0.0, metavar="USD", help="of the answer")
    parser.add_argument("--price-per-1k-prompt-tokens", type=_price, default=0.0, metavar="USD", help="of the question")
    parser.add_argument("--max-sessions", type=_within(1, 1024), default=64, help="connections at once")
    parser.add_argument("--max-turns", type=_within(1, 256), default=8, help="questions at once, over all sessions")
    parser.add_argument(
        "--side-by-side", type=_within(1, 64), default=8, help="of them decoded in one batch (default: %(default)s)"
    )
    parser.add_argument(
        "--kept", type=_within(1, 1024), default=16, help="pictures that stay read (default: %(default)s)"
    )
    parser.add_argument("--drain-s", type=_seconds, default=30.0, help="time for running turns after SIGTERM")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout when listening")
    return parser


def _path(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("the path is empty: name a file")
    return Path(text)


def _token(path: Path | None, variable: str) -> str | None:
    token = os.environ.get(variable, "").strip()
    if not token and path is not None:
        try:
            with path.open(encoding="utf-8") as file:
                token = file.read(_MAX_TOKEN_CHARS + 1).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"the token file {path} cannot be read", "write one line with the token to it") from error
        if not token:
            raise UsageError(f"the token file {path} is empty", "write one line with the token to it")
    if len(token) > _MAX_TOKEN_CHARS or not (token.isascii() and token.isprintable()):
        raise UsageError("the token is not one line of printable ASCII", "make one with: openssl rand -hex 32")
    return token or None


def _micro(usd: float) -> int:
    return round(usd * 1_000_000)


class _within:
    """An integer between two bounds, as argparse reads it."""

    def __init__(self, low: int, high: int) -> None:
        self._low, self._high = low, high

    def __call__(self, text: str) -> int:
        if not text.isascii() or not text.isdigit() or not self._low <= int(text[:9]) <= self._high:
            raise argparse.ArgumentTypeError(f"{text!r} is not an integer of {self._low} to {self._high}")
        return int(text[:9])


def _price(text: str) -> float:
    return _number(text, 1000.0)


def _seconds(text: str) -> float:
    return _number(text, 3600.0)


def _number(text: str, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 to {high:g}")
    return value
