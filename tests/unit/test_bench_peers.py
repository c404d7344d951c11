"""Same work: whatever a library is timed for gives what ours gives, on small frames whose sizes no tile divides."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.cli.bench.features import CASES, LIBRARIES, combinations
from edge_agent.cli.bench.measure import Contender
from edge_agent.cli.bench.ours import own
from edge_agent.cli.bench.pictures import Scene
from edge_agent.features.kernels import choose
from edge_agent.types import U8
from peers import contenders, results

RTOL, ATOL = 1e-5, 2e-5
LEVELS = {"cv2": 1, "pillow": 2}
"""How far the grey of libraries with weights of their own may be from ours."""
ROUNDED = 0.51
"""Of a tile mean that comes in whole levels."""
PERCENT_DIGITS = 2e-3
"""scdet prints percents with three digits."""


def pictures(height: int = 75, width: int = 100, count: int = 4) -> list[U8]:
    """BGR frames with texture, an edge that moves, and flat parts."""
    rng = np.random.default_rng(3)
    frames = []
    for step in range(count):
        frame = rng.normal(120, 12, (height, width, 3))
        frame[:, 20 + 9 * step :] += 70
        frame[50:60, :30] = 200
        frames.append(np.clip(frame, 0, 255).astype(np.uint8))
    return frames


def scene(case: str, pixels: str) -> Scene:
    frames = pictures() if pixels == "bgr" else [choose().grey(frame) for frame in pictures()]
    return Scene(case, frames, tile=16 if case == "tile16_entropy" else 32)


def tolerance(contender: Contender, key: str, pixels: str) -> tuple[float, float]:
    """Relative and absolute: exact but for rounding, where `work` does not say otherwise."""
    opencv = contender.name.startswith("cv2")
    if key == "grey" and contender.work.startswith("other: its own weights"):
        return 0.0, LEVELS[contender.name]
    if contender.name.startswith("av_scdet"):
        return RTOL, PERCENT_DIGITS
    if opencv and key == "tile_mean_abs_diff":
        return RTOL, ROUNDED + (pixels == "bgr")
    if opencv and pixels == "bgr":  # statistics of a grey picture one level apart here and there
        return 0.02, 0.05
    return RTOL, ATOL


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("case", "pixels"), list(combinations(CASES)))
def test_a_library_does_the_work_that_it_is_timed_for(library: str, case: str, pixels: str) -> None:
    where = scene(case, pixels)
    ours = results(own(where), 4)
    for contender in contenders(LIBRARIES[library], where):
        for index, (mine, theirs) in enumerate(zip(ours, results(contender, 4), strict=True)):
            if case == "all_vision" and index == 0:
                continue  # nothing to compare with the first frame
            if index == 0 and contender.name.startswith("av_scdet"):
                continue
            compared = theirs.keys() & mine.keys()
            assert compared
            for key in compared:
                assert theirs[key].shape == mine[key].shape
                relative, absolute = tolerance(contender, key, pixels)
                assert np.allclose(theirs[key].astype(float), mine[key].astype(float), relative, absolute), key
            if contender.work == "same":
                assert theirs.keys() == mine.keys(), contender.name
            if contender.work.startswith("less"):
                assert len(compared) < len(mine), contender.name


def test_the_edges_that_opencv_counts_are_those_of_the_other_norm() -> None:
    from edge_agent.cli.bench.peers.opencv import Buffers

    where = scene("edge_laplacian", "grey")
    grey = where.at(0)
    g = grey.astype(int)
    smooth_y, smooth_x = g[:-2] + 2 * g[1:-1] + g[2:], g[:, :-2] + 2 * g[:, 1:-1] + g[:, 2:]
    gx, gy = smooth_y[:, 2:] - smooth_y[:, :-2], smooth_x[2:] - smooth_x[:-2]
    density, _ = Buffers(where).edges_l1(grey)
    assert 0 < density < 1
    assert density == np.mean(abs(gx) + abs(gy) > 128)


def test_a_scene_goes_round_its_frames() -> None:
    frames = pictures(count=3)
    where = Scene("grey", frames)
    assert where.at(4) is frames[1]
    assert where.before(3) is frames[2]
    assert where.shape == (75, 100)
