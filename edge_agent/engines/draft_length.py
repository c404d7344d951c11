"""What earlier turns have shown of link, device and cloud, from which `draft_costs` says how long a draft pays."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from edge_agent.engines.draft_costs import Costs, draft_count, made_pays, saved_ms
from edge_agent.uplink import busy_ms

MEMORY = 0.2  # weight of the newest observation in each running mean
SLOW_MEMORY = 0.05  # where one observation tells little
FIRST_ACCEPTANCE = 0.6  # before anything was judged
ROW_SHARE = 0.1  # of a decode step: what one more row of the cloud's pass takes, until it was seen
LEAST_ROW_SHARE = 0.02  # whatever was seen: times differ by more than a row costs
DEVICE_FIRST_STEPS, DEVICE_STEPS = 2.0, 0.5  # of the cloud: what the device's first token and each further one take
TRIED = 6  # drafts, after which what they gained is believed rather than what they should have
LONGEST = 64  # steps of an answer that are told apart
UPLOADS_KEPT = 16
FIRST_LOOK = 2  # so many questions that a draft might help, until the first is tried
LOOK_AGAIN = 16  # while it does not pay, after so many questions one tries it, as links and questions change
LOOK_AGAIN_MOST = 256  # each look in vain doubles the wait, up to this


@dataclass(frozen=True, slots=True)
class Seen:
    """What one turn has shown, in ms. `upload_ms`: from its first byte until the cloud had everything, both ways of the
    link included; `rtt_ms` of that link; `held_ms` of the upload went by waiting for a draft. `prefill_ms` of the cloud
    until its first token, `decode_ms` for the `decoded` tokens that took a step of their own, of `tokens` in all.
    `bytes_up` are those of the tensors that were sent.
    """

    bytes_up: int
    upload_ms: float
    rtt_ms: float
    held_ms: float
    prefill_ms: float
    decode_ms: float
    decoded: int
    drafted: int = 0
    accepted: int = 0
    tokens: int = 0


class DraftLength:
    """Running means of link, device and cloud. Pure state, no clock: `count` asks `draft_count` with them."""

    def __init__(self) -> None:
        self._acceptance = FIRST_ACCEPTANCE
        self._ms_per_byte: deque[float] = deque(maxlen=UPLOADS_KEPT)
        self._cloud_step_ms: float | None = None
        self._plain_ms: dict[bool, float] = {}
        self._row_ms: float | None = None
        self._device_first_ms: float | None = None
        self._device_step_ms: float | None = None
        self._lasting: list[float] = []
        self._turn_ms: float | None = None
        self._gain_ms: float | None = None
        self._tried = 0
        self._idle = 0
        self._look_again = FIRST_LOOK
        self.turns = 0
        self.drafted = 0
        self.accepted = 0

    @property
    def acceptance(self) -> float:
        """Share of tokens that stand as long as all before them did, 0..1."""
        return self._acceptance

    def window_ms(self, bytes_up: int) -> float:
        """How long an upload of `bytes_up` keeps the link busy; 0 where nothing is known.

        By the lower quartile of what uploads took a byte: whatever else delays one (a loss, another program) is not
        time that the next will have.
        """
        kept = sorted(self._ms_per_byte)
        return bytes_up * kept[(len(kept) - 1) // 4] if kept else 0.0

    def costs(self, bytes_up: int) -> Costs | None:
        """All of it, for a draft beside `bytes_up` of tensors; None before any answer has shown what a step takes.
        What the device takes is DEVICE_FIRST_STEPS and DEVICE_STEPS of the cloud until it has drafted once.
        """
        step_ms = self._cloud_step_ms
        if step_ms is None:
            return None
        row_ms = ROW_SHARE * step_ms if self._row_ms is None else self._row_ms
        first_ms, further_ms = self._device_first_ms, self._device_step_ms
        return Costs(
            window_ms=self.window_ms(bytes_up),
            turn_ms=self._turn_ms or 0.0,
            cloud_step_ms=step_ms,
            cloud_row_ms=max(row_ms, LEAST_ROW_SHARE * step_ms),
            device_first_ms=DEVICE_FIRST_STEPS * step_ms if first_ms is None else first_ms,
            device_step_ms=DEVICE_STEPS * step_ms if further_ms is None else further_ms,
            acceptance=self._acceptance,
            lasting=tuple(self._lasting),
        )

    def count(self, bytes_up: int, most: int, made: int | None = None) -> int:
        """How many tokens to draft, at most `most`; 0 for none. `made`: so many are there already and cost no time.

        Where it does not pay but would if every token stood, or has not paid although it should, one question in
        LOOK_AGAIN, then ever fewer, drafts all the same, since nothing else shows what stands and what it brings.
        """
        costs = self.costs(bytes_up)
        if costs is None:
            return 0 if made is None else min(made, most)  # the first question shows what there is to save
        hopeful = replace(costs, acceptance=1.0)
        if made is not None:
            best = min(made, most) if made_pays(costs, min(made, most)) else 0
            worth = min(made, most) if made_pays(hopeful, min(made, most)) else 0
        else:
            best, worth = draft_count(costs, most), draft_count(hopeful, most)
        if best and self.gains:
            self._look_again = LOOK_AGAIN
            return best
        self._idle += worth > 0
        if self._idle < self._look_again:
            return 0
        self._idle = 0
        self._look_again = min(LOOK_AGAIN_MOST, max(LOOK_AGAIN, 2 * self._look_again))
        return worth

    @property
    def gains(self) -> bool:
        """Whether the drafts of late did save time, by the clock; True before TRIED were made."""
        return self._tried < TRIED or self._gain_ms is None or self._gain_ms > 0

    def patience_ms(self, count: int, bytes_up: int) -> float:
        """How long the end of an upload may wait for a draft of `count` tokens: beyond, nothing would be saved."""
        costs = self.costs(bytes_up)
        return 0.0 if costs is None else costs.window_ms + max(0.0, saved_ms(costs, count))

    def device_took(self, first_ms: float, step_ms: float | None) -> None:
        """The device needed `first_ms` for the first token of a draft, then `step_ms` for each."""
        self._device_first_ms = _mean(self._device_first_ms, first_ms)
        if step_ms is not None:
            self._device_step_ms = _mean(self._device_step_ms, step_ms)
        elif self._device_step_ms is None:
            self._device_step_ms = first_ms

    def answered(self, seen: Seen) -> None:
        """Learn from a turn that came to its end."""
        self.turns += 1
        self.drafted += seen.drafted
        self.accepted += seen.accepted
        if seen.bytes_up > 0 and seen.held_ms < 1:  # who waited for a draft knows no more than that it was no slower
            self._ms_per_byte.append(busy_ms(seen.upload_ms, seen.rtt_ms) / seen.bytes_up)
        plain = not seen.drafted or self._cloud_step_ms is None  # a draft may slow the steps after it
        if seen.decoded > 0 and plain:
            self._cloud_step_ms = _mean(self._cloud_step_ms, seen.decode_ms / seen.decoded)
        if seen.tokens > 0:
            self._lasts(seen.tokens - 1)
        if seen.drafted:
            self._judged(seen)
        elif seen.prefill_ms > 0:
            fresh = seen.bytes_up > 0  # what is held in the cloud need not be read again
            self._plain_ms[fresh] = _mean(self._plain_ms.get(fresh), seen.prefill_ms)
            self._turn_ms = _mean(self._turn_ms, seen.upload_ms + seen.prefill_ms + seen.decode_ms)

    def _lasts(self, steps: int) -> None:
        """An answer took `steps` of the cloud after its first token, or would have without a draft."""
        if self.turns == 1:
            self._lasting = [1.0] * min(steps, LONGEST)
            return
        self._lasting += [0.0] * (min(steps, LONGEST) - len(self._lasting))
        self._lasting = [_mean(share, float(at < steps)) for at, share in enumerate(self._lasting)]

    def _judged(self, seen: Seen) -> None:
        for at in range(min(seen.drafted, seen.accepted + 1)):
            self._acceptance += MEMORY / 2 * ((at < seen.accepted) - self._acceptance)
        plain_ms = self._plain_ms.get(seen.bytes_up > 0)
        if plain_ms is not None:
            self._gained(seen, plain_ms)
            if self._row_ms is None:
                self._row_ms = ROW_SHARE * (self._cloud_step_ms or 0.0)
            self._row_ms += SLOW_MEMORY * ((seen.prefill_ms - plain_ms) / seen.drafted - self._row_ms)

    def _gained(self, seen: Seen, plain_ms: float) -> None:
        """What a draft saved by the clock: the same answer without it, less the turn as it was. Whatever costs time
        counts, also what `Costs` knows nothing of, such as an engine that takes longer over drafts than over tokens.
        """
        step_ms = self._cloud_step_ms
        if step_ms is None:
            return
        waited_ms = max(0.0, seen.held_ms - self.window_ms(seen.bytes_up))
        took_ms = waited_ms + seen.prefill_ms + seen.decode_ms
        self._gain_ms = _mean(self._gain_ms, plain_ms + step_ms * max(0, seen.tokens - 1) - took_ms)
        self._tried += 1


def _mean(old: float | None, new: float) -> float:
    return new if old is None else old + MEMORY * (new - old)
