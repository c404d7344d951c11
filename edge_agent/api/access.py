"""Who may ask: names this server goes by (against DNS rebinding), pages of its own alone, and the token."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from edge_agent.api.refusals import Refusal, refusal_of
from edge_agent.errors import EdgeAgentError
from edge_agent.transport.hosts import is_loopback

PAGE = "/ui/"
OPEN = frozenset({"/healthz"})  # says nothing but that the process lives
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Access:
    """`names`: host names beside loopback and bare addresses that this server is called by. `token` None: anybody on
    this machine. `public`: paths of the page, which hold nothing of the device.
    """

    def __init__(self, token: str | None, names: tuple[str, ...] = (), public: tuple[str, ...] = ()) -> None:
        self._digest = None if token is None else hashlib.sha256(token.encode()).digest()
        self._names = frozenset(name.lower() for name in names)
        self._public = public

    def check(self, request: web.Request) -> None:
        """Raises Refusal: 403 for a strange host or another site's page, 401 for a missing or wrong token."""
        host = host_of(request.headers.get("Host", ""))
        if not self._known(host):
            words = f"this server does not go by the name {host[:80]!r}"
            raise Refusal(403, words, "add it to api.hosts", code="unknown_host")
        if request.path in self._public or request.path.startswith(PAGE):
            return
        origin = request.headers.get("Origin")
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        own = f"{request.scheme}://{request.headers.get('Host', '')}"
        if (origin is not None and origin.lower() != own.lower()) or site not in ("same-origin", "none"):
            raise Refusal(403, "pages of other sites may not ask", "open the device's own page", code="foreign_page")
        if (
            request.path not in OPEN
            and self._digest is not None
            and not self._holds(request.headers.get("Authorization", ""))
        ):
            raise Refusal(401, "a bearer token is needed", "Authorization: Bearer TOKEN", code="invalid_api_key")

    def _known(self, host: str) -> bool:
        """A page that a foreign name leads here (DNS rebinding) carries that name; a bare address never does."""
        if is_loopback(host) or host.lower() in self._names:
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True

    def _holds(self, header: str) -> bool:
        """Whether the token is right, in the same time whatever is wrong with it; a wrong length is just wrong."""
        scheme, _, given = header.partition(" ")
        digest = hashlib.sha256(given.strip().encode("utf-8", "replace")).digest()
        return hmac.compare_digest(digest, self._digest or b"") and scheme.lower() == "bearer"


def host_of(header: str) -> str:
    """The host of a Host header, without port and brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.rpartition(":")[0] if ":" in header else header


def guard(access: Access, counted: Callable[[str, int], None]) -> Handler:
    """The middleware around every handler: access, errors as bodies, safe headers; `counted` gets path, status."""

    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            access.check(request)
            response = await handler(request)
        except EdgeAgentError as error:
            response = refusal_of(error).response()
        except web.HTTPException as error:
            response = _plain(error).response()
        except Exception as error:
            log.exception("a bug in %s %s", request.method, request.path)
            words = f"a bug: {type(error).__name__}"
            response = Refusal(500, words, "please report it with the log", code="bug").response()
        resource = request.match_info.route.resource
        counted(resource.canonical if resource is not None else "other", response.status)
        if not response.prepared:
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
        return response

    return around  # type: ignore[return-value]


def _plain(error: web.HTTPException) -> Refusal:
    """What aiohttp itself refuses, in our form."""
    words = {
        404: ("there is nothing at this address", "see docs/api.md"),
        405: ("this address does not take this method", "see docs/api.md"),
        413: ("the request is too large", "send less at once; api.max_body_mb is the limit"),
    }
    message, hint = words.get(error.status, (error.reason, ""))
    return Refusal(error.status, message, hint, code="too_large" if error.status == 413 else None)
