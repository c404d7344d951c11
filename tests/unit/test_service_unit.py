"""The unit's text, and putting it into its place and away again; nothing under /etc is touched."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from edge_agent.cli.main import main
from edge_agent.errors import UsageError
from edge_agent.service import unit

PROGRAM = ["/opt/edge-agent/bin/edge-agent"]


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_the_unit_starts_this_program_with_the_services_configuration():
    wanted = "ExecStart=/opt/edge-agent/bin/edge-agent run --config /etc/edge-agent/config.toml --json"
    assert wanted in lines(unit.render(PROGRAM))


def test_no_placeholder_is_left_and_no_setting_stands_twice_but_those_that_are_lists():
    text = unit.render(PROGRAM)
    assert not [line for line in lines(text) if line.count("@") and "SystemCallFilter" not in line]
    keys = [line.split("=")[0] for line in lines(text) if "=" in line]
    assert {key for key in keys if keys.count(key) > 1} == {"SystemCallFilter", "DeviceAllow"}


def test_it_is_notified_watched_and_always_restarted_except_when_its_configuration_is_wrong():
    found = lines(unit.render(PROGRAM))
    for line in ("Type=notify", "NotifyAccess=main", "WatchdogSec=30", "Restart=always", "RestartPreventExitStatus=2"):
        assert line in found


def test_without_a_name_systemd_makes_the_user():
    assert "DynamicUser=yes" in lines(unit.render(PROGRAM))
    named = lines(unit.render(PROGRAM, user="camera"))
    assert "User=camera" in named
    assert "DynamicUser=yes" not in named


@pytest.mark.parametrize(
    ("program", "config", "value"),
    [
        ("/opt/x/edge-agent", "/etc/c.toml", "yes"),
        ("/home/pi/.local/bin/edge-agent", "/etc/c.toml", "read-only"),
        ("/opt/x/edge-agent", "/home/pi/c.toml", "read-only"),
    ],
)
def test_homes_are_hidden_unless_the_program_or_its_configuration_lives_there(program, config, value):
    assert f"ProtectHome={value}" in lines(unit.render([program], Path(config)))


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("/opt/edge-agent/bin/edge-agent", "/opt/edge-agent/bin/edge-agent"),
        ("/srv/my cam/edge", '"/srv/my cam/edge"'),
        ("/srv/100%/$HOME", "/srv/100%%/$$HOME"),
        ('/srv/a"b\\c', '"/srv/a\\"b\\\\c"'),
        ("/srv/a;b", '"/srv/a;b"'),
        ("/srv/a'b", '"/srv/a\'b"'),
    ],
)
def test_a_path_is_quoted_so_that_systemd_takes_it_literally(word, wanted):
    assert unit.quoted(word) == wanted


@pytest.mark.parametrize("word", ["/srv/a\nUser=root", "/srv/\x00", "/srv/\x7f"])
def test_a_path_cannot_add_lines_to_the_unit(word):
    with pytest.raises(UsageError):
        unit.render([word])


@pytest.mark.parametrize("user", ["", "Root", "a b", "x\nUser=root", "-x", "a" * 40])
def test_a_name_that_is_no_users_is_refused(user):
    with pytest.raises(UsageError):
        unit.render(PROGRAM, user=user)


def test_a_relative_configuration_is_refused_with_the_absolute_one():
    with pytest.raises(UsageError, match=str(Path.cwd())):
        unit.render(PROGRAM, Path("config.toml"))


def test_installing_writes_the_unit_once_for_everybody_to_read(tmp_path):
    path = tmp_path / "system" / "edge-agent.service"
    path.parent.mkdir()
    text = unit.render(PROGRAM)
    assert unit.install(text, path)
    assert path.read_text() == text
    assert path.stat().st_mode & 0o777 == 0o644
    assert not unit.install(text, path)
    assert unit.install(unit.render(PROGRAM, user="camera"), path)
    assert [p.name for p in path.parent.iterdir()] == ["edge-agent.service"]


def test_a_unit_that_somebody_else_wrote_is_neither_overwritten_nor_removed(tmp_path):
    path = tmp_path / "edge-agent.service"
    path.write_text("[Service]\nExecStart=/usr/local/bin/mine\n")
    with pytest.raises(UsageError, match="not made by edge-agent"):
        unit.install(unit.render(PROGRAM), path)
    with pytest.raises(UsageError, match="not made by edge-agent"):
        unit.uninstall(path)
    assert "mine" in path.read_text()


def test_uninstalling_takes_the_unit_and_its_link_and_nothing_else(tmp_path):
    path = tmp_path / "edge-agent.service"
    unit.install(unit.render(PROGRAM), path)
    wants = tmp_path / "multi-user.target.wants"
    wants.mkdir()
    (wants / path.name).symlink_to(path)
    (wants / "other.service").touch()
    assert unit.uninstall(path)
    assert not path.exists()
    assert [p.name for p in wants.iterdir()] == ["other.service"]
    assert not unit.uninstall(path)


def test_a_folder_that_cannot_be_written_to_is_one_named_error(tmp_path):
    with pytest.raises(UsageError, match="cannot be written"):
        unit.install("text", tmp_path / "gone" / "edge-agent.service")


def test_a_folder_that_the_services_user_may_not_enter_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(unit, "TEMPORARY", ())
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o750)
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            shut = folder  # the test's own folder may be shut already; the outermost one is named
    program = tmp_path / "shut" / "bin" / "edge-agent"
    program.parent.mkdir()
    assert unit.out_of_reach(program) == shut
    assert unit.out_of_reach(program, uid=os.getuid(), gids=os.getgroups()) is None


def test_a_program_under_tmp_is_out_of_reach_for_the_service_gets_a_tmp_of_its_own():
    assert unit.out_of_reach(Path("/tmp/venv/bin/edge-agent")) == Path("/tmp")


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """Where the command installs to in this test, as if by root, with a program that is in everybody's reach."""
    path = tmp_path / "system" / "edge-agent.service"
    path.parent.mkdir()
    monkeypatch.setattr(unit, "UNIT_PATH", path)
    monkeypatch.setattr(unit, "out_of_reach", lambda *_: None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return path


def test_dry_run_prints_the_unit_and_writes_nothing(place, monkeypatch, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["service", "install", "--dry-run"]) == 0
    assert capsys.readouterr().out == unit.render(unit.executable())
    assert main(["service", "uninstall", "--dry-run"]) == 0
    assert "not installed" in capsys.readouterr().out
    assert not place.exists()


def test_dry_run_says_what_would_keep_the_service_from_starting(place, monkeypatch, capsys):
    monkeypatch.setattr(unit, "out_of_reach", lambda *_: Path("/home/pi"))
    assert main(["service", "install", "--dry-run", "--json"]) == 0
    assert "/home/pi is closed" in json.loads(capsys.readouterr().out)["problem"]
    assert main(["service", "install"]) == 2
    assert "python3 -m venv /opt/edge-agent" in capsys.readouterr().err
    assert not place.exists()


@pytest.mark.parametrize("words", [["install"], ["uninstall"], ["install", "--config", "/srv/my.toml"]])
def test_without_root_one_line_says_the_command_with_sudo(place, monkeypatch, capsys, words):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["service", *words]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert f"service {' '.join(words)}" in said.err
    assert "sudo " in said.err
    assert said.out == ""
    assert not place.exists()


def test_root_installs_it_and_is_told_the_next_commands(place, capsys):
    assert main(["service", "install"]) == 0
    shown = capsys.readouterr().out
    assert place.read_text() == unit.render(unit.executable())
    for line in ("systemctl daemon-reload", "systemctl enable --now edge-agent", "/etc/edge-agent/config.toml"):
        assert line in shown
    assert main(["service", "install", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] is False


def test_root_uninstalls_it_and_doing_so_again_is_no_error(place, capsys):
    main(["service", "install"])
    capsys.readouterr()
    assert main(["service", "uninstall", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["changed"] is True
    assert "systemctl daemon-reload" in told["next"]
    assert not place.exists()
    assert main(["service", "uninstall"]) == 0
    assert "not installed" in capsys.readouterr().out


def test_a_python_out_of_reach_is_named_though_the_program_is_in_everybodys(place, monkeypatch, capsys):
    python = Path(sys.executable).resolve()
    monkeypatch.setattr(unit, "executable", lambda: ["/opt/edge-agent/bin/edge-agent"])
    monkeypatch.setattr(unit, "out_of_reach", lambda path, *_: Path("/root") if path == python else None)
    assert main(["service", "install"]) == 2
    assert f"could not start {python}, for /root is closed" in capsys.readouterr().err
    assert not place.exists()


def test_a_user_who_does_not_exist_is_named(place, capsys):
    assert main(["service", "install", "--user", "nobody-of-that-name"]) == 2
    assert "no user 'nobody-of-that-name'" in capsys.readouterr().err


def test_a_configuration_in_a_folder_that_may_not_be_looked_into_is_said_to_be_closed(place, monkeypatch, capsys):
    def exists(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(unit, "out_of_reach", lambda path, *_: Path("/root") if path.name == "c.toml" else None)
    monkeypatch.setattr(Path, "exists", exists)
    assert main(["service", "install", "--dry-run", "--config", "/root/x/c.toml"]) == 0
    assert "/root is closed" in capsys.readouterr().err
