"""`edge-agent simulate`: policies on a scenario, over paired seeds, as a ranked table with confidence intervals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from edge_agent.cli.options import FILE, config_option, json_option, settle
from edge_agent.cli.output import emit, waiting
from edge_agent.cli.simulate_headlines import CELLS, emit_headlines, say_headlines
from edge_agent.cli.simulate_plot import check_plot, plot
from edge_agent.cli.simulate_replay import replay_log, write_log
from edge_agent.cli.simulate_table import emit_table, say_table
from edge_agent.config import POLICY_NAMES, Config, PolicySettings, nearest
from edge_agent.errors import UsageError
from edge_agent.sim.compare import Comparison, compare
from edge_agent.sim.headlines import NEEDED
from edge_agent.sim.headlines import headlines as held_against
from edge_agent.sim.scenario import Scenario, TableSpec
from edge_agent.sim.scenario_file import open_scenario, shipped_names
from edge_agent.sim.simulator import VARIANTS
from edge_agent.sim.world import Questions, open_table

SIMULATED = (*POLICY_NAMES, "oracle", *VARIANTS)
DEFAULT = "hybrid,qlmio,msao,moa-off,tmo,cascade,ucb,random,local,cloud,oracle"
MAX_SEEDS = 1000


@click.command()
@click.argument("scenarios", nargs=-1, metavar="[SCENARIO]...")
@click.option("--scenario", "more", multiple=True, metavar="NAME|FILE", help="The same as an argument.")
@click.option("--policy", "names", default=DEFAULT, show_default=True, metavar="NAME[,NAME...]", help="Compared.")
@click.option("--seeds", type=click.IntRange(1, MAX_SEEDS), default=20, show_default=True, help="So many worlds.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="The first of them.")
@click.option("--list", "listing", is_flag=True, help="Name the shipped scenarios.")
@click.option("--plot", "plot_path", type=FILE, help="Also draw it: a .png, .svg or .pdf.")
@click.option("--log", "log_path", type=FILE, help="Also write the decision log of the first policy and seed.")
@click.option("--replay", "replay_path", type=FILE, help="Decide a recorded log again; nothing else is run.")
@click.option("--headlines", is_flag=True, help="Each method's own claim, on four links at three loads.")
@config_option
@json_option
def command(
    scenarios: tuple[str, ...],
    more: tuple[str, ...],
    names: str,
    seeds: int,
    seed: int,
    listing: bool,
    plot_path: Path | None,
    log_path: Path | None,
    replay_path: Path | None,
    headlines: bool,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Policies on simulated devices, links and clouds, driven by what real nodes did with real questions.

    A SCENARIO is a shipped one by name, or a .toml file. Every policy meets the same questions, arrivals and links,
    and replays exactly from its seed.
    """
    if listing:
        list_scenarios(as_json)
        return
    if replay_path is not None:
        config = settle(config_path).config
        replay_log(replay_path, settings_of(config, Scenario("")), as_json)
        return
    chosen = [*scenarios, *more] or (list(CELLS) if headlines else [])
    if not chosen:
        raise UsageError("no scenario", f"name one of {', '.join(shipped_names())}, or a .toml file")
    if plot_path is not None:
        check_plot(plot_path)
    policies = list(NEEDED) if headlines else chosen_policies(names)
    config = settle(config_path).config
    opened = [open_scenario(name) for name in chosen]
    made, known = list[Comparison](), dict[tuple[TableSpec, float], Questions]()
    for scenario in opened:
        settings = settings_of(config, scenario)
        spec = (scenario.table, settings.tile_entropy_bits)
        if spec not in known:
            known[spec] = Questions(open_table(scenario.table.file), *spec)
        if log_path is not None and scenario is opened[0]:
            write_log(log_path, scenario, known[spec], policies[0], settings, seed)
        with waiting(f"{scenario.name}: {len(policies)} policies x {seeds} seeds", as_json):
            compared = compare(scenario, known[spec], policies, settings, range(seed, seed + seeds))
        made.append(compared)
        if not headlines:
            (emit_table if as_json else say_table)(compared)
    if plot_path is not None:
        plot(plot_path, made)
    if headlines:
        (emit_headlines if as_json else say_headlines)(held_against(made))


def list_scenarios(as_json: bool) -> None:
    """The shipped scenarios and what each is about."""
    for name in shipped_names():
        about = open_scenario(name).about
        if as_json:
            emit({"scenario": name, "about": about})
        else:
            click.echo(f"{name:<20} {about}")


def chosen_policies(names: str) -> list[str]:
    """The names in a comma-separated list, each once. Raises UsageError."""
    chosen = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    for name in chosen:
        if name not in SIMULATED:
            raise UsageError(f"no policy {name[:40]!r}", nearest(name, list(SIMULATED)))
    if not chosen:
        raise UsageError("no policy", f"some of {', '.join(SIMULATED)}")
    return chosen


def settings_of(config: Config, scenario: Scenario) -> PolicySettings:
    """The policy's settings of the configuration with the scenario's over them; what calibration knows is filled in."""
    from edge_agent.vlm import open_bundle

    changes: dict[str, Any] = {
        key: float(value) if isinstance(getattr(config.policy, key), float) else value
        for key, value in scenario.policy.items()
    }
    settings = replace(config.policy, **changes)
    if settings.accept_entropy < 0:
        calibration = open_bundle(config.model.edge, verify=False).calibration
        settings = replace(settings, accept_entropy=calibration.accept_entropy)
    return settings
