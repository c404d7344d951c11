"""`edge-agent eval m4a1`: offloading in conversations, on the recorded M4A1 sample."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from edge_agent.cli.options import json_option
from edge_agent.cli.output import emit, waiting
from edge_agent.cli.paths import FILE
from edge_agent.config import nearest
from edge_agent.errors import InputError, UsageError
from edge_agent.policy.conversation import Budget, LookAhead
from edge_agent.policy.response import TIES
from edge_agent.sim.m4a1_data import Conversations, parse_conversations
from edge_agent.sim.m4a1_prices import COSTS, DEVICES, NETWORKS, measured_local, prices_of, published_local
from edge_agent.sim.m4a1_table import CONVERSATION_POLICIES, Setting, over_seeds
from edge_agent.sources.base import regular_file

MAX_BYTES = 256 << 20
MAX_SEEDS = 1000
BUDGET = Budget()


@click.command()
@click.option("--data", required=True, type=FILE, help="The published M4A1.json.")
@click.option("--policy", "names", default="tmo", show_default=True, metavar="NAME[,NAME...]", help="`all`: a table.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Splits, trains, draws.")
@click.option("--seeds", type=click.IntRange(1, MAX_SEEDS), default=1, show_default=True, help="So many.")
@click.option("--cost", type=click.Choice(COSTS), default="published", show_default=True, help="Cost of the device.")
@click.option("--device", type=click.Choice(list(DEVICES)), default="tx2", show_default=True)
@click.option("--network", type=click.Choice(list(NETWORKS)), default="wired", show_default=True)
@click.option("--budget-s", type=float, default=BUDGET.latency_s, show_default=True, help="Seconds of a conversation.")
@click.option("--budget-usd", type=float, default=BUDGET.cost_usd, show_default=True, help="USD of a conversation.")
@click.option("--ties", type=click.Choice(TIES), default="order", show_default=True, help="Equally near neighbours.")
@json_option
def m4a1(
    data: Path, names: str, seed: int, seeds: int, budget_s: float, budget_usd: float, as_json: bool, **options: Any
) -> None:
    """Conversations with three camera views: where each turn runs, and what goes up, within a budget."""
    policies = _policies(names)
    budget = Budget(_positive("--budget-s", budget_s), _positive("--budget-usd", budget_usd))
    conversations = read_conversations(data)
    setting = _setting(conversations, budget, **options)
    for name in policies:
        with waiting(f"{name} in {seeds} x {len(conversations.conversations) // 5} conversations", as_json):
            figures = over_seeds(setting, name, range(seed, seed + seeds))
        record = {"data": data.name, "policy": name, "seed": seed, "seeds": seeds, **options} | figures
        record |= {"budget_s": budget.latency_s, "budget_usd": budget.cost_usd}
        if as_json:
            emit(record)
        else:
            _say(record, header=name == policies[0])


def read_conversations(path: Path) -> Conversations:
    """The set in a file. Raises InputError."""
    regular_file(path, "copy of M4A1.json", MAX_BYTES)
    try:
        return parse_conversations(path.read_text(encoding="utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}", "name the published M4A1.json with --data") from error


def _policies(names: str) -> list[str]:
    chosen = list(CONVERSATION_POLICIES) if names == "all" else [name.strip() for name in names.split(",")]
    for name in chosen:
        if name not in CONVERSATION_POLICIES:
            raise UsageError(f"no policy {name[:40]!r} for conversations", nearest(name, list(CONVERSATION_POLICIES)))
    return chosen


def _positive(flag: str, value: float) -> float:
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{flag} is {value}", "a number above 0 is needed")
    return value


def _setting(conversations: Conversations, budget: Budget, cost: str, device: str, network: str, ties: str) -> Setting:
    local = published_local(device) if cost == "published" else measured_local(conversations.conversations)
    prices = prices_of(local, network)
    if not LookAhead(prices).feasible(budget):
        raise UsageError(
            f"no policy can hold five turns within {budget.latency_s:g} s and {budget.cost_usd:g} USD",
            f"the fastest turn takes {prices.latency_s.min():.3g} s, the cheapest {prices.cost_usd.min():.3g} USD",
        )
    return Setting(conversations, prices, budget, ties)


def _say(record: dict[str, Any], header: bool) -> None:
    if header:
        click.echo(f"{'policy':<12} {'reward':>7} {'response':>8} {'s':>6} {'USD':>8} {'exceeded':>8}  actions")
    turns = sum(record["actions"].values())
    actions = ", ".join(f"{name} {count / turns:.0%}" for name, count in record["actions"].items())
    click.echo(
        f"{record['policy']:<12} {record['reward']:7.3f} {record['response']:8.3f} {record['latency_s']:6.2f} "
        f"{record['cost_usd']:8.5f} {record['exceeded']:4d}/{record['n']:<4d} {actions}"
    )
