"""The cloud behind the engine seam: embeddings are coded, sent and answered, within the query's deadline and cost."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from edge_agent.clock import Clock
from edge_agent.engines.base import Query
from edge_agent.errors import CloudError, UsageError
from edge_agent.transport.client import CloudClient, TurnRequest, TurnResult
from edge_agent.transport.codecs import DEFAULT_CODEC, find_codec
from edge_agent.transport.messages import uuid7
from edge_agent.types import Action, Decision, Generation, TokenEvent

DEFAULT_DEADLINE_S = 30.0


class CloudEngine:
    """Answers through one CloudClient. A modality whose plan names a codec is sent with it, others with `codec_id`.

    Raises UsageError at once for an unknown `codec_id`. Closing the engine closes the client.
    """

    name = "cloud"

    def __init__(self, client: CloudClient, clock: Clock, codec_id: str = DEFAULT_CODEC) -> None:
        find_codec(codec_id)
        self._client = client
        self._clock = clock
        self._codec_id = codec_id

    async def generate(self, query: Query, decision: Decision) -> AsyncGenerator[TokenEvent | Generation, None]:
        """Tokens, then exactly one Generation with the bytes, money and times that were really spent.

        Raises CloudError (see CloudClient.turn); leaving early cancels the turn in the cloud within one token.
        """
        request = self._request(query, decision)
        events: list[TokenEvent] = []
        async with aclosing(self._client.turn(request)) as items:
            async for item in items:
                if isinstance(item, TurnResult):
                    yield _generation(events, item)
                else:
                    events.append(item)
                    yield item

    async def close(self) -> None:
        await self._client.close()

    def _request(self, query: Query, decision: Decision) -> TurnRequest:
        codecs = {plan.modality: plan.codec for plan in decision.plans if plan.action is Action.UPLOAD}
        try:
            tensors = tuple(
                find_codec(codecs.get(one.modality) or self._codec_id).encode(one) for one in query.embeddings
            )
        except UsageError as error:
            raise CloudError(error.message, error.hint, code="bad_tensor", retryable=False) from error
        left_s = DEFAULT_DEADLINE_S
        if query.deadline_s is not None:
            left_s = query.deadline_s - self._clock.monotonic_s()  # after coding: what is left to send and to answer
        return TurnRequest(
            question=query.question,
            tensors=tensors,
            turn_id=uuid7(int(self._clock.wall_s() * 1000)),
            deadline_ms=int(left_s * 1000),
            max_tokens=query.max_new_tokens,
            max_cost_usd=query.max_cost_usd,
            history=query.history,
        )


def _generation(events: list[TokenEvent], result: TurnResult) -> Generation:
    ended = bool(events) and result.finish_reason == "stop" and not events[-1].text  # the end token has no text
    return Generation(
        text="".join(event.text for event in events).strip(),
        confidence=result.confidence,
        max_entropy=result.max_entropy,
        tokens=result.tokens - ended,
        finish_reason=result.finish_reason,
        bytes_up=result.bytes_up,
        bytes_down=result.bytes_down,
        cost_usd=result.cost_usd,
        upload_ms=result.upload_ms,
        first_token_ms=result.first_token_ms,
        decode_ms=result.decode_ms,
    )
