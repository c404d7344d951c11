"""The answer of one turn on its way to the client: verdict, tokens, bill, end; or why there is none."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import replace

from cloud_stub.memory import SessionMemory
from cloud_stub.outgoing import Outgoing
from cloud_stub.record import TurnRecord
from cloud_stub.streams import OpenTurn
from cloud_stub.turns import TurnDesk, TurnKey
from edge_agent.clock import within
from edge_agent.errors import CloudError
from edge_agent.transport import features
from edge_agent.transport.answers import said, tokens_frame
from edge_agent.transport.changes import base_of, is_change, resolved
from edge_agent.transport.codecs import EncodedTensor
from edge_agent.transport.frames import Frame, FrameError
from edge_agent.transport.messages import error_frame
from edge_agent.types import Turn

log = logging.getLogger("cloud_stub")

OVERLOADED_RETRY_MS = 1000
_TOKENS_PER_FRAME = 256


class Answering:
    """Answers the turns of one session. `principal` names who asks, `spoken` are the features of both sides."""

    def __init__(
        self, desk: TurnDesk, principal: str, spoken: frozenset[str], memory: SessionMemory, out: Outgoing
    ) -> None:
        self._desk = desk
        self._principal = principal
        self._spoken = spoken
        self._memory = memory
        self._out = out

    async def run(self, stream: int, turn: OpenTurn) -> None:
        """Answer one turn within its deadline, or say why not. Raises FrameError where its tensors are not as said."""
        try:
            await within(self._answer(stream, turn), turn.opening.deadline_ms / 1000)
        except asyncio.TimeoutError:
            await self._give_up(stream, turn, error_frame("timeout", "the deadline of the turn passed"))
        except FrameError:
            raise
        except CloudError as error:
            await self._give_up(stream, turn, refusal(error))
        except ConnectionError:
            log.info("a client went away during its turn")

    async def _answer(self, stream: int, turn: OpenTurn) -> None:
        key: TurnKey = (self._principal, turn.opening.turn_id)
        record = self._desk.stored(key, turn.opening)
        replayed = record is not None and record.ending is not None
        if record is None:
            await turn.ready.wait()
            tensors = await self._whole(turn.assembly.tensors())
            self._memory.keep_tensors(turn.opening.tensors, tensors)
            record = self._desk.start(key, turn.opening, tensors, turn.draft)
        first = 0
        async with aclosing(record.follow()) as batches:
            async for batch in batches:
                if not first:
                    await self._tell_verdict(record, stream)
                for start in range(0, len(batch), _TOKENS_PER_FRAME):
                    part = batch[start : start + _TOKENS_PER_FRAME]
                    await self._out.send(tokens_frame(first, part), stream)
                    first += len(part)
        await self._finish(stream, turn, record, replayed)

    async def _whole(self, tensors: tuple[EncodedTensor, ...]) -> tuple[EncodedTensor, ...]:
        """With what they stand for in place of changes. Raises CloudError `forgotten`, FrameError."""
        found = []
        for tensor in tensors:
            if is_change(tensor) and features.HAVE not in self._spoken:
                raise FrameError("changes were not agreed upon")
            if is_change(tensor):
                base = self._memory.base(base_of(tensor))
                found.append(await asyncio.to_thread(resolved, tensor, base))
            else:
                found.append(tensor)
        return tuple(found)

    async def _finish(self, stream: int, turn: OpenTurn, record: TurnRecord, replayed: bool) -> None:
        if record.ending is None:
            raise record.error or CloudError("the turn ended without a result", code="internal")
        usage, done = record.ending
        if not record.events:
            await self._tell_verdict(record, stream)
        if replayed:
            usage = replace(usage, queue_ms=0.0, first_token_ms=0.0, decode_ms=0.0, replayed=True)
        opening = record.opening
        told = (*opening.history, Turn(opening.question, said(record.events)))
        self._memory.keep_history(opening.turn_id, told)
        await self._out.send(usage.to_frame(), stream)
        turn.over = True
        await self._out.send(done.to_frame(), stream)

    async def _tell_verdict(self, record: TurnRecord, stream: int) -> None:
        if record.verdict is not None and features.DRAFT in self._spoken:
            await self._out.send(record.verdict.to_frame(), stream)

    async def _give_up(self, stream: int, turn: OpenTurn, error: Frame) -> None:
        if not turn.over:
            turn.over = True
            await self._out.try_send(error, stream)


def refusal(error: CloudError) -> Frame:
    """ERROR for it."""
    wait_ms = error.retry_after_ms
    if wait_ms is None and error.code == "overloaded":
        wait_ms = OVERLOADED_RETRY_MS
    return error_frame(error.code, error.message, retry_after_ms=wait_ms)
