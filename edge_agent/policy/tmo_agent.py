"""TMO in the running agent: location and modality subset for each turn of a conversation, within its two budgets.

The setting of arXiv 2502.11007 on this agent's own questions. The model of the world is measured, not assumed: how
often each location answers each kind of question rightly (`tmo_responses`), what a turn takes now (the monitors), and
how conversations go on. On it the constrained problem is solved exactly, at each turn, in some tens of microseconds;
so it holds for any budget and any link. This is **our construction**:

    Q(a)    = R(task, a) - 0.1 (L_a / (B_L / 5) + U_a / (B_U / 5)) + V(what a leaves of both budgets)
    R       = share of right answers of the location for this kind of question, for the cloud times the share of what
              the question asks for (beta of msao.relevance) that goes up
    V       = goes_on * E over the next kind of question of max over allowed a of Q, to the fifth turn
    allowed = with what is left after a, some way of holding all remaining turns stays within both budgets

R starts from the measured table; each answer's calibrated confidence, which is a probability of being right, then
moves it. In a conversation of more than five turns the budgets hold for any five in a row.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from edge_agent.config import PolicySettings
from edge_agent.policy.base import upload_bytes
from edge_agent.policy.conversation import SPAN
from edge_agent.policy.msao import relevance
from edge_agent.policy.tmo_plan import Choice, Rest
from edge_agent.policy.tmo_responses import TASKS, Responses, task_of
from edge_agent.types import (
    Action,
    Decision,
    Modality,
    ModalityFeatures,
    ModalityPlan,
    Outcome,
    Route,
    SystemState,
    Turn,
)

UNMEASURED_LOCAL_MS = 300.0
UNMEASURED_CLOUD_MS = 1000.0
SHRINK = 20.0  # answers that a kind of question needs to count as much as all kinds together
MEMORY = 500.0  # answers of one kind and location; older ones fade
NEVER_ASKED = 0.5
STATE_VERSION = 1
MOST_ASKED = 1e9
EVEN_SHARE = 0.1  # what a fifth of a budget counts against the share of right answers


class TmoPolicy:
    """Takes the choice of the largest Q. Its state: counts of right answers, and the last turns' real expense."""

    name = "tmo"

    def __init__(self, settings: PolicySettings, responses: Responses, codec: str = "int8-zstd") -> None:
        self._budget_s = settings.conversation_s
        self._budget_usd = settings.conversation_usd
        self._codec = codec
        self._right = [list(row) for row in responses.right]
        self._asked = [list(row) for row in responses.asked]
        self._overall = [self._share_of_all(location) for location in (0, 1)]
        self._goes_on = responses.goes_on
        self._task_shares = _long_run(responses.next_task)
        self._spent: deque[tuple[float, float]] = deque(maxlen=SPAN - 1)
        self._task = 0
        self._measured_with = responses.measured_with

    def decide(self, features: ModalityFeatures, state: SystemState, history: Sequence[Turn]) -> Decision:
        self._task = task_of(features.question)
        turn = min(len(history), SPAN - 1)
        left_s, left_usd = self.left(turn)
        choices = self._choices(features, state)
        values = self._values(choices, turn, left_s, left_usd)
        best = max(values, key=lambda c: values[c]) if values else choices[0]
        others = ", ".join(
            f"{c.words} {values[c]:.3f}" if c in values else f"{c.words} breaks a budget" for c in choices
        )
        left = f"{left_s:.1f} s and {left_usd:.4f} USD left"
        reason = f"{TASKS[self._task]}, turn {turn + 1}, {left}: {best.words} ({others})"
        return self._decision(best, features, state, reason)

    def observe(self, outcome: Outcome) -> None:
        """Book what the turn really took, and move the share of right answers by the answer's confidence."""
        self._spent.append((outcome.latency_ms / 1000.0, outcome.cost_usd))
        if outcome.decision.policy != self.name or outcome.error is not None:
            return
        at = 1 if outcome.route is Route.CLOUD else 0
        right, asked = self._right[self._task], self._asked[self._task]
        fade = min(1.0, MEMORY / (asked[at] + 1.0))
        right[at] = fade * (right[at] + min(1.0, max(0.0, outcome.confidence)))
        asked[at] = fade * (asked[at] + 1.0)
        self._overall[at] = self._share_of_all(at)

    def state(self) -> dict[str, Any]:
        """What outcomes taught about both locations; what a conversation has spent ends with the run."""
        counts = {"right": [list(row) for row in self._right], "asked": [list(row) for row in self._asked]}
        return {"version": STATE_VERSION, "measured_with": self._measured_with, "tasks": list(TASKS), **counts}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up an earlier `state`. Raises ValueError where it does not fit."""
        if state.get("version") != STATE_VERSION or state.get("tasks") != list(TASKS):
            raise ValueError("it is of another version, or of other kinds of question")
        if state.get("measured_with") != self._measured_with:
            raise ValueError("it was learned on top of another table")
        right, asked = _counts(state.get("right")), _counts(state.get("asked"))
        if any(r > n + 1e-6 for rows in zip(right, asked, strict=True) for r, n in zip(*rows, strict=True)):
            raise ValueError("more was right than was asked")
        self._right, self._asked = right, asked
        self._overall = [self._share_of_all(location) for location in (0, 1)]

    def left(self, turn: int) -> tuple[float, float]:
        """Seconds and USD that the conversation's earlier turns have left."""
        earlier = list(self._spent)[len(self._spent) - min(turn, len(self._spent)) :]
        return self._budget_s - sum(s for s, _ in earlier), self._budget_usd - sum(usd for _, usd in earlier)

    def response(self, task: int, location: int) -> float:
        """Expected share of right answers, 0..1: of the kind, drawn towards that of all kinds where few were seen."""
        drawn = SHRINK * self._overall[location]
        return (self._right[task][location] + drawn) / (self._asked[task][location] + SHRINK)

    def _share_of_all(self, location: int) -> float:
        asked = sum(row[location] for row in self._asked)
        return sum(row[location] for row in self._right) / asked if asked else NEVER_ASKED

    def expense(self, latency_s: float, cost_usd: float) -> float:
        """What a turn takes, in parts of an even share of each budget, a whole one counting 10 points of accuracy."""
        slow = latency_s * SPAN / self._budget_s
        dear = cost_usd * SPAN / self._budget_usd if self._budget_usd > 0 else 0.0
        return EVEN_SHARE * (slow + dear)

    def _values(self, choices: Sequence[Choice], turn: int, left_s: float, left_usd: float) -> dict[Choice, float]:
        """Q of each choice that keeps both budgets."""
        local, cloud = choices[0], choices[min(1, len(choices) - 1)]
        lost = [self.expense(c.latency_s, c.cost_usd) for c in (local, cloud)]
        rewards = [
            (share, self.response(task, 0) - lost[0], self.response(task, 1) - lost[1])
            for task, share in enumerate(self._task_shares)
        ]
        rest = Rest(local, cloud, rewards, self._goes_on)
        values = {}
        for choice in choices:
            after_s, after_usd = left_s - choice.latency_s, left_usd - choice.cost_usd
            if rest.fits(SPAN - 1 - turn, after_s, after_usd):
                gain = choice.response - self.expense(choice.latency_s, choice.cost_usd)
                values[choice] = gain + rest.value(turn + 1, after_s, after_usd)
        return values

    def _choices(self, features: ModalityFeatures, state: SystemState) -> list[Choice]:
        """The device first, then the cloud with each subset of what is at hand and can be encoded."""
        local_ms = state.local_latency_estimate_ms
        local_s = (UNMEASURED_LOCAL_MS if local_ms is None else local_ms) / 1000.0
        choices = [Choice((), local_s, 0.0, self.response(self._task, 0))]
        weights = {m: w for m, w in relevance(features).items() if m in state.encodable}
        asked_for = sum(weights.values())
        cloud = self.response(self._task, 1)
        for count in range(len(weights), 0, -1):
            for sent in combinations(weights, count):
                share = sum(weights[m] for m in sent) / asked_for
                seconds = self._cloud_s(sent, tuple(weights), features, state)
                choices.append(Choice(sent, seconds, state.cloud_cost_estimate_usd, share * cloud))
        return choices

    def _cloud_s(
        self, sent: Sequence[Modality], whole: Sequence[Modality], features: ModalityFeatures, state: SystemState
    ) -> float:
        """Expected seconds of the cloud, less the upload of what stays here."""
        expected_ms = state.cloud_latency_estimate_ms
        expected_s = (UNMEASURED_CLOUD_MS if expected_ms is None else expected_ms) / 1000.0
        if not state.uplink_mbps or len(sent) == len(whole):
            return expected_s
        plans = [self._plan(m, m in sent, True, True) for m in whole]
        saved = upload_bytes([self._plan(m, True, True, True) for m in whole], state) or 0
        saved -= upload_bytes(plans, state) or 0
        return max(0.2 * expected_s, expected_s - saved * 8e-6 / state.uplink_mbps)

    def _decision(self, best: Choice, features: ModalityFeatures, state: SystemState, reason: str) -> Decision:
        up = bool(best.sent)
        plans = tuple(self._plan(m, m in best.sent, up, m in state.encodable) for m in relevance(features))
        return Decision(
            route=Route.CLOUD if up else Route.LOCAL,
            policy=self.name,
            reason=reason,
            plans=plans,
            predicted_quality=best.response,
            predicted_latency_ms=best.latency_s * 1000.0,
            predicted_bytes=upload_bytes(plans, state),
            predicted_cost_usd=best.cost_usd,
        )

    def _plan(self, modality: Modality, sent: bool, up: bool, encodable: bool) -> ModalityPlan:
        if not encodable:
            return ModalityPlan(modality, Action.DROP, reason="the model has no encoder for it")
        if sent:
            return ModalityPlan(modality, Action.UPLOAD, self._codec, reason="worth its upload for this question")
        why = "the question asks little of it" if up else "the device's model reads it"
        return ModalityPlan(modality, Action.KEEP, reason=why)


def _counts(raw: Any) -> list[list[float]]:
    """[task][device, cloud] counts of a saved state. Raises ValueError."""
    if not isinstance(raw, list) or len(raw) != len(TASKS):
        raise ValueError("it has not a row for each kind of question")
    for row in raw:
        if not isinstance(row, list) or len(row) != 2:
            raise ValueError("a row has not two counts")
        if any(isinstance(v, bool) or not isinstance(v, (int, float)) or not 0.0 <= v <= MOST_ASKED for v in row):
            raise ValueError("a count is no number from 0 on")
    return [[float(v) for v in row] for row in raw]


def _long_run(next_task: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """The shares of the kinds of question after many turns of the chain."""
    shares = [1.0 / len(next_task)] * len(next_task)
    for _ in range(64):
        step = [[share * part for part in row] for share, row in zip(shares, next_task, strict=True)]
        shares = [sum(column) for column in zip(*step, strict=True)]
    return tuple(shares)
