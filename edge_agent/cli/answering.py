"""Every question of a data set through one agent, in order: what all of `eval`'s sets of pictures have in common."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import click

from edge_agent.cli.options import limits_of
from edge_agent.cli.output import emit
from edge_agent.config import Loaded
from edge_agent.errors import EdgeAgentError, NoAnswerError
from edge_agent.sources.photo import decode_photo, load_photo
from edge_agent.types import Answer, Frame, Observation

PHOTOS_KEPT = 8  # the questions about a photo stand together
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Asked:
    """One question. `picture` is a file or an encoded picture; `name` says which, in errors and as the source."""

    picture: Path | bytes
    name: str
    question: str


_DRAWN = (
    click.option("--limit", type=click.IntRange(min=1), help="Only this many questions, drawn by the seed."),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True),
)


def drawn_options(command: F) -> F:
    """Add the options that say how much of a set is asked."""
    for option in reversed(_DRAWN):
        command = option(command)
    return command


async def answer_all(loaded: Loaded, asked: Sequence[Asked], quiet: bool) -> list[Answer | str]:
    """The answer to each question, or in words why there is none. Raises what opening model or agent raises."""
    from edge_agent.cli.build import open_agent, open_model

    frame_of = lru_cache(maxsize=PHOTOS_KEPT)(_frame)
    model = await asyncio.to_thread(open_model, loaded.config)
    limits, private = limits_of(loaded), loaded.config.limits.private
    answers: list[Answer | str] = []
    async with open_agent(loaded.config, model, journal=False) as agent:
        with click.progressbar(length=len(asked), label="asking", file=_bar(quiet)) as bar:
            for one in asked:
                try:
                    frame = await asyncio.to_thread(frame_of, one.picture, one.name)
                    observation = Observation(one.question, (frame,), private=private, source=one.name)
                    answers.append(await agent.ask(observation, limits))
                except EdgeAgentError as error:
                    answers.append(str(error))
                bar.update(1)
    return answers


def _frame(picture: Path | bytes, name: str) -> Frame:
    return load_photo(picture) if isinstance(picture, Path) else Frame(decode_photo(picture, name), 0.0)


def _bar(quiet: bool) -> Any:
    """Progress goes to stderr, and nowhere for programs."""
    return io.StringIO() if quiet else sys.stderr


def tell(result: dict[str, Any], as_json: bool) -> None:
    """The figures of a run. Raises NoAnswerError where no question at all had an answer."""
    emit(result) if as_json else _say(result)
    if result["errors"] == result.get("passes", result["n"]):
        raise NoAnswerError("no question had an answer", result["first_error"])


def _say(result: dict[str, Any]) -> None:
    low, high = result["accuracy_ci"]
    click.echo(f"{result['n']} questions: accuracy {result['accuracy']:.3f} (95 % {low:.3f}..{high:.3f})")
    for kind, part in result["kinds"].items():
        click.echo(f"  {kind:<10} {part['n']:>5}  {part['accuracy']:.3f}")
    latency = result["latency_ms"]
    again = latency.get("further_p50")
    photo = f" (a photo's first question {latency['first_p50']:.0f}, a further one {again:.0f})" if again else ""
    spent = f"latency p50 {latency['p50']:.0f} ms{photo}, p95 {latency['p95']:.0f} ms"
    click.echo(f"  {spent}; cloud share {result['cloud_share']:.2f}")
    if result["cloud_away"]:
        click.echo(
            f"  wanted and not had: {result['cloud_away']} answers of the cloud; at first {result['first_away']}"
        )
    click.echo(
        f"  {result['bytes_up_mean']:.0f} bytes up a question; {result['cost_usd']:.6f} USD; {result['errors']} errors"
    )
    drafts = result.get("verified", {})
    if drafts.get("turns"):
        share = f"{drafts['accepted']} of {drafts['drafted']} tokens stood ({drafts['accepted_share']:.2f})"
        click.echo(f"  {drafts['turns']} drafts checked by the cloud: {share}")
    sure = result.get("confidence", {})
    if sure.get("auc_ci"):
        low, high = sure["auc_ci"]
        click.echo(
            f"  confidence: tells right from wrong {sure['auc']:.3f} (95 % {low:.3f}..{high:.3f}), off by "
            f"{sure['expected_calibration_error']:.3f} (by chance {sure['calibration_error_by_chance']:.3f})"
        )
    if result["first_error"]:
        click.echo(f"  the first error: {result['first_error']}")
    if "accuracy_first_pass" in result:
        click.echo(f"  in the first pass alone: {result['accuracy_first_pass']:.3f}")
