"""Decoders in other processes, replicas of a Ray Serve deployment, as one backend; one that dies is not noticed."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cloud_stub.backends.base import Prompt
from edge_agent.errors import CloudError
from edge_agent.types import Generation, TokenEvent

log = logging.getLogger("cloud_stub")

CALL_S = 60.0
ATTEMPTS = 4
RETRY_S = 0.2


class RemoteBackend:
    """The replicas behind `handle`, a DeploymentHandle of ray_app's Decoder; `facts` are what one says of itself.
    Another is asked where one died, and what was told already is skipped: greedy answers are equal.
    """

    def __init__(self, handle: Any, facts: dict[str, Any]) -> None:
        self._handle = handle
        self.model: str = facts["model"]
        self.encoder_ids: tuple[str, ...] = facts["encoder_ids"]
        self.codecs: tuple[str, ...] = facts["codecs"]
        self.hidden_size: int = facts["hidden_size"]
        self.detail_views: tuple[int, int] | None = facts["detail_views"]
        self.tokenizer_id: str | None = facts["tokenizer_id"]

    def read(self, prompt: Prompt) -> Prompt:
        made: Prompt = self._asked("read", prompt) if prompt.pictures else prompt
        return made

    def prompt_tokens(self, prompt: Prompt) -> int:
        count: int = self._asked("prompt_tokens", prompt)
        return count

    def stream(self, prompt: Prompt, cancelled: Callable[[], bool]) -> Iterator[TokenEvent]:
        from ray.exceptions import RayActorError

        told = 0
        for attempt in range(ATTEMPTS):
            events = self._handle.options(stream=True).stream.remote(prompt)
            try:
                for event in itertools.islice(events, told, None):
                    if cancelled():
                        return
                    told += 1
                    yield event
                return
            except RayActorError as error:
                log.warning("a decoder was lost after %d tokens (%s)", told, type(error).__name__)
                time.sleep(RETRY_S * attempt)
            finally:
                events.cancel()
        raise CloudError("no decoder answered to the end", code="internal")

    def summarise(self, events: Sequence[TokenEvent]) -> Generation:
        made: Generation = self._asked("summarise", list(events))
        return made

    def _asked(self, method: str, value: object) -> Any:
        from ray.exceptions import RayActorError

        for attempt in range(ATTEMPTS):
            try:
                return getattr(self._handle, method).remote(value).result(timeout_s=CALL_S)
            except RayActorError as error:  # noqa: PERF203 - it is asked again
                log.warning("a decoder was lost (%s)", type(error).__name__)
                time.sleep(RETRY_S * attempt)
        raise CloudError("no decoder answers", code="internal")
