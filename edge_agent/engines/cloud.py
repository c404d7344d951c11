"""The cloud behind the engine seam: embeddings are coded, sent and answered, within the query's deadline and cost."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from edge_agent.clock import Clock
from edge_agent.engines.base import Query
from edge_agent.errors import CloudError, UsageError
from edge_agent.transport.client import CloudClient, TurnRequest, TurnResult
from edge_agent.transport.codecs import DEFAULT_CODEC, EncodedTensor, find_codec
from edge_agent.transport.messages import Welcome, uuid7
from edge_agent.types import Action, Decision, Embeddings, Generation, Modality, TokenEvent

DEFAULT_DEADLINE_S = 30.0


class CloudEngine:
    """Answers through one CloudClient. A modality whose plan names a codec is sent with it, others with `codec_id`; one
    whose plan keeps it on the device is not sent. The detail views of a picture follow where the cloud wants them.

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
        upload = _Upload(query, decision, self._codec_id, self._clock)
        request = self._request(query, upload)
        events: list[TokenEvent] = []
        async with aclosing(self._client.turn(request)) as items:
            async for item in items:
                if isinstance(item, TurnResult):
                    yield _generation(events, item, upload)
                else:
                    events.append(item)
                    yield item

    async def close(self) -> None:
        await self._client.close()

    def _request(self, query: Query, upload: _Upload) -> TurnRequest:
        tensors = upload.coded(query.embeddings)
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
            detail=upload.detail if upload.has_detail else None,
        )


class _Upload:
    """The tensors of one question: what it has already, and the detail views if the cloud wants them."""

    def __init__(self, query: Query, decision: Decision, codec_id: str, clock: Clock) -> None:
        self._kept = {plan.modality for plan in decision.plans if plan.action is not Action.UPLOAD}
        self._codecs = {plan.modality: plan.codec for plan in decision.plans if plan.action is Action.UPLOAD}
        self._codec_id = codec_id
        self._clock = clock
        self._source = query.detail
        self._made: tuple[EncodedTensor, ...] | None = None
        self.has_detail = query.detail is not None and Modality.IMAGE not in self._kept
        self.views = 0
        self.encode_ms = 0.0

    def coded(self, embeddings: Sequence[Embeddings]) -> tuple[EncodedTensor, ...]:
        """Those that the decision sends up, each with its codec. Raises CloudError `bad_tensor`."""
        sent = [one for one in embeddings if one.modality not in self._kept]
        self.views += sum(one.modality is Modality.IMAGE for one in sent)
        if any(one.place is not None for one in sent):
            raise CloudError("tiles of this model cannot travel", "switch its splitting off", code="bad_tensor")
        try:
            return tuple(find_codec(self._codecs.get(one.modality) or self._codec_id).encode(one) for one in sent)
        except UsageError as error:
            raise CloudError(error.message, error.hint, code="bad_tensor", retryable=False) from error

    async def detail(self, welcome: Welcome) -> tuple[EncodedTensor, ...]:
        """The detail views, made once, if the cloud wants the very grid that the device can make."""
        source = self._source
        if source is None or welcome.detail_views != (source.rows, source.columns):
            return ()
        if self._made is None:
            started_s = self._clock.monotonic_s()
            self._made = self.coded(await source.encode())
            self.encode_ms = (self._clock.monotonic_s() - started_s) * 1000
        return self._made


def _generation(events: list[TokenEvent], result: TurnResult, upload: _Upload) -> Generation:
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
        views_up=upload.views,
        encode_ms=upload.encode_ms,
        upload_ms=max(0.0, result.upload_ms - upload.encode_ms),
        first_token_ms=result.first_token_ms,
        decode_ms=result.decode_ms,
    )
