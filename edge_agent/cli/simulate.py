"""`edge-agent simulate`: policies on a scenario, over paired seeds, as a ranked table with confidence intervals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from edge_agent.cli.m4a1 import read_conversations
from edge_agent.cli.options import config_option, json_option, settle
from edge_agent.cli.output import emit, waiting
from edge_agent.cli.paths import FILE
from edge_agent.cli.simulate_headlines import CELLS, emit_headlines, say_headlines
from edge_agent.cli.simulate_plot import check_plot, plot
from edge_agent.cli.simulate_replay import replay_log, write_log
from edge_agent.cli.simulate_table import emit_table, say_conversations, say_table
from edge_agent.config import POLICY_NAMES, Config, PolicySettings, nearest
from edge_agent.errors import UsageError
from edge_agent.sim.compare import Comparison, compare
from edge_agent.sim.conversations import DEFAULT as IN_CONVERSATIONS
from edge_agent.sim.conversations import compare_conversations
from edge_agent.sim.headlines import NEEDED
from edge_agent.sim.headlines import headlines as held_against
from edge_agent.sim.m4a1_data import Conversations
from edge_agent.sim.m4a1_table import CONVERSATION_POLICIES
from edge_agent.sim.scenario import ConversationSpec, Scenario, TableSpec
from edge_agent.sim.scenario_file import open_scenario, shipped_names
from edge_agent.sim.simulator import VARIANTS
from edge_agent.sim.world import Questions, open_table

SIMULATED = (*POLICY_NAMES, "oracle", *VARIANTS)
DEFAULT = ["hybrid", "qlmio", "msao", "moa-off", "tmo", "cascade", "ucb", "random", "local", "cloud", "oracle"]
MAX_SEEDS = 1000


@click.command()
@click.argument("scenarios", nargs=-1, metavar="[SCENARIO]...")
@click.option("--scenario", "more", multiple=True, metavar="NAME|FILE", help="The same as an argument.")
@click.option("--policy", "names", metavar="NAME[,NAME...]", help=f"Compared: some of {', '.join(SIMULATED)}.")
@click.option("--seeds", type=click.IntRange(1, MAX_SEEDS), default=20, show_default=True, help="So many worlds.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="The first of them.")
@click.option("--list", "listing", is_flag=True, help="Name the shipped scenarios.")
@click.option("--data", type=FILE, help="The published M4A1.json, for a scenario with conversations.")
@click.option("--plot", "plot_path", type=FILE, help="Also draw it: a .png, .svg or .pdf.")
@click.option("--log", "log_path", type=FILE, help="Also write the decision log of the first policy and seed.")
@click.option("--replay", "replay_path", type=FILE, help="Decide a recorded log again; nothing else is run.")
@click.option("--headlines", is_flag=True, help="Each method's own claim, on four links at three loads.")
@config_option
@json_option
def command(
    scenarios: tuple[str, ...],
    more: tuple[str, ...],
    names: str | None,
    seeds: int,
    seed: int,
    listing: bool,
    data: Path | None,
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
    comparing = Comparing(settle(config_path).config, range(seed, seed + seeds), data, as_json)
    opened = [open_scenario(name) for name in chosen]
    if headlines and any(scenario.conversations for scenario in opened):
        raise UsageError("a scenario with conversations has no headlines", "see `edge-agent eval m4a1`")
    if log_path is not None:
        comparing.log(log_path, opened[0], names)
    made = []
    for scenario in opened:
        made.append(comparing(scenario, ",".join(NEEDED) if headlines else names))
        if not headlines:
            comparing.show(made[-1])
    if plot_path is not None:
        plot(plot_path, made)
    if headlines:
        (emit_headlines if as_json else say_headlines)(held_against(made))


class Comparing:
    """Compares on one scenario after the other, under the same seeds; what is read for one is kept for the next."""

    def __init__(self, config: Config, seeds: range, data: Path | None, quiet: bool) -> None:
        self._config, self._seeds, self._data, self._quiet = config, seeds, data, quiet
        self._known: dict[tuple[TableSpec, float], Questions] = {}
        self._conversations: dict[Path, Conversations] = {}

    def __call__(self, scenario: Scenario, names: str | None) -> Comparison:
        """Raises UsageError, InputError."""
        spec = scenario.conversations
        policies = chosen_policies(names or ",".join(DEFAULT if spec is None else IN_CONVERSATIONS), spec is not None)
        with waiting(f"{scenario.name}: {len(policies)} policies x {len(self._seeds)} seeds", self._quiet):
            if spec is not None:
                return compare_conversations(scenario, self._read(spec, scenario.folder), policies, self._seeds)
            settings = settings_of(self._config, scenario)
            return compare(scenario, self._questions(scenario, settings), policies, settings, self._seeds)

    def log(self, path: Path, scenario: Scenario, names: str | None) -> None:
        """The decision log of the first policy under the first seed. Raises UsageError, InputError."""
        if scenario.conversations is not None:
            raise UsageError("a scenario with conversations has no decision log", "leave --log away")
        settings = settings_of(self._config, scenario)
        policy = chosen_policies(names or ",".join(DEFAULT), False)[0]
        write_log(path, scenario, self._questions(scenario, settings), policy, settings, self._seeds[0])

    def show(self, compared: Comparison) -> None:
        """A table, or one JSON object."""
        for_people = say_table if compared.scenario.conversations is None else say_conversations
        (emit_table if self._quiet else for_people)(compared)

    def _questions(self, scenario: Scenario, settings: PolicySettings) -> Questions:
        spec = (scenario.table, settings.tile_entropy_bits)
        if spec not in self._known:
            self._known[spec] = Questions(open_table(scenario.table.file), *spec)
        return self._known[spec]

    def _read(self, spec: ConversationSpec, folder: Path) -> Conversations:
        path = folder / spec.file if spec.file else self._data
        if path is None:
            raise UsageError("this scenario plays M4A1 conversations", "name the published M4A1.json with --data")
        if path not in self._conversations:
            self._conversations[path] = read_conversations(path)
        return self._conversations[path]


def list_scenarios(as_json: bool) -> None:
    """The shipped scenarios and what each is about."""
    for name in shipped_names():
        about = open_scenario(name).about
        if as_json:
            emit({"scenario": name, "about": about})
        else:
            click.echo(f"{name:<20} {about}")


def chosen_policies(names: str, in_conversations: bool) -> list[str]:
    """The names in a comma-separated list, each once. Raises UsageError."""
    known = CONVERSATION_POLICIES if in_conversations else SIMULATED
    chosen = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    for name in chosen:
        if name not in known:
            raise UsageError(f"no policy {name[:40]!r}", nearest(name, list(known)))
    if not chosen:
        raise UsageError("no policy", f"some of {', '.join(known)}")
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
