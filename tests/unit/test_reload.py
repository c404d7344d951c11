"""SIGHUP applies what can be applied and names the rest; secrets come from three places and are never shown."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from agents import Bench, FixedPolicy, GreyExtractor
from edge_agent.cli.main import main
from edge_agent.cli.options import limits_of
from edge_agent.cli.reloading import Reloader
from edge_agent.cli.remembered import RememberedPolicy
from edge_agent.cli.secrets import api_secret, cloud_secret
from edge_agent.config import Config, load
from edge_agent.errors import UsageError
from edge_agent.types import Route
from edge_agent.watch import Watcher


def reloader(tmp_path: Path, before: str) -> tuple[Reloader, Watcher, RememberedPolicy, Path]:
    path = tmp_path / "config.toml"
    path.write_text(before)
    loaded = load(path)
    watcher = Watcher(
        Bench(FixedPolicy(Route.LOCAL)).agent, GreyExtractor(), loaded.config.trigger, limits_of(loaded), lambda _: None
    )
    policy = RememberedPolicy(lambda name: FixedPolicy(Route.LOCAL), loaded.config.policy.name, tmp_path)
    return Reloader(loaded, lambda: load(path), watcher, policy), watcher, policy, path


def test_what_can_be_applied_is_and_the_rest_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reload, watcher, policy, path = reloader(tmp_path, "")
    path.write_text(
        "[limits]\ndeadline_ms = 500\nprivate = true\n[trigger]\nchanged_share = 0.5\n"
        '[policy]\nname = "ucb"\n[run]\ncamera = "3"\n'
    )
    reload()
    assert watcher._limits.deadline_ms == 500.0
    assert watcher._settings.changed_share == watcher._triggers._settings.changed_share == 0.5
    assert policy.name == "ucb"
    assert "applied: limits.deadline_ms, policy.name, trigger.changed_share" in caplog.text
    assert "only after a restart: limits.private, run.camera" in caplog.text
    assert not reload.config.limits.private
    caplog.clear()
    reload()
    assert "applied" not in caplog.text
    assert "only after a restart: limits.private, run.camera" in caplog.text


def test_a_wrong_file_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reload, watcher, _, path = reloader(tmp_path, "[limits]\ndeadline_ms = 700\n")
    for text in ("[limits]\ndeadline_ms = -1\n", "[limts]\n", "[limits\n", "\x00", '[trigger]\nquestion = ""\n'):
        path.write_text(text)
        reload()
    path.unlink()
    reload()
    assert watcher._limits.deadline_ms == 700.0
    assert caplog.text.count("the configuration is not taken, the one before stays") == 6


def test_the_same_file_again_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    reloader(tmp_path, "[limits]\ndeadline_ms = 700\n")[0]()
    assert "nothing has changed" in caplog.text


def test_to_and_from_the_policy_without_a_cloud_a_restart_is_needed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reload, _, policy, path = reloader(tmp_path, '[policy]\nname = "local"\n')
    path.write_text('[policy]\nname = "msao"\n')
    reload()
    assert policy.name == "local"
    assert "only after a restart: policy.name" in caplog.text


def test_a_running_agent_reads_its_configuration_again_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'[run]\nstate_dir = "{tmp_path}"\n')
    command = [sys.executable, "-m", "edge_agent", "serve", "--port", "0", "--json", "--config", str(path)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stderr is not None
    try:
        line = child.stdout.readline()
        url = json.loads(line)["url"]
        for _ in range(600):
            with contextlib.suppress(OSError), urllib.request.urlopen(url + "/readyz") as reply:
                if reply.status == 200:
                    break
            time.sleep(0.1)
        path.write_text(f'[run]\nstate_dir = "{tmp_path}"\n[limits]\ndeadline_ms = 1234\n')
        os.kill(child.pid, signal.SIGHUP)
        assert "applied: limits.deadline_ms" in child.stderr.readline()
        assert child.poll() is None
    finally:
        child.terminate()
        child.wait(30)
        child.stdout.close()
        child.stderr.close()


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    monkeypatch.delenv("EDGE_AGENT_CLOUD_TOKEN", raising=False)
    monkeypatch.delenv("EDGE_AGENT_API_TOKEN", raising=False)
    return folder


def test_a_secret_comes_from_the_environment_a_file_or_a_credential(
    tmp_path: Path, credentials: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cloud_secret(Config()).value() is None
    (credentials / "cloud-token").write_text("from-systemd\n")
    assert cloud_secret(Config()).value() == "from-systemd"
    assert api_secret(Config()).value() is None
    (tmp_path / "token").write_text("from-file\n")
    config = tmp_path / "c.toml"
    config.write_text(f'[cloud]\ntoken_file = "{tmp_path}/token"\n')
    assert cloud_secret(load(config).config).value() == "from-file"
    monkeypatch.setenv("EDGE_AGENT_CLOUD_TOKEN", "from-environment")
    assert cloud_secret(load(config).config).value() == "from-environment"


@pytest.mark.parametrize("content", ["", "two words", "\xfc", "x" * 5000])
def test_a_credential_that_is_no_token_is_refused_by_name(credentials: Path, content: str) -> None:
    (credentials / "api-token").write_text(content)
    with pytest.raises(UsageError, match="api-token"):
        api_secret(Config()).value()


def test_secrets_are_never_shown(tmp_path: Path, credentials: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (credentials / "cloud-token").write_text("hunter2\n")
    config = tmp_path / "c.toml"
    config.write_text('[run]\ncamera = "rtsp://admin:hunter2@cam/1"\n')
    for command in ("explain", "diff"):
        for flags in ([], ["--json"]):
            assert main(["config", command, "--config", str(config), *flags]) == 0
            shown = capsys.readouterr().out
            assert "hunter2" not in shown
            assert "***@cam/1" in shown
            assert str(credentials / "cloud-token") in shown


def test_diff_says_what_the_default_is_and_what_a_change_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[limits]\ndeadline_ms = 7\n[model]\nthreads = 2\n")
    assert main(["config", "diff", "--config", str(config)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "model.threads = 2"
    assert f"default 1, from {config}, needs a restart" in shown[1]
    assert shown[2] == "limits.deadline_ms = 7.0"
    assert "SIGHUP applies it" in shown[3]


def test_explain_takes_the_settings_that_are_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "explain", "outbox", "cloud.url", "--json"]) == 0
    rows = [json.loads(line)["key"] for line in capsys.readouterr().out.splitlines()]
    assert rows == ["cloud.url", "outbox.keep", "outbox.max_mb", "outbox.max_age_h", "outbox.quiet_s"]
    assert main(["config", "explain", "outbocks"]) == 2
    assert "did you mean 'outbox'" in capsys.readouterr().err
