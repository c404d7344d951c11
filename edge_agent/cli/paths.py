"""Paths that people and systemd name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from edge_agent.config import Config
from edge_agent.config.loading import home
from edge_agent.errors import UsageError


class Named(click.Path):
    """A path that somebody named; an empty one, as of a shell's variable that is not set, is not the folder here."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in ("", b""):
            self.fail("the path is empty: name a file or folder", param, ctx)
        return super().convert(value, param, ctx)


FILE = Named(path_type=Path, readable=False)  # what cannot be read is the source's to say, with its own exit code
FOLDER = Named(path_type=Path, file_okay=False)


def user_path(text: str) -> Path:
    """A path as people write it, with `~`. Raises UsageError for the home of somebody unknown."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{text[:200]}: {error}", "write the path without ~") from error


def state_dir(config: Config) -> Path:
    """Where decision log and ledger live: the setting, systemd's STATE_DIRECTORY, or the user's state folder."""
    if config.run.state_dir:
        return user_path(config.run.state_dir)
    if os.environ.get("STATE_DIRECTORY"):
        return Path(os.environ["STATE_DIRECTORY"].split(":")[0])
    return Path(os.environ.get("XDG_STATE_HOME") or home() / ".local" / "state") / "edge-agent"
