"""Asks nodes about a photo, stage by stage, and times each: the least of some repeats."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from edge_agent.cli.vqa import is_right
from edge_agent.features import FeatureExtractor
from edge_agent.sim.table import CLOUD, TILE_UNITS_PER_BIT
from edge_agent.sources.photo import load_photo
from edge_agent.store.models import find_bundle
from edge_agent.transport.codecs import decode_views, join_views
from edge_agent.transport.limits import Limits
from edge_agent.transport.shipped import register_shipped
from edge_agent.types import Embeddings, TokenEvent
from edge_agent.vlm import Bundle, Generator, open_vision, summarise
from tools.nodes.profiles import Profile, usual_codec
from tools.nodes.questions import Photo

T = TypeVar("T")
MAX_NEW_TOKENS = 16
LIMITS = Limits()


class Asking:
    """Every profile, opened once. `clock` in seconds; by default CPU time, which other work disturbs less."""

    def __init__(self, profiles: list[Profile], repeats: int, clock: Callable[[], float] = time.process_time) -> None:
        self._profiles = profiles
        self._repeats = repeats
        self._clock = clock
        self._bundles = {p.bundle: Bundle.open(find_bundle(p.bundle)) for p in profiles}
        edge = self._bundles.setdefault("edge-vqa", Bundle.open(find_bundle("edge-vqa")))
        register_shipped(edge.codec_files)
        self._codec = usual_codec(edge)
        self._eyes = {(p.encoder, p.threads): open_vision(edge, p.threads, p.encoder) for p in profiles}
        self._eyes.setdefault(("onnx", 1), open_vision(edge, 1))
        self._minds = {(p.bundle, p.threads): Generator(self._bundles[p.bundle], threads=p.threads) for p in profiles}
        self._extractor = FeatureExtractor()

    def measure(self, photo: Photo) -> dict[str, Any]:
        """One JSON object: features, and per profile and question what came out."""
        pixels = load_photo(photo.path).pixels
        (image, _), features_ms = self._timed(lambda: FeatureExtractor.vision(self._extractor, pixels))
        tiles = image.tile_entropy_bits
        eyes = {key: self._timed(partial(eye.look, pixels)) for key, eye in self._eyes.items()}
        looked, look_ms = eyes[("onnx", 1)]
        detail: tuple[tuple[Embeddings, ...], float] = ((), 0.0)
        if any(p.tiles for p in self._profiles):
            whole = self._eyes[("onnx", 1)]
            detail = self._timed(lambda: tuple(whole.encode_tiles(pixels)))
        nodes = {}
        for profile in self._profiles:
            if profile.place == CLOUD:
                views = (looked, *detail) if profile.tiles else (looked, (), 0.0)
                seen, encode_ms = (*views[0], *views[1]), look_ms + views[2]
            else:
                seen, encode_ms = eyes[(profile.encoder, profile.threads)]
            nodes[profile.name] = self._node(profile, photo, seen, encode_ms)
        return {
            "source": photo.source,
            "split": photo.split,
            "name": photo.name,
            "width": image.width,
            "height": image.height,
            "entropy_bits": round(image.entropy_bits, 5),
            "edge_density": round(image.edge_density, 6),
            "laplacian_variance": round(image.laplacian_variance, 3),
            "features_ms": features_ms,
            "tiles_shape": list(tiles.shape),
            "tiles": [min(255, round(float(t) * TILE_UNITS_PER_BIT)) for t in tiles.ravel()],
            "questions": [row.question for row in photo.rows],
            "kinds": [row.kind for row in photo.rows],
            "nodes": nodes,
        }

    def again(self, profile: Profile, photo: Photo) -> float:
        """Which part of the prompt's time the photo's second question takes once its first one was answered."""
        pixels = load_photo(photo.path).pixels
        eyes = self._eyes[("onnx", 1) if profile.place == CLOUD else (profile.encoder, profile.threads)]
        seen = eyes.encode_views(pixels) if profile.tiles else eyes.look(pixels)
        mind, (first, second) = self._minds[(profile.bundle, profile.threads)], photo.rows[:2]
        took = {"new": float("inf"), "again": float("inf")}
        for _ in range(self._repeats):
            for kind, ms in took.items():
                mind.forget()
                if kind == "again":
                    list(mind.stream(seen, first.question, max_new_tokens=MAX_NEW_TOKENS))
                started = self._clock()
                next(mind.stream(seen, second.question, max_new_tokens=MAX_NEW_TOKENS), None)
                took[kind] = min(ms, self._clock() - started)
        return took["again"] / took["new"]

    def _node(self, profile: Profile, photo: Photo, seen: tuple[Embeddings, ...], encode_ms: float) -> list[Any]:
        """A list for each question, in the order of `pack.MEASURED`."""
        code_ms, payload = 0.0, 0
        if profile.place == CLOUD:
            views = join_views(seen)
            coded, code_ms = self._timed(lambda: self._codec.encode(views))
            payload = len(coded.payload)
            seen = decode_views(coded, LIMITS)  # what was lost on the way is lost to the answer
        mind, bundle = self._minds[(profile.bundle, profile.threads)], self._bundles[profile.bundle]
        made = []
        for row in photo.rows:
            tokens, prefill_ms, decode_ms = self._answer(mind, seen, row.question)
            end = summarise(tokens, bundle.calibration, row.question)
            least = min((t.probability for t in tokens), default=0.0)
            gain = 0.0 if profile.place == CLOUD else end.expected_gain or 0.0
            up = payload + len(row.question.encode()) if profile.place == CLOUD else 0
            down = len(end.text.encode()) if profile.place == CLOUD else 0
            right = int(is_right(end.text, row.answer))
            sure = [round(v, 5) for v in (end.confidence, end.max_entropy, least, gain)]
            made.append([right, end.text, *sure, len(tokens), encode_ms, code_ms, prefill_ms, decode_ms, up, down])
        return made

    def _timed(self, work: Callable[[], T]) -> tuple[T, float]:
        """What `work` gave, and the least milliseconds that it took."""
        best, result = float("inf"), None
        for _ in range(self._repeats):
            started = self._clock()
            result = work()
            best = min(best, self._clock() - started)
        assert result is not None
        return result, round(best * 1000, 4)

    def _answer(
        self, mind: Generator, seen: tuple[Embeddings, ...], question: str
    ) -> tuple[list[TokenEvent], float, float]:
        """The tokens, and the least milliseconds to the first one, and from there to the end."""
        prefill, decode, tokens = float("inf"), float("inf"), list[TokenEvent]()
        for _ in range(self._repeats):
            mind.forget()
            started = self._clock()
            stream = mind.stream(seen, question, max_new_tokens=MAX_NEW_TOKENS)
            tokens = [token for token in [next(stream, None)] if token is not None]
            first = self._clock()
            tokens += stream
            prefill, decode = min(prefill, first - started), min(decode, self._clock() - first)
        return tokens, round(prefill * 1000, 4), round(decode * 1000, 4)
