"""What sending only the change since an earlier frame would save: of a moving clip, in a learned basis and in int8."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from edge_agent.cli.bench.codec_payload import PROJECTED, USUAL_LEVEL
from edge_agent.cli.bench.machine import machine
from edge_agent.cli.bench.peers.bits import bits
from edge_agent.cli.bench.pictures import CLIPS
from edge_agent.transport.codecs import join_views
from edge_agent.transport.projected import projected_codecs
from edge_agent.transport.shipped import register_shipped
from edge_agent.transport.tensors import choose
from edge_agent.types import F32, Embeddings

DELTA = "delta"
CLIP = "bikes"
FRAMES = 250  # ten seconds, every frame
GAPS = (1, 5, 25)  # frames from one question to the next
PAIRS = 8  # of frames at each gap


def delta_rows(data: Path | None) -> Iterator[dict[str, Any]]:
    """One row a codec and gap: mean bytes of a picture with all its views, and what its difference to the picture
    before would take at least: the order-0 entropy of the differing integers, class by class of coefficients, or row
    by row of int8 values. Nothing without the clip. Raises InputError, ModelError.
    """
    if data is None or not (data / CLIPS[CLIP]).is_file():
        return
    from edge_agent.sources.clip import read_clip
    from edge_agent.vlm import Bundle, VisionEncoder, find_bundle

    bundle = Bundle.open(find_bundle("edge-vqa"))
    register_shipped(bundle.codec_files)
    encoder, codec = VisionEncoder(bundle), projected_codecs(bundle.encoder_id)[0].at(USUAL_LEVEL)
    frames = read_clip(data / CLIPS[CLIP], FRAMES).frames
    classes = codec.basis.levels[codec.level]["classes"]
    for gap in GAPS:
        seen = [join_views(encoder.encode_views(f.pixels)) for f in frames[: gap * (PAIRS + 1) : gap]]
        values = [codec.transform.quantise(one.data, codec.level) for one in seen]
        coded = [float(len(codec.encode(one).payload)) for one in seen[1:]]
        changed = [entropy_bytes(b - a, classes) for a, b in pairwise(values)]
        common = {
            "bench": "codec",
            "case": DELTA,
            "input": CLIP,
            "gap_ms": round(1000 * (frames[gap].timestamp_s - frames[0].timestamp_s)),
            "pictures": len(coded),
            "machine": machine(),
        }
        yield common | _row(f"{PROJECTED}/{codec.level}", coded, changed)
        yield common | _row("int8", *int8_bytes(seen))


def say_delta(row: dict[str, Any]) -> None:
    """One row for people."""
    click.echo(
        f"{row['codec']:<14} {row['input']}, {row['gap_ms']} ms apart: {row['bytes_mean']:.0f} bytes a picture, "
        f"the difference at least {row['delta_bytes_mean']:.0f}: {row['ratio']:.2f} times smaller"
    )


def _row(codec: str, whole: Sequence[float], changed: Sequence[float]) -> dict[str, Any]:
    mean, delta = float(np.mean(whole)), float(np.mean(changed))
    return {"codec": codec, "bytes_mean": mean, "delta_bytes_mean": delta, "ratio": mean / delta if delta else None}


def int8_bytes(seen: Sequence[Embeddings]) -> tuple[list[float], list[float]]:
    """Order-0 bytes of the int8 values of each picture but the first, and of their change in the scales of the one
    before; scales, 4 bytes a token, in neither.
    """
    core: Any = choose()
    whole, changed = [], []
    for before, after in pairwise(seen):
        values, scales = core.quantise_int8(before.data)
        steps: F32 = np.where(scales > 0, scales, 1)[:, None]
        now = np.rint(after.data / steps).astype(np.int32)
        whole.append(entropy_bytes(core.quantise_int8(after.data)[0], None))
        changed.append(entropy_bytes(now - values.astype(np.int32), None))
    return whole, changed


def entropy_bytes(values: NDArray[Any], classes: NDArray[Any] | None) -> float:
    """Order-0 entropy of `values`, those of each class of columns for themselves."""
    kinds = [values] if classes is None else [values[:, classes == kind] for kind in np.unique(classes)]
    return sum(part.size * bits(np.unique(part, return_counts=True)[1]) for part in kinds) / 8
