"""Predictors of answer quality and latency per node, for policies: small linear models over words and picture.

QLMIO (arXiv 2606.15210) names two: MGQP, whether a node will complete a task, and MILP, how long the pair will take.
Their form is not public to us; this is **our construction** (docs/methods.md keeps the two apart):

    MGQP   P(node n answers x rightly) = sigmoid(w_n . x),   x = words of a closed list, length, picture statistics
    drafted  the same once the device's draft is known: logit of its confidence, entropy, expected gain join x
    gain     P(only a cloud is right) - P(only the device is): each likewise, with the draft and before it
    MILP   milliseconds of device and decoder = u_n . x + a megapixel term, at least a tenth of a millisecond

Fitted by `tools/fit_nodes.py` on the measured table; shipped as `assets/nodes.json`. Plain Python numbers on purpose:
calls into an array library cost more than these sums.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_agent.policy.shipped import shipped, versioned
from edge_agent.types import ModalityFeatures
from edge_agent.types.odds import Weights, logit, sigmoid, weighed

VERSION = 2
NUMBERS = ("one", "length", "entropy", "edges", "laplacian", "no_picture", "sound")
DRAFT_NUMBERS = ("confidence", "draft_entropy", "gain")
MAX_WORDS = 512
MAX_QUESTION_WORDS = 60
_STRIPPED = "?.,!;:\"'()"


@dataclass(frozen=True, slots=True)
class Seen:
    """What is read of a question: `numbers` as NUMBERS names them, `words` as places in the closed list, megapixels."""

    numbers: tuple[float, ...]
    words: tuple[int, ...]
    megapixels: float


@dataclass(frozen=True, slots=True)
class Linear:
    """A sum: one weight a number, one a word."""

    numbers: tuple[float, ...]
    words: tuple[float, ...]

    def __call__(self, seen: Seen) -> float:
        total = 0.0
        for weight, value in zip(self.numbers, seen.numbers, strict=False):
            total += weight * value
        words = self.words
        for word in seen.words:
            total += words[word]
        return total


@dataclass(frozen=True, slots=True)
class Odds:
    """The logit of an event: `told` + `draft` . DRAFT_NUMBERS once the draft is known, `before` without it."""

    told: Linear
    draft: tuple[float, float, float]
    before: Linear


@dataclass(frozen=True, slots=True)
class Gain:
    """By how many right answers a cloud does better than the device's own draft, -1..1: P(only the `cloud` is right) -
    P(only the `device` is). Before the draft it is taken as normal, give or take `spread`.
    """

    cloud: Odds
    device: Odds
    spread: float

    def before(self, seen: Seen) -> float:
        """What is expected of it while no draft is known."""
        return sigmoid(self.cloud.before(seen)) - sigmoid(self.device.before(seen))

    def weighs(self, seen: Seen) -> tuple[Weights, Weights]:
        """As a decision says it: see types.Decision."""
        cloud, device = self.cloud, self.device
        return (cloud.told(seen), *cloud.draft), (device.told(seen), *device.draft)


@dataclass(frozen=True, slots=True)
class NodeModel:
    """Everything that is predicted of one profile. `draft` are the weights of DRAFT_NUMBERS on top of `drafted`.

    `device_ms` is encoding and coding, `service_ms` prompt and decoding; `megapixel_ms` joins the former.
    `overhead_ms`, `bytes_up` and `bytes_down` are medians of a whole question. `gain` is of a cloud.
    """

    place: str
    quality: Linear
    drafted: Linear
    draft: tuple[float, ...]
    device_ms: Linear
    megapixel_ms: float
    service_ms: Linear
    overhead_ms: float
    bytes_up: int
    bytes_down: int
    gain: Gain

    def right(self, seen: Seen) -> float:
        """P(right) before anything was answered, 0..1."""
        return sigmoid(self.quality(seen))

    def right_given(self, seen: Seen, confidence: float, entropy: float, gain: float) -> float:
        """P(right) once the device's draft is known, 0..1."""
        return sigmoid(self.drafted(seen) + weighed(self.draft, confidence, entropy, gain))

    def on_device_ms(self, seen: Seen) -> float:
        return max(0.1, self.device_ms(seen) + self.megapixel_ms * seen.megapixels)

    def in_decoder_ms(self, seen: Seen) -> float:
        return max(0.1, self.service_ms(seen))


@dataclass(frozen=True, slots=True)
class Predictors:
    """The closed list of words, and a model for each profile that was measured."""

    words: Mapping[str, int]
    nodes: Mapping[str, NodeModel]
    measured_with: str

    def see(self, features: ModalityFeatures) -> Seen:
        """One pass over the question's words, and the numbers of the picture."""
        known = self.words
        asked = features.question.lower().split()[:MAX_QUESTION_WORDS]
        words = tuple({at for word in asked if (at := known.get(word.strip(_STRIPPED))) is not None})
        image = features.image
        sound = 0.0 if features.sound is None else 1.0
        length = 0.1 * len(asked)
        if image is None:
            return Seen((1.0, length, 0.0, 0.0, 0.0, 1.0, sound), words, 0.0)
        sharp = 0.1 * math.log1p(max(0.0, image.laplacian_variance))
        numbers = (1.0, length, 0.125 * image.entropy_bits, image.edge_density, sharp, 0.0, sound)
        return Seen(numbers, words, 1e-6 * image.width * image.height)


def _neutral(place: str, right: float, service_ms: float) -> NodeModel:
    """A node of which nothing was measured: the same for every question."""
    rest = (0.0,) * (len(NUMBERS) - 1)
    quality, device, service = (Linear((one, *rest), ()) for one in (logit(right), 20.0, service_ms))
    up = 10_000 if place == "cloud" else 0
    seldom = Linear((-3.0, *rest), ())
    # near the model's own word: slope 1 where the gain is 0
    slope = 0.5 / (sigmoid(-3.0) * sigmoid(3.0))
    gain = Gain(Odds(seldom, (0.0, 0.0, slope), seldom), Odds(seldom, (0.0, 0.0, -slope), seldom), 0.1)
    return NodeModel(place, quality, quality, (0.0,) * len(DRAFT_NUMBERS), device, 0.0, service, 5.0, up, 500, gain)


NOTHING_KNOWN = Predictors(
    {},
    {
        "edge-1t": _neutral("edge", 0.5, 10.0),
        "cloud-overview": _neutral("cloud", 0.55, 20.0),
        "cloud-tiles": _neutral("cloud", 0.55, 40.0),
    },
    "nothing",
)


def shipped_predictors() -> Predictors:
    """The models that travel with the package; where they do not fit, with a warning, ones that know nothing."""
    without = "quality and latency of nodes are guessed, the shipped models do not fit"
    return shipped("nodes.json", read_predictors, NOTHING_KNOWN, without)


def read_predictors(text: str) -> Predictors:
    """The models in a file's text. Raises ValueError that says what does not fit."""
    document = versioned(text, VERSION, "the predictors")
    if document.get("numbers") != list(NUMBERS) or document.get("draft_numbers") != list(DRAFT_NUMBERS):
        raise ValueError("their numbers are not those that this version computes")
    words, nodes = document.get("words"), document.get("nodes")
    if not isinstance(words, list) or len(words) > MAX_WORDS or not all(isinstance(word, str) for word in words):
        raise ValueError("`words` is no list of words")
    if not isinstance(nodes, dict) or not nodes:
        raise ValueError("`nodes` names none")
    measured_with = document.get("measured_with")
    if not isinstance(measured_with, str):
        raise ValueError("they do not say which models were measured")
    made = {str(name): _node(raw, len(words)) for name, raw in nodes.items()}
    return Predictors({word: at for at, word in enumerate(words)}, made, measured_with)


def _node(raw: Any, words: int) -> NodeModel:
    if not isinstance(raw, dict) or raw.get("place") not in ("edge", "cloud"):
        raise ValueError("a node is neither edge nor cloud")
    linear = {key: _linear(raw.get(key), words) for key in ("quality", "drafted", "device_ms", "service_ms")}
    single = {key: _numbers([raw.get(key)], 1)[0] for key in ("megapixel_ms", "overhead_ms", "bytes_up", "bytes_down")}
    return NodeModel(
        place=raw["place"],
        draft=_numbers(raw.get("draft"), len(DRAFT_NUMBERS)),
        megapixel_ms=single["megapixel_ms"],
        overhead_ms=single["overhead_ms"],
        bytes_up=int(single["bytes_up"]),
        bytes_down=int(single["bytes_down"]),
        gain=_gain(raw.get("gain"), words),
        **linear,
    )


def _gain(raw: Any, words: int) -> Gain:
    """Of a cloud; the device has none, which is one of nothing."""
    if raw is None:
        none = Linear((0.0,) * len(NUMBERS), (0.0,) * words)
        nothing = Odds(none, (0.0, 0.0, 0.0), none)
        return Gain(nothing, nothing, 0.0)
    if not isinstance(raw, dict):
        raise ValueError("a gain is no object")
    (spread,) = _numbers([raw.get("spread")], 1)
    if spread < 0.0:
        raise ValueError("a gain spreads by less than nothing")
    return Gain(_odds(raw.get("cloud"), words), _odds(raw.get("device"), words), spread)


def _odds(raw: Any, words: int) -> Odds:
    if not isinstance(raw, dict):
        raise ValueError("the odds of a gain are no object")
    one, two, three = _numbers(raw.get("draft"), len(DRAFT_NUMBERS))
    return Odds(_linear(raw.get("told"), words), (one, two, three), _linear(raw.get("before"), words))


def _linear(raw: Any, words: int) -> Linear:
    if not isinstance(raw, dict):
        raise ValueError("a model is no object")
    return Linear(_numbers(raw.get("numbers"), len(NUMBERS)), _numbers(raw.get("words"), words))


def _numbers(raw: Any, count: int) -> tuple[float, ...]:
    if not isinstance(raw, Sequence) or len(raw) != count:
        raise ValueError(f"a model has not {count} weights")
    if any(isinstance(v, bool) or not isinstance(v, (int, float)) or not math.isfinite(v) for v in raw):
        raise ValueError("a weight is no finite number")
    return tuple(float(value) for value in raw)
