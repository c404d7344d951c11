"""How systemd says the service is: running or not, since when, restarted how often, and its own words."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

from edge_agent.errors import InputError

UNIT = "edge-agent.service"
ASKED = ("LoadState", "ActiveState", "SubState", "StatusText", "NRestarts", "Result", "MainPID", "MemoryCurrent")
TIMEOUT_S = 10.0
MOST = 1 << 62  # systemd's "unknown" is the largest 64-bit number


@dataclass(frozen=True, slots=True)
class State:
    """`state` in systemd's words (`active`, `inactive`, `failed`, ...) or `not installed`; `words` its own."""

    state: str
    detail: str = ""
    words: str = ""
    restarts: int = 0
    pid: int | None = None
    memory_mib: float | None = None

    @property
    def runs(self) -> bool:
        return self.state in ("active", "reloading")


def read_state() -> State:
    """Ask systemd. Raises InputError where it does not run."""
    command = [tool("systemctl"), "show", UNIT, *(f"--property={name}" for name in ASKED)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"systemctl cannot be asked: {error}", "systemctl status edge-agent") from error
    if done.returncode:
        said = " ".join(done.stderr.split())[:200] or f"exit code {done.returncode}"
        raise InputError(f"systemd does not answer: {said}", "start the agent yourself: edge-agent run")
    return parse(done.stdout)


def parse(text: str) -> State:
    """What `systemctl show` prints, as a State; unknown numbers are left out."""
    told = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    if told.get("LoadState", "not-found") == "not-found":
        return State("not installed")
    active, result = told.get("ActiveState", "unknown"), told.get("Result", "success")
    detail = told.get("SubState", "") if result in ("success", "") else f"{told.get('SubState', '')}: {result}"
    pid, memory = _number(told.get("MainPID")), _number(told.get("MemoryCurrent"))
    return State(
        active,
        detail,
        told.get("StatusText", ""),
        _number(told.get("NRestarts")) or 0,
        pid or None,
        None if memory is None else round(memory / (1 << 20), 1),
    )


def tool(name: str) -> str:
    """Where a program of systemd's lies. Raises InputError where there is none."""
    path = shutil.which(name)
    if path is None:
        raise InputError(f"there is no {name} here", "a service needs systemd; without: edge-agent run")
    return path


def show_journal(lines: int, follow: bool, as_json: bool) -> None:
    """Become journalctl, for this service's lines. Raises InputError."""
    path = tool("journalctl")
    more = [*(["--follow"] if follow else ["--no-pager"]), *(["--output=json"] if as_json else [])]
    try:
        os.execv(path, [path, f"--unit={UNIT}", f"--lines={lines}", *more])
    except OSError as error:
        raise InputError(f"{path} cannot be started: {error.strerror}", "journalctl -u edge-agent") from error


def _number(text: str | None) -> int | None:
    if text is None or not text.isascii() or not text.isdigit():
        return None
    number = int(text)
    return number if number < MOST else None
