"""The few named errors of edge-agent; each carries the exit code that the command line ends with."""

from __future__ import annotations


class EdgeAgentError(Exception):
    """Base of every expected failure.

    `message` says what happened and to what; `hint` says what to type or change next. Both are shown on one line.
    `cloud_away`: a question failed that would have gone to a cloud which was not reached; later it may be answered.
    """

    exit_code = 4
    cloud_away = False

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """One line: what happened, then the next step."""
        text = f"{self.message}: {self.hint}" if self.hint else self.message
        return " ".join(text.split())


class UsageError(EdgeAgentError):
    """The command line or the configuration asks for something that does not exist or does not fit."""

    exit_code = 2


class InputError(EdgeAgentError):
    """A photo, clip, sound, camera or microphone could not be read."""

    exit_code = 3


class ModelError(EdgeAgentError):
    """A model bundle is missing, damaged or does not fit."""

    exit_code = 4


class CloudError(EdgeAgentError):
    """The cloud could not be reached, refused, or broke the protocol.

    `retryable`: asking again may help. `bytes_up` and `bytes_down` are what the attempt had cost on the wire by then;
    `asked`: a TURN frame went out, so it may have been billed. `retry_after_ms`: how long to wait before, where the
    other side said so.
    """

    exit_code = 4

    def __init__(self, message: str, hint: str = "", *, code: str = "unreachable", retryable: bool = True) -> None:
        super().__init__(message, hint)
        self.code = code
        self.retryable = retryable
        self.bytes_up = 0
        self.bytes_down = 0
        self.asked = False
        self.retry_after_ms: int | None = None


class NoAnswerError(EdgeAgentError):
    """No engine could answer within the limits that were given."""

    exit_code = 4


class SelfTestError(EdgeAgentError):
    """A self-test failed: this build gives wrong results on this machine."""

    exit_code = 5
