"""Options that several commands share, and how they become a checked configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from edge_agent.cli.paths import FILE
from edge_agent.config import POLICY_NAMES, Loaded, load
from edge_agent.errors import UsageError
from edge_agent.parts import Limits

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, logs on stderr.")
config_option = click.option("--config", "config_path", type=FILE, help="Configuration file (TOML).")

_DECIDING = (
    click.option("--route", type=click.Choice(["auto", "local", "cloud"]), default="auto", show_default=True),
    click.option("--policy", metavar="NAME", help=f"Offloading policy: {', '.join(POLICY_NAMES)}."),
    click.option("--cloud", "cloud_url", metavar="URL", help="Cloud endpoint; an empty string means none."),
    click.option("--deadline-ms", type=float, help="Answered or refused within this time."),
    click.option("--max-cost", type=float, metavar="USD", help="Most that one question may cost."),
    click.option("--private", is_flag=True, help="Nothing may leave the device; no connection is opened."),
    click.option("--model", metavar="BUNDLE", help="Bundle of the device: a name or a folder."),
    config_option,
)


def once_option(name: str, **more: Any) -> Callable[[F], F]:
    """An option for one value. A second one is refused: click would take it and forget the first."""

    def only(context: click.Context, parameter: click.Parameter, values: tuple[Any, ...]) -> Any:
        if len(values) > 1:
            raise UsageError(f"{name} is given {len(values)} times", "a question is about one: ask one after the other")
        return values[0] if values else None

    return click.option(name, multiple=True, callback=only, **more)


def deciding_options(command: F) -> F:
    """Add the options that settle how a question is answered."""
    for option in reversed(_DECIDING):
        command = option(command)
    return command


def settle(
    config_path: Path | None,
    route: str = "auto",
    policy: str | None = None,
    cloud_url: str | None = None,
    deadline_ms: float | None = None,
    max_cost: float | None = None,
    private: bool = False,
    model: str | None = None,
) -> Loaded:
    """The configuration with the flags laid over it. Raises UsageError."""
    loaded = load(config_path)
    flags: list[tuple[str, Any, str]] = [
        ("policy.name", policy, "--policy"),
        ("policy.name", None if route == "auto" else route, "--route"),
        ("cloud.url", cloud_url, "--cloud"),
        ("limits.deadline_ms", deadline_ms, "--deadline-ms"),
        ("limits.max_cost_usd", max_cost, "--max-cost"),
        ("limits.private", True if private else None, "--private"),
        ("model.edge", model, "--model"),
    ]
    for key, value, flag in flags:
        if value is not None:
            loaded = loaded.override(key, value, flag)
    return loaded


def limits_of(loaded: Loaded) -> Limits:
    """The limits that the configuration gives every question."""
    limits = loaded.config.limits
    return Limits(limits.deadline_ms, limits.max_cost_usd, limits.max_celsius, limits.min_memory_mb)
