"""Makes what the codec `changes` has learned, for the basis of pictures of a pair of bundles, and ships it in both.

    python -m tools.train.changes --models models            (needs the work folder of training; see README.md)

Learned from photos of training that are made to move and from EDGE_AGENT_DATA/clips/bigbuckbunny.mp4, whose embeddings
are kept in the work folder (`codec/moving.npz`). A held value is kept where the error that it leaves, less the one that
rounding leaves anyway, costs less than the bits of a new one: `--worth` says how much error a bit is worth, in squared
steps. The usual worth is a first value that one of those clips was looked at with; others were not tried to the end.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent.transport.changes import CONTEXTS, SETS, changes_bytes
from edge_agent.transport.projected import Projected, projected_codecs
from edge_agent.transport.shipped import register_shipped
from edge_agent.vlm import Bundle, VisionEncoder
from tools.train.basis import ship, training_photos
from tools.train.basis_fit import WIDE, Floats, Integers, frequencies
from tools.train.moving import photo_clips, shots
from tools.train.settings import Paths, default_paths

PHOTOS = 60
GAPS = (1, 3)
KINDS = 10
QUANTILES = (0.25, 0.5, 0.8)  # of how much of a view changes: where one set of tables ends
WORTH = 0.15
ROUNDS = 2
ROUNDING = 1 / 12  # the squared error of a rounded value
Pairs = tuple[Integers, Integers]


def embedded(bundle: Bundle, paths: Paths, clip: Path) -> list[Any]:
    """[frames, views, tokens, hidden] float32 of each sequence, kept in the work folder."""
    path = paths.work / "codec" / "moving.npz"
    if not path.exists():
        encoder = VisionEncoder(bundle)
        clips = photo_clips(training_photos(paths), PHOTOS) + shots(clip)
        made = [np.stack([np.stack([v.data for v in encoder.encode_views(f)]) for f in frames]) for frames in clips]
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, *made)
    with np.load(path) as stored:
        return [stored[name] for name in stored.files]


def scaled(codec: Projected, sequences: Sequence[Any]) -> list[Floats]:
    """Of each sequence its coefficients [frames, views, values] in steps of the codec's level."""
    level, found = codec.basis.levels[codec.level], []
    for frames in sequences:
        x = frames.reshape(-1, *frames.shape[2:])  # [frames * views, tokens, hidden]
        parts = []
        for group in codec.basis.groups:
            apart = x[:, group["first"] : group["first"] + len(group["mean"])] - group["mean"]
            mixed = np.matmul(np.kron(group["down"], group["across"]), apart @ group["analysis"])
            parts.append(mixed.reshape(len(x), -1))
        steps = np.concatenate(parts, axis=1)[:, level["places"]] / level["steps"]
        found.append(steps.reshape(*frames.shape[:2], -1))
    return found


def rounded(c: Any, rounding: float) -> Integers:
    return np.asarray(np.where(c < 0, -1, 1) * np.floor(np.abs(c) + rounding), np.int32)


def told(sequences: Sequence[Floats], rounding: float, margins: Any, kinds: Any) -> Iterator[Pairs]:
    """(held, new) values [views, values], frame after frame as the codec would tell them, at each of GAPS."""
    for c in sequences:
        for gap in GAPS:
            held = rounded(c[0], rounding)
            for at in range(gap, len(c), gap):
                near = np.abs(c[at] - held) < margins[kinds, np.minimum(np.abs(held), CONTEXTS - 1)]
                new = np.where(near, held, rounded(c[at], rounding))
                yield held, new
                held = new


def fit(codec: Projected, sequences: Sequence[Any], worth: float) -> dict[str, Any]:
    """What the file has of one level."""
    level = codec.basis.levels[codec.level]
    c = scaled(codec, sequences)
    of_class = (np.arange(len(level["shifts"])) * KINDS // len(level["shifts"])).astype(np.uint8)
    of_class = np.unique(of_class, return_inverse=True)[1].astype(np.uint8)  # without gaps
    kinds, count = of_class[level["classes"]], int(of_class.max()) + 1
    margins = np.full((count, CONTEXTS), 0.8, np.float32)
    for _ in range(ROUNDS):
        pairs = list(told(c, level["rounding"], margins, kinds))
        tables = learned(pairs, kinds, count)
        margins = np.sqrt(ROUNDING + worth * tables.pop("dear")).astype(np.float32)
    return {"kinds": of_class, "margins": margins} | tables


def learned(pairs: Sequence[Pairs], kinds: Any, count: int) -> dict[str, Any]:
    """`edges`, `shifts` and `counts` of the pairs, and `dear` [kinds, CONTEXTS], see there."""
    held, new = (np.concatenate(part) for part in zip(*pairs, strict=True))  # [views, values]
    moved = np.where(held < 0, held - new, new - held)
    changed = (moved != 0).mean(axis=1)
    edges = np.round(np.quantile(changed, QUANTILES), 5)
    cells = kinds * CONTEXTS + np.minimum(np.abs(held), CONTEXTS - 1)  # [views, values]
    tables = cells + np.searchsorted(edges, changed)[:, None] * (count * CONTEXTS)
    size = SETS * count * CONTEXTS
    total = np.bincount(tables.ravel(), minlength=size)
    mean = np.bincount(tables.ravel(), np.abs(moved).ravel(), size) / np.maximum(total, 1)
    shifts = np.maximum(0, np.ceil(np.log2(np.maximum(mean, 1e-9) / WIDE))).astype(np.uint8)
    high = moved >> shifts[tables]
    symbols = np.where(np.abs(high) > 15, 31, 2 * np.abs(high) - (high > 0))
    seen = np.bincount((tables * 32 + symbols).ravel(), minlength=32 * size).reshape(SETS, count, CONTEXTS, 32)
    overall = seen.sum(axis=0)  # [kinds, CONTEXTS, 32]
    common = 2 * overall / np.maximum(1, overall.sum(axis=2, keepdims=True))
    counts = np.stack([frequencies(one) for one in (seen + common).reshape(-1, 32)]).reshape(seen.shape)
    return {
        "edges": edges.tolist(),
        "shifts": shifts.reshape(SETS, count, CONTEXTS),
        "counts": counts,
        "dear": dear(overall),
    }


def dear(overall: Any) -> Floats:
    """[kinds, CONTEXTS]: of counted symbols [.., 32] the bits of a change, on the mean, above those of none."""
    p = (overall + 0.02) / (overall + 0.02).sum(axis=2, keepdims=True)
    bits = -np.log2(p)
    change = (p[..., 1:] * bits[..., 1:]).sum(axis=2) / p[..., 1:].sum(axis=2)
    return np.asarray(np.maximum(0, change - bits[..., 0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--worth", type=float, default=WORTH, help="squared steps that a bit is worth")
    parser.add_argument("--out", type=Path, help="write the file here and ship nothing")
    options = parser.parse_args()
    bundles = [options.models / name for name in ("edge-vqa", "cloud-vqa")]
    edge = Bundle.open(bundles[0])
    register_shipped(path for path in edge.codec_files if "changes-" not in path.name)
    codec = projected_codecs(edge.encoder_id)[0]
    clip = Path(os.environ["EDGE_AGENT_DATA"]) / "clips" / "bigbuckbunny.mp4"
    sequences = embedded(edge, default_paths(), clip)
    levels = [fit(codec.at(n), sequences, options.worth) for n in range(len(codec.basis.levels))]
    data = changes_bytes(edge.encoder_id, codec.basis.basis_id, levels)
    if options.out is not None:
        options.out.write_bytes(data)
        return
    for bundle in bundles:
        print(json.dumps({"shipped": str(ship(data, bundle)), "bytes": len(data)}))


if __name__ == "__main__":
    main()
