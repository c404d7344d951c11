"""The goals of the kernels: one table, here and in docs/performance.md; each a ratio to a peer or a time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """What one case should reach beside some peers.

    With `peers`, the smallest of their ratios counts and must be at least `must`; without, `ours_us` must be at most
    `must`. `stretch` None: there is none. `sizes`: only these; empty: all. `pixels`: only rows of this kind. `codec`:
    only rows of this one; its `peers` are other ways to write a picture, and ratios those of bytes.
    """

    bench: str
    case: str
    peers: tuple[str, ...]
    must: float
    stretch: float | None
    sizes: tuple[str, ...] = ()
    pixels: str | None = None
    codec: str | None = None

    @property
    def is_ratio(self) -> bool:
        """Whether more is better."""
        return bool(self.peers)

    def reached(self, figure: float, wanted: float | None) -> bool:
        """Whether `figure` is as good as `wanted`."""
        return wanted is not None and (figure >= wanted if self.is_ratio else figure <= wanted)

    def title(self) -> str:
        """What is compared, in a few words."""
        where = f" ({', '.join(self.sizes)})" if self.sizes else ""
        kind = f" from {self.pixels}" if self.pixels else f" of {self.codec}" if self.codec else ""
        return f"{self.case}{kind}{where} / {' or '.join(self.peers) or 'us'}"


_WHOLE = ("1s/hop160", "1s/hop256", "10s/hop160", "10s/hop256")
_HOPS = ("hop160", "hop256")
_FROM_720P = ("1280x720", "1920x1080")

GOALS = (
    Goal("features", "hist_entropy", ("cv2", "pillow", "numba", "numba_plain"), 1.0, 1.2),
    Goal("features", "hist_entropy", ("numpy",), 3.0, None),
    Goal("features", "hist_entropy", ("skimage",), 65.0, None),
    Goal("features", "tile32_entropy", ("numba_plain",), 2.5, 3.5),
    Goal("features", "tile32_entropy", ("numpy_plain",), 7.0, 10.0),
    Goal("features", "tile32_entropy", ("cv2_loop",), 20.0, 28.0),
    Goal("features", "tile32_entropy", ("skimage_loop",), 400.0, None),
    Goal("features", "tile16_entropy", ("numba_plain",), 3.5, 5.0),
    Goal("features", "tile16_entropy", ("numpy_plain",), 16.0, 25.0),
    Goal("features", "tile16_entropy", ("cv2_loop",), 45.0, 65.0),
    Goal("features", "edge_laplacian", ("numba_plain",), 3.5, 5.5),
    Goal("features", "edge_laplacian", ("cv2",), 7.0, 12.0),
    Goal("features", "grey", ("cv2",), 2.4, 3.0),
    Goal("features", "frame_diff", ("cv2_no_map",), 2.7, 3.5),
    Goal("features", "frame_diff", ("cv2",), 10.0, 17.0),
    Goal("features", "frame_diff", ("numba_plain",), 19.0, None),
    Goal("features", "frame_diff", ("cv2_norm_sad_only",), 0.5, 0.667, _FROM_720P),
    Goal("features", "all_vision", ("cv2",), 4.5, 8.0, pixels="bgr"),
    Goal("features", "all_vision", ("numba_plain",), 5.5, 9.0, pixels="bgr"),
    Goal("features", "all_vision", ("cv2_tiles",), 15.0, 27.0, pixels="bgr"),
    Goal("features", "binding", (), 0.3, 0.15),
    Goal("audio", "flux_only", ("pyfftw_flux",), 2.5, 3.5, _WHOLE),
    Goal("audio", "all_audio", ("scipy_all",), 5.0, 8.0, _WHOLE),
    Goal("audio", "flux_only", ("librosa_flux",), 10.0, 15.0, _WHOLE),
    Goal("audio", "all_audio", ("librosa_flatness_zcr_rms",), 10.0, 15.0, _WHOLE),
    Goal("audio", "flux_only", ("aubio_flux", "essentia_flux"), 20.0, 40.0, _WHOLE),
    Goal("audio", "hop", (), 1.2, 0.8, _HOPS),
    Goal("codec", "quantise_int8", ("numpy",), 4.0, 6.0, ("64x576",)),
    Goal("codec", "quantise_int8", ("faiss_sq8",), 5.0, 8.0, ("64x576",)),
    Goal("codec", "payload", ("order0",), 0.97, None, codec="int8-zstd"),
    Goal("codec", "payload", ("jpeg_q80",), 1.0, None, codec="int8-zstd"),
    Goal("codec", "payload", ("picture_as_accurate",), 3.0, None, codec="projected/2"),
    Goal("codec", "payload", ("static_coder",), 0.95, None, codec="projected/2"),
    Goal("codec", "payload", ("int4-zstd",), 3.0, None, codec="projected/2"),
    Goal("codec", "round_trip", (), 1000.0, 750.0),
    Goal("decide", "msao", (), 5.0, 1.0, ("features",)),
)

TOUGHER = {
    ("features", "tile32_entropy"): ("numba", "numpy", "cv2_loop_batched"),
    ("features", "tile16_entropy"): ("numba", "numpy", "cv2_loop_batched"),
    ("features", "edge_laplacian"): ("numba",),
    ("features", "grey"): ("numba",),
    ("features", "frame_diff"): ("numba",),
    ("features", "all_vision"): ("numba", "cv2_numba"),
}
"""Peers that no goal was set beside, quicker than those that goals were set beside: shown, not judged."""
