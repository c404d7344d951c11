"""How many tokens to draft while an upload runs: as many as its time is free for and the cloud is likely to keep."""

from __future__ import annotations

from dataclasses import dataclass

MEMORY = 0.2  # weight of the newest observation in each running mean
FIRST_ACCEPTANCE = 0.6  # before anything was judged
ROW_SHARE = 0.1  # of a decode step: what one more row of the cloud's pass takes, until it was seen
LEAST_ROW_SHARE = 0.02  # whatever was seen: times differ by more than a row costs
_LEAST_MS = 0.02  # of an upload: below, clocks tell nothing
LOOK_AGAIN = 16  # while it does not pay, after so many questions one tries it, as links and questions change
LOOK_AGAIN_MOST = 256  # each look in vain doubles the wait, up to this


@dataclass(frozen=True, slots=True)
class Seen:
    """What one turn has shown, in ms. `upload_ms`: from its first byte until the cloud had everything, both ways of the
    link included; `rtt_ms` of that link; `held_ms` of the upload went by waiting for a draft. `prefill_ms` of the cloud
    until its first token, `decode_ms` for the `decoded` tokens that took a step of their own.
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


class DraftLength:
    """Running means of link, device and cloud, and the draft length that saves most by them. Pure state, no clock.

    With a the share of drafted tokens that stand, a draft of n tokens saves A(n) = a (1 - a^n) / (1 - a) steps of the
    cloud. It costs the rows that the cloud reads more, and whatever drafting takes longer than the upload does.
    """

    def __init__(self) -> None:
        self._acceptance = FIRST_ACCEPTANCE
        self._bytes_per_ms: float | None = None
        self._cloud_step_ms: float | None = None
        self._plain_ms: float | None = None
        self._row_ms: float | None = None
        self._device_first_ms: float | None = None
        self._device_step_ms: float | None = None
        self._idle = 0
        self._look_again = LOOK_AGAIN
        self.turns = 0
        self.drafted = 0
        self.accepted = 0

    @property
    def acceptance(self) -> float:
        """Share of tokens that stand as long as all before them did, 0..1."""
        return self._acceptance

    def window_ms(self, bytes_up: int) -> float:
        """How long an upload of `bytes_up` keeps the link busy; 0 where nothing is known."""
        return 0.0 if self._bytes_per_ms is None else bytes_up / self._bytes_per_ms

    def saved_ms(self, count: int) -> float:
        """What of the cloud's time a draft of `count` tokens is expected to save, less what checking it takes."""
        if self._cloud_step_ms is None:
            return 0.0
        seen_ms = self._row_ms if self._row_ms is not None else ROW_SHARE * self._cloud_step_ms
        row_ms = max(seen_ms, LEAST_ROW_SHARE * self._cloud_step_ms)
        a = self._acceptance
        stand = float(count) if a >= 1 else a * (1 - a**count) / (1 - a)
        return stand * self._cloud_step_ms - count * row_ms

    def delay_ms(self, count: int, bytes_up: int) -> float:
        """What making `count` tokens takes longer than the upload."""
        if self._device_first_ms is None or self._device_step_ms is None:
            return 0.0
        made_ms = self._device_first_ms + (count - 1) * self._device_step_ms
        return max(0.0, made_ms - self.window_ms(bytes_up))

    def count(self, bytes_up: int, most: int, made: int | None = None) -> int:
        """How many tokens to draft, at most `most`; 0 for none. `made`: so many are there already and cost no time."""
        if self._cloud_step_ms is None:
            return 0 if made is None else min(made, most)  # the first question shows what there is to save
        highest = most if made is None else min(made, most)
        best, gain_ms = 0, 0.0
        for count in range(1, highest + 1):
            ms = self.saved_ms(count) - (self.delay_ms(count, bytes_up) if made is None else 0.0)
            if ms > gain_ms:
                best, gain_ms = count, ms
        if best == 0 and highest:
            self._idle += 1
            if self._idle >= self._look_again:
                self._idle, self._look_again = 0, min(LOOK_AGAIN_MOST, 2 * self._look_again)
                return min(highest, 2)
        elif best:
            self._look_again = LOOK_AGAIN
        return best

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
        rate = seen.bytes_up / max(_LEAST_MS, seen.upload_ms - seen.rtt_ms)
        if seen.held_ms < 1 or (self._bytes_per_ms is not None and rate > self._bytes_per_ms):
            self._bytes_per_ms = _mean(self._bytes_per_ms, rate)  # who waited for a draft knows it was no slower
        if seen.decoded > 0:
            self._cloud_step_ms = _mean(self._cloud_step_ms, seen.decode_ms / seen.decoded)
        if seen.drafted:
            tries = min(seen.drafted, seen.accepted + 1)
            for at in range(tries):
                self._acceptance += MEMORY / 2 * ((at < seen.accepted) - self._acceptance)
            if self._plain_ms is not None:
                extra_ms = max(0.0, (seen.prefill_ms - self._plain_ms) / seen.drafted)
                self._row_ms = _mean(self._row_ms, extra_ms)
        elif seen.prefill_ms > 0:
            self._plain_ms = _mean(self._plain_ms, seen.prefill_ms)


def _mean(old: float | None, new: float) -> float:
    return new if old is None else old + MEMORY * (new - old)
