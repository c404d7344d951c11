"""The systemd unit: its text for this installation, and putting it into its place and away again."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from edge_agent.errors import UsageError

UNIT_NAME = "edge-agent.service"
UNIT_PATH = Path("/etc/systemd/system") / UNIT_NAME
CONFIG_PATH = Path("/etc/edge-agent/config.toml")
MARK = "# Made by `edge-agent service install`"
USER_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
TEMPORARY = (Path("/tmp"), Path("/var/tmp"))


def executable() -> list[str]:
    """How this installation is started: the `edge-agent` beside this Python, or this Python with `-m edge_agent`."""
    script = Path(sys.executable).parent / "edge-agent"
    if script.is_file() and os.access(script, os.X_OK):
        return [str(script)]
    called = Path(sys.argv[0])
    if called.name == "edge-agent" and called.is_file() and os.access(called, os.X_OK):
        return [str(called.resolve())]
    return [sys.executable, "-m", "edge_agent"]


def render(command: Sequence[str], config: Path = CONFIG_PATH, user: str | None = None) -> str:
    """The unit for `command` (its first part an absolute path) as `user`, or as a user that systemd makes.

    Raises UsageError for a path or name that cannot stand in a unit.
    """
    if user is not None and not USER_NAME.fullmatch(user):
        raise UsageError(f"{user!r:.60} is no name of a user", "use small letters, digits, - and _")
    if not config.is_absolute():
        raise UsageError(f"the configuration {config} is not an absolute path", f"--config {config.resolve()}")
    start = " ".join(quoted(word) for word in (*command, "run", "--config", str(config), "--json"))
    needed = (Path(command[0]), Path(command[0]).resolve(), config)
    in_home = any(path.is_relative_to(home) for path in needed for home in HOMES)
    values = {
        "@EXEC_START@": start,
        "@IDENTITY@": "DynamicUser=yes" if user is None else f"User={user}",
        "@PROTECT_HOME@": "read-only" if in_home else "yes",
    }
    text = (files("edge_agent.service") / UNIT_NAME).read_text(encoding="utf-8")
    for mark, value in values.items():
        text = text.replace(mark, value)
    return text


def quoted(word: str) -> str:
    """A word as ExecStart= takes it literally; see "Quoting" and "Command lines" in systemd.service(5)."""
    if any(ord(character) < 32 or ord(character) == 127 for character in word):
        raise UsageError(f"{word!r:.80} cannot stand in a unit", "use a path without control characters")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return escaped if re.fullmatch(r"[\w@%+=:,./$-]+", escaped) else f'"{escaped}"'


def out_of_reach(path: Path, uid: int | None = None, gids: Sequence[int] = ()) -> Path | None:
    """The first folder on the way to `path` that the service's user may not enter; None if the way is free.

    Without `uid`: a user that systemd makes, who is nobody's owner. /tmp counts, as the service gets one of its own.
    """
    for folder in reversed(path.parents):
        if folder in TEMPORARY:
            return folder
        try:
            status = folder.stat()
        except OSError:
            return folder
        if uid == 0:
            continue
        if uid is not None and status.st_uid == uid:
            needed = stat.S_IXUSR
        else:
            needed = stat.S_IXGRP if status.st_gid in gids else stat.S_IXOTH
        if not status.st_mode & needed:
            return folder
    return None


def install(text: str, path: Path = UNIT_PATH) -> bool:
    """Write the unit in one step; False if it was there, word for word. Raises UsageError.

    A unit that somebody else wrote is never overwritten.
    """
    try:
        if path.exists():
            before = path.read_text(encoding="utf-8", errors="replace")
            if before == text:
                return False
            _check_ours(before, path)
        _write(text, path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}", "see `--dry-run`") from error
    return True


def uninstall(path: Path = UNIT_PATH) -> bool:
    """Take the unit and its links in *.wants away; False if it was not there. Raises UsageError."""
    try:
        if not path.exists():
            return False
        _check_ours(path.read_text(encoding="utf-8", errors="replace"), path)
        for link in path.parent.glob(f"*.wants/{path.name}"):
            link.unlink()
        path.unlink()
    except OSError as error:
        raise UsageError(f"{path} cannot be removed: {error.strerror or error}", f"sudo rm {path}") from error
    return True


def self_command(*arguments: str) -> str:
    """The line that runs this edge-agent as root; sudo does not look where a user's programs lie."""
    words = [*executable(), *arguments]
    known = shutil.which("edge-agent", path="/usr/local/bin:/usr/bin:/bin")
    if known is not None and Path(known).resolve() == Path(words[0]).resolve():
        words[0] = "edge-agent"
    return "sudo " + " ".join(words)


def _check_ours(text: str, path: Path) -> None:
    if not text.startswith(MARK):
        raise UsageError(f"{path} was not made by edge-agent", "move it away first")


def _write(text: str, path: Path) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
