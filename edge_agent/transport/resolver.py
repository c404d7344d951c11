"""Name look-ups that can be abandoned: a resolver that hangs must hold back neither an answer nor the program's end."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress

from aiohttp.abc import AbstractResolver, ResolveResult


class DaemonResolver(AbstractResolver):
    """`getaddrinfo` in a daemon thread for each look-up; asyncio would wait for its own pool at the end.

    With the network cut a look-up can hang for many seconds. Raises OSError as getaddrinfo does.
    """

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `host`."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[ResolveResult]] = loop.create_future()

        def give(result: list[ResolveResult] | OSError) -> None:
            if found.done():  # given up meanwhile
                return
            if isinstance(result, OSError):
                found.set_exception(result)
            else:
                found.set_result(result)

        def work() -> None:
            result = _look_up(host, port, family)
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(give, result)

        threading.Thread(target=work, name=f"resolve {host}", daemon=True).start()
        return await found

    async def close(self) -> None:
        """Nothing to let go of."""


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult] | OSError:
    try:
        infos = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    except OSError as error:
        return error
    except UnicodeError as error:  # a name that cannot be one
        return OSError(f"{host!r} is no host name: {error}")
    return [
        ResolveResult(
            hostname=host,
            host=str(address[0]),
            port=int(address[1]),
            family=kind,
            proto=protocol,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for kind, _, protocol, _, address in infos
    ]
