"""One file to attach to a bug report: what the doctor found, versions, settings and counts; nothing private in it.

Left out: questions, answers, pictures, sounds, addresses, names of users, machines and folders of theirs, secrets.
"""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import socket
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Any

from edge_agent import __version__
from edge_agent.cli.checks.base import Check
from edge_agent.cli.paths import state_dir
from edge_agent.cli.secrets import HIDDEN, Secret, secrets
from edge_agent.config import Loaded
from edge_agent.config.loading import home
from edge_agent.errors import UsageError

MOST_LOG_BYTES = 4_000_000
MODEL = Path("/proc/device-tree/model")
OURS = (
    *("numpy", "opencv-python-headless", "opencv-python", "onnxruntime", "onnxruntime-gpu", "tokenizers", "av"),
    *("zstandard", "aiohttp", "click", "rich", "psutil", "sounddevice", "aiomqtt", "ai-edge-litert", "tflite-runtime"),
)
URL = re.compile(r"\b([a-z][a-z0-9+.-]{1,15})://(?:\[[0-9a-f:]+\])?[^\s\"'<>,;)\]]*", re.IGNORECASE)
LOOPBACK = re.compile(r"^[a-z0-9+.-]+://(127\.[0-9.]+|localhost|\[::1\])(:\d+)?", re.IGNORECASE)
ADDRESS = re.compile(r"\b(?!127\.)\d{1,3}(?:\.\d{1,3}){3}\b")
ADDRESS_6 = re.compile(  # also a network card's; not a time of day, and not this machine's own
    r"(?<![\w:])(?!::1\b)(?=\S*::|(?:[0-9a-f]*:){3})(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{1,4}(?![\w:])", re.IGNORECASE
)
MAIL = re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.-]+\b")
NAMED = re.compile(r"(?i)\b(token|password|passwd|secret|api[-_]?key|authorization)(\"?\s*[:=]\s*)(\S+)")


class Redactor:
    """Takes out of text what is nobody else's business."""

    def __init__(
        self, values: Iterable[str] = (), user: str = "", machine: str = "", folder: Path | None = None
    ) -> None:
        self._values = sorted((value for value in values if len(value) >= 4), key=len, reverse=True)
        self._folder = "" if folder is None or len(folder.parts) < 2 else str(folder)
        names = ((user, "USER"), (machine, "MACHINE"))
        self._names = [(re.compile(rf"\b{re.escape(name)}\b"), said) for name, said in names if len(name) >= 3]

    def __call__(self, text: str) -> str:
        text = URL.sub(_short, text)
        for value in self._values:
            text = text.replace(value, HIDDEN)
        if self._folder:
            text = text.replace(self._folder, "~")
        text = NAMED.sub(rf"\1\2{HIDDEN}", text)
        for pattern in (MAIL, ADDRESS, ADDRESS_6):
            text = pattern.sub(HIDDEN, text)
        for name, said in self._names:
            text = name.sub(said, text)
        return text

    def tree(self, value: Any) -> Any:
        """The same of every text in what JSON can hold."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, dict):
            return {key: self.tree(one) for key, one in value.items()}
        return [self.tree(one) for one in value] if isinstance(value, list) else value


def _short(found: re.Match[str]) -> str:
    """Of an address on this machine host and port, of another its scheme alone."""
    here = LOOPBACK.match(found[0])
    return here[0] if here else f"{found[1]}://{HIDDEN}"


def redactor_of(loaded: Loaded) -> Redactor:
    """For this user, this machine and these settings."""
    values = [_value(secret) for secret in secrets(loaded.config)]
    for one in loaded.settings():
        if isinstance(one.value, str) and one.value not in (one.default, *one.choices):
            values += [one.value, one.value.split("@")[-1], one.value.split("://")[-1]]
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = ""
    return Redactor(values, "" if user == "root" else user, socket.gethostname(), home())


def _value(secret: Secret) -> str:
    try:
        return secret.value() or ""
    except UsageError:
        return ""  # what cannot be read cannot be told either


def write_report(path: Path, checks: list[Check], loaded: Loaded) -> None:
    """Write the report, for its owner alone to read. Raises UsageError where it cannot be written or is there."""
    made = report_of(checks, loaded)
    redacted = {**redactor_of(loaded).tree(made), "packages": made["packages"]}  # whose versions look like addresses
    text = json.dumps(redacted, indent=1, ensure_ascii=True) + "\n"
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(text)
    except FileExistsError as error:
        raise UsageError(f"{path} is there already", "name another file, or remove it") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}", "name another file") from error


def report_of(checks: list[Check], loaded: Loaded) -> dict[str, Any]:
    """Everything, before it is redacted."""
    folder = state_dir(loaded.config)
    return {
        "edge_agent": __version__,
        "machine": {"model": _text(MODEL), "kernel": platform.release(), "processor": platform.machine()},
        "system": _system(),
        "python": sys.version.split()[0],
        "packages": _packages(),
        "checks": [
            {"name": one.name, "status": one.status.value, "detail": one.detail, "fix": one.fix} for one in checks
        ],
        "settings": {one.key: _shown(one.value, one.choices) for one in loaded.settings() if one.value != one.default},
        "outbox": _outbox(folder / "outbox.sqlite3"),
        "decisions": _decisions(folder / "decisions.jsonl"),
    }


def _shown(value: Any, choices: tuple[str, ...]) -> Any:
    """Numbers, switches and choices as they are; of what people wrote only how long it is."""
    if isinstance(value, str) and value not in choices:
        return f"({len(value)} characters)"
    return value if isinstance(value, (str, int, float, bool)) else f"({len(value)} entries)"


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""


def _packages() -> dict[str, str]:
    found = {str(one.metadata["Name"]).lower(): one.version for one in metadata.distributions()}
    return {name: found[name] for name in OURS if name in found}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0 \n")
    except OSError:
        return ""


def _outbox(path: Path) -> dict[str, Any]:
    """How many questions wait and what became of the others; none of their words."""
    if not path.is_file():
        return {}
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)) as db:
            (waiting,) = db.execute("SELECT COUNT(*) FROM waiting").fetchone()
            return {"waiting": waiting, **dict(db.execute("SELECT name, CAST(n AS INTEGER) FROM counts").fetchall())}
    except (sqlite3.Error, UnicodeDecodeError) as error:
        return {"unreadable": type(error).__name__}


def _decisions(path: Path) -> dict[str, Any]:
    """Of the last decisions: how many went where, by which policy, and how the others failed."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - MOST_LOG_BYTES))
            lines = file.read(MOST_LOG_BYTES).splitlines()
    except OSError:
        return {}
    counts: dict[str, Counter[str]] = {
        "routes": Counter(),
        "policies": Counter(),
        "guards": Counter(),
        "errors": Counter(),
    }
    for line in lines:
        try:
            one = json.loads(line)
            decision, outcome, error = one["decision"], one.get("outcome"), one.get("error")
            counts["policies"][str(decision["policy"])] += 1
            counts["guards"].update(str(guard).split(":")[0] for guard in decision.get("guards", ()))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue  # the first line is cut, and others may be
        counts["routes"][str(outcome["route"]) if isinstance(outcome, dict) else "refused"] += 1
        if error:
            counts["errors"][str(error).split(":")[0][:80]] += 1
    return {name: dict(found.most_common(20)) for name, found in counts.items()}
