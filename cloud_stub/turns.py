"""The turns that this cloud computes: admitted, run in one worker thread, stored so that a replay costs nothing."""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from cloud_stub.backends.base import Backend
from cloud_stub.credit import UploadPool
from cloud_stub.prices import Prices
from cloud_stub.record import TurnRecord
from cloud_stub.work import Work
from edge_agent.errors import CloudError, EdgeAgentError
from edge_agent.transport.codecs import EncodedTensor
from edge_agent.transport.drafts import Draft
from edge_agent.transport.limits import Limits
from edge_agent.transport.messages import TurnOpening

__all__ = ["Prices", "TurnDesk", "TurnKey", "TurnRecord"]

log = logging.getLogger("cloud_stub")

STORED_S = 600.0
STORED_TURNS = 1024
TurnKey = tuple[str, str]
"""Who asks (token and device) and the turn id: nobody can read another's answers."""


class TurnDesk:
    """Admits turns up to `max_in_flight`, runs `workers` at once, keeps finished ones for STORED_S."""

    def __init__(
        self,
        backend: Backend,
        *,
        prices: Prices | None = None,
        limits: Limits | None = None,
        max_in_flight: int = 8,
        workers: int = 1,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.backend = backend
        self.prices = prices or Prices()
        self.limits = limits or Limits()
        self.uploads = UploadPool()
        self.in_flight = 0
        self.computed = 0
        self.billed_microusd = 0
        self._max_in_flight = max_in_flight
        self._secret = secrets.token_bytes(32)
        self._monotonic_s = monotonic_s
        self._records: OrderedDict[TurnKey, TurnRecord] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._worker = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="decode")

    def admit(self) -> bool:
        """Take a place; whoever got one gives it back with `leave`."""
        if self.in_flight >= self._max_in_flight:
            return False
        self.in_flight += 1
        return True

    def leave(self) -> None:
        self.in_flight -= 1

    def stored(self, key: TurnKey, opening: TurnOpening) -> TurnRecord | None:
        """The turn of that key, running or finished. Raises CloudError if the id was used for another question."""
        self._forget_old()
        record = self._records.get(key)
        if record is None:
            return None
        if (record.opening.question, record.opening.history, record.opening.tensors) != (
            opening.question,
            opening.history,
            opening.tensors,
        ):
            raise CloudError("this turn_id was used for another question", code="bad_request", retryable=False)
        return None if record.cancelled.is_set() and record.ending is None else record

    def start(
        self, key: TurnKey, opening: TurnOpening, tensors: tuple[EncodedTensor, ...], draft: Draft | None = None
    ) -> TurnRecord:
        """Compute a turn, unless it is already known: then that one, whatever was drafted."""
        known = self.stored(key, opening)
        if known is not None:
            return known
        record = self._records[key] = TurnRecord(opening)
        task = asyncio.get_running_loop().create_task(self._run(key, record, tensors, draft))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return record

    async def close(self) -> None:
        """Cancel what runs, wait for it, and end the worker thread."""
        for record in self._records.values():
            record.cancelled.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._worker.shutdown(wait=True)

    async def _run(
        self, key: TurnKey, record: TurnRecord, tensors: tuple[EncodedTensor, ...], draft: Draft | None
    ) -> None:
        loop = asyncio.get_running_loop()
        work = Work(self.backend, self.prices, self.limits, record, tensors, draft, loop, self._tenant_of(key))
        try:
            record.ending = await loop.run_in_executor(self._worker, work.compute)
            self.computed += 1
            self.billed_microusd += record.ending[0].cost_microusd
        except CloudError as error:
            record.error = error
        except EdgeAgentError as error:
            record.error = CloudError(str(error), code="bad_request", retryable=False)
        except Exception as error:  # the border of the model: logged, and the client gets a typed error
            log.exception("a turn failed in the model")
            record.error = CloudError(f"the model failed ({type(error).__name__})", code="internal")
        finally:
            if record.error is not None:  # else it would keep the tensors, by the frames that it came through
                record.error = record.error.with_traceback(None)
            record.ended_s = self._monotonic_s()
            if record.ending is None and self._records.get(key) is record:
                del self._records[key]
            elif record.ending is not None:
                self._records.move_to_end(key)
            record.notify()

    def _tenant_of(self, key: TurnKey) -> str:
        """A name for who asks that tells nobody who it is, and that nobody else can make."""
        return hmac.new(self._secret, key[0].encode("utf-8"), "sha256").hexdigest()

    def _forget_old(self) -> None:
        oldest_s = self._monotonic_s() - STORED_S
        for key, record in list(self._records.items()):
            if record.ending is not None and (record.ended_s < oldest_s or len(self._records) > STORED_TURNS):
                del self._records[key]
