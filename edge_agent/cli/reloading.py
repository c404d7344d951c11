"""SIGHUP: the configuration is read again; what can be applied is, and what needs a restart is named."""

from __future__ import annotations

import logging
from collections.abc import Callable

from edge_agent.agent import check_question
from edge_agent.cli.options import limits_of
from edge_agent.cli.remembered import RememberedPolicy
from edge_agent.config import Config, Loaded, live_keys
from edge_agent.errors import EdgeAgentError
from edge_agent.service.late import LateQuestions
from edge_agent.watch import Watcher

log = logging.getLogger(__name__)


class Reloader:
    """Applies a configuration that changed while the agent runs. `read` reads it again, flags over it, and raises
    UsageError for a wrong one, which then changes nothing.
    """

    def __init__(self, loaded: Loaded, read: Callable[[], Loaded], watcher: Watcher, policy: RememberedPolicy) -> None:
        self.config = loaded.config
        self._read = read
        self._watcher = watcher
        self._policy = policy
        self.on_applied: Callable[[Config], None] = lambda _: None

    def __call__(self) -> None:
        """Read and apply, and say what became of it."""
        try:
            loaded = self._read()
            check_question(loaded.config.trigger.question)
        except EdgeAgentError as error:
            log.warning("the configuration is not taken, the one before stays: %s", error)
            return
        changed = _changed(self.config, loaded)
        live = live_keys(loaded.config)
        if "local" in (self.config.policy.name, loaded.config.policy.name):  # with it, no cloud was or is needed
            live = live - {"policy.name"}
        taken = [key for key in changed if key in live]
        self._apply(loaded, taken)
        for key in taken:
            self.config = Loaded(self.config, {}).override(key, _value(loaded.config, key), "").config
        self.on_applied(self.config)
        later = [key for key in changed if key not in live]
        words = ([f"applied: {', '.join(taken)}"] if taken else []) + (
            [f"only after a restart: {', '.join(later)}"] if later else []
        )
        log.warning("the configuration was read again; %s", "; ".join(words) or "nothing has changed")

    def _apply(self, loaded: Loaded, taken: list[str]) -> None:
        if "policy.name" in taken:
            self._policy.switch(loaded.config.policy.name)
        limits = limits_of(loaded)
        self._watcher.change(loaded.config.trigger, limits)
        keeper = self._watcher.keeper
        if isinstance(keeper, LateQuestions):
            keeper.change(loaded.config.outbox, limits)


def _changed(before: Config, now: Loaded) -> list[str]:
    return [leaf.key for leaf in now.settings() if leaf.value != _value(before, leaf.key)]


def _value(config: Config, key: str) -> object:
    section, name = key.split(".", 1)
    return getattr(getattr(config, section), name)
