"""What a person says or types while an agent watches: a question, or a command to it."""

from __future__ import annotations

import logging

from edge_agent.agent import check_question
from edge_agent.cli.remembered import RememberedPolicy
from edge_agent.errors import EdgeAgentError
from edge_agent.watch import Watcher

SWITCH = "/policy "
log = logging.getLogger(__name__)


def ask_spoken(watcher: Watcher, usual: str, words: str | None) -> None:
    """A question that was spoken, or the trigger's own."""
    _ask(watcher, usual if words is None else words)


def ask_typed(watcher: Watcher, policy: RememberedPolicy, line: str) -> None:
    """A line that was typed: a question, or `/policy NAME`."""
    if not line.startswith("/"):
        _ask(watcher, line)
        return
    if not line.startswith(SWITCH):
        log.warning("no command %r: write /policy NAME, or a question", line[:40])
        return
    try:
        policy.switch(line.removeprefix(SWITCH).strip())
        log.warning("from now on %s decides", policy.name)
    except EdgeAgentError as error:
        log.warning("%s", error)


def _ask(watcher: Watcher, question: str) -> None:
    try:
        check_question(question)
    except EdgeAgentError as error:
        log.warning("%s", error)
        return
    if not watcher.ask(question):
        log.warning("too many questions wait: one is refused")
