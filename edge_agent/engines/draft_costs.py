"""Whether a draft pays, and how long it shall be: one pure function of what was measured of link, device and cloud."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MARGIN_SHARE = 0.05
"""Of a turn: what a draft must save at least. Below, the estimates are no better than their noise, nobody notices it,
and the device's core has better things to do."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What drafting has to do with, in ms. `window_ms`: so long the link is still busy once the tensors were handed
    to it; `turn_ms`: a whole turn without a draft. The cloud takes `cloud_step_ms` for a token of its own and
    `cloud_row_ms` for one more row of the pass that reads the question; the device `device_first_ms` for the first
    token of a draft and `device_step_ms` for each further one. `acceptance`: the share of drafted tokens that stand as
    long as all before them did, 0..1. `lasting[i]`: the share of answers, 0..1, in which the cloud takes more than i
    steps of its own after the first token; it falls with i, and answers never last longer than the sequence.
    """

    window_ms: float
    turn_ms: float
    cloud_step_ms: float
    cloud_row_ms: float
    device_first_ms: float
    device_step_ms: float
    acceptance: float
    lasting: tuple[float, ...]


def saved_ms(costs: Costs, count: int) -> float:
    """What of the cloud's time a draft of `count` tokens is expected to save: see `draft_count`, S and R."""
    lasting = costs.lasting[:count]
    steps = sum(costs.acceptance**at * share for at, share in enumerate(lasting, 1))
    return steps * costs.cloud_step_ms - sum(lasting) * costs.cloud_row_ms


def delay_ms(costs: Costs, count: int) -> float:
    """What making `count` tokens is expected to last longer than the upload: see `draft_count`, D."""
    further = sum(costs.lasting[: count - 1])
    return max(0.0, costs.device_first_ms + further * costs.device_step_ms - costs.window_ms)


def draft_count(costs: Costs, most: int) -> int:
    """How many tokens to draft, at most `most`; 0 where no length is expected to save MARGIN_SHARE of a turn.

    A draft of n tokens travels with the tensors and is read in the pass that reads the question, so it costs no round
    trip: the round trip counts only in that it is no time in which the link is busy (`window_ms` is the upload without
    it). With a the acceptance and L(i) the share of answers in which the cloud takes at least i steps after the pass:

        S(n) = cloud_step x sum over i = 1..n of a^i L(i)          steps saved: the first i tokens stand, and are needed
        R(n) = cloud_row x sum over i = 1..n of L(i)               rows read more; no draft is longer than its answer
        D(n) = max(0, device_first + device_step x sum over i = 1..n-1 of L(i) - window)    the turn waits for the draft

    and n is the least that has the largest S - R - D. The first token costs the cloud no step, since the pass over the
    question gives it: so an answer of one word and its end saves one step at the most, which only an upload that lasts
    as long as the device needs for its first token makes free.
    """
    best, most_ms = 0, MARGIN_SHARE * costs.turn_ms
    for count in range(1, min(most, len(costs.lasting)) + 1):
        gain_ms = saved_ms(costs, count) - delay_ms(costs, count)
        if gain_ms > most_ms:
            best, most_ms = count, gain_ms
    return best


def made_pays(costs: Costs, made: int) -> bool:
    """Whether a draft of `made` tokens that is there already is worth its rows: nothing else is spent on it.

    Its own length says how long the answer is, if it stands: its last token, as a rule the end, saves no step.
    """
    known: Sequence[float] = (1.0,) * max(0, made - 1)
    steps = sum(costs.acceptance**at for at, _ in enumerate(known, 1))
    return steps * costs.cloud_step_ms > len(known) * costs.cloud_row_ms
