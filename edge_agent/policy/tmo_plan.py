"""Planning the rest of a conversation: which choices keep both budgets, and what the turns to come are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.policy.conversation import SPAN
from edge_agent.types import Modality


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to answer: `sent` is what goes up (nothing: the device answers); seconds, USD, and its response."""

    sent: tuple[Modality, ...]
    latency_s: float
    cost_usd: float
    response: float

    @property
    def words(self) -> str:
        return "cloud with " + " and ".join(m.value for m in self.sent) if self.sent else "device"


class Rest:
    """The turns after this one, each on the device (`local`) or in the cloud (`cloud`), within what is left.

    `rewards` are (share of the kind of question, reward on the device, reward in the cloud); `goes_on[t]` is the share
    of conversations with t + 1 turns that have another one.
    """

    def __init__(
        self,
        local: Choice,
        cloud: Choice,
        rewards: Sequence[tuple[float, float, float]],
        goes_on: Sequence[float],
    ) -> None:
        self._local = local
        self._cloud = cloud
        self._rewards = rewards
        self._goes_on = goes_on
        self._known: dict[tuple[int, float, float], float] = {}
        self._dearest_s = max(local.latency_s, cloud.latency_s)
        self._dearest_usd = max(local.cost_usd, cloud.cost_usd)
        self._free = sum(share * max(here, there) for share, here, there in rewards)

    def fits(self, turns: int, left_s: float, left_usd: float) -> bool:
        """Whether some mix of device and cloud holds `turns` more turns within what is left: the worst case."""
        if left_s < 0 or left_usd < 0:
            return False
        local, cloud = self._local, self._cloud
        return any(
            up * cloud.latency_s + (turns - up) * local.latency_s <= left_s
            and up * cloud.cost_usd + (turns - up) * local.cost_usd <= left_usd
            for up in range(turns + 1)
        )

    def value(self, turn: int, left_s: float, left_usd: float) -> float:
        """Expected rewards from turn `turn` on (0 is the first), if it comes."""
        if turn >= SPAN:
            return 0.0
        turns = SPAN - turn
        if left_s >= turns * self._dearest_s and left_usd >= turns * self._dearest_usd:  # no budget binds any more
            return self._goes_on[turn - 1] * (self._free + self.value(turn + 1, left_s, left_usd))
        key = (turn, left_s, left_usd)
        if key not in self._known:
            self._known[key] = self._goes_on[turn - 1] * self._best(turn, left_s, left_usd)
        return self._known[key]

    def _best(self, turn: int, left_s: float, left_usd: float) -> float:
        here, there = (self._after(c, turn, left_s, left_usd) for c in (self._local, self._cloud))
        if there is None:
            return sum(share * local for share, local, _ in self._rewards) + (here or 0.0)
        if here is None:
            return sum(share * cloud for share, _, cloud in self._rewards) + there
        return sum(share * max(local + here, cloud + there) for share, local, cloud in self._rewards)

    def _after(self, choice: Choice, turn: int, left_s: float, left_usd: float) -> float | None:
        """What a choice leaves to gain; None where it breaks a budget."""
        left_s, left_usd = left_s - choice.latency_s, left_usd - choice.cost_usd
        return self.value(turn + 1, left_s, left_usd) if self.fits(SPAN - 1 - turn, left_s, left_usd) else None
