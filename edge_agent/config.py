"""The one settings tree: every setting once, with default, unit, range and a sentence; read from one TOML file."""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

POLICY_NAMES = ("msao", "moa-off", "tmo", "qlmio", "hybrid", "local", "cloud", "random", "threshold", "cascade", "ucb")
MAX_CONFIG_BYTES = 1 << 20


def setting(
    default: Any,
    sentence: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] = (),
) -> Any:
    """One leaf of the tree: its default and what `config explain` says about it."""
    meta = {"sentence": sentence, "unit": unit, "low": low, "high": high, "choices": tuple(choices)}
    return dataclasses.field(default=default, metadata=meta)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """`[model]`: what runs on the device."""

    edge: str = setting(
        "edge-vqa",
        "bundle of the device: a name known to `edge-agent models list`, or a folder; NAME@int8 for a precision",
    )
    encoder: str = setting(
        "onnx",
        "what runs the vision encoder: ONNX Runtime, or LiteRT in float or int8 (needs the extra `litert`)",
        choices=("onnx", "litert", "litert-int8"),
    )
    threads: int = setting(1, "threads of one inference; two rarely help on a busy board", low=1, high=64)
    max_new_tokens: int = setting(16, "longest answer", unit="tokens", low=1, high=512)
    provider: str = setting(
        "cpu",
        "execution provider; auto takes CUDA where ONNX Runtime was built with it",
        choices=("auto", "cpu", "cuda", "tensorrt", "xnnpack"),
    )
    splitting: str = setting(
        "model", "cut pictures into tiles (SmolVLM): as the model says, or on, or off", choices=("model", "on", "off")
    )


@dataclass(frozen=True, slots=True)
class CloudSettings:
    """`[cloud]`: where questions may go when the policy says so."""

    url: str = setting(
        "http://127.0.0.1:8787", "endpoint of the cloud (the default is `python -m cloud_stub`); empty: none"
    )
    token_file: str = setting("", "file that holds the bearer token; EDGE_AGENT_CLOUD_TOKEN wins over it")
    connect_timeout_ms: float = setting(2000.0, "longest wait for a connection", unit="ms", low=1, high=60_000)
    codec: str = setting(
        "projected",
        "codec of uploaded embeddings; projected becomes int8-zstd where device and cloud share no basis for them",
        choices=("projected", "int8-zstd", "int4-zstd"),
    )
    level: int = setting(
        2, "quality of the codec projected: 0 is the finest, each further level is smaller and coarser", low=0, high=5
    )
    usd_per_question: float = setting(
        0.0,
        "expected price of one cloud answer: the money guard compares it, and a lost answer is booked with it",
        unit="USD",
        low=0,
        high=100,
    )


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """`[limits]`: the guards, which win over every policy."""

    deadline_ms: float = setting(
        10_000.0, "a question is answered or refused within this time", unit="ms", low=1, high=3_600_000
    )
    max_cost_usd: float = setting(0.01, "most that one question may cost", unit="USD", low=0, high=100)
    budget_usd_per_day: float = setting(0.10, "most that one day (UTC) may cost", unit="USD", low=0, high=10_000)
    private: bool = setting(False, "nothing of picture, sound or question ever leaves the device")


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """`[policy]`: which rule decides, and its thresholds (docs/methods.md)."""

    name: str = setting("msao", "the offloading policy", choices=POLICY_NAMES)
    tile_entropy_bits: float = setting(
        3.0, "a tile below this spatial entropy counts as empty (tau_s)", unit="bits", low=0, high=8
    )
    still_share: float = setting(0.01, "a frame with less changed pixels than this adds nothing (tau_t)", low=0, high=1)
    quiet_energy: float = setting(1e-5, "sound below this mean square counts as silence", low=0, high=1)
    local_sparsity: float = setting(
        0.85, "from this Modality Activation Sparsity on a picture stays on the device", low=0, high=1
    )
    drop_sparsity: float = setting(
        0.97, "from this Modality Activation Sparsity on a modality is dropped", low=0, high=1
    )
    accept_entropy: float = setting(
        -1.0,
        "a draft whose largest normalised token entropy is at most this is the answer; 0: always ask the cloud; "
        "negative: what the model's calibration says",
        low=-1,
        high=1,
    )
    accept_decay: float = setting(
        0.95, "factor on accept_entropy after a draft that the cloud did not confirm", low=0.5, high=1
    )
    image_complexity: float = setting(0.65, "moa-off: a picture above this complexity goes up (theta)", low=0, high=1)
    sound_complexity: float = setting(0.65, "moa-off: a sound above this complexity goes up (theta)", low=0, high=1)
    text_complexity: float = setting(0.70, "moa-off: a question above this complexity goes up (theta)", low=0, high=1)
    second_worth: float = setting(
        0.1,
        "qlmio, hybrid: what a second of waiting is worth, in right answers a question (lambda): at 0.1 a tenth of a "
        "second weighs as much as one point of accuracy",
        low=0,
        high=100,
    )
    random_share: float = setting(0.5, "random: share of the questions that go up", low=0, high=1)
    threshold_feature: str = setting(
        "entropy",
        "threshold: the feature that decides, scaled to 0..1: entropy / 8 bits, edge density, "
        "ln(1 + Laplacian variance) / 10, or words / 20",
        choices=("entropy", "edges", "laplacian", "length"),
    )
    threshold: float = setting(0.9, "threshold: a question whose feature is above this goes up", low=0, high=1)
    usd_worth: float = setting(
        10.0,
        "hybrid: what a dollar is worth, in right answers a question: at 10 a cent weighs 10 points",
        low=0,
        high=1e6,
    )
    megabyte_worth: float = setting(
        0.05, "hybrid: what a megabyte of upload is worth, in right answers a question", low=0, high=1000
    )
    min_gain: float = setting(
        2.0,
        "hybrid, cascade: a draft goes up from this expected gain of the cloud on, -1..1; 2: by what `edge-agent "
        "calibrate` found, else by the worth of time and money",
        low=-1,
        high=2,
    )
    conversation_s: float = setting(
        30.0, "tmo: most that any five questions of a conversation may take", unit="s", low=0.1, high=86_400
    )
    conversation_usd: float = setting(
        0.05, "tmo: most that any five questions of a conversation may cost", unit="USD", low=0, high=100
    )


@dataclass(frozen=True, slots=True)
class FeatureSettings:
    """`[features]`: what the kernels compute."""

    tile: int = setting(32, "side of a tile", unit="pixels", low=8, high=1024)
    edge_threshold: int = setting(128, "Sobel magnitude from which a pixel is an edge", low=1, high=1442)
    change_threshold: int = setting(12, "grey levels by which a pixel must differ to count as changed", low=0, high=255)
    window: int = setting(512, "STFT window", unit="samples", low=64, high=4096)
    hop: int = setting(160, "STFT hop", unit="samples", low=1, high=4096)


@dataclass(frozen=True, slots=True)
class TriggerSettings:
    """`[trigger]`: when `edge-agent run` asks by itself, and how often at most."""

    question: str = setting("what is in the picture?", "the question that triggers ask")
    on_change: bool = setting(True, "ask when the picture changes")
    changed_share: float = setting(0.30, "share of changed pixels that fires", low=0, high=1)
    on_sound: bool = setting(True, "ask at the onset of a sound")
    onset_ratio: float = setting(6.0, "spectral flux over its running median that fires", low=1, high=1000)
    interval_s: float = setting(0.0, "ask every so often; 0: never", unit="s", low=0, high=86_400)
    min_gap_s: float = setting(
        1.0, "rate cap: least time between two automatic questions", unit="s", low=0, high=86_400
    )


@dataclass(frozen=True, slots=True)
class RunSettings:
    """`[run]`: what the service watches and where it keeps its records."""

    clip: str = setting("", "a video file to watch instead of a camera")
    camera: str = setting("", "camera index, device path or URL; empty: none")
    microphone: str = setting("", "`default`, or part of a device's name; empty: none")
    state_dir: str = setting("", "folder of decision log and ledger; empty: STATE_DIRECTORY or the user's state folder")
    log_max_mb: float = setting(
        10.0, "the decision log is rotated at this size; one older file is kept", unit="MB", low=0.01, high=10_000
    )


@dataclass(frozen=True, slots=True)
class Config:
    """The whole tree."""

    model: ModelSettings = dataclasses.field(default_factory=ModelSettings)
    cloud: CloudSettings = dataclasses.field(default_factory=CloudSettings)
    limits: LimitSettings = dataclasses.field(default_factory=LimitSettings)
    policy: PolicySettings = dataclasses.field(default_factory=PolicySettings)
    features: FeatureSettings = dataclasses.field(default_factory=FeatureSettings)
    trigger: TriggerSettings = dataclasses.field(default_factory=TriggerSettings)
    run: RunSettings = dataclasses.field(default_factory=RunSettings)


@dataclass(frozen=True, slots=True)
class Setting:
    """One leaf as `config explain` shows it. `origin` is `default`, the file's path, or the flag that set it."""

    key: str
    value: Any
    default: Any
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    sentence: str
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


def nearest(word: str, known: Sequence[str]) -> str:
    """A hint that names the known word most like `word`, and all of them if none is near."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(known)


def default_paths() -> list[Path]:
    """Where a configuration is looked for when none is named; the first that exists is read."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return [home / "edge-agent" / "config.toml", Path("/etc/edge-agent/config.toml")]


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
