"""Fits a basis: from embeddings of training pictures and how much answers feel each of their directions.

A decoder that reads x + e instead of x answers otherwise by about eT G e / 2, where G = E[g gT] and g is the gradient
of the log probability of an answer (Fisher's information). So directions are weighed by G before the principal
components are taken, each place of the grid's cosine transform by what is left of it, and one step serves all: reverse
water-filling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.transport.basis import FORMAT, FREQUENCY_SUM, MAGIC, MAGNITUDES, SYMBOLS, group_arrays, level_arrays
from edge_agent.transport.learned_file import header_bytes

Floats = NDArray[np.float64]
Integers = NDArray[np.integer[Any]]

DEAD = 0.0015  # mean magnitude of a value below which it is never sent
WIDE = 3.0  # and above which its low bits are sent as they are
CLASSES = 40
ROUNDING = 0.4
STATE_BYTES, ESCAPE_BITS = 3, 16


@dataclass(frozen=True, slots=True)
class Group:
    """Tokens from `first` on; see the codec for the other parts. `scale` [count, kept]: steps beside one another."""

    first: int
    mean: Floats
    down: Floats
    across: Floats
    analysis: Floats
    synthesis: Floats
    scale: Floats

    def coefficients(self, views: Floats) -> Floats:
        """[n, tokens, hidden] to [n, count * kept], divided by `scale`."""
        x = views[:, self.first : self.first + len(self.mean)] - self.mean
        found = np.matmul(np.kron(self.down, self.across), x @ self.analysis) / self.scale
        return np.asarray(found.reshape(len(views), -1))


def cosine(n: int) -> Floats:
    """[n, n]: the orthonormal discrete cosine transform (type 2), a frequency a row."""
    k, i = np.arange(n)[:, None], np.arange(n)[None]
    waves = np.cos(np.pi * (i + 0.5) * k / n) * np.sqrt(2 / n)
    waves[0] /= np.sqrt(2)
    return np.asarray(waves)


def fit_group(first: int, down: Floats, across: Floats, views: Floats, gradients: Floats, floor: float) -> Group:
    """`views` and `gradients` [n, tokens, hidden]; `down` and `across` transform the group's grid along its columns and
    rows. `floor`: what every direction has of `gradients` at least.
    """
    space = np.kron(down, across)
    rows = slice(first, first + len(space))
    mean = views[:, rows].mean(axis=0)
    x, g = views[:, rows] - mean, gradients[:, rows]
    hidden = x.shape[2]
    general = float((gradients**2).mean())
    flat = g.reshape(-1, hidden)
    felt = flat.T @ flat / len(flat) / general + floor * np.eye(hidden)
    values, vectors = np.linalg.eigh(felt)
    root, back = (vectors * np.sqrt(values)) @ vectors.T, (vectors / np.sqrt(values)) @ vectors.T
    flat = (x @ root).reshape(-1, hidden)
    _, components = np.linalg.eigh(flat.T @ flat / len(flat))
    components = components[:, ::-1]
    analysis, synthesis = root @ components, components.T @ back
    waves = np.matmul(space, g @ synthesis.T)
    sensitivity = (waves**2).mean(axis=0) / general + floor * (synthesis**2).sum(axis=1)
    return Group(first, mean, down, across, analysis, synthesis, np.maximum(sensitivity, 1e-2) ** -0.5)


def rounded(coefficients: Floats, step: float) -> Integers:
    """As the codec rounds."""
    values = np.abs(coefficients) / np.float32(step)
    values += np.float32(ROUNDING)
    return np.asarray(np.copysign(np.trunc(values, out=values), coefficients, out=values), dtype=np.int32)


def fit_level(coefficients: Floats, step: float) -> dict[str, Any]:
    """One quality from [n, places] coefficients: which places are sent, their classes, and a table for each class."""
    values = rounded(coefficients, step)
    activity = np.abs(values).mean(axis=0)
    places = np.flatnonzero(activity >= DEAD)
    edges = np.geomspace(DEAD, 256 * WIDE, CLASSES + 1)[1:-1]
    used, classes = np.unique(np.digitize(activity[places], edges), return_inverse=True)
    shifts, counts, centroids, bits = [], [], [], 0.0
    for kind in range(len(used)):
        mine = places[classes == kind]
        shift = max(0, int(np.ceil(np.log2(activity[mine].mean() / WIDE))))
        shifts.append(shift)
        seen = occurrences(values[:, mine] >> shift)
        counts.append(frequencies(seen))
        bits += information(seen, counts[-1]) + shift * len(values) * len(mine)
        centroids.append(centres(np.abs(coefficients[:, mine]) / step, np.abs(values[:, mine])))
    return {
        "step": step,
        "bytes": int(np.ceil(bits / 8 / len(values))) + STATE_BYTES,
        "places": places.astype(np.uint32),
        "classes": classes.astype(np.uint8),
        "shifts": np.array(shifts, np.uint8),
        "counts": np.array(counts, np.uint16),
        "centroids": np.array(centroids, np.float32),
    }


def occurrences(values: Integers) -> Integers:
    """[32]: how often each symbol comes; 0, 1, -1, ... 15, -15, what is larger."""
    magnitude = np.abs(values)
    symbols = np.where(magnitude >= MAGNITUDES, SYMBOLS - 1, 2 * magnitude - (values > 0))
    return np.asarray(np.bincount(symbols.ravel(), minlength=SYMBOLS))


def information(seen: Integers, frequencies: NDArray[np.uint16]) -> float:
    """Bits that symbols take under a table, and the escaped values behind them."""
    return float(-(seen * np.log2(frequencies / FREQUENCY_SUM)).sum() + ESCAPE_BITS * seen[-1])


def frequencies(occurrences: Integers) -> NDArray[np.uint16]:
    """[32] of at least 1 that sum to 8192: how often each symbol comes, a little more for those never seen."""
    seen = occurrences + 0.02
    found = np.maximum(1, np.floor(seen / seen.sum() * (FREQUENCY_SUM - SYMBOLS))).astype(np.int64)
    found[found.argmax()] += FREQUENCY_SUM - found.sum()
    return np.asarray(found, np.uint16)


def centres(magnitudes: Floats, values: Integers) -> Floats:
    """[16]: the mean of what was rounded to each magnitude; the magnitude itself where that was rarely seen."""
    found = np.arange(MAGNITUDES, dtype=np.float64)
    seen = np.minimum(values, MAGNITUDES).ravel()
    counts = np.bincount(seen, minlength=MAGNITUDES + 1)[:MAGNITUDES]
    sums = np.bincount(seen, weights=magnitudes.ravel(), minlength=MAGNITUDES + 1)[:MAGNITUDES]
    often = (counts >= 20) & (np.arange(MAGNITUDES) > 0)
    found[often] = sums[often] / counts[often]
    return found


def basis_bytes(encoder_id: str, groups: list[Group], levels: list[dict[str, Any]]) -> bytes:
    """The file of a basis."""
    hidden = groups[0].mean.shape[1]
    kept = [group.analysis.shape[1] for group in groups]
    header = {
        "format": FORMAT,
        "encoder_id": encoder_id,
        "tokens": sum(len(group.mean) for group in groups),
        "hidden": hidden,
        "groups": [
            {"first": group.first, "rows": len(group.down), "columns": len(group.across), "kept": k}
            for group, k in zip(groups, kept, strict=True)
        ],
        "levels": [
            {
                "step": level["step"],
                "rounding": ROUNDING,
                "bytes": level["bytes"],
                "places": len(level["places"]),
                "tables": len(level["shifts"]),
            }
            for level in levels
        ],
    }
    parts = [header_bytes(MAGIC, header)]
    for group in groups:
        for name, (dtype, _) in group_arrays(hidden, 1, 1, 1).items():
            parts.append(np.ascontiguousarray(getattr(group, name)).astype(dtype).tobytes())
    for level in levels:
        for name, (dtype, _) in level_arrays(1, 1).items():
            parts.append(np.ascontiguousarray(level[name]).astype(dtype).tobytes())
    return b"".join(parts)
