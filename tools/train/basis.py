"""Makes the basis of the codec `projected` for a pair of bundles and ships it in both.

    python -m tools.train.basis --models models            (needs the work folder of training; see README.md)
    python -m tools.train.basis --models models --sounds   that of the ears, from the clips they were trained on
    python -m tools.train.basis --models models --medians  the medians of the codec `refilled`, from the same photos

Training photos are encoded by the edge's bundle (`codec/embeddings.npy` in the work folder). Where torch is installed,
the cloud's checkpoint says how much its answers feel each direction (`codec/gradients.npy`); else all count alike. What
lies in the work folder is used again. The basis is tied to the encoder: after another one, run it again.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent.sources.photo import load_photo
from edge_agent.transport import changes
from edge_agent.transport.projected import Projected
from edge_agent.transport.refilled import Refilled, medians_bytes
from edge_agent.transport.shipped import parse_shipped
from edge_agent.vlm import Bundle, VisionEncoder
from edge_agent.vlm.bundle import CODEC_FILES
from edge_agent.vlm.manifest import sha256_of
from tools.train.basis_fit import Floats, basis_bytes, cosine, fit_group, fit_level
from tools.train.settings import GRID, IMAGE_TOKENS, Paths, default_paths
from tools.train.sounds import Sounds

STEPS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
PHOTOS = {"coco": 242, "flickr": 200, "daquar": 200, "imagenet": 120}
GRADIENT_PHOTOS = 400


def training_photos(paths: Paths) -> list[str]:
    """Files of whole photos that training saw."""
    found: dict[str, set[str]] = {source: set() for source in PHOTOS}
    with paths.views.open("r", encoding="utf-8") as lines:
        for view in map(json.loads, lines):
            if view["whole"] and len(view["parts"]) == 1 and view["split"] == "train" and view["source"] in found:
                found[view["source"]].add(view["parts"][0]["path"])
    rng, chosen = random.Random(0), []
    for source, count in PHOTOS.items():
        photos = sorted(found[source])
        rng.shuffle(photos)
        chosen += photos[:count]
    return chosen


def encoded(bundle: Bundle, photos: list[str], folder: Path) -> Any:
    """[photos, views, tokens, hidden] float32, kept in `folder`."""
    path = folder / "embeddings.npy"
    if not path.exists():
        encoder = VisionEncoder(bundle)
        made = [np.stack([v.data for v in encoder.encode_views(load_photo(Path(p)).pixels)]) for p in photos]
        np.save(path, np.stack(made))
        (folder / "photos.json").write_text(json.dumps(photos), "utf-8")
    return np.load(path, mmap_mode="r")


def gradients(paths: Paths, folder: Path) -> Floats | None:
    """[n, tokens, hidden] of views, or None where they cannot be taken."""
    path = folder / "gradients.npy"
    if not path.exists():
        if importlib.util.find_spec("torch") is None or not (paths.work / "cloud.pt").exists():
            return None
        from tools.train.basis_gradients import answer_gradients

        np.save(path, answer_gradients(paths, folder, GRADIENT_PHOTOS))
    made = np.load(path)
    return np.asarray(made.reshape(-1, *made.shape[-2:]), np.float64)


def fitted(encoder_id: str, views: Floats, felt: Floats | None, floor: float) -> bytes:
    """The file of the basis: the grid in its cosine transform, the two tokens behind it each for itself."""
    felt = np.ones((1, *views.shape[1:])) if felt is None else felt
    waves, own = cosine(GRID), np.eye(1)
    groups = [
        fit_group(0, waves, waves, views, felt, floor),
        fit_group(GRID * GRID, own, np.eye(IMAGE_TOKENS - GRID * GRID), views, felt, floor),
    ]
    coefficients = np.concatenate([group.coefficients(views).astype(np.float32) for group in groups], axis=1)
    return basis_bytes(encoder_id, groups, [fit_level(coefficients, step) for step in STEPS])


def fitted_to_sounds(encoder_id: str, sounds: Sounds) -> bytes:
    """The file of the basis of sounds: each token for itself, as a name, the whole and its seconds have little in
    common. Of the training clips and their changed copies, speech and silence among them.
    """
    tokens = np.asarray(sounds.tokens[:, sounds.rows["train"]], np.float64)  # [1 + copies, clips, A, hidden]
    views = tokens.reshape(-1, *tokens.shape[2:])
    group = fit_group(0, np.eye(1), np.eye(views.shape[1]), views, np.ones((1, *views.shape[1:])), 1.0)
    coefficients: Any = group.coefficients(views).astype(np.float32)
    return basis_bytes(encoder_id, [group], [fit_level(coefficients, step) for step in STEPS])


def described(data: bytes) -> tuple[str, str, str]:
    """Of what a codec has learned: how its file's name begins, its id, and the encoder that it belongs to."""
    if data[:8] == changes.MAGIC:
        return CODEC_FILES[2], hashlib.sha256(data).hexdigest()[:16], str(changes.header_of(data)["encoder_id"])
    codec = parse_shipped(data)
    if isinstance(codec, Refilled):
        return CODEC_FILES[1], codec.medians.medians_id, codec.medians.encoder_id
    assert isinstance(codec, Projected)
    return CODEC_FILES[0], codec.basis.basis_id, codec.basis.encoder_id


def ship(data: bytes, folder: Path) -> Path:
    """Into a bundle, in the place of every older one of its kind and encoder, and into its manifest."""
    prefix, identity, encoder_id = described(data)
    name = f"{prefix}{identity}.bin"
    path, manifest = folder / name, folder / "manifest.json"
    path.parent.mkdir(exist_ok=True)
    older = [old for old in folder.glob(f"{prefix}*") if described(old.read_bytes())[2] == encoder_id]
    gone = {f"{prefix.rpartition('/')[0]}/{old.name}" for old in older}
    for old in older:
        old.unlink()
    path.write_bytes(data)
    value = json.loads(manifest.read_text("utf-8"))
    kept = [entry for entry in value["files"] if entry["name"] not in gone]
    kept.append({"name": name, "size_bytes": len(data), "sha256": sha256_of(path)})
    value["files"] = sorted(kept, key=lambda entry: str(entry["name"]))
    manifest.write_text(json.dumps(value, indent=2) + "\n", "utf-8")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--floor", type=float, default=1.0, help="what every direction counts at least")
    parser.add_argument("--from-file", type=Path, help="ship this file again instead of making one")
    parser.add_argument("--sounds", action="store_true", help="make the basis of sounds")
    parser.add_argument("--medians", action="store_true", help="make the medians of the codec refilled")
    options = parser.parse_args()
    bundles = [options.models / name for name in ("edge-vqa", "cloud-vqa")]
    edge = Bundle.open(bundles[0])
    if options.from_file is not None:
        data = options.from_file.read_bytes()
    elif options.sounds:
        data = fitted_to_sounds(edge.audio_encoder_id, Sounds.load(default_paths(), edge.hidden_size))
    else:
        paths = default_paths()
        folder = paths.work / "codec"
        folder.mkdir(parents=True, exist_ok=True)
        views = np.asarray(encoded(edge, training_photos(paths), folder), np.float64)
        views = views.reshape(-1, *views.shape[2:])  # [photos * views, tokens, hidden]
        if options.medians:
            data = medians_bytes(edge.encoder_id, np.median(views, axis=0))
        else:
            data = fitted(edge.encoder_id, views, gradients(paths, folder), options.floor)
    if described(data)[2] not in (edge.encoder_id, edge.audio_encoder_id):
        raise SystemExit(f"this is of {described(data)[2]}, the bundle of {edge.encoder_id}")
    for bundle in bundles:
        print(json.dumps({"shipped": str(ship(data, bundle)), "bytes": len(data)}))


if __name__ == "__main__":
    main()
