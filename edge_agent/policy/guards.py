"""The hard limits around any policy: private, offline, money, deadline, heat, memory. They always win, and say so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from edge_agent.policy.base import OffloadPolicy, upload_bytes
from edge_agent.types import (
    Action,
    Decision,
    ModalityFeatures,
    ModalityPlan,
    Outcome,
    Route,
    SystemState,
    Turn,
)

_LOCAL = Route.LOCAL
AWAY = "offline: the cloud was not reached a moment ago"


def private_guard(state: SystemState) -> str | None:
    """Nothing labelled private leaves the device."""
    return "private: nothing of this question may leave the device" if state.private else None


def offline_guard(state: SystemState) -> str | None:
    """Without a cloud, or with one that is known not to answer, there is nowhere to go."""
    if not state.cloud_configured:
        return "offline: no cloud is configured"
    return AWAY if state.cloud_reachable is False else None


def money_guard(state: SystemState) -> str | None:
    """The expected price must fit the question's limit and what is left of the day."""
    price = state.cloud_cost_estimate_usd
    if state.max_cost_usd is not None and price > state.max_cost_usd:
        return f"money: a cloud answer costs about {price:.6f} USD, the question may cost {state.max_cost_usd:.6f}"
    if state.budget_left_usd is not None and price > state.budget_left_usd:
        return f"money: a cloud answer costs about {price:.6f} USD, {state.budget_left_usd:.6f} are left today"
    return None


def deadline_guard(state: SystemState) -> str | None:
    """A cloud answer that is expected after the deadline is not asked for."""
    if state.deadline_ms is None or state.cloud_latency_estimate_ms is None:
        return None
    if state.cloud_latency_estimate_ms <= state.deadline_ms:
        return None
    return f"deadline: the cloud takes about {state.cloud_latency_estimate_ms:.0f} ms, {state.deadline_ms:.0f} are left"


def heat_guard(state: SystemState) -> str | None:
    """On a board that is too hot the device's decoder does not run."""
    limit, now = state.max_celsius, state.temperature_celsius
    if limit is None or now is None or now < limit:
        return None
    return f"heat: the board is at {now:.0f} degrees, the limit is {limit:.0f}"


def memory_guard(state: SystemState) -> str | None:
    """Nor where it might take the last of the memory."""
    limit, left = state.min_memory_mb, state.memory_available_mb
    if limit is None or left is None or left >= limit:
        return None
    return f"memory: {left:.0f} MB are left, {limit:.0f} are kept free"


GUARDS: tuple[Callable[[SystemState], str | None], ...] = (private_guard, offline_guard, money_guard, deadline_guard)


RESTING: tuple[Callable[[SystemState], str | None], ...] = (heat_guard, memory_guard)


class GuardedPolicy:
    """Any policy, held within the limits. Whatever the inner policy says, a breached limit of GUARDS means: nothing
    leaves the device; one of RESTING: the device's decoder does not run, so the cloud answers (but for the policy
    `local`, whose questions never leave). Where both are breached, the decision is LOCAL and `rests`: nobody answers.
    """

    def __init__(self, inner: OffloadPolicy) -> None:
        self._inner = inner
        self.name = inner.name

    def decide(self, features: ModalityFeatures, state: SystemState, history: Sequence[Turn]) -> Decision:
        decision = self._inner.decide(features, state, history)
        resting = () if state.max_celsius is None and state.min_memory_mb is None else _breached(state, RESTING)
        if resting:
            return _rested(decision, resting, state)
        if not _leaves_device(decision):
            return decision
        breached = _breached(state, GUARDS)
        return held_back(decision, breached, state) if breached else decision

    def observe(self, outcome: Outcome) -> None:
        self._inner.observe(outcome)


def held_back(decision: Decision, breached: tuple[str, ...], state: SystemState) -> Decision:
    """The decision as it is within the limits that `breached` (at least one) names: everything stays on the device."""
    if not _leaves_device(decision):
        return decision
    return replace(
        decision,
        route=Route.LOCAL,
        plans=tuple(_stay(plan) for plan in decision.plans),
        accept_entropy=None,
        min_gain=None,
        guards=breached,
        reason=f"{breached[0]}; without this limit: {decision.reason}",
        predicted_bytes=0,
        predicted_cost_usd=0.0,
        predicted_latency_ms=state.local_latency_estimate_ms,
    )


def _rested(decision: Decision, resting: tuple[str, ...], state: SystemState) -> Decision:
    """The decision as it is where the device's decoder may not run, for the reasons in `resting` (at least one)."""
    words = f"{resting[0]}; without this limit: {decision.reason}"
    held = _breached(state, GUARDS)
    if decision.policy == _LOCAL.value or held:
        stays = held_back(decision, held, state) if held else decision
        return replace(stays, guards=(*resting, *held), reason=words, rests=resting[0])
    plans = tuple(_go(plan) for plan in decision.plans)
    return replace(
        decision,
        route=Route.CLOUD,
        plans=plans,
        accept_entropy=None,
        min_gain=None,
        guards=resting,
        reason=words,
        rests=resting[0],
        predicted_bytes=upload_bytes(plans, state),
        predicted_cost_usd=state.cloud_cost_estimate_usd,
        predicted_latency_ms=state.cloud_latency_estimate_ms,
    )


def _breached(state: SystemState, guards: tuple[Callable[[SystemState], str | None], ...]) -> tuple[str, ...]:
    """What each breached guard says; almost always nothing."""
    breached: tuple[str, ...] = ()
    for guard in guards:
        words = guard(state)
        if words is not None:
            breached += (words,)
    return breached


def _leaves_device(decision: Decision) -> bool:
    return decision.route is not _LOCAL or any(p.action is Action.UPLOAD for p in decision.plans)


def _stay(plan: ModalityPlan) -> ModalityPlan:
    return (
        replace(plan, action=Action.KEEP, codec=None, reason="kept by a guard")
        if plan.action is Action.UPLOAD
        else plan
    )


def _go(plan: ModalityPlan) -> ModalityPlan:
    return replace(plan, action=Action.UPLOAD, reason="sent by a guard") if plan.action is Action.KEEP else plan
