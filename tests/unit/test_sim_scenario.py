"""Scenarios: the shipped ones, and what is refused with file, line and reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.errors import UsageError
from edge_agent.sim.scenario_file import open_scenario, parse_scenario, shipped_names


def test_the_shipped_scenarios_cover_four_links_at_three_loads_and_say_what_they_are() -> None:
    names = shipped_names()
    for link in ("wired", "wifi", "5g", "4g"):
        for load in ("light", "busy", "crowd"):
            scenario = open_scenario(f"{link}-{load}")
            assert scenario.link.kind == link
            assert scenario.about
    assert all(open_scenario(name).name == name for name in names)


def test_a_scenario_of_ones_own_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("version = 1\n[link]\nkind = '4g'\nscale = 2\n[policy]\nsecond_worth = 0.5\n", encoding="utf-8")
    scenario = open_scenario(str(path))
    assert (scenario.name, scenario.link.scale, scenario.policy["second_worth"]) == ("mine", 2.0, 0.5)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[link]\n", "x.toml:1: version: it has no version"),
        ("version = 2\n", "x.toml:1: version: version 2: this program reads version 1"),
        ("version = true\n", "x.toml:1: version: version True"),
        ("version = 1\n\n[lnk]\n", "x.toml:3: lnk: unknown section: did you mean 'link'?"),
        ("version = 1\nlink = 3\n", "x.toml:2: link: not a section"),
        ("version = 1\n[link]\n\nknd = 'wifi'\n", "x.toml:4: link.knd: unknown key: did you mean 'kind'?"),
        (
            "version = 1\n[limits]\ndeadline_s = 3\n",
            "x.toml:3: limits.deadline_s: wrong unit 's': give it as deadline_ms",
        ),
        ("version = 1\n[arrivals]\nper_minute = nan\n", "x.toml:3: arrivals.per_minute: nan is no finite number"),
        ("version = 1\n[arrivals]\nper_minute = -1\n", "x.toml:3: arrivals.per_minute: -1.0 is outside"),
        ("version = 1\n[arrivals]\nquestions = 'many'\n", "x.toml:3: arrivals.questions: not int but 'many'"),
        ("version = 1\n[link]\nkind = 'wify'\n", "x.toml:3: link.kind: no 'wify': did you mean 'wifi'?"),
        ("version = 1\n[link]\nfile = 'a.csv'\n", 'x.toml:3: link.file: kind = "file" and a file go together'),
        ("version = 1\n[device]\nhottest_celsius = 70\n", "x.toml:3: device.hottest_celsius: not above"),
        ("version = 1\n[policy]\nsecond_wort = 1\n", "x.toml:3: unknown setting policy.second_wort"),
        ("version = 1\n[policy]\nname = 'msao'\n", "x.toml:3: policy.name: a scenario names no policy"),
        ("version = 1\nname = 3\n", "x.toml:2: name: not a text"),
        ("version = \n", "x.toml: not TOML"),
    ],
)
def test_what_does_not_fit_is_refused_with_file_line_and_reason(text: str, reason: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_scenario(text, "x.toml", Path())
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unknown_scenario_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'wifi-busy'"):
        open_scenario("wifi-bussy")
    with pytest.raises(UsageError, match="cannot be read"):
        open_scenario("nowhere.toml")
