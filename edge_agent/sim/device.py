"""A simulated agent: one device that answers as edge_agent.agent does, with the real policy inside its guards.

What the agent measures of link, load and its own speed, the simulated one measures too, by the same averages, and the
policy is told nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from edge_agent.monitors.link import Average, Link
from edge_agent.policy.base import OffloadPolicy
from edge_agent.sim.events import Events, Process, Reply, resume
from edge_agent.sim.kept import Kept, answer_ms
from edge_agent.sim.nodes import Board, CloudNode
from edge_agent.sim.scenario import Scenario
from edge_agent.sim.traces import Trace
from edge_agent.sim.truth import truth
from edge_agent.sim.world import Asked, Question, Questions
from edge_agent.turn import CLOUD_MARGIN_MS, decision_record, judge, margin_s, reserve_ms
from edge_agent.types import Decision, Generation, Modality, Observation, Outcome, Route, SystemState, Turn
from edge_agent.uplink import HANDLING_MS

DAY_S = 86_400.0
ENCODABLE = (Modality.IMAGE,)
Journal = Callable[[dict[str, Any]], None]
Step = Generator[float | Reply, Any, Any]


@dataclass(slots=True)
class Answered:
    """What became of one question. `latency_ms` from its arrival; `device_ms` and `cloud_ms` of work, on the machine of
    the table; an unanswered question is wrong, and was waited for until the deadline.
    `photo`: of the table.
    """

    photo: int
    right: bool
    answered: bool
    latency_ms: float
    in_cloud: bool = False
    bytes_up: int = 0
    cost_usd: float = 0.0
    device_ms: float = 0.0
    cloud_ms: float = 0.0


class Device:
    """One device of a scenario. `policy` is the guarded one; `truth` is told the truth first, if it is an oracle."""

    def __init__(
        self,
        scenario: Scenario,
        questions: Questions,
        trace: Trace,
        cloud: CloudNode,
        events: Events,
        policy: OffloadPolicy,
        truth: Any = None,
        journal: Journal | None = None,
        name: str = "",
    ) -> None:
        self._scenario, self._questions, self._trace = scenario, questions, trace
        self._cloud, self._events, self._policy = cloud, events, policy
        self._truth, self._journal, self._name = truth, journal, name
        self.board = Board(scenario.device)
        self._link = Link(events)
        self._kept = Kept()
        self._local_ms = Average()
        self._views = questions.cloud_node.views
        self._uplink_free_s = 0.0
        self._waiting: deque[Asked] = deque()
        self._busy = 0
        self._spent_usd: dict[int, float] = {}
        self._history: tuple[Turn, ...] = ()
        self.answered: list[Answered] = []

    def arrive(self, asked: Asked) -> None:
        """A question comes: it is begun, waits, or is refused."""
        if self._busy < self._scenario.device.at_once:
            self._begin(asked)
        elif len(self._waiting) < self._scenario.device.queue:
            self._waiting.append(asked)
        else:
            self.answered.append(self._lost(asked))

    def _begin(self, asked: Asked) -> None:
        self._busy += 1
        resume(self._events, self._process(asked))

    def _process(self, asked: Asked) -> Process:
        while True:
            if self.board.alive(self._events.now_s):
                yield from self._turn(asked)
            else:
                self.answered.append(self._lost(asked))
            if not self._waiting:
                break
            asked = self._waiting.popleft()
        self._busy -= 1

    def _turn(self, asked: Asked) -> Step:
        """One question, from features to answer: see Agent.ask."""
        started_s = self._events.now_s
        question = self._questions[asked.row]
        state = self._state(started_s, asked.private)
        if self._truth is not None:
            self._tell(question)
        decision = self._policy.decide(question.features, state, self._history)
        books = Answered(question.photo, False, True, 0.0)
        beyond_ms = self._questions.edge_node.beyond_ms(self._kept.encoded == question.photo)
        yield self._work(books, self._kept.encode_ms(question) + beyond_ms)
        draft: Generation | None = None
        end: Generation | None = None
        in_cloud = False
        if decision.route is Route.CASCADE:
            draft = yield from self._local(question, books)
            if judge(draft, decision)[0]:
                end = draft
        if end is None and decision.route is not Route.LOCAL:
            end = yield from self._away(question, books, state, started_s, decision, draft is not None)
            in_cloud = end is not None
        if end is None:
            end = draft if draft is not None else (yield from self._local(question, books))
        took_ms = 1000.0 * (self._events.now_s - started_s)
        if took_ms > self._scenario.limits.deadline_ms:
            self.answered.append(self._lost(asked, books))
            self._record(asked, question, state, decision, None)
            return
        there = question.overview if _overview(decision) else question.cloud
        books.right = there.right if in_cloud else question.edge.right
        books.in_cloud = in_cloud
        books.latency_ms = 1000.0 * (self._events.now_s - asked.at_s)
        self.answered.append(books)
        outcome = _outcome(decision, books, end, draft if in_cloud else None, draft or end, took_ms)
        self._policy.observe(outcome)
        self._record(asked, question, state, decision, outcome)
        self._remember(question, end)

    def _local(self, question: Question, books: Answered) -> Step:
        started_s = self._events.now_s
        yield self._work(books, self._kept.answer_ms(question, self._questions.edge_node))
        self._local_ms.add(1000.0 * (self._events.now_s - started_s))
        return question.edge.end

    def _away(
        self,
        question: Question,
        books: Answered,
        state: SystemState,
        started_s: float,
        decision: Decision,
        drafted: bool,
    ) -> Step:
        """The cloud's answer, or None where it failed: see edge_agent.attempts."""
        limits, price = self._scenario.limits, self._scenario.cloud.usd_per_question
        kept_ms = reserve_ms(drafted, state.local_latency_estimate_ms) + CLOUD_MARGIN_MS
        until_s = started_s + 0.001 * (limits.deadline_ms - kept_ms) - margin_s(limits.deadline_ms)
        now_s = self._events.now_s
        if until_s <= now_s or self._left_usd(now_s) <= 0.0 or price > min(limits.max_cost_usd, self._left_usd(now_s)):
            return None
        asked_s, overview = now_s, _overview(decision)
        there = question.overview if overview else question.cloud
        node = self._questions.overview_node if overview else self._questions.cloud_node
        holds = question.photo, overview
        again = self._kept.sent == holds
        sending_ms, receiving_ms = self._questions.beyond_ms(node, again)
        yield self._work(books, self._kept.sending_ms(question, overview) + sending_ms)
        size = self._kept.bytes_up(question, overview) + node.overhead_bytes_up
        arrives_s, sent_ms = self._send(books, size, until_s)
        yield arrives_s
        reply = Reply(self._events)
        service_ms = answer_ms(there, node, again) + receiving_ms
        done = False
        if sent_ms is not None and self._cloud.ask(service_ms, reply):
            self._kept.sent = holds
            self._events.at(until_s, lambda: reply.give(False))
            done = yield reply
        if done:
            back_s = self._trace.up_again_s(self._events.now_s) + 0.0005 * self._trace.at(self._events.now_s)[1]
            done = back_s < until_s
            yield min(back_s, until_s)
        if sent_ms is not None:  # an answer that came too late was computed, and is taken for billed
            books.cloud_ms += service_ms
            self._pay(books, price)
        if not done:
            self._link.failed()
            return None
        rtt_ms = self._trace.at(asked_s)[1]
        uploaded_ms = (sent_ms or 0.0) + rtt_ms + HANDLING_MS  # as the agent sees it
        self._link.answered(1000.0 * (self._events.now_s - asked_s), books.bytes_up, uploaded_ms, rtt_ms)
        return there.end

    def _send(self, books: Answered, size: int, until_s: float) -> tuple[float, float | None]:
        """(when the last byte is there or was given up, milliseconds that it took or None)."""
        now_s = self._events.now_s
        begins_s = max(now_s, self._uplink_free_s)
        up_s = self._trace.up_again_s(begins_s)
        if up_s > begins_s:
            patience_s = begins_s + 0.001 * self._scenario.cloud.connect_timeout_ms
            if up_s > min(patience_s, until_s):
                return min(patience_s, until_s), None
        sent_s = self._trace.sent_by(max(begins_s, up_s), size)
        there_s = sent_s + 0.0005 * self._trace.at(up_s)[1]
        self._uplink_free_s = min(sent_s, until_s)
        self.board.send(self._uplink_free_s - begins_s)
        books.bytes_up += size
        return (there_s, 1000.0 * (sent_s - begins_s)) if there_s < until_s else (until_s, None)

    def _work(self, books: Answered, ms: float) -> float:
        books.device_ms += ms
        return self.board.compute(self._events.now_s, ms)

    def _state(self, now_s: float, private: bool) -> SystemState:
        limits, link = self._scenario.limits, self._link
        return SystemState(
            cloud_configured=True,
            cloud_reachable=link.reachable,
            uplink_mbps=link.uplink_mbps,
            rtt_ms=link.rtt_ms,
            edge_load=self.board.load(now_s),
            temperature_celsius=self.board.celsius if self._scenario.device.celsius_per_w else None,
            private=private,
            encodable=ENCODABLE,
            upload_views=self._views,
            embedding_bytes_estimate=self._questions.view_bytes,
            deadline_ms=limits.deadline_ms,
            max_cost_usd=limits.max_cost_usd,
            budget_left_usd=self._left_usd(now_s),
            cloud_cost_estimate_usd=self._scenario.cloud.usd_per_question,
            cloud_latency_estimate_ms=link.latency_ms,
            local_latency_estimate_ms=self._local_ms.value,
        )

    def _tell(self, question: Question) -> None:
        """The truth, to an oracle."""
        slow = self._scenario.device.slowdown * self.board.hot_factor
        self._truth.tell(*truth(self._scenario, self._questions, question, slow, self._trace.at(self._events.now_s)))

    def _left_usd(self, now_s: float) -> float:
        return self._scenario.limits.budget_usd_per_day - self._spent_usd.get(int(now_s // DAY_S), 0.0)

    def _pay(self, books: Answered, usd: float) -> None:
        day = int(self._events.now_s // DAY_S)
        self._spent_usd[day] = self._spent_usd.get(day, 0.0) + usd
        books.cost_usd += usd

    def _lost(self, asked: Asked, books: Answered | None = None) -> Answered:
        books = books or Answered(self._questions[asked.row].photo, False, False, 0.0)
        books.right, books.answered, books.latency_ms = False, False, self._scenario.limits.deadline_ms
        return books

    def _remember(self, question: Question, end: Generation) -> None:
        """A conversation ends after `turns` questions."""
        past = (*self._history, Turn(question.features.question, end.text))
        self._history = () if len(past) >= self._scenario.arrivals.turns else past

    def _record(
        self, asked: Asked, question: Question, state: SystemState, decision: Decision, outcome: Outcome | None
    ) -> None:
        if self._journal is None:
            return
        features = question.features
        observation = Observation(features.question, history=self._history, private=asked.private, source=self._name)
        error = None if outcome else "the deadline passed"
        self._journal(decision_record(self._events.now_s, observation, features, state, decision, outcome, error))


def _overview(decision: Decision) -> bool:
    """Whether the picture goes up as its overview alone."""
    return any(plan.overview for plan in decision.plans)


def _outcome(
    decision: Decision, books: Answered, end: Generation, draft: Generation | None, here: Generation, took_ms: float
) -> Outcome:
    """`draft`: what was sent up; `here`: the device's own answer, if it made one."""
    return Outcome(
        decision=decision,
        route=Route.CLOUD if books.in_cloud else Route.LOCAL,
        latency_ms=took_ms,
        bytes_up=books.bytes_up,
        cost_usd=books.cost_usd,
        confidence=end.confidence,
        draft_text=None if draft is None else draft.text,
        draft_entropy=None if draft is None else draft.max_entropy,
        draft_accepted=None if draft is None else draft.text == end.text,
        expected_gain=here.expected_gain,
    )
