"""The vision encoder's TFLite files, run by LiteRT on the same photo, where the bundle has them."""

from __future__ import annotations

from edge_agent.cli.bench.libraries import litert_distribution
from edge_agent.cli.bench.measure import Contender
from edge_agent.cli.bench.vlm_scene import Scene
from edge_agent.vlm.litert import FILES, LiteRtVisionEncoder

WORK = {"float": "other: in float32", "int8": "other: in integers throughout"}


def contenders(given: tuple[Scene, str]) -> list[Contender]:
    """One contender for each TFLite file of the bundle; none but for `encode`."""
    scene, case = given
    if case != "encode":
        return []
    there = {entry.name for entry in scene.bundle.manifest.files}
    return [contender(scene, kind) for kind, file in FILES.items() if file in there]


def contender(scene: Scene, kind: str) -> Contender:
    """Photo to embeddings, by one file."""
    encoder = LiteRtVisionEncoder(scene.bundle, scene.threads, kind)
    package = litert_distribution()
    return Contender(f"litert_{kind}", package, lambda _: encoder.look(scene.photo), work=WORK[kind])
