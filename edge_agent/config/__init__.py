"""The one settings tree: every setting once, with default, unit, range and a sentence; read from one TOML file."""

from edge_agent.config.leaf import setting
from edge_agent.config.loading import (
    MAX_CONFIG_BYTES,
    Loaded,
    Setting,
    default_paths,
    leaves,
    live_keys,
    load,
    nearest,
    path_in_use,
)
from edge_agent.config.reaching import ApiSettings, MqttSettings
from edge_agent.config.settings import (
    POLICY_NAMES,
    CloudSettings,
    Config,
    FeatureSettings,
    LimitSettings,
    ModelSettings,
    OutboxSettings,
    PolicySettings,
    RunSettings,
    TriggerSettings,
)
from edge_agent.config.voice import VoiceSettings

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
    "MqttSettings",
    "OutboxSettings",
    "PolicySettings",
    "RunSettings",
    "Setting",
    "TriggerSettings",
    "VoiceSettings",
    "default_paths",
    "leaves",
    "live_keys",
    "load",
    "nearest",
    "path_in_use",
    "setting",
]
