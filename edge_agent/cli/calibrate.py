"""`edge-agent calibrate`: logged traffic becomes the threshold of hybrid and cascade, with what to expect of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from edge_agent.cli.build import calibration_path, model_identity
from edge_agent.cli.options import config_option, json_option, settle
from edge_agent.cli.output import emit
from edge_agent.cli.paths import FILE, state_dir
from edge_agent.errors import InputError, UsageError
from edge_agent.policy.calibrate import LEAST_DRAFTS, Calibrated, LoggedDraft, days_of, describe, for_error, for_share
from edge_agent.store.drafts import LoggedLine, StoredCalibration, log_files, number_of, read_lines, write_calibration

LEAST_DAYS = 1.0 / 24.0
EXPLORE = "let every draft go up for a while: --policy cascade with policy.min_gain = -1"


@click.command()
@click.option("--cloud-share", type=click.FloatRange(0, 1), help="At most this share of the questions goes up.")
@click.option("--max-error", type=click.FloatRange(0, 1, min_open=True), help="At most this share stands here wrongly.")
@click.option("--budget", type=click.FloatRange(0), metavar="USD/DAY", help="At most this much a day.")
@click.option("--log", "log_path", type=FILE, help="A decision log; by default that of this configuration.")
@click.option("--dry-run", is_flag=True, help="Say what it would be, change nothing.")
@click.option("--model", metavar="BUNDLE", help="Bundle of the device: a name or a folder.")
@config_option
@json_option
def command(
    cloud_share: float | None,
    max_error: float | None,
    budget: float | None,
    log_path: Path | None,
    dry_run: bool,
    as_json: bool,
    **deciding: Any,
) -> None:
    """The threshold of `--policy hybrid` and `cascade` from this agent's own traffic.

    One of --cloud-share, --max-error, --budget. An answer counts as wrong where the cloud would have said otherwise.
    """
    goals = {"cloud-share": cloud_share, "max-error": max_error, "budget": budget}
    named = [name for name, value in goals.items() if value is not None]
    if len(named) != 1:
        raise UsageError("not exactly one goal", "give one of --cloud-share S, --max-error E, --budget USD")
    config = settle(**deciding).config
    model = model_identity(config)
    path = log_path or state_dir(config) / "decisions.jsonl"
    drafts, others = logged_drafts(path, model)
    price = _price(drafts, config.cloud.usd_per_question)
    min_gain = _threshold(drafts, named[0], goals, price)
    found = describe(drafts, min_gain, price)
    goal = f"{named[0]} {goals[named[0]]:g}"
    facts = {**dataclasses.asdict(found), "goal": goal, "model": model, "lines_of_other_models": others}
    if not dry_run:
        stored = StoredCalibration(min_gain, model, goal)
        write_calibration(
            calibration_path(config), stored, {k: v for k, v in facts.items() if k not in ("goal", "model")}
        )
    if as_json:
        emit({**facts, "written": None if dry_run else str(calibration_path(config))})
    else:
        _say(found, goal, others, None if dry_run else calibration_path(config))


def logged_drafts(path: Path, model: str) -> tuple[list[LoggedDraft], int]:
    """(drafts of `model`, lines of other models). Raises InputError where there are too few."""
    found = log_files(path)
    if not found:
        raise InputError(f"there is no decision log {path}", "let the agent answer first, or name one with --log")
    drafts, others = [], 0
    for line in (line for file in found for line in read_lines(file)):
        if (gain := number_of(line, "expected_gain")) is None:
            continue
        if line.model != model:
            others += 1
            continue
        drafts.append(_draft(line, gain))
    if len(drafts) < LEAST_DRAFTS:
        changed = f", {others} of another model: it has changed since" if others else ""
        raise InputError(f"{path} has {len(drafts)} drafts of {model}{changed}", f"at least {LEAST_DRAFTS} are needed")
    return drafts, others


def _draft(line: LoggedLine, gain: float) -> LoggedDraft:
    assert line.outcome is not None
    agreed = line.outcome.get("draft_accepted")
    in_cloud = line.outcome.get("route") == "cloud"
    cost_usd = number_of(line, "cost_usd") if in_cloud else None
    return LoggedDraft(line.time_s, gain, agreed if isinstance(agreed, bool) and in_cloud else None, cost_usd)


def _price(drafts: Sequence[LoggedDraft], expected_usd: float) -> float:
    """Mean price of a cloud answer in the log; what the configuration expects where there is none."""
    paid = [draft.cost_usd for draft in drafts if draft.cost_usd is not None]
    return sum(paid) / len(paid) if paid else expected_usd


def _threshold(drafts: Sequence[LoggedDraft], goal: str, goals: dict[str, float | None], usd: float) -> float:
    value = goals[goal]
    assert value is not None
    if goal == "cloud-share":
        return for_share(drafts, value)
    if goal == "budget":
        days = days_of(drafts)
        if days < LEAST_DAYS:
            raise InputError(
                f"the log covers {24 * days:.2f} hours", "a budget a day needs at least one hour of traffic"
            )
        if usd <= 0:
            raise UsageError("a cloud answer costs nothing here", "set cloud.usd_per_question, or use --cloud-share")
        return for_share(drafts, min(1.0, value / (usd * len(drafts) / days)))
    found = for_error(drafts, value)
    if found is None:
        raise InputError(f"{len(drafts)} drafts cannot show an error of at most {value:g}", "log more of them")
    return found


def _say(found: Calibrated, goal: str, others: int, written: Path | None) -> None:
    low, high = found.cloud_share_ci
    click.echo(f"{goal}: a draft goes up from an expected gain of {found.min_gain:.4f} on")
    click.echo(
        f"  {found.drafts} drafts, {found.compared} of them compared with the cloud; {others} of other models left out"
    )
    click.echo(f"  expected share of the cloud {found.cloud_share:.3f} (95 % {low:.3f}..{high:.3f})")
    if found.usd_per_day is not None:
        click.echo(f"  expected cost {found.usd_per_day:.4f} USD a day")
    if found.error_bound is not None:
        click.echo(
            f"  stands wrongly: at most {found.error_bound:.3f} of the questions (conformal, for the same traffic)"
        )
    if found.compared < found.drafts:
        click.echo(f"  drafts that were not compared count as wrong; for a tighter bound, {EXPLORE}")
    click.echo(f"  written to {written}" if written else "  nothing was written")
