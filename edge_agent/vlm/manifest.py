"""`manifest.json` of a model bundle: its files with sizes and sha256, and how its confidence is calibrated."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.errors import ModelError
from edge_agent.vlm.gain import GainModel

VERIFY = "edge-agent models verify"
FORMAT = 1
_CHUNK_BYTES = 1 << 20
_MAX_JSON_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a bundle: `name` relative to the bundle with forward slashes, its size and lower-case hex sha256 (""
    where nobody said what it should be).
    """

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Calibration:
    """How probabilities of tokens become the confidence of an answer.

    confidence = sigmoid(bias + probability_weight * logit(min token probability) + entropy_weight * max token entropy),
    probabilities at `temperature`. `accept_entropy` 0..1 is the suggested threshold of a cascade; a token in
    `eos_token_ids` ends an answer. `gain` predicts what asking the cloud of the same release would gain, where the
    bundle knows one.
    """

    temperature: float = 1.0
    bias: float = 0.0
    probability_weight: float = 1.0
    entropy_weight: float = 0.0
    accept_entropy: float = 0.15
    eos_token_ids: tuple[int, ...] = ()
    gain: GainModel | None = None


@dataclass(frozen=True, slots=True)
class Golden:
    """What the release computed for the picture of the self-test: 16 values of its embeddings, and the answer."""

    embedding: tuple[float, ...]
    answer: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of one bundle. `encoder_id` names encoder, connector and preprocessing: only embeddings with the
    same one can be read by this bundle's decoder. `audio_encoder_id` is that of sounds, "" where it reads none.
    `also_reads` are the ids of encoders whose embeddings were measured to be as good: the same one in another format.
    """

    name: str
    version: str
    license: str
    encoder_id: str
    hidden_size: int
    tokens_per_image: int
    files: tuple[FileEntry, ...]
    calibration: Calibration
    golden: Golden | None = None
    audio_encoder_id: str = ""
    also_reads: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self.files)

    @property
    def loaded_bytes(self) -> int:
        """What is loaded at once: all but the encoder's copies for LiteRT, which stand in for its ONNX graph, and bases
        of codecs, which are small.
        """
        return sum(entry.size_bytes for entry in self.files if not entry.name.startswith(("litert/", "codec/")))


def verify_hint(folder: Path) -> str:
    """What to type to learn more of a bundle that does not open."""
    return f"{VERIFY} {folder}"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a small file. Raises ModelError naming the file."""
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise ModelError(f"{path} is larger than {_MAX_JSON_BYTES >> 20} MiB", verify_hint(path.parent))
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read ({error})", verify_hint(path.parent)) from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} does not hold a JSON object", verify_hint(path.parent))
    return value


def read_manifest(folder: Path) -> Manifest:
    """Reads and checks `manifest.json`; no other file is touched. Raises ModelError."""
    path = folder / "manifest.json"
    if not path.is_file():
        raise ModelError(f"{folder} is not a model bundle: it has no manifest.json", "edge-agent models list")
    raw = read_json(path)
    try:
        if raw["format"] != FORMAT:
            raise ModelError(
                f"{path} has format {raw['format']}, this version reads format {FORMAT}", "upgrade edge-agent"
            )
        files = tuple(FileEntry(str(f["name"]), int(f["size_bytes"]), str(f["sha256"])) for f in raw["files"])
        made = Manifest(
            name=str(raw["name"]),
            version=str(raw["version"]),
            license=str(raw["license"]),
            encoder_id=str(raw["encoder_id"]),
            hidden_size=int(raw["hidden_size"]),
            tokens_per_image=int(raw["tokens_per_image"]),
            files=files,
            calibration=_calibration(raw["calibration"]),
            golden=_golden(raw["golden"]) if "golden" in raw else None,
            audio_encoder_id=str(raw.get("audio_encoder_id", "")),
            also_reads=tuple(str(name) for name in raw.get("also_reads", ())),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} is not a manifest ({error!r})", verify_hint(folder)) from error
    for entry in files:
        parts = Path(entry.name).parts
        if Path(entry.name).is_absolute() or ".." in parts or entry.size_bytes < 0:
            raise ModelError(f"{path} names a file outside the bundle: {entry.name!r}", verify_hint(folder))
    return made


def _calibration(raw: Mapping[str, Any]) -> Calibration:
    made = Calibration(
        temperature=float(raw["temperature"]),
        bias=float(raw["bias"]),
        probability_weight=float(raw["probability_weight"]),
        entropy_weight=float(raw["entropy_weight"]),
        accept_entropy=float(raw["accept_entropy"]),
        eos_token_ids=tuple(int(i) for i in raw["eos_token_ids"]),
        gain=GainModel.from_manifest(raw["gain"]) if raw.get("gain") is not None else None,
    )
    if not (1e-3 <= made.temperature <= 1e3 and 0 <= made.accept_entropy <= 1):
        raise ValueError("temperature or accept_entropy out of range")
    return made


def _golden(raw: Mapping[str, Any]) -> Golden:
    return Golden(tuple(float(v) for v in raw["embedding"]), str(raw["answer"]))


def sha256_of(path: Path) -> str:
    """Lower-case hex digest, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def file_problems(folder: Path, manifest: Manifest) -> list[str]:
    """What is wrong with the files, one line a file; empty if every byte is as shipped. Sizes are compared first."""
    problems = []
    for entry in manifest.files:
        path = folder / entry.name
        try:
            size = path.stat().st_size
            if size != entry.size_bytes:
                problems.append(f"{path} has {size} bytes instead of {entry.size_bytes}")
            elif entry.sha256 and sha256_of(path) != entry.sha256:
                problems.append(f"{path} is damaged: its sha256 is not the one in manifest.json")
        except FileNotFoundError:
            problems.append(f"{path} is missing")
        except OSError as error:
            problems.append(f"{path} cannot be read ({error})")
    return problems
