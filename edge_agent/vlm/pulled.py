"""Bundles as model hubs give them away: the idefics3 family's files, in several precisions, without a manifest."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from edge_agent.errors import ModelError
from edge_agent.vlm.manifest import Calibration, FileEntry, Manifest, read_json, read_manifest, sha256_of, verify_hint
from edge_agent.vlm.prompt import end_tokens

VARIANTS = ("", "int8", "quantized", "uint8", "q8", "q4", "bnb4", "fp16", "q4f16")
PULL = "edge-agent models pull"
ORIGIN = "pulled.json"  # where it came from, and the sha256 of each file as it came
GRAPHS = ("onnx/vision_encoder.onnx", "onnx/embed_tokens.onnx", "onnx/decoder_model_merged.onnx")
NEEDED = ("config.json", "preprocessor_config.json", "generation_config.json", "tokenizer.json")


def is_pulled(folder: Path) -> bool:
    """Whether the folder has the layout of an exported model, whatever its precision. Never raises."""
    try:
        return (folder / "config.json").is_file() and any((folder / "onnx").glob("decoder_model_merged*.onnx"))
    except (OSError, ValueError):
        return False


def manifest_of(folder: Path) -> Manifest:
    """The manifest of a folder, or what it would say where there is none. Raises ModelError."""
    if (folder / "manifest.json").is_file() or not is_pulled(folder):
        return read_manifest(folder)
    return pulled_manifest(folder, {name: find_graph(folder, name, None) for name in GRAPHS})


def find_graph(folder: Path, name: str, variant: str | None) -> Path:
    """The file of the graph `name` ("onnx/embed_tokens.onnx") in `variant` ("" is float32); None: the first there is.

    Raises ModelError naming the file that is missing and the variants that are there.
    """
    plain = folder / name
    if variant is not None and variant not in VARIANTS:
        raise ModelError(f"no precision is called {variant!r}", f"known: {', '.join(v or 'fp32' for v in VARIANTS)}")
    files = {one: plain.with_name(plain.stem + (f"_{one}" if one else "") + ".onnx") for one in VARIANTS}
    for one in VARIANTS if variant is None else (variant,):
        if files[one].is_file():
            return files[one]
    there = [one or "fp32" for one, path in files.items() if path.is_file()]
    wanted = plain if variant is None else files[variant]
    raise ModelError(f"{wanted} is missing", f"there is {', '.join(there)}" if there else PULL)


def pulled_manifest(folder: Path, graphs: dict[str, Path]) -> Manifest:
    """What a manifest would say of the folder: sizes as they are, hashes where `models pull` wrote them down, no
    calibration.

    `encoder_id` is made of the vision graph's bytes and of how pictures are prepared. Raises ModelError.
    """
    for name in NEEDED:
        if not (folder / name).is_file():
            raise ModelError(f"{folder / name} is missing", PULL)
    config, processor = read_json(folder / "config.json"), _optional(folder / "processor_config.json")
    if config.get("model_type") not in ("idefics3", "smolvlm"):
        words = f"{folder / 'config.json'} is of a {config.get('model_type')!r} model, which is not known here"
        raise ModelError(words, "choose SmolVLM-256M-Instruct or SmolVLM-500M-Instruct")
    paths = [*(folder / name for name in NEEDED), *graphs.values()]
    origin = _optional(folder / ORIGIN)
    hashes = origin.get("files") if isinstance(origin.get("files"), dict) else {}
    files = tuple(_entry(folder, path, hashes or {}) for path in _with_weights(paths))
    return Manifest(
        name=folder.name,
        version=str(origin.get("source", "")).rpartition("@")[2][:12] or "pulled",
        license="see the model's card",
        encoder_id=_encoder_id(folder, graphs),
        hidden_size=_number(config, "text_config", "hidden_size", folder),
        tokens_per_image=_tokens(config, processor, folder),
        files=files,
        calibration=Calibration(eos_token_ids=end_tokens(folder)),
    )


def _with_weights(paths: list[Path]) -> list[Path]:
    """The files, with the weights that a large graph keeps beside itself."""
    beside = [path.with_name(path.name + ending) for path in paths for ending in ("_data", ".data")]
    return [*paths, *(one for one in beside if one.is_file())]


def _entry(folder: Path, path: Path, hashes: dict[str, Any]) -> FileEntry:
    name = path.relative_to(folder).as_posix()
    return FileEntry(name, path.stat().st_size, str(hashes.get(name, "")))


def _encoder_id(folder: Path, graphs: dict[str, Path]) -> str:
    vision = graphs.get(GRAPHS[0])
    if vision is None:
        return ""
    digest = hashlib.sha256(sha256_of(vision).encode() + (folder / "preprocessor_config.json").read_bytes())
    return f"idefics3-{digest.hexdigest()[:16]}"


def _tokens(config: dict[str, Any], processor: dict[str, Any], folder: Path) -> int:
    """Tokens of one view: what the processor says, or the patches of a tile, `scale_factor` squared in one token."""
    size, patch = (_number(config, "vision_config", key, folder) for key in ("image_size", "patch_size"))
    try:
        made = int(processor.get("image_seq_len") or (size // patch) ** 2 // int(config.get("scale_factor", 2)) ** 2)
    except (TypeError, ValueError, ZeroDivisionError):
        made = 0
    if made < 1:
        words = f"{folder / 'config.json'} (or processor_config.json) does not say how many tokens a picture has"
        raise ModelError(words, PULL)
    return made


def _number(config: dict[str, Any], part: str, key: str, folder: Path) -> int:
    try:
        return int(config[part][key])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{folder / 'config.json'} lacks {part}.{key}", verify_hint(folder)) from error


def _optional(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}
