"""The vision-language model runtime: bundles, encoders of picture and sound, decode loop, confidence; without torch."""

from __future__ import annotations

from edge_agent.vlm.audio import AudioEncoder
from edge_agent.vlm.bundle import Bundle
from edge_agent.vlm.confidence import confidence, summarise
from edge_agent.vlm.generate import Generator
from edge_agent.vlm.image_processor import ImageProcessor
from edge_agent.vlm.litert import LiteRtVisionEncoder, open_vision
from edge_agent.vlm.locate import BundleInfo, find_bundle, list_bundles, open_bundle, verify_bundle
from edge_agent.vlm.manifest import Calibration, Manifest
from edge_agent.vlm.selftest import self_test
from edge_agent.vlm.vision import VisionEncoder

__all__ = [
    "AudioEncoder",
    "Bundle",
    "BundleInfo",
    "Calibration",
    "Generator",
    "ImageProcessor",
    "LiteRtVisionEncoder",
    "Manifest",
    "VisionEncoder",
    "confidence",
    "find_bundle",
    "list_bundles",
    "open_bundle",
    "open_vision",
    "self_test",
    "summarise",
    "verify_bundle",
]
