"""From logged drafts to the threshold on their expected gain: for a share, a budget, or a bound on the error.

The bound is conformal risk control (Angelopoulos et al., arXiv 2208.02814): the loss of a question is 1 where its draft
stands though the cloud would have answered otherwise; it never falls as the threshold rises, so the largest threshold t
with (n * mean loss(t) + 1) / (n + 1) <= alpha keeps the expected loss of the next question at most alpha, as long as it
comes from the same traffic. A draft that nobody compared counts as wrong: the bound holds, and is loose.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_DRAFTS = 30
Z95 = 1.959964


@dataclass(frozen=True, slots=True)
class LoggedDraft:
    """One draft of the log: the cloud's expected `gain`, whether the cloud `agreed` (None: it was not asked), and what
    the cloud's answer cost (None likewise).
    """

    time_s: float
    gain: float
    agreed: bool | None = None
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Drafts go up from `min_gain` on. `cloud_share` of the logged ones would have, `cloud_share_ci` its 95 % interval
    (Wilson). `error_bound`: see above, None where it is not known to be under one.
    """

    min_gain: float
    drafts: int
    compared: int
    cloud_share: float
    cloud_share_ci: tuple[float, float]
    error_bound: float | None
    usd_per_day: float | None


def for_share(drafts: Sequence[LoggedDraft], share: float) -> float:
    """The threshold at which at most `share` 0..1 of the drafts go up, as near to it as ties allow."""
    gains = sorted((draft.gain for draft in drafts), reverse=True)
    count = math.floor(share * len(gains) + 1e-9)
    if count >= len(gains):
        return -1.0
    below = gains[count]  # the first that stays; all equal to it stay, too
    up = [gain for gain in gains if gain > below]
    return up[-1] if up else _above(below)


def for_error(drafts: Sequence[LoggedDraft], most: float) -> float | None:
    """The largest threshold whose conformal bound is at most `most` 0..1; None where even sending all up breaks it."""
    by_gain = sorted(drafts, key=lambda draft: draft.gain)
    count, wrong, best = len(by_gain), 0, None
    if 1.0 / (count + 1) <= most:
        best = -1.0
    for at, draft in enumerate(by_gain):
        wrong += draft.agreed is not True
        if at + 1 < count and by_gain[at + 1].gain == draft.gain:
            continue
        if (wrong + 1) / (count + 1) > most:
            break
        best = (draft.gain + by_gain[at + 1].gain) / 2 if at + 1 < count else _above(draft.gain)
    return best


def describe(drafts: Sequence[LoggedDraft], min_gain: float, usd: float | None) -> Calibrated:
    """What a threshold would have meant for the logged drafts, a cloud answer at `usd`."""
    gains = sorted(draft.gain for draft in drafts)
    up = len(gains) - bisect_left(gains, min_gain)
    wrong = sum(draft.gain < min_gain and draft.agreed is not True for draft in drafts)
    bound = (wrong + 1) / (len(drafts) + 1)
    days = days_of(drafts)
    spent = None if usd is None or days <= 0 else usd * up / days
    return Calibrated(
        min_gain=min_gain,
        drafts=len(drafts),
        compared=sum(draft.agreed is not None for draft in drafts),
        cloud_share=up / len(gains),
        cloud_share_ci=wilson(up, len(gains)),
        error_bound=bound if bound < 1.0 else None,
        usd_per_day=spent,
    )


def days_of(drafts: Sequence[LoggedDraft]) -> float:
    """Days from the first draft to the last."""
    times = [draft.time_s for draft in drafts]
    return (max(times) - min(times)) / 86400.0 if times else 0.0


def wilson(count: int, total: int) -> tuple[float, float]:
    """95 % interval of a share."""
    share, z2 = count / total, Z95 * Z95
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z95 * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total)) / (1 + z2 / total)
    return max(0.0, middle - half), min(1.0, middle + half)


def _above(gain: float) -> float:
    """A threshold that `gain` does not reach."""
    return min(1.0, gain + 1e-6)
