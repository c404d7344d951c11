"""Files over HTTPS: gone on with where they were cut, of the size and hash that they should have, or not at all."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import aiohttp

from edge_agent.errors import ModelError, UsageError

MAX_REDIRECTS = 5
ATTEMPTS = 5  # in a row that brought less than a piece
CONNECT_S, QUIET_S = 15.0, 30.0
PIECE_BYTES = 1 << 18
AGAIN = "type the same command again: it goes on where it stopped"
T = TypeVar("T")
Told = Callable[[int], None]
Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Remote:
    """One file: `name` relative to its bundle, where it is, its size, and either hash of it, lower-case hex (`git_sha1`
    is that of the git blob); "" where it is not known.
    """

    name: str
    url: str
    size_bytes: int
    sha256: str = ""
    git_sha1: str = ""


def check_url(url: str) -> str:
    """The same URL. Raises UsageError for what is neither https nor http to this machine itself."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        parts.port  # noqa: B018 - raises for a port that is none
    except ValueError as error:
        raise UsageError(f"{url[:200]!r} is no URL ({error})", "write https://HOST/FOLDER/") from error
    if host and not parts.username and (parts.scheme == "https" or (parts.scheme == "http" and _is_here(host))):
        return url
    raise UsageError(f"{url[:200]!r} is refused: only https, and http to this machine", "write https://HOST/FOLDER/")


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Refused(ModelError):
    """The server's answer is final: asking again will not help."""


class Web:
    """A client for the length of one command. `sleep` waits between attempts."""

    def __init__(self, sleep: Sleep = asyncio.sleep, quiet_s: float = QUIET_S) -> None:
        self._sleep = sleep
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=quiet_s)

    async def __aenter__(self) -> Web:
        headers = {"User-Agent": "edge-agent", "Accept-Encoding": "identity"}  # a length is then that of the file
        self._session = aiohttp.ClientSession(timeout=self._timeout, headers=headers, trust_env=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def small(self, url: str, most_bytes: int) -> bytes:
        """What is at `url`, at most `most_bytes` of it. Raises UsageError, ModelError."""

        async def once() -> bytes:
            async with await self._open(url, {}) as response:
                data = bytearray()
                async for piece in response.content.iter_chunked(PIECE_BYTES):
                    data += piece
                    if len(data) > most_bytes:
                        raise Refused(f"{url} is larger than {most_bytes >> 20} MiB", "check the address")
                return bytes(data)

        return await self._patiently(once, url)

    async def file(self, remote: Remote, path: Path, told: Told) -> str:
        """Fetches into `path`, or goes on with what is there; its sha256 in hex. `told` hears of bytes as they come,
        those that are there already included.

        Raises ModelError naming the file: the link was cut too often, another size or hash than it should have.
        """
        had = _size(path)
        await self._patiently(lambda: self._more(remote, path, told), remote.url, path)
        sha256, fits = await asyncio.to_thread(_hash, remote, path)
        if not fits:
            await asyncio.to_thread(path.unlink)
            if had:  # the beginning was of something else
                return await self.file(remote, path, told)
            raise ModelError(f"{remote.name} from {remote.url} is not what its list says: another hash", "try later")
        told(remote.size_bytes)
        return sha256

    async def _more(self, remote: Remote, path: Path, told: Told) -> None:
        """One attempt; raises what aiohttp raises where it is cut."""
        have = _size(path)
        if have > remote.size_bytes:
            have = 0
        if have == remote.size_bytes > 0:
            return
        async with await self._open(remote.url, {"Range": f"bytes={have}-"} if have else {}) as response:
            said = response.headers.get("Content-Range", "")
            if response.status != 206 or not said.startswith(f"bytes {have}-"):
                if response.status == 206:
                    path.unlink(missing_ok=True)  # noqa: ASYNC240 - short
                    raise aiohttp.ClientPayloadError(f"asked for the rest from {have}, got {said[:80]!r}")
                have = 0  # it does not do parts
            length = response.headers.get("Content-Length", "")
            if length.isdecimal() and have + int(length) != remote.size_bytes:
                raise _other_size(remote, have + int(length))
            with path.open("r+b" if have else "wb") as target:
                target.seek(have)
                async for piece in response.content.iter_chunked(PIECE_BYTES):
                    have += len(piece)
                    if have > remote.size_bytes:
                        raise _other_size(remote, have)
                    target.write(piece)
                    told(have)
                target.truncate()
        if have < remote.size_bytes:
            raise aiohttp.ClientPayloadError(f"{have} of {remote.size_bytes} bytes came")

    async def _patiently(self, attempt: Callable[[], Awaitable[T]], url: str, path: Path | None = None) -> T:
        """What `attempt` gives, tried again after a cut, as long as `path` grows."""
        failed, had = 0, _size(path)
        while True:
            try:
                return await attempt()
            except (aiohttp.ClientError, asyncio.TimeoutError, ConnectionError) as error:  # noqa: PERF203 - seconds lie between
                have = _size(path)
                failed, had = (1 if have >= had + PIECE_BYTES else failed + 1), have
                if failed == ATTEMPTS:
                    words = str(error) or type(error).__name__
                    host = urlsplit(url).netloc
                    raise ModelError(f"{host} was not reached or stopped sending ({words[:200]})", AGAIN) from error
                await self._sleep(0.5 * 2**failed)
            except OSError as error:
                words = "the disk is full" if error.errno == errno.ENOSPC else str(error)
                raise ModelError(f"{url} cannot be stored: {words}", "make room, then " + AGAIN) from error

    async def _open(self, url: str, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """A response of 200 or 206. Every hop must be one that could have been asked for itself."""
        first = url
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._session.get(check_url(url), headers=headers, allow_redirects=False)
            if response.status in (200, 206):
                return response
            response.release()
            if response.status in (301, 302, 303, 307, 308) and "Location" in response.headers:
                url = urljoin(url, response.headers["Location"])
                continue
            if response.status == 416 and headers:
                headers = {}  # what is there does not belong to it
                continue
            if response.status in (408, 429) or response.status >= 500:
                raise aiohttp.ClientResponseError(response.request_info, (), status=response.status, message="busy")
            hint = "it wants a login" if response.status in (401, 403) else "check name and revision"
            raise Refused(f"{first}: the server answered {response.status}", hint)
        raise Refused(f"{first} is redirected more than {MAX_REDIRECTS} times", "check the address")


def _size(path: Path | None) -> int:
    return path.stat().st_size if path is not None and path.exists() else 0


def _other_size(remote: Remote, size: int) -> Refused:
    words = f"{remote.name} from {remote.url} has {size} bytes or more, its list says {remote.size_bytes}"
    return Refused(words, "it changed meanwhile, or the server lies; try again")


def _hash(remote: Remote, path: Path) -> tuple[str, bool]:
    """sha256 of the file, and whether it is the one that is wanted."""
    sha256, blob = hashlib.sha256(), hashlib.sha1(usedforsecurity=False)
    blob.update(f"blob {remote.size_bytes}\0".encode())
    with path.open("rb") as stream:
        while piece := stream.read(PIECE_BYTES):
            sha256.update(piece)
            blob.update(piece)
    made = sha256.hexdigest()
    return made, remote.sha256 in ("", made) and remote.git_sha1 in ("", blob.hexdigest())
