"""Puts TFLite encoders into a bundle, and their ids into the manifest of every bundle that reads its embeddings.

    python -m tools.train.litert_ship build/litert --models models

To be run again after each export of the bundles: another encoder has another id, which no manifest lists.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from edge_agent.vlm import Bundle
from edge_agent.vlm.litert import FILES, LiteRtVisionEncoder, encoder_id_of
from edge_agent.vlm.manifest import sha256_of


def change_manifest(folder: Path, **values: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}, indent=2) + "\n", "utf-8")


def listed(folder: Path) -> list[dict[str, Any]]:
    """The files of a bundle's manifest, with those for LiteRT as they are on disk now."""
    entries = json.loads((folder / "manifest.json").read_text("utf-8"))["files"]
    kept = [entry for entry in entries if entry["name"] not in FILES.values()]
    made = [
        {"name": name, "size_bytes": (folder / name).stat().st_size, "sha256": sha256_of(folder / name)}
        for name in FILES.values()
    ]
    return sorted(kept + made, key=lambda entry: str(entry["name"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("made", type=Path)
    parser.add_argument("--models", type=Path, default=Path("models"))
    options = parser.parse_args()
    edge = options.models / "edge-vqa"
    (edge / "litert").mkdir(exist_ok=True)
    for name in FILES.values():
        shutil.copy(options.made / Path(name).name, edge / name)
    change_manifest(edge, files=listed(edge))
    bundle = Bundle.open(edge)
    ids = [encoder_id_of(bundle, kind) for kind in FILES]
    for path in sorted(options.models.glob("*/manifest.json")):
        if json.loads(path.read_text("utf-8"))["encoder_id"] == bundle.encoder_id:
            change_manifest(path.parent, also_reads=ids)
            print(json.dumps({"bundle": path.parent.name, "also_reads": ids}))
    for kind in FILES:
        LiteRtVisionEncoder(Bundle.open(edge), kind=kind)  # raises if it is not of this bundle


if __name__ == "__main__":
    main()
