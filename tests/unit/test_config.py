"""The settings tree: checked before anything opens, every fault named with the nearest right thing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edge_agent.config import Config, leaves, load
from edge_agent.errors import UsageError


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return path


def test_every_setting_has_a_sentence_and_a_checked_default() -> None:
    for leaf in leaves(Config()):
        assert leaf.sentence, leaf.key
        if leaf.low is not None and leaf.high is not None:
            assert leaf.low <= leaf.default <= leaf.high, leaf.key
        if leaf.choices:
            assert leaf.default in leaf.choices, leaf.key


def test_without_a_file_the_defaults_hold() -> None:
    assert load().config == Config()


def test_values_and_their_origin_come_from_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, '[limits]\ndeadline_ms = 500\n[cloud]\nurl = ""\n')
    loaded = load(path)
    assert loaded.config.limits.deadline_ms == 500.0
    assert isinstance(loaded.config.limits.deadline_ms, float)
    origins = {s.key: s.origin for s in loaded.settings()}
    assert origins["cloud.url"] == str(path)
    assert origins["cloud.codec"] == "default"


def test_a_flag_wins_over_the_file(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, "[limits]\ndeadline_ms = 500\n")).override("limits.deadline_ms", 7.0, "--deadline-ms")
    assert loaded.config.limits.deadline_ms == 7.0
    assert loaded.origins["limits.deadline_ms"] == "--deadline-ms"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[limts]\n", "did you mean 'limits'"),
        ("[limits]\ndeadline = 3\n", "did you mean 'limits.deadline_ms'"),
        ("[limits]\ndeadline_ms = 'soon'\n", "must be a number"),
        ("[limits]\ndeadline_ms = nan\n", "finite"),
        ("[limits]\ndeadline_ms = -1\n", "outside 1..3.6e+06 ms"),
        ("[limits]\nprivate = 1\n", "true or false"),
        ("[model]\nthreads = true\n", "whole number"),
        ("[policy]\nname = 'msoa'\n", "did you mean 'msao'"),
        ("limits = 3\n", "not a section"),
        ("[limits\n", "not TOML"),
    ],
)
def test_a_fault_is_one_line_that_names_the_remedy(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(write(tmp_path, text))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_missing_or_binary_or_huge_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load(tmp_path / "none.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not TOML"):
        load(binary)
    with pytest.raises(UsageError, match="larger than"):
        load(write(tmp_path, "#" * 2_000_000))


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().limits.private = True  # type: ignore[misc]
