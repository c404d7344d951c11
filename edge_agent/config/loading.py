"""Reading and checking the one TOML file of settings; what does not fit is refused by name."""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.config.settings import Config
from edge_agent.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_CONFIG_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Setting:
    """One leaf as `config explain` shows it. `origin` is `default`, the file's path, or the flag that set it. `live`:
    SIGHUP applies a change; others need a restart.
    """

    key: str
    value: Any
    default: Any
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    sentence: str
    live: bool = False
    origin: str = "default"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checked tree and where each value that is not a default came from."""

    config: Config
    origins: Mapping[str, str]

    def override(self, key: str, value: Any, origin: str) -> Loaded:
        """The same with `key` (`section.name`) set, checked like the file is. Raises UsageError."""
        section, name = key.split(".", 1)
        checked = _check(_leaf(section, name, origin), value, origin)
        branch = dataclasses.replace(getattr(self.config, section), **{name: checked})
        return Loaded(dataclasses.replace(self.config, **{section: branch}), {**self.origins, key: origin})

    def override_all(self, flags: Iterable[tuple[str, Any, str]]) -> Loaded:
        """The same with each `(key, value, origin)` laid over it whose value is not None. Raises UsageError."""
        loaded = self
        for key, value, origin in flags:
            if value is not None:
                loaded = loaded.override(key, value, origin)
        return loaded

    def settings(self) -> list[Setting]:
        """All leaves in order, each with its origin."""
        return [dataclasses.replace(leaf, origin=self.origins.get(leaf.key, "default")) for leaf in leaves(self.config)]


def leaves(config: Config) -> Iterator[Setting]:
    """Every setting of the tree, in file order."""
    for branch_field in dataclasses.fields(config):
        branch = getattr(config, branch_field.name)
        for leaf in dataclasses.fields(branch):
            yield Setting(
                key=f"{branch_field.name}.{leaf.name}",
                value=getattr(branch, leaf.name),
                default=leaf.default,
                **leaf.metadata,
            )


def live_keys(config: Config) -> frozenset[str]:
    """The settings that a running agent can change."""
    return frozenset(leaf.key for leaf in leaves(config) if leaf.live)


def nearest(word: str, known: Sequence[str]) -> str:
    """A hint that names the known word most like `word`, and all of them if none is near."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(known)


def home() -> Path:
    """The user's; /nonexistent, as Debian calls it, where there is none: a user that systemd makes has none."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/nonexistent")


def default_paths() -> list[Path]:
    """Where a configuration is looked for when none is named; the first that exists is read."""
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or home() / ".config")
    return [folder / "edge-agent" / "config.toml", Path("/etc/edge-agent/config.toml")]


def path_in_use(path: Path | None = None) -> Path | None:
    """The file that is read: `path`, or EDGE_AGENT_CONFIG, or the first default path that exists; None without any."""
    named = path or (Path(os.environ["EDGE_AGENT_CONFIG"]) if os.environ.get("EDGE_AGENT_CONFIG") else None)
    return named or next((p for p in default_paths() if os.path.isfile(p)), None)  # noqa: PTH113 - never raises


def load(path: Path | None = None) -> Loaded:
    """Read and check `path`, or EDGE_AGENT_CONFIG, or the first default path; without any, the defaults.

    Raises UsageError, on one line, for an unreadable file, bad TOML, an unknown key, a wrong type or range.
    """
    chosen = path_in_use(path)
    loaded = Loaded(Config(), {})
    if chosen is None:
        return loaded
    for section, branch in _read(chosen).items():
        known = [f.name for f in dataclasses.fields(Config)]
        if section not in known:
            raise UsageError(f"{chosen}: unknown section [{section[:80]}]", nearest(section, known))
        if not isinstance(branch, dict):
            raise UsageError(f"{chosen}: {section} is not a section", f"write [{section}] on a line of its own")
        for name, value in branch.items():
            loaded = loaded.override(f"{section}.{name}", value, str(chosen))
    return loaded


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise UsageError(f"{path}: larger than {MAX_CONFIG_BYTES} bytes", "this is no edge-agent configuration")
        tree: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return tree
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}", "name a readable file with --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path}: not TOML: {error}", "mend that line; `edge-agent config explain` lists the settings"
        ) from error


def _leaf(section: str, name: str, origin: str) -> Setting:
    known = {leaf.key: leaf for leaf in leaves(Config())}
    key = f"{section}.{name}"
    if key not in known:
        raise UsageError(f"{origin}: unknown setting {key[:80]}", nearest(key, list(known)))
    return known[key]


def _check(leaf: Setting, value: Any, origin: str) -> Any:
    """`value` as the type of the default, within range; an int is taken for a float."""
    want = type(leaf.default)
    if want is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not want:
        raise UsageError(f"{origin}: {leaf.key} must be {_type_words(want)}, not {value!r:.60}", leaf.sentence)
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{origin}: {leaf.key} must be a finite number", leaf.sentence)
    if leaf.choices and value not in leaf.choices:
        raise UsageError(f"{origin}: unknown {leaf.key} {value!r:.60}", nearest(str(value), leaf.choices))
    too_low = leaf.low is not None and value < leaf.low
    too_high = leaf.high is not None and value > leaf.high
    if too_low or too_high:
        raise UsageError(
            f"{origin}: {leaf.key} = {value} is outside {leaf.low:g}..{leaf.high:g} {leaf.unit}".rstrip(), leaf.sentence
        )
    return value


def _type_words(kind: type) -> str:
    return {str: "text", int: "a whole number", float: "a number", bool: "true or false"}[kind]
