"""Runs in the container: sees the unit become ready, stalls its event loop, stops it. usage: inside.py FINDINGS.json"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

UNIT = "edge-agent"
API = "http://127.0.0.1:8686"
AT_ONCE = 4
claims: list[dict[str, Any]] = []


def property_of(name: str) -> str:
    done = subprocess.run(["systemctl", "show", "-P", name, UNIT], capture_output=True, text=True)
    return done.stdout.strip()


def until(what: str, holds: Callable[[], bool], most_s: float) -> bool:
    """Whether it holds within `most_s`; a claim either way, with the seconds it took."""
    began_s = time.monotonic()
    while not (shown := holds()) and time.monotonic() - began_s < most_s:
        time.sleep(0.2)
    claim(what, shown, f"{time.monotonic() - began_s:.1f} s")
    return shown


def claim(what: str, shown: bool, figure: str) -> None:
    claims.append({"claim": what, "shown": shown, "figure": figure})
    print(("shown: " if shown else "NOT SHOWN: ") + what + " (" + figure + ")", flush=True)


def active() -> bool:
    return property_of("ActiveState") == "active"


def healthy() -> bool:
    try:
        with urllib.request.urlopen(f"{API}/readyz", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def ask(answers: list[Any]) -> None:
    try:
        with urllib.request.urlopen(f"{API}/v1/models", timeout=5) as response:
            model = json.load(response)["data"][0]["id"]
        question = {"model": model, "messages": [{"role": "user", "content": "what is in the picture?"}]}
        head = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{API}/v1/chat/completions", json.dumps(question).encode(), head)
        with urllib.request.urlopen(request, timeout=60) as response:
            answers.append(json.load(response)["choices"][0]["message"]["content"])
    except (OSError, KeyError) as error:
        answers.append(error)


def journal() -> str:
    return subprocess.run(["journalctl", "-u", UNIT, "-o", "cat"], capture_output=True, text=True).stdout


def play() -> None:
    until("the unit becomes READY", active, 180)
    until("it watches: /readyz says so", healthy, 60)
    first = property_of("MainPID")
    subprocess.run(["systemctl", "kill", "--kill-whom=main", "-s", "USR2", UNIT], check=False)
    began_s = time.monotonic()
    restarted = until(
        "an event loop that stands still is ended by the watchdog (WatchdogSec=30) and the unit started again",
        lambda: property_of("NRestarts") not in ("", "0"),
        90,
    )
    if restarted:
        until("it is READY again, as another process", lambda: active() and property_of("MainPID") != first, 180)
        claim("from the stall to READY again", active(), f"{time.monotonic() - began_s:.1f} s")
    claim("the journal says that it was the watchdog", "Watchdog timeout" in journal(), "journalctl -u edge-agent")
    until("it watches again", healthy, 60)
    answers: list[Any] = []
    asking = [threading.Thread(target=ask, args=(answers,)) for _ in range(AT_ONCE)]
    for one in asking:
        one.start()
    time.sleep(0.1)
    open_then = AT_ONCE - len(answers)
    began_s = time.monotonic()
    subprocess.run(["systemctl", "stop", UNIT], check=False)
    stopped_s = time.monotonic() - began_s
    for one in asking:
        one.join(30)
    answered = sum(isinstance(one, str) for one in answers)
    claim("what was being asked when the stop came was answered", answered == AT_ONCE and open_then > 0,
          f"{open_then} of {AT_ONCE} questions were open, {answered} were answered: {answers[:1]!r:.60}")  # fmt: skip
    result = (property_of("Result"), property_of("ExecMainStatus"))
    claim("it drained and stopped by itself (TimeoutStopSec=15)", result == ("success", "0") and stopped_s < 15,
          f"{stopped_s:.1f} s, {result[0]}, exit code {result[1]}")  # fmt: skip
    security = subprocess.run(["systemd-analyze", "security", UNIT], capture_output=True, text=True).stdout
    score = re.search(r"Overall exposure level for \S+: ([0-9.]+)", security)
    claim("systemd-analyze security is at most 2.0", score is not None and float(score[1]) <= 2.0,
          score[1] if score else security[-80:])  # fmt: skip


if __name__ == "__main__":
    try:
        play()
    finally:
        version = subprocess.run(["systemctl", "--version"], capture_output=True, text=True).stdout.split("\n")[0]
        found = {"systemd": version, "claims": claims, "journal": journal().splitlines()[-25:]}
        Path(sys.argv[1]).write_text(json.dumps(found), encoding="utf-8")
        subprocess.run(["systemctl", "poweroff", "--force", "--force"], check=False)
