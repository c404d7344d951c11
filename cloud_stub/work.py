"""The part of a turn that runs in the worker thread: tensors decoded, the draft checked, tokens made and billed."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from cloud_stub.backends.base import Backend, Prompt, opened
from cloud_stub.prices import Prices
from cloud_stub.record import TurnRecord
from edge_agent.errors import CloudError
from edge_agent.transport.answers import Done, Usage
from edge_agent.transport.drafts import Draft, Judge, Verdict
from edge_agent.transport.encoded import EncodedTensor, check_name
from edge_agent.transport.limits import Limits
from edge_agent.types import TokenEvent


class Work:
    """One turn's computation. What it makes is given to `record` on the thread of `loop`."""

    def __init__(
        self,
        backend: Backend,
        prices: Prices,
        limits: Limits,
        record: TurnRecord,
        tensors: tuple[EncodedTensor, ...],
        draft: Draft | None,
        loop: asyncio.AbstractEventLoop,
        tenant: str = "",
    ) -> None:
        self._backend = backend
        self._tenant = tenant
        self._prices = prices
        self._limits = limits
        self._record = record
        self._tensors = tensors
        self._draft = draft
        self._loop = loop
        self._asked_s = time.monotonic()

    def compute(self) -> tuple[Usage, Done]:
        """Check and decode the tensors, then the answer. Raises FrameError for a tensor that is not as was said,
        CloudError `cancelled` when the last follower left.
        """
        began_s = time.monotonic()
        self._stop_if_cancelled()
        prompt, prompt_tokens = self._prompt()
        tokens = _Tokens(self._record, Judge(prompt.draft) if prompt.draft else None, self._loop)
        first_s = began_s
        for event in self._backend.stream(prompt, self._record.cancelled.is_set):
            if not tokens.events:
                first_s = time.monotonic()
            tokens.add(event)
        self._stop_if_cancelled()
        tokens.end()
        generation, verdict, count = self._backend.summarise(tokens.events), tokens.verdict, len(tokens.events)
        usage = Usage(
            prompt_tokens=prompt_tokens,
            completion_tokens=count,
            cost_microusd=self._prices.verified_microusd(prompt_tokens, count, verdict),
            queue_ms=(began_s - self._asked_s) * 1000,
            first_token_ms=(first_s - began_s) * 1000,
            decode_ms=(time.monotonic() - first_s) * 1000,
            drafted=0 if verdict is None else verdict.drafted,
            accepted=0 if verdict is None else verdict.accepted,
        )
        return usage, Done(count, generation.finish_reason, generation.confidence, generation.max_entropy)

    def _prompt(self) -> tuple[Prompt, int]:
        opening = self._record.opening
        for name, tensor in zip(opening.tensors, self._tensors, strict=True):
            check_name(tensor, name)
        embeddings, pictures = opened(self._tensors, self._limits)
        asked = Prompt(embeddings, opening.question, opening.history, opening.max_tokens, (), pictures, self._tenant)
        prompt = self._backend.read(asked)
        prompt_tokens = self._backend.prompt_tokens(prompt)
        most = self._prices.affordable(prompt_tokens, opening.max_cost_microusd, opening.max_tokens)
        if most < 1:
            text = f"{opening.max_cost_microusd} micro-dollars do not pay for {prompt_tokens} tokens and an answer"
            raise CloudError(text, code="over_budget", retryable=False)
        draft = self._checked(prompt_tokens, most)
        return replace(prompt, max_new_tokens=most, draft=draft), prompt_tokens

    def _checked(self, prompt_tokens: int, most: int) -> tuple[int, ...]:
        """What of the draft will be checked. Paying for it must not make the answer shorter."""
        draft = self._draft
        if draft is None:
            return ()
        ids, cost = draft.ids[:most], self._record.opening.max_cost_microusd
        reason = "" if draft.tokenizer_id == self._backend.tokenizer_id else "tokenizer"
        if not reason and self._prices.affordable(prompt_tokens + len(ids), cost, most) < most:
            reason = "budget"
        if reason:
            verdict = Verdict(0, len(draft.ids), reason)
            self._loop.call_soon_threadsafe(self._record.judge, verdict)
            return ()
        return ids

    def _stop_if_cancelled(self) -> None:
        if self._record.cancelled.is_set():
            raise CloudError("nobody waits for this answer any more", code="cancelled", retryable=False)


class _Tokens:
    """The tokens of one answer on their way to its record: held back until the verdict on the draft is known."""

    def __init__(self, record: TurnRecord, judge: Judge | None, loop: asyncio.AbstractEventLoop) -> None:
        self._record = record
        self._judge = judge
        self._loop = loop
        self._told = 0
        self.events: list[TokenEvent] = []
        self.verdict: Verdict | None = None

    def add(self, event: TokenEvent) -> None:
        self.events.append(event)
        if self._judge is not None and self.verdict is None:
            self._decide(self._judge.take(event.token_id))
        if self._judge is None or self.verdict is not None:
            self._tell()

    def end(self) -> None:
        """No more tokens follow."""
        if self._judge is not None and self.verdict is None:
            self._decide(self._judge.end())
            self._tell()

    def _decide(self, verdict: Verdict | None) -> None:
        self.verdict = verdict
        if verdict is not None:
            self._loop.call_soon_threadsafe(self._record.judge, verdict)

    def _tell(self) -> None:
        self._loop.call_soon_threadsafe(self._record.add, self.events[self._told :])
        self._told = len(self.events)
