"""Why a request is not answered: one error with its HTTP status, and every other error of ours as such a one."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from edge_agent.errors import EdgeAgentError, InputError, ModelError, NoAnswerError, UsageError

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    429: "rate_limit_error",
}


class Refusal(EdgeAgentError):
    """A request that is refused with `status`. `param` names the field at fault, `code` the reason for programs.

    `retry_after_s`: asking again after so many seconds may help; None: it will not, and clients are told so.
    """

    def __init__(
        self,
        status: int,
        message: str,
        hint: str = "",
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.status = status
        self.param = param
        self.code = code
        self.retry_after_s = retry_after_s

    def body(self) -> dict[str, Any]:
        """As the official client reads it."""
        kind = _TYPES.get(self.status, "server_error")
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        """Whether and when to ask again; the official client retries 429 and 5xx by itself unless it is told."""
        made = {"x-should-retry": "false"} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        if self.status == 401:
            made["WWW-Authenticate"] = "Bearer"
        return made

    def response(self) -> web.Response:
        """The whole response. What was not read of the request's body is not waited for: the connection ends."""
        response = web.Response(
            status=self.status, text=json.dumps(self.body()), content_type="application/json", headers=self.headers()
        )
        if self.status == 413:
            response.force_close()
        return response


def bad(message: str, hint: str, param: str | None = None, code: str | None = None) -> Refusal:
    """A request that is wrong in itself."""
    return Refusal(400, message, hint, param=param, code=code)


def refusal_of(error: EdgeAgentError) -> Refusal:
    """Any error of ours as a refusal."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, (UsageError, InputError)):
        return Refusal(400, error.message, error.hint)
    if isinstance(error, NoAnswerError):
        return Refusal(503, error.message, error.hint, code="no_answer")
    code = "model" if isinstance(error, ModelError) else None
    return Refusal(500, error.message, error.hint, code=code)
