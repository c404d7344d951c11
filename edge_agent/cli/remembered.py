"""The running agent's policy: exchangeable while it runs, and what it learned kept in the state folder."""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from edge_agent.errors import UsageError
from edge_agent.policy import POLICY_NAMES, GuardedPolicy, OffloadPolicy
from edge_agent.policy.learned import MAX_STATE_BYTES, saved, take_up
from edge_agent.policy.switch import SwitchedPolicy
from edge_agent.types import Decision, ModalityFeatures, Outcome, SystemState, Turn

SAVED_EVERY = 100  # outcomes: what a power cut may cost
log = logging.getLogger(__name__)


class RememberedPolicy:
    """Decides by the policy that is switched on, saves what each has learned in `folder` every SAVED_EVERY outcomes.

    `make` builds a policy by name. A saved state that does not fit is moved aside with a warning.
    """

    def __init__(self, make: Callable[[str], OffloadPolicy], name: str, folder: Path) -> None:
        self._folder = folder
        self._switch = SwitchedPolicy(lambda wanted: self._taken_up(make(wanted)), name)
        self.name = name
        self._unsaved = 0

    def switch(self, name: str) -> None:
        """From the next question on, `name` decides. Raises UsageError for a name that is none."""
        if name not in POLICY_NAMES:
            raise UsageError(f"no policy {name[:40]!r}", f"one of {', '.join(POLICY_NAMES)}")
        self._switch.switch(name)
        self.name = name

    def decide(self, features: ModalityFeatures, state: SystemState, history: Sequence[Turn]) -> Decision:
        return self._switch.decide(features, state, history)

    def preview(self, features: ModalityFeatures, state: SystemState) -> Decision:
        """What would be decided now, within the guards; nothing is learned or counted by it."""
        return GuardedPolicy(copy.deepcopy(self._switch.on)).decide(features, state, ())

    def observe(self, outcome: Outcome) -> None:
        self._switch.observe(outcome)
        self._unsaved += 1
        if self._unsaved >= SAVED_EVERY:
            self.save()

    def save(self) -> None:
        """Write what was learned since the last time, each file in one step. A full disk is said, and forgiven."""
        if not self._unsaved:
            return
        self._unsaved = 0
        for policy in self._switch.made:
            if (text := saved(policy)) is None:
                continue
            path = self._path(policy.name)
            fresh = path.with_name(path.name + ".new")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                fresh.write_text(text, encoding="utf-8")
                fresh.replace(path)
            except OSError as error:
                log.warning("what %s has learned cannot be saved: %s", policy.name, error)

    def _taken_up(self, policy: OffloadPolicy) -> OffloadPolicy:
        path = self._path(policy.name)
        try:
            if not path.is_file():
                return policy
            if path.stat().st_size > MAX_STATE_BYTES:
                raise ValueError(f"it is larger than {MAX_STATE_BYTES} bytes")
            take_up(policy, path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            log.warning("what %s learned earlier is set aside as %s.aside: %s", policy.name, path, error)
            with contextlib.suppress(OSError):
                path.replace(path.with_name(path.name + ".aside"))
        return policy

    def _path(self, name: str) -> Path:
        return self._folder / f"policy-{name}.json"
