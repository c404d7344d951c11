"""A policy that can be exchanged while the agent runs; each one's learning is kept while another decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edge_agent.policy.base import OffloadPolicy
from edge_agent.types import Decision, ModalityFeatures, Outcome, SystemState, Turn


class SwitchedPolicy:
    """Decides by the policy that is switched on. `make` builds one by name and raises for a name that is none.

    An outcome goes to the policy that made its decision, also when another one is on by then.
    """

    def __init__(self, make: Callable[[str], OffloadPolicy], name: str) -> None:
        self._make = make
        self._made = {name: make(name)}
        self.on = self._made[name]
        self.name = name

    @property
    def made(self) -> Sequence[OffloadPolicy]:
        """Every policy that was switched on so far."""
        return tuple(self._made.values())

    def switch(self, name: str) -> None:
        """From the next decision on, `name` decides. Raises what `make` raises; then nothing changes."""
        if name not in self._made:
            self._made[name] = self._make(name)
        self.on = self._made[name]
        self.name = name

    def decide(self, features: ModalityFeatures, state: SystemState, history: Sequence[Turn]) -> Decision:
        return self.on.decide(features, state, history)

    def observe(self, outcome: Outcome) -> None:
        self._made.get(outcome.decision.policy, self.on).observe(outcome)
