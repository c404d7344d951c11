"""The pipeline of one question: features, decision, embeddings, engines, answer. No policy and no I/O of its own."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from functools import partial

from edge_agent.engines.base import PLAIN, Detail, Engine, Manner, Query
from edge_agent.errors import CloudError, EdgeAgentError, NoAnswerError, UsageError
from edge_agent.overdue import Overdue
from edge_agent.parts import Limits, OnToken, Parts, question_state
from edge_agent.policy import AWAY, held_back
from edge_agent.recording import Recorder
from edge_agent.turn import Attempt, TurnClock, decision_record, finished, judge, picture_alone, rests_error
from edge_agent.types import (
    Action,
    Answer,
    Decision,
    Embeddings,
    Generation,
    Modality,
    ModalityFeatures,
    Observation,
    Outcome,
    Route,
    SystemState,
)

MAX_QUESTION_CHARS = 2000
FALLBACK_RESERVE_MS = 300.0  # kept of a deadline for answering locally; more once that has been seen to take longer
DRAFTED_RESERVE_MS = 20.0  # kept where the draft is the answer already
CLOUD_MARGIN_S = 0.03  # the cloud engine gives up a little earlier than the pipeline, and says what it has cost
HOLDING_OFF = frozenset({"unreachable", "timeout", "closed", "overloaded", "draining", "internal", "protocol"})
CLOSE_S = 2.0  # for what was left behind at its deadline
SETTLE_S = 0.1  # of what is kept for the device, for the books of a cloud that took all the rest
FORM_GUARD = "form: only the device's own decoder can be held to a schema"


class Agent:
    """Answers one question at a time. Owns its parts' lifetimes: `close` them through it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._recorder = Recorder(parts.journal)
        self._overdue = Overdue()

    async def ask(
        self,
        observation: Observation,
        limits: Limits,
        on_token: OnToken | None = None,
        *,
        manner: Manner = PLAIN,
        route: Route | None = None,
    ) -> Answer:
        """Answer within the limits, in the `manner` asked for; `route` LOCAL or CLOUD wins over the policy.

        Raises NoAnswerError if no engine could, ModelError if the device's model is damaged. A cloud that fails never
        raises: the device answers instead and the reason says so.
        """
        check_question(observation.question)
        turn = TurnClock(self._parts.clock, limits.deadline_ms)
        asking = self._ask(observation, limits, on_token, manner, route, turn)
        try:
            return await self._overdue.by(asking, limits.deadline_ms / 1000, lambda: turn.doing)
        except EdgeAgentError as error:
            error.cloud_away = turn.cloud_away
            raise

    async def _ask(
        self,
        observation: Observation,
        limits: Limits,
        on_token: OnToken | None,
        manner: Manner,
        route: Route | None,
        turn: TurnClock,
    ) -> Answer:
        observing = asyncio.to_thread(self._parts.extractor.observe, observation)
        features = await turn.within(observing, "looking at the picture and the sound")
        turn.stages.mark("features")
        reading = asyncio.to_thread(self.state, observation, limits)
        state = await turn.within(reading, "asking the monitors and the purse")
        policy = self._parts.policy if route is None else self._parts.forced[route]
        decision = policy.decide(features, state, observation.history)
        if manner.schema is not None:
            decision = held_back(decision, (FORM_GUARD,), state)
        turn.stages.mark("decide")
        turn.cloud_away = decision.guards == (AWAY,)
        try:
            answer, outcome = await self._answer(observation, decision, state, turn, on_token, manner)
        except EdgeAgentError as error:
            await self._record(observation, features, state, decision, None, str(error), turn)
            raise
        policy.observe(outcome)
        await self._record(observation, features, state, decision, outcome, None, turn)
        return answer

    def state(self, observation: Observation, limits: Limits) -> SystemState:
        """The monitors' view with this question's limits and the purse."""
        parts = self._parts
        return question_state(parts.monitors, parts.cloud is not None, parts.purse, observation, limits)

    def cloud_reachable(self) -> bool | None:
        """What the traffic has shown; None: not known."""
        return self._parts.monitors.state().cloud_reachable if self._parts.cloud is not None else False

    async def close(self) -> None:
        """Close both engines, once what was left behind and the decision log's last lines are through."""
        await self._overdue.settled(CLOSE_S)
        await self._recorder.close()
        await self._parts.local.close()
        if self._parts.cloud is not None:
            await self._parts.cloud.close()

    async def _answer(
        self,
        observation: Observation,
        decision: Decision,
        state: SystemState,
        turn: TurnClock,
        on_token: OnToken | None,
        manner: Manner,
    ) -> tuple[Answer, Outcome]:
        if decision.rests and decision.route is Route.LOCAL:
            raise rests_error(decision.rests)
        unseen = (
            self._parts.cloud is not None and self._parts.cloud.sends_pictures and picture_alone(observation, decision)
        )
        embeddings = () if unseen else await self._encode(observation, decision, turn)
        query = Query(
            question=observation.question,
            embeddings=embeddings,
            history=observation.history,
            max_new_tokens=manner.max_new_tokens or self._parts.max_new_tokens,
            deadline_s=turn.deadline_s,
            max_cost_usd=state.max_cost_usd,
            detail=self._detail(observation, embeddings),
            manner=manner,
            picture=observation.frames[observation.key_frame].pixels if observation.frames else None,
        )
        draft: Generation | None = None
        judged = ""
        if decision.route is Route.CASCADE:
            draft = await self._local(query, decision, turn, None)
            stands, judged = judge(draft, decision)
            if stands:
                why = f"{decision.reason}; {judged}: it stands"
                return finished(decision, Route.LOCAL, draft, why, turn, None)
            turn.stages.rename(("first_token", "decode"), "draft")
            query = replace(query, draft=draft.token_ids)
        failed: Attempt | None = None
        why = decision.reason
        if decision.route is not Route.LOCAL:
            attempt = await self._cloud(query, decision, state, turn, draft is not None, on_token)
            if attempt.generation is not None:
                if draft is not None:
                    why += f"; {judged}: the cloud answers"
                return finished(decision, Route.CLOUD, attempt.generation, why, turn, draft)
            turn.stages.rename(("first_token", "decode"), "cloud_failed")
            if decision.rests:
                raise rests_error(f"{decision.rests}; {attempt.failure}")
            failed, why = attempt, f"{attempt.failure}: answered on the device; {why}"
        if unseen:
            query = replace(query, embeddings=await self._encode(observation, decision, turn))
        local = draft if draft is not None else await self._local(query, decision, turn, on_token)
        if failed is not None:  # what a failed attempt has cost is part of this answer
            local = replace(local, bytes_up=failed.bytes_up, bytes_down=failed.bytes_down, cost_usd=failed.billed_usd)
        return finished(decision, Route.LOCAL, local, why, turn, None)

    async def _encode(self, observation: Observation, decision: Decision, turn: TurnClock) -> tuple[Embeddings, ...]:
        dropped = {plan.modality for plan in decision.plans if plan.action is Action.DROP}
        local, made = self._parts.local, list[Embeddings]()
        if observation.frames and Modality.IMAGE not in dropped:
            frame = observation.frames[observation.key_frame]
            made += await turn.within(local.encode(frame), "encoding the picture")
        if observation.audio is not None and Modality.AUDIO in local.encodable and Modality.AUDIO not in dropped:
            made.append(await turn.within(local.encode_sound(observation.audio), "encoding the sound"))
        if not made and (observation.frames or observation.audio is not None):
            words = "only sound" if observation.audio is not None else "nothing to look at"
            hint = "add --image, --video or --camera; `edge-agent features` shows what is in a sound"
            raise NoAnswerError(f"there is {words} and the model has no audio encoder", hint)
        turn.stages.mark("encode")
        return tuple(made)

    def _detail(self, observation: Observation, embeddings: tuple[Embeddings, ...]) -> Detail | None:
        seen = any(one.modality is Modality.IMAGE for one in embeddings)
        return self._parts.local.detail(observation.frames[observation.key_frame]) if seen else None

    async def _local(self, query: Query, decision: Decision, turn: TurnClock, on_token: OnToken | None) -> Generation:
        started_s = self._parts.clock.monotonic_s()
        pulling = self._pull(self._parts.local, Route.LOCAL, query, decision, turn, on_token)
        generation = await turn.within(pulling, "answering on the device")
        self._parts.monitors.local_answered((self._parts.clock.monotonic_s() - started_s) * 1000)
        return generation

    async def _cloud(
        self,
        query: Query,
        decision: Decision,
        state: SystemState,
        turn: TurnClock,
        drafted: bool,
        on_token: OnToken | None,
    ) -> Attempt:
        """Ask the cloud, within the purse and in time for the device to answer instead. Never raises."""
        cloud, purse = self._parts.cloud, self._parts.purse
        if cloud is None:
            return Attempt(None, "the cloud was not reached (none is configured)")
        reserve_ms = DRAFTED_RESERVE_MS
        if not drafted:
            reserve_ms = max(FALLBACK_RESERVE_MS, 2 * (state.local_latency_estimate_ms or 0.0))
        until_s = turn.deadline_s - reserve_ms / 1000 - CLOUD_MARGIN_S
        if until_s <= self._parts.clock.monotonic_s():
            return Attempt(
                None, f"the cloud was not reached (the deadline leaves no time for it: {reserve_ms:.0f} ms are kept)"
            )
        most_usd = min(state.max_cost_usd or 0.0, state.budget_left_usd or 0.0)
        try:
            reserving = asyncio.to_thread(purse.reserve, most_usd)
            reservation = await turn.within(reserving, "reserving money", reserve_ms)
        except NoAnswerError:  # what it may have set aside stays spent
            return Attempt(None, "the cloud was not asked (the purse did not answer in time)")
        if reservation is None:
            return Attempt(None, "the cloud was not asked (today's budget is spent)")
        expected_usd = min(most_usd, state.cloud_cost_estimate_usd)
        attempt = Attempt(None, "", billed_usd=expected_usd)  # stands if it is cancelled: then no bill comes back
        timed = replace(query, deadline_s=until_s, max_cost_usd=most_usd)
        try:
            attempt = await self._ask_cloud(cloud, timed, decision, turn, reserve_ms, on_token)
            if attempt.maybe_billed:  # no bill came back: what is expected of one answer is taken for spent
                attempt = replace(attempt, billed_usd=expected_usd)
        finally:
            settling = asyncio.ensure_future(asyncio.to_thread(purse.settle, reservation, attempt.billed_usd))
            left_s = until_s - self._parts.clock.monotonic_s()
            await asyncio.wait({settling}, timeout=max(SETTLE_S, left_s))  # it goes on where the disk is slower
            turn.stages.mark("decode" if attempt.generation is not None else "first_token")
        return attempt

    async def _ask_cloud(
        self,
        cloud: Engine,
        query: Query,
        decision: Decision,
        turn: TurnClock,
        reserve_ms: float,
        on_token: OnToken | None,
    ) -> Attempt:
        monitors, clock = self._parts.monitors, self._parts.clock
        started_s = clock.monotonic_s()
        try:
            pulling = self._pull(cloud, Route.CLOUD, query, decision, turn, on_token)
            generation = await turn.within(pulling, "waiting for the cloud", reserve_ms)
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
            return Attempt(None, f"the cloud was not reached ({error.message})", maybe_billed=True)
        monitors.cloud_answered(generation, (clock.monotonic_s() - started_s) * 1000)
        return Attempt(generation, "", billed_usd=generation.cost_usd)

    async def _pull(
        self, engine: Engine, route: Route, query: Query, decision: Decision, turn: TurnClock, on_token: OnToken | None
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

    async def _record(
        self,
        observation: Observation,
        features: ModalityFeatures,
        state: SystemState,
        decision: Decision,
        outcome: Outcome | None,
        error: str | None,
        turn: TurnClock,
    ) -> None:
        """One line in the decision log; waited for no longer than the question has."""
        now_s = self._parts.clock.wall_s()
        make = partial(decision_record, now_s, observation, features, state, decision, outcome, error)
        await self._recorder.record(make, turn.record_s())


def check_question(question: str) -> None:
    """Refuse an empty or an overlong question, and one that is no text. Raises UsageError."""
    if any(0xD800 <= ord(character) <= 0xDFFF for character in question[:MAX_QUESTION_CHARS]):
        raise UsageError("the question is not valid UTF-8", "check the encoding of your terminal or file")
    if not question.strip():
        raise UsageError("the question is empty", 'type it in quotes, e.g. "what is on the table?"')
    if len(question) > MAX_QUESTION_CHARS:
        raise UsageError(f"the question has {len(question)} characters", f"at most {MAX_QUESTION_CHARS} are read")
