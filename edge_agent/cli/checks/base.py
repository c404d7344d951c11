"""A check's result, and probes: Python run in a child process, so that a crash of native code is only a finding."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

PROBE_TIMEOUT_S = 30.0
MODULE = "edge_agent.cli.checks.probes"
_OURS = Path(__file__).resolve().parents[3]
_CHILD = """
import json, sys
sys.path[:] = [*filter(None, sys.path), sys.argv[4]]
from importlib import import_module
probes = import_module(sys.argv[1])
print("\\n" + json.dumps(getattr(probes, sys.argv[2])(**json.loads(sys.argv[3]))))
"""
"""Without the working folder on the path: a file called numpy.py there is nobody's business. Our own package's folder
comes last, for those who run from the source tree.
"""


class Status(str, Enum):
    """How a check went. `unknown`: this machine does not let us see it."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor's report. `fix` is what to type; `exit_code` is not 0 where no answer can be given."""

    name: str
    status: Status
    detail: str
    fix: str = ""
    exit_code: int = 0


@dataclass(frozen=True, slots=True)
class Probed:
    """What a child process found: `values`, or `error` in words; `crashed` if a signal or the time limit ended it."""

    values: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    crashed: bool = False


def probe(name: str, /, *, within_s: float = PROBE_TIMEOUT_S, probes: str = MODULE, **arguments: Any) -> Probed:
    """Run function `name` of the module `probes` in a new interpreter; it takes and returns what JSON can hold.

    Never raises.
    """
    command = [sys.executable, "-c", _CHILD, probes, name, json.dumps(arguments), str(_OURS)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=within_s
        )
    except subprocess.TimeoutExpired:
        return Probed(error=f"no answer within {within_s:g} s", crashed=True)
    except (OSError, ValueError) as error:
        return Probed(error=f"no process could be started: {error}", crashed=True)
    if done.returncode < 0:
        return Probed(error=signal_words(-done.returncode), crashed=True)
    if done.returncode > 0:
        return Probed(error=last_line(done.stderr) or f"ended with exit code {done.returncode}")
    return _read(done.stdout)


def _read(output: str) -> Probed:
    try:
        values = json.loads(last_line(output, len(output)))
    except ValueError:
        return Probed(error="the probe's answer cannot be read")
    return Probed(values) if isinstance(values, dict) else Probed(error="the probe's answer cannot be read")


def signal_words(number: int) -> str:
    """What a signal that ended a process means to the person who runs it."""
    words = {
        signal.SIGILL: "illegal instruction: it was built for a processor with more instructions than this one",
        signal.SIGSEGV: "segmentation fault",
        signal.SIGBUS: "bus error: unaligned access, or a file that was cut short while in use",
        signal.SIGABRT: "it aborted itself",
        signal.SIGKILL: "killed, most likely because memory ran out",
        signal.SIGFPE: "arithmetic fault",
    }
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"ended by signal {number}"
    meaning = words.get(signal.Signals(number), "ended by a signal")
    return f"{meaning} ({name})"


def last_line(text: str, longest: int = 300) -> str:
    """The last line with something on it: of a traceback, the error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:longest] if lines else ""
