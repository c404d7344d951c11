"""Cheap statistics of pictures, motion and sound, computed by SIMD kernels; docs/features.md has the formulas."""

from __future__ import annotations

from edge_agent.features.agreement import selftest
from edge_agent.features.extractor import FeatureExtractor
from edge_agent.features.image import image_features
from edge_agent.features.kernels import available_isas, cpu_features, isa
from edge_agent.features.motion import motion_features
from edge_agent.features.sound import SoundFeatureStream, sound_features

__all__ = [
    "FeatureExtractor",
    "SoundFeatureStream",
    "available_isas",
    "cpu_features",
    "image_features",
    "isa",
    "motion_features",
    "selftest",
    "sound_features",
]
