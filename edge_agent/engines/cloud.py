"""The cloud behind the engine seam: embeddings are coded, sent and answered, within the query's deadline and cost."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from edge_agent.clock import Clock
from edge_agent.engines.base import Query
from edge_agent.engines.draft_length import DraftLength, Seen
from edge_agent.engines.drafting import Drafter, QueryDrafting
from edge_agent.engines.upload import Coding, Upload
from edge_agent.transport.client import CloudClient, TurnRequest, TurnResult
from edge_agent.transport.codecs import PICTURE_CODECS
from edge_agent.transport.messages import uuid7
from edge_agent.types import Decision, Generation, TokenEvent

DEFAULT_DEADLINE_S = 30.0


class CloudEngine:
    """Answers through one CloudClient. A modality whose plan names a codec is sent with it, others as `coding` says;
    what a plan keeps on the device is not sent. The detail views of a picture follow where the cloud wants them.

    With a `drafter` the device's own answer goes up as a draft, as `verify` says (drafting.MODES); the answer is the
    cloud's own either way. `drafts` has the counts.

    Closing the engine closes the client.
    """

    name = "cloud"

    def __init__(
        self,
        client: CloudClient,
        clock: Clock,
        coding: Coding | None = None,
        drafter: Drafter | None = None,
        verify: str = "auto",
    ) -> None:
        self._client = client
        self._clock = clock
        self._coding = coding or Coding()
        self._drafter = None if verify == "off" else drafter
        self._verify = verify
        self.drafts = DraftLength()
        self.sends_pictures = self._coding.codec_id in PICTURE_CODECS

    async def generate(self, query: Query, decision: Decision) -> AsyncGenerator[TokenEvent | Generation, None]:
        """Tokens, then exactly one Generation with the bytes, money and times that were really spent.

        Raises CloudError (see CloudClient.turn); leaving early cancels the turn in the cloud within one token.
        """
        upload = Upload(query, decision, self._coding, self._clock)
        drafting = None
        looked = bool(query.embeddings) or query.picture is None
        if self._drafter is not None and looked and not decision.rests:
            drafting = QueryDrafting(self._drafter, query, self.drafts, self._verify, self._clock)
        request = self._request(query, upload, drafting)
        events: list[TokenEvent] = []
        try:
            async with aclosing(self._client.turn(request)) as items:
                async for item in items:
                    if isinstance(item, TurnResult):
                        self.drafts.answered(_seen(item))
                        yield _generation(events, item, upload)
                    else:
                        events.append(item)
                        yield item
        finally:
            if drafting is not None:
                await drafting.close()

    async def close(self) -> None:
        await self._client.close()

    def _request(self, query: Query, upload: Upload, drafting: QueryDrafting | None) -> TurnRequest:
        left_s = DEFAULT_DEADLINE_S
        if query.deadline_s is not None:
            left_s = query.deadline_s - self._clock.monotonic_s()
        return TurnRequest(
            question=query.question,
            tensors=(),
            turn_id=uuid7(int(self._clock.wall_s() * 1000)),
            deadline_ms=int(left_s * 1000),
            max_tokens=query.max_new_tokens,
            max_cost_usd=query.max_cost_usd,
            history=query.history,
            detail=upload.tensors,
            drafting=drafting,
            spent=query.spent,
        )


def _generation(events: list[TokenEvent], result: TurnResult, upload: Upload) -> Generation:
    ended = bool(events) and result.finish_reason == "stop" and not events[-1].text  # the end token has no text
    return Generation(
        text="".join(event.text for event in events).strip(),
        confidence=result.confidence,
        max_entropy=result.max_entropy,
        tokens=result.tokens - ended,
        prompt_tokens=result.prompt_tokens,
        finish_reason=result.finish_reason,
        bytes_up=result.bytes_up,
        bytes_down=result.bytes_down,
        cost_usd=result.cost_usd,
        views_up=upload.views,
        views_read=upload.readable,
        encode_ms=upload.encode_ms,
        upload_ms=max(0.0, result.upload_ms - upload.encode_ms),
        first_token_ms=result.first_token_ms,
        decode_ms=result.decode_ms,
        rtt_ms=result.link.wire_rtt_ms,
        loss_share=result.link.loss_share,
        draft_tokens=result.drafted,
        accepted_tokens=result.accepted,
    )


def _seen(result: TurnResult) -> Seen:
    link = result.link
    return Seen(
        bytes_up=link.bytes_up,
        upload_ms=link.upload_ms,
        rtt_ms=link.rtt_ms,
        held_ms=link.held_ms,
        prefill_ms=link.prefill_ms,
        decode_ms=link.decode_ms,
        decoded=result.tokens - result.accepted - 1,
        drafted=result.drafted,
        accepted=result.accepted,
        tokens=result.tokens,
    )
