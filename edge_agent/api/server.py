"""Listening: what may be reached from where, TLS, one port for one agent, and an end that lets answers finish."""

from __future__ import annotations

import errno
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from edge_agent.api.access import Access
from edge_agent.api.app import Api
from edge_agent.config import ApiSettings
from edge_agent.errors import UsageError
from edge_agent.transport.hosts import is_loopback

SHUTDOWN_S = 1.0  # for connections that are still open at the end
LEAST_TOKEN = 16  # characters of a token that other machines may try


def tls_of(settings: ApiSettings) -> ssl.SSLContext | None:
    """The TLS context, if a certificate is set. Raises UsageError if it cannot be used."""
    if not settings.tls_cert:
        if settings.tls_key:
            raise UsageError("api.tls_key without api.tls_cert", "set both")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(Path(settings.tls_cert).expanduser(), Path(settings.tls_key or settings.tls_cert))
    except (OSError, RuntimeError) as error:
        raise UsageError(f"api.tls_cert {settings.tls_cert} cannot be used ({error})", "give PEM files") from error
    return context


def check_reach(settings: ApiSettings, token: str | None) -> None:
    """Beyond this machine a token and TLS are needed: nobody's kitchen is published by mistake. Raises UsageError."""
    if is_loopback(settings.host):
        return
    missing = ["a token (api.token_file)"] * (token is None) + ["TLS (api.tls_cert, api.tls_key)"] * (
        not settings.tls_cert
    )
    if missing:
        words = f"api.host {settings.host} can be reached by other machines: {' and '.join(missing)} must be set"
        raise UsageError(words, 'see docs/api.md, or set api.host = "127.0.0.1"')
    if token is not None and len(token) < LEAST_TOKEN:
        words = f"the API's token has {len(token)} characters, and {settings.host} can be reached by other machines"
        raise UsageError(words, f"make one of {LEAST_TOKEN} or more: openssl rand -hex 32")


@asynccontextmanager
async def listening(api: Api, token: str | None) -> AsyncIterator[str]:
    """Listen while the context is open; gives the address. Raises UsageError where that cannot be."""
    settings = api.config.api
    check_reach(settings, token)
    tls = tls_of(settings)
    names = tuple(name for part in settings.hosts.split(",") if (name := part.strip()))
    runner = web.AppRunner(
        api.app(Access(token, names, ("/",))),
        access_log=None,
        handler_cancellation=True,  # a client that went away wants no answer
        shutdown_timeout=SHUTDOWN_S,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port, ssl_context=tls)
        try:
            await site.start()
        except OSError as error:
            raise _cannot_listen(settings, error) from error
        port = runner.addresses[0][1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        yield f"{'https' if tls is not None else 'http'}://{host}:{port}"
    finally:
        await runner.cleanup()


def _cannot_listen(settings: ApiSettings, error: OSError) -> UsageError:
    place = f"{settings.host}:{settings.port}"
    if error.errno == errno.EADDRINUSE:
        return UsageError(f"{place} is in use, perhaps by another edge-agent", "stop it, or set another api.port")
    return UsageError(f"cannot listen on {place} ({error.strerror or error})", "set another api.host or api.port")
