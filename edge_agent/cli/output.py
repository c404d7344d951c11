"""What commands print: JSON for programs, a few lines for people, and progress where a person waits."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from edge_agent.asked import Asked
from edge_agent.types import Answer, Hedged, Route
from edge_agent.values import plain

ROUTE_WORDS = {"local": "on the device", "cloud": "by the cloud"}


def emit(record: Any) -> None:
    """One JSON object on one line of stdout, at once."""
    click.echo(json_line(record))
    sys.stdout.flush()


def json_line(record: Any) -> str:
    """What `emit` prints."""
    return json.dumps(plain(record), allow_nan=False)


def answer_record(answer: Answer) -> dict[str, Any]:
    """An answer with the fixed keys of the command line."""
    return {
        "answer": answer.text,
        "route": answer.route,
        "reason": answer.reason,
        "confidence": answer.confidence,
        "expected_gain": answer.expected_gain,
        "bytes_up": answer.bytes_up,
        "bytes_down": answer.bytes_down,
        "cost_usd": answer.cost_usd,
        "draft_tokens": answer.draft_tokens,
        "accepted_tokens": answer.accepted_tokens,
        "hedged": answer.hedged,
        "timings_ms": answer.timings_ms,
        "decision": answer.decision,
    }


def answer_text(answer: Answer) -> str:
    """An answer for a person: the text, then how it came about."""
    return f"{answer.text or '(no words)'}\n{how_text(answer)}"


def how_text(answer: Answer) -> str:
    """The route with its figures, the reason, and where the time went."""
    stages = ", ".join(
        f"{stage} {ms:.1f}" for stage, ms in answer.timings_ms.items() if stage != "total" and ms >= 0.05
    )
    figures = f"{answer.timings_ms['total']:.0f} ms, confidence {answer.confidence:.2f}, {answer.bytes_up} bytes up"
    lines = [f"{ROUTE_WORDS[answer.route.value]}: {figures}, {answer.cost_usd:.6f} USD"]
    if answer.draft_tokens:
        lines.append(f"drafted: {answer.accepted_tokens} of {answer.draft_tokens} tokens stood")
    if answer.hedged is not None:
        lines.append(hedged_words(answer.hedged))
    lines += [f"why: {answer.reason}", f"ms: {stages}"]
    return "\n".join(f"  {line}" for line in lines)


def hedged_words(hedged: Hedged) -> str:
    """What a hedge came to, and what of it was for nothing."""
    if hedged.won is Route.CLOUD:
        return f"hedged: the cloud was first; {hedged.device_ms:.0f} ms of the device were for nothing"
    return f"hedged: the device answered; {hedged.bytes_up} bytes and {hedged.cost_usd:.6f} USD were for nothing"


def asked_record(asked: Asked, wall_s: float) -> dict[str, Any]:
    """What became of a question while watching: `kept` and `late_s` only where it waits or waited for the cloud."""
    firing = asked.firing
    head = {"time_s": wall_s, "at_s": firing.at_s, "trigger": firing.trigger, "trigger_value": firing.value}
    if asked.asked_s is not None:
        head |= {"late": True, "asked_s": asked.asked_s, "late_s": firing.value, "kept": asked.kept}
    elif asked.kept is not None:
        head |= {"kept": asked.kept}
    tail = {"error": asked.error} if asked.answer is None else answer_record(asked.answer)
    return {**head, "question": asked.question, **tail}


def asked_text(asked: Asked, began_s: float = 0.0) -> str:
    """The same for a person, in seconds after `began_s` by the clock of its source."""
    firing = asked.firing
    when = f"late by {firing.value:.0f} s" if asked.asked_s is not None else f"{max(0.0, firing.at_s - began_s):8.1f} s"
    lines = [f"[{when}] {firing.trigger}: {asked.question}"]
    lines.append(f"  no answer: {asked.error}" if asked.answer is None else answer_text(asked.answer))
    if asked.kept is not None and asked.asked_s is None:
        lines.append(f"  kept as {asked.kept}: it is asked again when the cloud is back")
    return "\n".join(lines)


@contextmanager
def waiting(words: str, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show a spinner on a terminal's stderr while something takes its time; nothing for programs. What it gives changes
    its words.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status(escape(words)) as status:
        yield lambda other: status.update(escape(other))


def provisional(text: str) -> str:
    """Words that are not checked yet, as they are shown: never like an answer."""
    return f"provisional, the cloud is asked: {text or '(no words)'}"
