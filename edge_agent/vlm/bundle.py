"""A model bundle: a folder in the layout of Hugging Face's ONNX exports plus our manifest, verified before use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.errors import ModelError
from edge_agent.vlm.layout import Layout
from edge_agent.vlm.manifest import VERIFY, Calibration, Manifest, file_problems, read_json, read_manifest
from edge_agent.vlm.session import check_memory

VISION = "onnx/vision_encoder.onnx"
AUDIO = "onnx/audio_encoder.onnx"
EMBED = "onnx/embed_tokens.onnx"
DECODER = "onnx/decoder_model_merged.onnx"


@dataclass(frozen=True, slots=True)
class Bundle:
    """An opened bundle. Nothing is loaded yet: VisionEncoder and Generator load the graphs that they need.

    `context` is the largest number of tokens, picture and answer included; `layout` says where each of them stands.
    `has_vision` and `has_audio`: it can make embeddings of pictures and of sounds, not only read them.
    """

    path: Path
    manifest: Manifest
    config: dict[str, Any]
    layout: Layout
    has_vision: bool
    has_audio: bool

    @classmethod
    def open(cls, path: Path, *, verify: bool = True) -> Bundle:
        """Checks manifest, sizes and (unless `verify` is False) the sha256 of each file, and that it fits in memory.

        Raises ModelError naming the first file that is missing, cut short or changed.
        """
        manifest = read_manifest(path)
        if verify:
            problems = file_problems(path, manifest)
            if problems:
                raise ModelError(problems[0], VERIFY)
        check_memory(manifest.name, manifest.size_bytes)
        listed = {entry.name for entry in manifest.files}
        for name in (EMBED, DECODER, "tokenizer.json", "config.json"):
            if name not in listed:
                raise ModelError(f"{path / 'manifest.json'} does not list {name}", VERIFY)
        config = read_json(path / "config.json")
        layout = Layout.from_config(config, manifest.tokens_per_image, _context(config, path), path / "config.json")
        if (layout.sound is None) == bool(manifest.audio_encoder_id):
            raise ModelError(f"{path}: audio in config.json and audio_encoder_id in manifest.json go together", VERIFY)
        return cls(path, manifest, config, layout, VISION in listed, AUDIO in listed)

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def encoder_id(self) -> str:
        return self.manifest.encoder_id

    @property
    def audio_encoder_id(self) -> str:
        return self.manifest.audio_encoder_id

    @property
    def hidden_size(self) -> int:
        return self.manifest.hidden_size

    @property
    def tokens_per_image(self) -> int:
        return self.manifest.tokens_per_image

    @property
    def calibration(self) -> Calibration:
        return self.manifest.calibration

    @property
    def context(self) -> int:
        return _context(self.config, self.path)

    @property
    def stops_loops(self) -> bool:
        """Whether an answer ends where it repeats one token: our own small models may never stop."""
        return True

    def graph(self, name: str) -> Path:
        """Where the graph `name` lies."""
        return self.path / name

    @property
    def max_images(self) -> int:
        return self.layout.max_images


def _context(config: dict[str, Any], path: Path) -> int:
    try:
        return int(config["text_config"]["max_position_embeddings"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path / 'config.json'} lacks text_config.max_position_embeddings", VERIFY) from error
