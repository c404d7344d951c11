"""The books of one question: its deadline, its stages, what becomes of its draft, its line in the decision log."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from edge_agent.clock import Clock, within
from edge_agent.errors import NoAnswerError
from edge_agent.types import (
    Action,
    Answer,
    Decision,
    Generation,
    Hedged,
    Modality,
    ModalityFeatures,
    Observation,
    Outcome,
    Route,
    SoundFeatures,
    SystemState,
)
from edge_agent.types.odds import weighed_gain

T = TypeVar("T")
MARGIN_S, MARGIN_SHARE = 0.05, 0.25  # of a deadline, the smaller: for telling that it has passed
FALLBACK_RESERVE_MS = 300.0  # kept of a deadline for answering locally; more once that has been seen to take longer
DRAFTED_RESERVE_MS = 20.0  # kept where the draft is the answer already
CLOUD_MARGIN_MS = 30.0  # the cloud engine gives up a little earlier than the pipeline, and says what it has cost
MAX_LOGGED_SOUND = 400  # STFT frames, four seconds at the usual hop
STAGES = ("features", "decide", "encode", "upload", "first_token", "decode")


def picture_alone(observation: Observation, decision: Decision) -> bool:
    """Whether the cloud is to answer, and nothing but the picture goes up: the device then has nothing to encode."""
    stays = any(one.modality is Modality.IMAGE and one.action is not Action.UPLOAD for one in decision.plans)
    return decision.route is Route.CLOUD and bool(observation.frames) and observation.audio is None and not stays


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of asking the cloud: a generation, or why there is none; and what it cost either way. `overtaken`: the
    device was first.
    """

    generation: Generation | None
    failure: str
    bytes_up: int = 0
    bytes_down: int = 0
    maybe_billed: bool = False
    overtaken: bool = False
    billed_usd: float = 0.0


class Stages:
    """Consecutive stages of one question: every moment belongs to exactly one, so they add up to the total."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_s = clock.monotonic_s()
        self._ms = dict.fromkeys(STAGES, 0.0)

    def mark(self, stage: str) -> None:
        """Give the time since the last mark to `stage`."""
        now_s = self._clock.monotonic_s()
        self._ms[stage] = self._ms.get(stage, 0.0) + (now_s - self._last_s) * 1000
        self._last_s = now_s

    def move(self, source: str, target: str, ms: float) -> None:
        """Give `ms` of `source` (at most all of it) to `target`."""
        part = min(max(0.0, ms), self._ms[source])
        self._ms[source] -= part
        self._ms[target] = self._ms.get(target, 0.0) + part

    def rename(self, sources: Sequence[str], target: str) -> None:
        """Give all of `sources` to `target`: what looked like an answer was not one."""
        for source in sources:
            self.move(source, target, self._ms[source])

    def timings_ms(self) -> dict[str, float]:
        """Milliseconds a stage to 3 places, and their sum as `total`."""
        rounded = {stage: round(ms, 3) for stage, ms in self._ms.items()}
        return {**rounded, "total": round(sum(rounded.values()), 3)}


def margin_s(deadline_ms: float) -> float:
    """What is kept of a question's own deadline for telling that it has passed."""
    return min(MARGIN_S, MARGIN_SHARE * deadline_ms / 1000)


def reserve_ms(drafted: bool, local_ms: float | None) -> float:
    """What is kept of a deadline while the cloud is asked: for the device to answer instead, which takes `local_ms` as
    far as that is known; `drafted`: it has an answer already.
    """
    return DRAFTED_RESERVE_MS if drafted else max(FALLBACK_RESERVE_MS, 2 * (local_ms or 0.0))


class TurnClock:
    """The deadline of one question on the agent's clock, and its stages. `cloud_away`: the cloud was not reached.

    `deadline_s` lies a little (MARGIN_S) before the question's own, so that what runs out of time is refused while
    the question still has the time to be told. `doing`: what is being waited for, or was last.
    """

    def __init__(self, clock: Clock, deadline_ms: float) -> None:
        self._clock = clock
        self._deadline_ms = deadline_ms
        self._margin_s = margin_s(deadline_ms)
        self.doing = "answering"
        self.deadline_s = clock.monotonic_s() + deadline_ms / 1000 - self._margin_s
        self.stages = Stages(clock)
        self.cloud_away = False

    def record_s(self) -> float:
        """How long the question may still wait for its line in the decision log, >= 0."""
        return max(0.0, self.deadline_s + self._margin_s / 2 - self._clock.monotonic_s())

    async def within(self, work: Coroutine[Any, Any, T], doing: str, reserve_ms: float = 0.0) -> T:
        """Await `work` until the deadline less `reserve_ms`. Raises NoAnswerError past it; the work is cancelled."""
        self.doing = doing
        left_s = self.deadline_s - reserve_ms / 1000 - self._clock.monotonic_s()
        limit = f"the deadline was {self._deadline_ms:g} ms; try a larger --deadline-ms"
        if left_s <= 0:
            work.close()
            raise NoAnswerError(f"no time is left for {doing}", limit)
        try:
            return await within(work, left_s)
        except asyncio.TimeoutError as error:
            raise NoAnswerError(f"the time ran out while {doing}", limit) from error


def finished(
    decision: Decision,
    route: Route,
    end: Generation,
    why: str,
    turn: TurnClock,
    draft: Generation | None,
    hedged: Hedged | None = None,
) -> tuple[Answer, Outcome]:
    """What `route` has answered, for who asked and for the policy; `draft` is what the device had said before."""
    timings = turn.stages.timings_ms()
    gain = end.expected_gain if draft is None else draft.expected_gain
    answer = Answer(
        text=end.text,
        route=route,
        reason=why,
        confidence=end.confidence,
        decision=decision,
        bytes_up=end.bytes_up,
        bytes_down=end.bytes_down,
        cost_usd=end.cost_usd,
        timings_ms=timings,
        expected_gain=gain,
        tokens=end.tokens,
        prompt_tokens=end.prompt_tokens,
        finish_reason=end.finish_reason,
        draft_tokens=end.draft_tokens,
        accepted_tokens=end.accepted_tokens,
        cloud_away=turn.cloud_away,
        hedged=hedged,
    )
    outcome = Outcome(
        decision=decision,
        route=route,
        latency_ms=timings["total"],
        bytes_up=answer.bytes_up,
        cost_usd=answer.cost_usd,
        confidence=end.confidence,
        draft_text=draft.text if draft is not None else None,
        draft_entropy=draft.max_entropy if draft is not None else None,
        draft_accepted=draft.text == end.text if draft is not None else None,
        expected_gain=gain,
    )
    return answer, outcome


def instead_of(
    attempt: Attempt, local: Generation, decision: Decision, turn: TurnClock, hedged: Hedged | None
) -> tuple[Answer, Outcome]:
    """What the device has answered after an `attempt` that gave no answer, which is paid for all the same. `hedged`: it
    had begun beside it.
    """
    local = replace(local, bytes_up=attempt.bytes_up, bytes_down=attempt.bytes_down, cost_usd=attempt.billed_usd)
    why = f"{attempt.failure}: answered on the device; {decision.reason}"
    return finished(decision, Route.LOCAL, local, why, turn, None, hedged)


def judge(draft: Generation, decision: Decision) -> tuple[bool, str]:
    """Whether a draft is the answer by the thresholds of a decision, see types.Decision; and by what, in words."""
    if decision.min_gain is not None and draft.expected_gain is not None:
        gain = draft.expected_gain
        if decision.weighs is not None:
            gain = weighed_gain(decision.weighs, draft.confidence, draft.max_entropy, gain)
        return gain < decision.min_gain, f"the cloud's expected gain is {gain:+.3f}"
    return (
        draft.max_entropy <= (decision.accept_entropy or 0.0),
        f"the draft's entropy is {draft.max_entropy:.3f}",
    )


def decision_record(
    wall_s: float,
    observation: Observation,
    features: ModalityFeatures,
    state: SystemState,
    decision: Decision,
    outcome: Outcome | None,
    error: str | None,
) -> dict[str, Any]:
    """One line of the decision log: enough to replay the decision. A private question's words are left out."""
    return {
        "time_s": wall_s,
        "source": observation.source,
        "question": None if observation.private else observation.question,
        "turn": len(observation.history) + 1,
        "features": _without_question(features),
        "state": state,
        "decision": decision,
        "outcome": _without_decision(outcome),
        "error": error,
    }


def _without_question(features: ModalityFeatures) -> dict[str, Any]:
    return {"image": features.image, "motion": features.motion, "sound": _bounded(features.sound)}


def _bounded(sound: SoundFeatures | None) -> SoundFeatures | dict[str, Any] | None:
    """The sound as it is, or its summary and means where it is so long that one line would fill the log."""
    if sound is None or len(sound.flux) <= MAX_LOGGED_SOUND:
        return sound
    arrays = ("flux", "spectral_entropy", "flatness", "energy", "zero_crossing_rate")
    means = {f"{name}_mean": float(getattr(sound, name).mean()) for name in arrays}
    shape = {"rate_hz": sound.rate_hz, "window": sound.window, "hop": sound.hop, "summary": sound.summary}
    return {"stft_frames": len(sound.flux), "flux_max": float(sound.flux.max()), **means, **shape}


def _without_decision(outcome: Outcome | None) -> dict[str, Any] | None:
    if outcome is None:
        return None
    return {
        "route": outcome.route,
        "latency_ms": outcome.latency_ms,
        "bytes_up": outcome.bytes_up,
        "cost_usd": outcome.cost_usd,
        "confidence": outcome.confidence,
        "draft_text": outcome.draft_text,
        "draft_entropy": outcome.draft_entropy,
        "draft_accepted": outcome.draft_accepted,
        "expected_gain": outcome.expected_gain,
    }


def rests_error(why: str) -> NoAnswerError:
    """Why nobody answers: the device may not, and the cloud may not or did not."""
    hint = "ask again later, or see limits.max_celsius and limits.min_memory_mb"
    return NoAnswerError(f"the device rests ({why})", hint)
