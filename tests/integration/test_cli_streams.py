"""`edge-agent run` at a terminal that another job has, and into a pipe that nobody reads: neither makes it hang."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
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


def test_sigterm_is_heard_where_nobody_reads_stdout(tmp_path: Path) -> None:
    log = Path(os.environ["XDG_STATE_HOME"]) / "edge-agent" / "decisions.jsonl"
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, bytes(1024))
    os.set_blocking(writing, True)
    command = [*AGENT, *WATCH, clip_of_two_scenes(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=writing) as process:
        try:
            while not log.is_file():
                assert process.poll() is None
                time.sleep(0.05)
            time.sleep(0.5)  # now the first answer is on its way into the pipe
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
            os.close(writing)
            os.close(reading)
