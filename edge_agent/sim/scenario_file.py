"""Reading a scenario, one small TOML file; what does not fit is refused with file, line and reason."""

from __future__ import annotations

import dataclasses
import math
import re
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from edge_agent.config import Config, Loaded, nearest
from edge_agent.errors import UsageError
from edge_agent.sim.scenario import SECTIONS, VERSION, Scenario

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_BYTES = 1 << 20
UNITS = ("s", "ms", "min", "w", "wh", "j", "mbps", "kbps", "usd", "celsius", "bytes", "mb", "kb", "minute", "second")
SHIPPED = files("edge_agent") / "assets" / "scenarios"


def shipped_names() -> list[str]:
    """The scenarios that travel with the package."""
    return sorted(entry.name.removesuffix(".toml") for entry in SHIPPED.iterdir() if entry.name.endswith(".toml"))


def open_scenario(name: str) -> Scenario:
    """A shipped scenario by name, or the one in a file. Raises UsageError."""
    if name in shipped_names():
        return parse_scenario((SHIPPED / f"{name}.toml").read_text(encoding="utf-8"), f"{name}.toml", Path())
    path = Path(name)
    if not name.endswith(".toml"):
        raise UsageError(f"no scenario {name[:80]!r}", f"{nearest(name, shipped_names())}; or name a .toml file")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path}: larger than {MAX_BYTES} bytes", "this is no scenario")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read: {error}", "`edge-agent simulate --list` names what is shipped"
        ) from error
    return parse_scenario(text, str(path), path.parent)


def parse_scenario(text: str, origin: str, folder: Path) -> Scenario:
    """The scenario in a file's text; `origin` names it in messages. Raises UsageError with the line."""
    try:
        tree = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{origin}: not TOML: {error}", "mend that line") from error
    reader = _Reader(text, origin)
    reader.version(tree.pop("version", None))
    named: dict[str, Any] = {key: reader.text(key, tree.pop(key, "")) for key in ("name", "about")}
    named["name"] = named["name"] or Path(origin).stem
    for section, raw in tree.items():
        if section not in SECTIONS and section != "policy":
            raise reader.bad(section, None, "unknown section", nearest(section, [*SECTIONS, "policy"]))
        if not isinstance(raw, dict):
            raise reader.bad("", section, "not a section", f"write [{section}] on a line of its own")
        named[section] = reader.policy(raw) if section == "policy" else reader.section(section, raw)
    scenario = Scenario(folder=folder, **named)
    if (scenario.link.kind == "file") != bool(scenario.link.file):
        raise reader.bad("link", "file", 'kind = "file" and a file go together', "name both, or neither")
    if scenario.device.hottest_celsius <= scenario.device.throttle_celsius:
        raise reader.bad("device", "hottest_celsius", "not above throttle_celsius", "it slows down between the two")
    return scenario


class _Reader:
    """Checks values of one file and knows on which line each stands."""

    def __init__(self, text: str, origin: str) -> None:
        self._lines = text.splitlines()
        self._origin = origin

    def version(self, value: Any) -> None:
        if value is None:
            raise self.bad("", "version", "it has no version", f"write version = {VERSION} on the first line")
        if value != VERSION or isinstance(value, bool):
            raise self.bad("", "version", f"version {value!r:.20}", f"this program reads version {VERSION}")

    def text(self, key: str, value: Any) -> str:
        if not isinstance(value, str) or len(value) > 500:
            raise self.bad("", key, "not a text of at most 500 characters", "put it in quotes")
        return value

    def policy(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Settings of `[policy]`, checked as the configuration's are."""
        for key, value in raw.items():
            if key == "name":
                raise self.bad("policy", key, "a scenario names no policy", "name them with --policy")
            try:
                Loaded(Config(), {}).override(f"policy.{key}", value, f"{self._origin}:{self._line('policy', key)}")
            except UsageError as error:
                raise UsageError(error.message, error.hint) from error
        return raw

    def section(self, section: str, raw: dict[str, Any]) -> Any:
        known = {leaf.name: leaf for leaf in dataclasses.fields(SECTIONS[section]())}
        values = {}
        for key, value in raw.items():
            if key not in known:
                raise self.bad(section, key, *_unknown(key, list(known)))
            values[key] = self._checked(section, known[key], value)
        return SECTIONS[section](**values)

    def bad(self, section: str, key: str | None, what: str, hint: str) -> UsageError:
        name = section if key is None else f"{section}.{key}" if section else key
        return UsageError(f"{self._origin}:{self._line(section, key)}: {name[:80]}: {what}", hint)

    def _checked(self, section: str, leaf: dataclasses.Field[Any], value: Any) -> Any:
        meta, want = leaf.metadata, type(leaf.default)
        if want is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not want:
            raise self.bad(section, leaf.name, f"not {want.__name__} but {value!r:.40}", meta["sentence"])
        if isinstance(value, float) and not math.isfinite(value):
            raise self.bad(section, leaf.name, f"{value} is no finite number", meta["sentence"])
        if meta["choices"] and value not in meta["choices"]:
            raise self.bad(section, leaf.name, f"no {value!r:.40}", nearest(str(value), meta["choices"]))
        low, high, unit = meta["low"], meta["high"], meta["unit"]
        if (low is not None and value < low) or (high is not None and value > high):
            within = f"from {low:g}" if high is None else f"{low:g}..{high:g}"
            raise self.bad(section, leaf.name, f"{value} is outside {within} {unit}".rstrip(), meta["sentence"])
        return value

    def _line(self, section: str, key: str | None) -> int:
        """The line of a key, or of its section's head; 1 where neither is found."""
        inside, head = section == "", 1
        for number, line in enumerate(self._lines, 1):
            if match := re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line):
                inside = match[1] == section
                head = number if inside else head
            elif inside and key is not None and re.match(rf"\s*\"?{re.escape(key)}\"?\s*=", line):
                return number
        return head


def _unknown(key: str, known: list[str]) -> tuple[str, str]:
    """What is wrong with a key that is none, and what to write."""
    stem, _, unit = key.rpartition("_")
    if stem and unit.lower() in UNITS:
        for name in known:
            if name.rpartition("_")[0] == stem:
                return f"wrong unit {unit!r}", f"give it as {name}"
    return "unknown key", nearest(key, known)
