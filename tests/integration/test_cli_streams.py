"""`edge-agent run` at a terminal that another job has goes on."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

from media import make_clip

AGENT = [sys.executable, "-m", "edge_agent"]
WATCH = ("run", "--fast", "--json", "--cloud", "", "--clip")
AT_A_TERMINAL = "import pty, sys; pty.spawn(sys.argv[1:])"


def clip_of_two_scenes(folder: Path) -> str:
    return str(make_clip(folder / "c.mp4", [60] * 20 + [180] * 20))


def test_in_the_background_of_a_terminal_it_goes_on(tmp_path: Path) -> None:
    """In a script `timeout` makes its command a background job, which the kernel stops where it reads the terminal."""
    watching = shlex.join([*AGENT, *WATCH, clip_of_two_scenes(tmp_path)])
    script = ["sh", "-c", f"timeout -k 1 60 {watching}; echo over"]
    terminal = [sys.executable, "-c", AT_A_TERMINAL, *script]
    done = subprocess.run(terminal, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [answer["trigger"] for answer in answers] == ["change", "change"], done.stdout
    assert "over" in done.stdout
