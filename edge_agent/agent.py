"""The pipeline of one question: features, decision, embeddings, engines, answer. No policy and no I/O of its own."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

from edge_agent.attempts import ask_cloud, pull
from edge_agent.engines.base import PLAIN, Detail, Manner, Query
from edge_agent.errors import EdgeAgentError, NoAnswerError, UsageError
from edge_agent.hedging import Hedge
from edge_agent.overdue import Overdue
from edge_agent.parts import Limits, OnProvisional, OnToken, Parts, Telling, Veil, question_state
from edge_agent.policy import AWAY, held_back
from edge_agent.recording import Recorder
from edge_agent.turn import TurnClock, decision_record, finished, instead_of, judge, picture_alone, rests_error
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
CLOSE_S = 2.0  # for what was left behind at its deadline
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
        on_provisional: OnProvisional | None = None,
    ) -> Answer:
        """Answer within the limits, in the `manner` asked for; `route` LOCAL or CLOUD wins over the policy.

        `on_token` gets what the answer is made of, `on_provisional` the words of a draft that the cloud is asked to
        check: they may turn out to be another's, and are shown as provisional or not at all.

        Raises NoAnswerError if no engine could, ModelError if the device's model is damaged. A cloud that fails never
        raises: the device answers instead and the reason says so.
        """
        check_question(observation.question)
        turn = TurnClock(self._parts.clock, limits.deadline_ms)
        asking = self._ask(observation, limits, Telling(on_token, on_provisional), manner, route, turn)
        try:
            return await self._overdue.by(asking, limits.deadline_ms / 1000, lambda: turn.doing)
        except EdgeAgentError as error:
            error.cloud_away = turn.cloud_away
            raise

    async def _ask(
        self,
        observation: Observation,
        limits: Limits,
        telling: Telling,
        manner: Manner,
        route: Route | None,
        turn: TurnClock,
    ) -> Answer:
        if self._parts.veil is not None:
            veiling = asyncio.to_thread(self._parts.veil, observation)
            observation = await turn.within(veiling, "blurring faces")
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
            answer, outcome = await self._answer(observation, decision, state, turn, telling, manner)
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

    @property
    def veil(self) -> Veil | None:
        """What every question's pictures go through first."""
        return self._parts.veil

    async def close(self) -> None:
        """Close both engines and the purse, once what was left behind and the decision log's last lines are through."""
        await self._overdue.settled(CLOSE_S)
        await self._recorder.close()
        await self._parts.local.close()
        if self._parts.cloud is not None:
            await self._parts.cloud.close()
        self._parts.purse.close()

    async def _answer(
        self,
        observation: Observation,
        decision: Decision,
        state: SystemState,
        turn: TurnClock,
        telling: Telling,
        manner: Manner,
    ) -> tuple[Answer, Outcome]:
        if decision.rests and decision.route is Route.LOCAL:
            raise rests_error(decision.rests)
        unseen = (
            self._parts.cloud is not None and self._parts.cloud.sends_pictures and picture_alone(observation, decision)
        )
        embeddings = () if unseen else await self._encode(observation, decision, turn)
        query = self._query(observation, embeddings, state, turn, manner)
        if decision.route is Route.LOCAL:
            local = await self._local(query, decision, turn, telling.token)
            return finished(decision, Route.LOCAL, local, decision.reason, turn, None)
        draft, judged = None, ""
        if decision.route is Route.CASCADE:
            draft = await self._local(query, decision, turn, None)
            stands, judged = judge(draft, decision)
            if stands:
                why = f"{decision.reason}; {judged}: it stands"
                return finished(decision, Route.LOCAL, draft, why, turn, None)
            turn.stages.rename(("first_token", "decode"), "draft")
            query = replace(query, draft=draft.token_ids)
            if telling.provisional is not None and self._parts.cloud is not None:
                telling.provisional(draft.text)
            judged = f"; {judged}: the cloud answers"
        hedge = self._hedge(query, decision) if draft is None and not unseen else None
        try:
            attempt = await ask_cloud(
                self._parts, query, decision, state, turn, draft is not None, telling.token, hedge
            )
            if attempt.generation is not None:
                hedged = None if hedge is None else await hedge.cloud_won()
                why = decision.reason + judged
                return finished(decision, Route.CLOUD, attempt.generation, why, turn, draft, hedged)
            turn.stages.rename(("first_token", "decode"), "hedged" if attempt.overtaken else "cloud_failed")
            if decision.rests:
                raise rests_error(f"{decision.rests}; {attempt.failure}")
            if unseen:
                query = replace(query, embeddings=await self._encode(observation, decision, turn))
            local = draft or await self._instead(query, decision, turn, telling.token, hedge)
            hedged = None if hedge is None else hedge.device_won(attempt.bytes_up, attempt.billed_usd)
            return instead_of(attempt, local, decision, turn, hedged)
        finally:
            if hedge is not None:
                await hedge.close()

    def _query(
        self,
        observation: Observation,
        embeddings: tuple[Embeddings, ...],
        state: SystemState,
        turn: TurnClock,
        manner: Manner,
    ) -> Query:
        return Query(
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

    def _hedge(self, query: Query, decision: Decision) -> Hedge | None:
        """The device's answer beside the cloud's, where that was asked for and the device may answer at all."""
        budget = self._parts.hedging
        if budget is None or self._parts.cloud is None or decision.rests:
            return None
        return Hedge(budget, self._parts.local.generate(query, decision), self._parts.clock)

    async def _instead(
        self, query: Query, decision: Decision, turn: TurnClock, on_token: OnToken | None, hedge: Hedge | None
    ) -> Generation:
        """The device's answer in the place of a cloud's: what it has begun beside that, or else from the start."""
        beside = None if hedge is None else await turn.within(hedge.answer(), "answering on the device")
        if beside is None:
            return await self._local(query, decision, turn, on_token)
        turn.stages.mark("decode")
        if on_token is not None:
            for token in beside.tokens:
                on_token(Route.LOCAL, token)
        return beside.generation

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
        pulling = pull(self._parts.local, Route.LOCAL, query, decision, turn, on_token)
        generation = await turn.within(pulling, "answering on the device")
        self._parts.monitors.local_answered((self._parts.clock.monotonic_s() - started_s) * 1000)
        return generation

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
