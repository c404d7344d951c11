"""What a camera's pictures take as changes of the one before: bytes, and answers that come out otherwise, of a clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from edge_agent.cli.bench.codec_payload import PROJECTED, USUAL_LEVEL
from edge_agent.cli.bench.machine import machine
from edge_agent.cli.bench.pictures import CLIPS
from edge_agent.cli.bench.progress import Progress
from edge_agent.transport.changes import BASE_BYTES, Changes
from edge_agent.transport.codecs import EncodedTensor, decode_views, join_views, learned_codecs
from edge_agent.transport.limits import Limits
from edge_agent.transport.shipped import register_shipped
from edge_agent.types import Embeddings

DELTA = "delta"
CLIP = "bikes"
FRAMES = 250  # ten seconds, every frame
GAPS = {1: 100, 5: 50, 25: 10}  # frames from one question to the next, and how many questions
LEVELS = (USUAL_LEVEL - 1, USUAL_LEVEL)
ANSWERED = 25  # pictures at each gap, evenly spread
QUESTIONS = (
    "is there a person in the picture?",
    "is there a car in the picture?",
    "is there a bicycle in the picture?",
    "is there a truck in the picture?",
    "how many people are in the picture?",
    "how many cars are in the picture?",
    "what vehicle is in the picture?",
    "what is the largest thing in the picture?",
)
DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Sent:
    """One picture as it went up: what the other side has of it, and the bytes that brought it there."""

    whole: EncodedTensor
    size: int
    told: bool


def delta_rows(data: Path | None, clip: str = CLIP, levels: Sequence[int] = LEVELS) -> Iterator[dict[str, Any]]:
    """One row a level and gap: mean bytes of a picture with all its views, whole and as the codec `changes` would send
    it (whole where that is no larger, naming the base counted), the first one left out; answers of the cloud decoder
    to QUESTIONS that differ from those without loss. Nothing without the clip. Raises InputError, ModelError.
    """
    if data is None or not (data / CLIPS[clip]).is_file():
        return
    from edge_agent.sources.clip import read_clip
    from edge_agent.vlm import Bundle, VisionEncoder, find_bundle

    bundle = Bundle.open(find_bundle("edge-vqa"))
    register_shipped(bundle.codec_files)
    encoder, codec = VisionEncoder(bundle), learned_codecs(Changes, bundle.encoder_id)[0]
    frames = read_clip(data / CLIPS[clip], FRAMES).frames
    wanted = sorted({at for gap, count in GAPS.items() for at in range(0, len(frames), gap)[:count]})
    progress = Progress("encoding frames", len(wanted))
    seen = {at: join_views(encoder.encode_views(progress.one(frames[at].pixels))) for at in wanted}
    asking = _Asking()
    for gap, count in GAPS.items():
        pictures = [seen[at] for at in range(0, len(frames), gap)[:count]]
        chosen = np.unique(np.linspace(1, len(pictures) - 1, min(ANSWERED, len(pictures) - 1)).round().astype(int))
        exact = [asking.answers(_views(pictures[at], codec)) for at in chosen]
        for level in levels:
            told, plain = chain(codec, pictures, level), whole(codec, pictures, level)
            row: dict[str, Any] = {"bench": "codec", "case": DELTA, "codec": f"changes/{level}", "input": clip}
            row |= {"gap_ms": round(1000 * (frames[gap].timestamp_s - frames[0].timestamp_s))}
            answers = [[asking.answers(_back(sent[at])) for at in chosen] for sent in (told, plain)]
            yield row | sizes(told[1:], plain[1:]) | judged(exact, *answers) | {"machine": machine()}


def chain(codec: Changes, pictures: Sequence[Embeddings], level: int) -> list[Sent]:
    """Each picture as a change of what the other side has of the one before, where that is smaller."""
    plain, sent = codec.projected.at(level), [whole(codec, pictures[:1], level)[0]]
    for one in pictures[1:]:
        made = codec.change(one, sent[-1].whole, level)
        if made is None or made.whole is None:
            made = plain.encode(one)
        told = made.whole is not None
        sent.append(Sent(made.whole or made, len(made.payload) + BASE_BYTES * told, told))
    return sent


def whole(codec: Changes, pictures: Sequence[Embeddings], level: int) -> list[Sent]:
    """Each picture by itself."""
    made = [codec.projected.at(level).encode(one) for one in pictures]
    return [Sent(one, len(one.payload), False) for one in made]


def sizes(told: Sequence[Sent], plain: Sequence[Sent]) -> dict[str, Any]:
    """Mean bytes with quartiles, and how many times fewer the changes take."""
    changed, before = (np.array([one.size for one in sent]) for sent in (told, plain))
    quartiles = [float(one) for one in np.percentile(changed, (25, 50, 75))]
    return {
        "pictures": len(changed),
        "bytes_mean": float(changed.mean()),
        "bytes_quartiles": quartiles,
        "whole_bytes_mean": float(before.mean()),
        "ratio": float(before.mean() / changed.mean()),
        "told_share": float(np.mean([one.told for one in told])),
    }


def judged(exact: Sequence[Any], told: Sequence[Any], plain: Sequence[Any]) -> dict[str, Any]:
    """Percent of answers that differ from `exact` (a list of answers a picture), and the difference of both ways with
    its 95 % interval, by a bootstrap over pictures.
    """
    off, base = (
        np.array([np.mean([a != b for a, b in zip(x, y, strict=True)]) for x, y in zip(given, exact, strict=True)])
        for given in (told, plain)
    )
    drawn = np.random.default_rng(0).integers(0, len(off), (DRAWS, len(off)))
    more = (off - base)[drawn].mean(axis=1)
    return {
        "questions": sum(map(len, exact)),
        "changed_pct": float(100 * off.mean()),
        "whole_changed_pct": float(100 * base.mean()),
        "more_changed_pct_95": [float(100 * one) for one in np.percentile(more, (2.5, 97.5))],
    }


def say_delta(row: dict[str, Any]) -> None:
    """One row for people."""
    low, high = row["more_changed_pct_95"]
    click.echo(
        f"{row['codec']:<14} {row['input']}, {row['gap_ms']} ms apart: {row['bytes_mean']:.0f} bytes a picture "
        f"({PROJECTED} {row['whole_bytes_mean']:.0f}, {row['ratio']:.2f} times as many); of {row['questions']} answers "
        f"{row['changed_pct']:.1f} % changed (whole {row['whole_changed_pct']:.1f} %; 95 %: {low:+.1f} to {high:+.1f})"
    )


class _Asking:
    """The shipped cloud decoder, asked QUESTIONS."""

    def __init__(self) -> None:
        from edge_agent.vlm import Bundle, Generator, find_bundle

        self._generator = Generator(Bundle.open(find_bundle("cloud-vqa")))
        self._progress = Progress("answering about pictures")

    def answers(self, views: Sequence[Embeddings]) -> list[str]:
        self._progress.one(views)
        streams = [self._generator.stream(views, question, max_new_tokens=8) for question in QUESTIONS]
        return ["".join(token.text for token in tokens).strip() for tokens in streams]


def _back(sent: Sent) -> Sequence[Embeddings]:
    return decode_views(sent.whole, Limits())


def _views(picture: Embeddings, codec: Changes) -> Sequence[Embeddings]:
    each = codec.projected.basis.tokens
    return [replace(picture, data=picture.data[at : at + each]) for at in range(0, len(picture.data), each)]
