"""The one settings tree: every setting once, with default, unit, range and a sentence; read from one TOML file."""

from edge_agent.config.loading import (
    MAX_CONFIG_BYTES,
    Loaded,
    Setting,
    default_paths,
    leaves,
    load,
    nearest,
    path_in_use,
)
from edge_agent.config.settings import (
    POLICY_NAMES,
    ApiSettings,
    CloudSettings,
    Config,
    FeatureSettings,
    LimitSettings,
    ModelSettings,
    OutboxSettings,
    PolicySettings,
    RunSettings,
    TriggerSettings,
    setting,
)

__all__ = [
    "MAX_CONFIG_BYTES",
    "POLICY_NAMES",
    "ApiSettings",
    "CloudSettings",
    "Config",
    "FeatureSettings",
    "LimitSettings",
    "Loaded",
    "ModelSettings",
    "OutboxSettings",
    "PolicySettings",
    "RunSettings",
    "Setting",
    "TriggerSettings",
    "default_paths",
    "leaves",
    "load",
    "nearest",
    "path_in_use",
    "setting",
]
