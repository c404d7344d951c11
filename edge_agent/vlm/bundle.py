"""A model bundle: a folder in the layout of Hugging Face's ONNX exports; our own have a manifest and are verified."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.errors import ModelError
from edge_agent.vlm.layout import Layout
from edge_agent.vlm.manifest import Calibration, Manifest, file_problems, read_json, read_manifest, verify_hint
from edge_agent.vlm.providers import CPU, providers
from edge_agent.vlm.pulled import GRAPHS, find_graph, is_pulled, pulled_manifest
from edge_agent.vlm.session import check_memory

VISION = "onnx/vision_encoder.onnx"
AUDIO = "onnx/audio_encoder.onnx"
EMBED = "onnx/embed_tokens.onnx"
DECODER = "onnx/decoder_model_merged.onnx"
CODEC_FILES = ("codec/basis-", "codec/medians-", "codec/changes-")
"""How the names of what codecs have learned begin (transport/shipped.py)."""
IDEFICS3 = ("idefics3", "smolvlm")
OWN_OVERHEAD = 6.0  # bytes of memory for one of file: int8 weights become float32, plus buffers
PULLED_OVERHEAD = 2.5
MAX_CONTEXT = 1 << 20


@dataclass(frozen=True, slots=True)
class Bundle:
    """An opened bundle. Nothing is loaded yet: VisionEncoder and Generator load the graphs that they need.

    `context` is the largest number of tokens, picture and answer included; `layout` says where each of them stands.
    `graphs` are the files of the graphs by their plain names; `splitting` whether pictures are cut into tiles, None: as
    the bundle says; `providers` are the execution providers that run them.
    """

    path: Path
    manifest: Manifest
    config: dict[str, Any]
    layout: Layout
    graphs: dict[str, Path]
    splitting: bool | None = None
    providers: tuple[str, ...] = (CPU,)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        verify: bool = True,
        variant: str | None = None,
        splitting: bool | None = None,
        provider: str = "cpu",
    ) -> Bundle:
        """Checks manifest, sizes and (unless `verify` is False) the sha256 of each file, and that it fits in memory.

        A folder without a manifest is taken as a model hub gives it away, in the precision `variant` ("" is float32,
        None the first there is). `provider` is one of vlm.providers. Raises ModelError naming the first file that is
        missing, cut short or changed.
        """
        chosen = providers(provider)
        if not (path / "manifest.json").is_file() and is_pulled(path):
            return cls._open_pulled(path, variant, splitting, chosen)
        manifest = read_manifest(path)
        if verify:
            problems = file_problems(path, manifest)
            if problems:
                raise ModelError(problems[0], verify_hint(path))
        check_memory(manifest.name, manifest.loaded_bytes, OWN_OVERHEAD)
        listed = {entry.name for entry in manifest.files}
        for name in (EMBED, DECODER, "tokenizer.json", "config.json"):
            if name not in listed:
                raise ModelError(f"{path / 'manifest.json'} does not list {name}", verify_hint(path))
        config = read_json(path / "config.json")
        layout = Layout.from_config(
            config,
            manifest.tokens_per_image,
            _context(config, path),
            path / "config.json",
        )
        if (layout.sound is None) == bool(manifest.audio_encoder_id):
            words = f"{path}: audio in config.json and audio_encoder_id in manifest.json go together"
            raise ModelError(words, verify_hint(path))
        graphs = {name: path / name for name in (VISION, AUDIO, EMBED, DECODER) if name in listed}
        return cls(path, manifest, config, layout, graphs, splitting, chosen)

    @classmethod
    def _open_pulled(cls, path: Path, variant: str | None, splitting: bool | None, chosen: tuple[str, ...]) -> Bundle:
        graphs = {name: find_graph(path, name, variant) for name in GRAPHS}
        manifest = pulled_manifest(path, graphs)
        check_memory(manifest.name, manifest.size_bytes, PULLED_OVERHEAD)
        config = read_json(path / "config.json")
        tokens = manifest.tokens_per_image
        layout = Layout(tokens, tokens, tokens, max(1, _context(config, path) // tokens), None, None)
        return cls(path, manifest, config, layout, graphs, splitting, chosen)

    @property
    def codec_files(self) -> list[Path]:
        """Files of what codecs have learned of its embeddings (transport/shipped.py)."""
        return [self.path / entry.name for entry in self.manifest.files if entry.name.startswith(CODEC_FILES)]

    @property
    def has_vision(self) -> bool:
        """Whether it can make embeddings of pictures, not only read them."""
        return VISION in self.graphs

    @property
    def has_audio(self) -> bool:
        """Whether it can make embeddings of sounds, not only read them."""
        return AUDIO in self.graphs

    @property
    def chats(self) -> bool:
        """Whether it is of the idefics3 family, which reads a chat template and cuts pictures into tiles."""
        return self.config.get("model_type") in IDEFICS3

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
    def tokenizer_id(self) -> str:
        """Names what token ids mean: 16 hex digits of the sha256 of tokenizer.json. Bundles that share it can read each
        other's tokens.
        """
        return hashlib.sha256((self.path / "tokenizer.json").read_bytes()).hexdigest()[:16]

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
    def vocab_size(self) -> int:
        """Rows of the embedding table. Raises ModelError where config.json does not say."""
        return _text_number(self.config, "vocab_size", self.path)

    @property
    def stops_loops(self) -> bool:
        """Whether an answer ends where it repeats one token: our own small models may never stop."""
        return not self.chats

    def graph(self, name: str) -> Path:
        """Where the graph `name` lies. Raises ModelError where the bundle has none."""
        if name not in self.graphs:
            raise ModelError(f"{self.name} has no {name}", verify_hint(self.path))
        return self.graphs[name]

    @property
    def max_images(self) -> int:
        return self.layout.max_images


def _context(config: dict[str, Any], path: Path) -> int:
    made = _text_number(config, "max_position_embeddings", path)
    if not 1 <= made <= MAX_CONTEXT:
        words = f"{path / 'config.json'} has a context of {made} tokens, not 1 to {MAX_CONTEXT}"
        raise ModelError(words, verify_hint(path))
    return made


def _text_number(config: dict[str, Any], key: str, path: Path) -> int:
    try:
        return int(config["text_config"][key])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path / 'config.json'} lacks text_config.{key}", verify_hint(path)) from error
