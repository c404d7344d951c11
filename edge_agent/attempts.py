"""Pulling an answer out of an engine, and out of the cloud within the purse and in time for the device to follow."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from edge_agent.engines.base import Engine, Query
from edge_agent.errors import CloudError, NoAnswerError
from edge_agent.hedging import Hedge
from edge_agent.parts import OnToken, Parts
from edge_agent.turn import CLOUD_MARGIN_MS, Attempt, TurnClock, reserve_ms
from edge_agent.types import Decision, Generation, Route, SystemState, TokenEvent

HOLDING_OFF = frozenset({"unreachable", "timeout", "closed", "overloaded", "draining", "internal", "protocol"})
SETTLE_S = 0.1  # of what is kept for the device, for the books of a cloud that took all the rest


async def ask_cloud(
    parts: Parts,
    query: Query,
    decision: Decision,
    state: SystemState,
    turn: TurnClock,
    drafted: bool,
    on_token: OnToken | None,
    hedge: Hedge | None = None,
) -> Attempt:
    """Ask the cloud, within the purse and in time for the device to answer instead. `drafted`: the device has an answer
    already; `hedge`: it may make one meanwhile, and be first. Never raises.
    """
    cloud, purse = parts.cloud, parts.purse
    if cloud is None:
        return Attempt(None, "the cloud was not reached (none is configured)")
    kept_ms = reserve_ms(drafted, state.local_latency_estimate_ms)
    until_s = turn.deadline_s - (kept_ms + CLOUD_MARGIN_MS) / 1000
    if until_s <= parts.clock.monotonic_s():
        return Attempt(
            None, f"the cloud was not reached (the deadline leaves no time for it: {kept_ms:.0f} ms are kept)"
        )
    most_usd = min(state.max_cost_usd or 0.0, state.budget_left_usd or 0.0)
    try:
        reserving = asyncio.to_thread(purse.reserve, most_usd)
        reservation = await turn.within(reserving, "reserving money", kept_ms)
    except NoAnswerError:  # what it may have set aside stays spent
        return Attempt(None, "the cloud was not asked (the purse did not answer in time)")
    if reservation is None:
        return Attempt(None, "the cloud was not asked (today's budget is spent)")
    expected_usd = min(most_usd, state.cloud_cost_estimate_usd)
    attempt = Attempt(None, "", billed_usd=expected_usd)  # stands if it is cancelled: then no bill comes back
    timed = replace(query, deadline_s=until_s, max_cost_usd=most_usd)
    try:
        attempt = await _attempt(parts, cloud, timed, decision, turn, kept_ms, on_token, hedge)
        if attempt.maybe_billed:  # no bill came back: what is expected of one answer is taken for spent
            attempt = replace(attempt, billed_usd=expected_usd)
    finally:
        settling = asyncio.ensure_future(asyncio.to_thread(purse.settle, reservation, attempt.billed_usd))
        left_s = until_s - parts.clock.monotonic_s()
        await asyncio.wait({settling}, timeout=max(SETTLE_S, left_s))  # it goes on where the disk is slower
        turn.stages.mark("decode" if attempt.generation is not None else "first_token")
    return attempt


async def _attempt(
    parts: Parts,
    cloud: Engine,
    query: Query,
    decision: Decision,
    turn: TurnClock,
    kept_ms: float,
    on_token: OnToken | None,
    hedge: Hedge | None,
) -> Attempt:
    monitors, clock = parts.monitors, parts.clock
    started_s = clock.monotonic_s()
    try:
        if hedge is None:
            asking: Coroutine[Any, Any, Generation | None]
            asking = pull(cloud, Route.CLOUD, query, decision, turn, on_token)
        else:
            asking = hedge.beside(pull(cloud, Route.CLOUD, query, decision, turn, heard(hedge, on_token)))
        generation = await turn.within(asking, "waiting for the cloud", kept_ms)
    except CloudError as error:
        if error.code not in HOLDING_OFF:
            return Attempt(None, f"the cloud refused ({error})", error.bytes_up, error.bytes_down, error.asked)
        monitors.cloud_failed(error)
        turn.cloud_away = True
        words = f"the cloud was not reached ({error})"
        return Attempt(None, words, error.bytes_up, error.bytes_down, error.asked)
    except NoAnswerError as error:
        monitors.cloud_failed(CloudError(error.message, code="timeout"))
        turn.cloud_away = True
        spent = query.spent
        return Attempt(None, f"the cloud was not reached ({error.message})", spent.up, spent.down, maybe_billed=True)
    if generation is None:
        spent = query.spent
        return Attempt(None, "the cloud was slower", spent.up, spent.down, maybe_billed=spent.asked, overtaken=True)
    monitors.cloud_answered(generation, (clock.monotonic_s() - started_s) * 1000)
    return Attempt(generation, "", billed_usd=generation.cost_usd)


def heard(hedge: Hedge, on_token: OnToken | None) -> OnToken:
    """`on_token`, by which a hedge hears of the cloud's first word as well."""

    def told(route: Route, event: TokenEvent) -> None:
        hedge.spoke()
        if on_token is not None:
            on_token(route, event)

    return told


async def pull(
    engine: Engine, route: Route, query: Query, decision: Decision, turn: TurnClock, on_token: OnToken | None
) -> Generation:
    """Run an engine to its end, marking upload, first token and decode."""
    seen = False
    async with aclosing(engine.generate(query, decision)) as stream:
        async for event in stream:
            if isinstance(event, Generation):
                turn.stages.mark("decode" if seen else "first_token")
                turn.stages.move("first_token", "upload", event.upload_ms)
                turn.stages.move("first_token", "encode", event.encode_ms)
                return event
            if not seen:
                turn.stages.mark("first_token")
                seen = True
            if on_token is not None:
                on_token(route, event)
    raise NoAnswerError(f"the {engine.name} engine ended without an answer")
