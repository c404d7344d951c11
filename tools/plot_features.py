"""Draws what the kernels see in a clip: frames, motion and entropy, spectral flux. Needs matplotlib.

edge-agent features CLIP --json > features.jsonl
python -m tools.plot_features features.jsonl --clip CLIP --out docs/demo-features.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import av
import matplotlib.pyplot as plt

THUMBNAILS = 8


def main() -> None:
    """Read the rows of `edge-agent features --json` and write one picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    wanted = parser.parse_args()
    rows = [json.loads(line) for line in wanted.rows.read_text(encoding="utf-8").splitlines()]
    frames = [row for row in rows if row["type"] == "frame"]
    chunks = [row for row in rows if row["type"] == "sound"]
    figure, axes = plt.subplots(4, 1, figsize=(10, 6.5), height_ratios=(1.3, 1, 1, 1), layout="constrained")
    _thumbnails(axes[0], wanted.clip, frames[-1]["time_s"])
    _line(axes[1], frames, "changed_share", "changed share", "tab:red")
    _line(axes[2], frames, "entropy_bits", "entropy, bits", "tab:blue")
    _line(axes[3], chunks, "flux_max", "spectral flux", "tab:green")
    axes[3].set_xlabel("seconds")
    for axis in axes[1:]:
        axis.set_xlim(0, frames[-1]["time_s"])
        axis.grid(alpha=0.3)
    figure.savefig(wanted.out, dpi=80)


def _line(axis: Any, rows: list[dict[str, Any]], key: str, label: str, colour: str) -> None:
    known = [row for row in rows if row[key] is not None]
    axis.plot([row["time_s"] for row in known], [row[key] for row in known], color=colour)
    axis.set_ylabel(label)


def _thumbnails(axis: Any, clip: Path, length_s: float) -> None:
    """Frames at even times, side by side over the time axis."""
    step_s = length_s / THUMBNAILS
    shown = 0
    with av.open(str(clip)) as container:
        for picture in container.decode(video=0):
            if shown < THUMBNAILS and picture.time >= (shown + 0.5) * step_s:
                pixels = picture.reformat(width=160, height=120, format="rgb24").to_ndarray()
                axis.imshow(pixels, extent=(shown * step_s, (shown + 1) * step_s, 0, step_s * 0.75), aspect="auto")
                shown += 1
    axis.set_xlim(0, length_s)
    axis.set_ylim(0, step_s * 0.75)
    axis.set_axis_off()


if __name__ == "__main__":
    main()
