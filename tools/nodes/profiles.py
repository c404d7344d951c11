"""The node profiles that are measured: which encoder, which decoder, how many threads and views."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from edge_agent.cli.bench.machine import machine
from edge_agent.config import CloudSettings
from edge_agent.errors import ModelError
from edge_agent.sim.table import CLOUD, EDGE, Node
from edge_agent.store.models import find_bundle
from edge_agent.transport.projected import Projected, projected_codecs
from edge_agent.vlm import Bundle


@dataclass(frozen=True, slots=True)
class Profile:
    """`encoder` as in `model.encoder`; a node in the cloud reads embeddings that the device made with one thread."""

    name: str
    place: str
    bundle: str
    threads: int = 1
    encoder: str = "onnx"
    tiles: bool = False


PROFILES = (
    Profile("edge-1t", EDGE, "edge-vqa"),
    Profile("edge-2t", EDGE, "edge-vqa", threads=2),
    Profile("edge-litert-int8", EDGE, "edge-vqa", encoder="litert-int8"),
    Profile("cloud-overview", CLOUD, "cloud-vqa"),
    Profile("cloud-tiles", CLOUD, "cloud-vqa", tiles=True),
)


def available(names: Sequence[str]) -> list[Profile]:
    """The profiles that this installation can run, in order; LiteRT's need its files in the bundle."""
    unknown = sorted(set(names) - {p.name for p in PROFILES})
    if unknown:
        raise SystemExit(f"no profile {unknown[0]!r}: {', '.join(p.name for p in PROFILES)}")
    wanted = [p for p in PROFILES if not names or p.name in names]
    return [p for p in wanted if _encodes(p)]


def described(profile: Profile, prefix: str, repeats: int, command: str) -> Node:
    """The profile as a node of the table. `prefix` sets nodes of another machine apart."""
    bundle = Bundle.open(find_bundle(profile.bundle), verify=False)
    facts = machine()
    precision = "int8 weights, float32" if profile.encoder == "onnx" else f"{profile.encoder} encoder"
    return Node(
        name=prefix + profile.name,
        place=profile.place,
        model=bundle.name,
        version=bundle.manifest.version,
        encoder_id=bundle.encoder_id,
        precision=precision,
        threads=profile.threads,
        views=bundle.layout.views_per_image if profile.tiles else 1,
        codec=f"projected/{CloudSettings().level}" if profile.place == CLOUD else "",
        machine=f"{facts['cpu']}, {facts['arch']}, Python {platform.python_version()}",
        measured=datetime.now(tz=timezone.utc).date().isoformat(),
        command=command,
        repeats=repeats,
    )


def usual_codec(edge: Bundle) -> Projected:
    """What the agent sends in by default, its basis being registered. Raises ModelError where the bundle has none."""
    for codec in projected_codecs(edge.encoder_id):
        return codec.at(CloudSettings().level)
    raise ModelError(f"{edge.name}: no basis of its embeddings", "make one with: python -m tools.train.basis")


def _encodes(profile: Profile) -> bool:
    if profile.encoder == "onnx":
        return True
    kind = "vision_encoder_int8" if profile.encoder == "litert-int8" else "vision_encoder"
    return (find_bundle(profile.bundle) / "litert" / f"{kind}.tflite").is_file()
