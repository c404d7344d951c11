"""Tokens: from the environment, a file, or systemd's credentials; never printed but as `***`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_agent.cli.paths import user_path
from edge_agent.config import Config
from edge_agent.errors import UsageError

MAX_TOKEN_BYTES = 4096
HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret that may be set: `variable` wins over the file that `setting` names, and that over the credential of
    systemd (a file of that name in CREDENTIALS_DIRECTORY, which LoadCredential= makes).
    """

    key: str
    variable: str
    setting: str
    credential: str
    file: str

    def origin(self) -> str:
        """Where its value comes from, in words; empty where it is not set."""
        if os.environ.get(self.variable):
            return self.variable
        if self.file:
            return self.file
        path = self._credential()
        return "" if path is None else str(path)

    def value(self) -> str | None:
        """The secret; None if it is not set. Raises UsageError for one that cannot be read or is none."""
        if os.environ.get(self.variable):
            return _checked(os.environ[self.variable], self.variable)
        if self.file:
            return _read(user_path(self.file), self.setting)
        path = self._credential()
        return None if path is None else _read(path, "the credential")

    def _credential(self) -> Path | None:
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        path = Path(folder) / self.credential if folder else None
        return path if path is not None and path.exists() else None


def cloud_secret(config: Config) -> Secret:
    """The bearer token for the cloud."""
    names = ("cloud.token", "EDGE_AGENT_CLOUD_TOKEN", "cloud.token_file", "cloud-token")
    return Secret(*names, config.cloud.token_file)


def api_secret(config: Config) -> Secret:
    """The bearer token that clients of the API must send."""
    return Secret("api.token", "EDGE_AGENT_API_TOKEN", "api.token_file", "api-token", config.api.token_file)


def mqtt_secret(config: Config) -> Secret:
    """The password for the MQTT broker."""
    names = ("mqtt.password", "EDGE_AGENT_MQTT_PASSWORD", "mqtt.password_file", "mqtt-password")
    return Secret(*names, config.mqtt.password_file)


def secrets(config: Config) -> Iterator[Secret]:
    """All of them."""
    yield cloud_secret(config)
    yield api_secret(config)
    yield mqtt_secret(config)


def _read(path: Path, origin: str) -> str:
    try:
        if not path.exists():
            raise UsageError(f"{origin} {path} is not there", "name a file that holds nothing else")
        if not path.is_file() or path.stat().st_size > MAX_TOKEN_BYTES:
            words = f"{origin} {path} is no regular file of at most {MAX_TOKEN_BYTES} bytes"
            raise UsageError(words, "name a file that holds nothing else")
        return _checked(path.read_text(encoding="utf-8"), f"{origin} {path}")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{origin} {path} cannot be read: {error}", "name a readable text file") from error


def _checked(text: str, origin: str) -> str:
    token = text.strip()
    if len(token) > MAX_TOKEN_BYTES:
        raise UsageError(
            f"{origin} holds {len(token)} characters, a token has at most {MAX_TOKEN_BYTES}", "take a shorter"
        )
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(f"{origin} holds no token", "a token is one line of printable characters without spaces")
    return token
