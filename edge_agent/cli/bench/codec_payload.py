"""What each codec makes of real embeddings: bytes, the time to code and decode, and answers that come out otherwise."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np

from edge_agent.cli.bench import pictures
from edge_agent.cli.bench.codec_dropped import pruned
from edge_agent.cli.bench.codec_pictures import photo_ways, sent_as_photos
from edge_agent.cli.bench.machine import machine
from edge_agent.cli.bench.peers.bits import bits
from edge_agent.cli.bench.progress import Progress
from edge_agent.cli.vqa import Row, is_right, read_rows, sample
from edge_agent.config import CloudSettings
from edge_agent.transport.basis import MAGNITUDES, SYMBOLS
from edge_agent.transport.changes import Changes
from edge_agent.transport.codecs import CODECS, Codec, EncodedTensor, decode_views, join_views, split_views
from edge_agent.transport.limits import Limits
from edge_agent.transport.projected import Projected, projected_codecs
from edge_agent.transport.refilled import Refilled
from edge_agent.transport.shipped import register_shipped
from edge_agent.types import U8, Embeddings

PAYLOAD, PICTURES, ROUND_TRIP = "payload", "picture", "round_trip"
PROJECTED = "projected"
USUAL_LEVEL = CloudSettings().level
MOST_LOST = 0.01  # of the accuracy of embeddings without loss
EXACT = "raw-f32"
QUESTIONS = "coco/dev.jsonl"
JPEG_QUALITIES = (80, 50)
MAX_NEW_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Seen:
    """One picture as the encoder sees it: `views` are the whole and its tiles. `rows` are the questions about it."""

    views: tuple[Embeddings, ...]
    photo: U8
    jpeg_bytes: dict[int, int]
    rows: tuple[Row, ...]


def payload_rows(data: Path | None, limit: int, rounds: int, with_pictures: bool) -> Iterator[dict[str, Any]]:
    """One row a codec and quality, and before them, `with_pictures`, one a way to send the photo itself. Without
    questions `accuracy` and `changed_pct` are null. Raises ModelError, InputError.
    """
    seen = look(data, limit)
    truth = [row.answer for one in seen for row in one.rows]
    exact = answers(seen, [one.views for one in seen])
    common = {
        "pictures": len(seen),
        "views": len(seen[0].views),
        "size": "x".join(str(side) for side in seen[0].views[0].data.shape),
        "questions": len(truth),
        "input": "coco" if truth else pictures.TEXTURE,
        "machine": machine(),
    }
    asked: list[dict[str, Any]] = []
    if with_pictures and truth:
        for way in photo_ways():
            coded, views = sent_as_photos([one.photo for one in seen], way)
            told = {"bytes_mean": float(np.mean(coded)), **_judged(answers(seen, views), exact, truth)}
            asked.append({"bench": "codec", "case": PICTURES, "codec": way.name, **told, **common})
            yield asked[-1]
    floor = None if not truth else _judged(exact, exact, truth)["accuracy"] - MOST_LOST
    smallest = min((row["bytes_mean"] for row in asked if row["accuracy"] >= floor), default=None)
    encoder_id = seen[0].views[0].encoder_id
    for name, codec in subjects(encoder_id).items():
        told = _judged(exact if name == EXACT else answers(seen, _through(seen, codec)), exact, truth)
        others = _others(seen, name, codec)
        if smallest is not None and told["accuracy"] >= floor:
            others["picture_as_accurate"] = smallest
        row = {"bench": "codec", "case": PAYLOAD, "codec": name, "bytes_mean": _bytes_mean(seen, codec), **told}
        times = _times(seen, codec, rounds)
        yield row | times | {"others_bytes": others} | common
        if name == f"{PROJECTED}/{USUAL_LEVEL}":
            total = {"ours_us": times["encode_us"] + times["decode_us"], "codec": name}
            yield {
                "bench": "codec",
                "case": ROUND_TRIP,
                **total,
                **common,
                "size": f"{common['views']}x{common['size']}",
            }


def subjects(encoder_id: str) -> dict[str, Codec]:
    """Every codec of that encoder's embeddings by its name, in each of its qualities."""
    built_in: dict[str, Codec] = {
        name: codec for name, codec in CODECS.items() if not isinstance(codec, Projected | Refilled | Changes)
    }
    in_bases = projected_codecs(encoder_id)
    learned: dict[str, Codec] = {
        f"{PROJECTED}/{n}": codec.at(n) for codec in in_bases for n in range(len(codec.basis.levels))
    }
    return built_in | learned | pruned(encoder_id)


def _judged(given: Sequence[str], exact: Sequence[str], truth: Sequence[str]) -> dict[str, Any]:
    return {
        "accuracy": _share([is_right(a, right) for a, right in zip(given, truth, strict=True)]),
        "changed_pct": _percent([a != b for a, b in zip(given, exact, strict=True)]),
    }


def say_payload(row: dict[str, Any]) -> None:
    """One row for people."""
    if row["case"] == ROUND_TRIP:
        return
    known = row["accuracy"] is not None
    answered = f"accuracy {row['accuracy']:.3f}, {row['changed_pct']:.1f} % changed" if known else "no questions"
    said = f"{row['codec']:<14} {row['views']} x {row['size']}: {row['bytes_mean']:.0f} bytes a picture"
    if row["case"] == PICTURES:
        click.echo(f"{said}; {answered}")
        return
    others = ", ".join(f"{name} {size:.0f}" for name, size in row["others_bytes"].items())
    click.echo(f"{said} ({others}); {answered}; encode {row['encode_us']:.0f} us, decode {row['decode_us']:.0f} us")


def look(data: Path | None, limit: int) -> list[Seen]:
    """Pictures by the shipped encoder: those of the questions where there are any, else frames of the texture."""
    from edge_agent.sources.photo import load_photo
    from edge_agent.vlm import Bundle, VisionEncoder, find_bundle

    bundle = Bundle.open(find_bundle("edge-vqa"))
    register_shipped(bundle.codec_files)
    encoder = VisionEncoder(bundle)
    if data is None or not (data / QUESTIONS).is_file():
        return [Seen(encoder.encode_views(frame), frame, _jpeg(frame), ()) for frame in pictures.texture(640, 480)]
    by_photo: dict[Path, list[Row]] = {}
    for row in sample(read_rows(data / QUESTIONS), limit, 0):
        by_photo.setdefault(row.image, []).append(row)
    found, progress = [], Progress("encoding pictures", len(by_photo))
    for path, rows in by_photo.items():
        photo = load_photo(progress.one(path)).pixels
        found.append(Seen(encoder.encode_views(photo), photo, _jpeg(photo), tuple(rows)))
    return found


def _jpeg(picture: U8) -> dict[int, int]:
    import cv2

    return {q: len(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, q])[1]) for q in JPEG_QUALITIES}


def answers(seen: Sequence[Seen], views: Sequence[Sequence[Embeddings]]) -> list[str]:
    """What the shipped cloud decoder answers to all questions from these views of the pictures."""
    from edge_agent.vlm import Bundle, Generator, find_bundle

    if not any(one.rows for one in seen):
        return []
    generator = Generator(Bundle.open(find_bundle("cloud-vqa")))
    given, progress = [], Progress("answering about pictures", len(seen))
    for one, read in zip(seen, views, strict=True):
        progress.one(one)
        for row in one.rows:
            tokens = generator.stream(read, row.question, max_new_tokens=MAX_NEW_TOKENS)
            given.append("".join(token.text for token in tokens).strip())
    return given


def _coded(codec: Codec, views: Sequence[Embeddings]) -> list[EncodedTensor]:
    """As an upload codes them: all views in one tensor where the codec can."""
    return [codec.encode(view) for view in ([join_views(views)] if codec.view_tokens else views)]


def _through(seen: Sequence[Seen], codec: Codec) -> list[list[Embeddings]]:
    """What the other side reads."""
    limits = Limits()
    return [[view for tensor in _coded(codec, one.views) for view in _back(codec, tensor, limits)] for one in seen]


def _back(codec: Codec, tensor: EncodedTensor, limits: Limits) -> tuple[Embeddings, ...]:
    """The views of a tensor; a codec that does not travel reads its own."""
    return decode_views(tensor, limits) if codec.codec_id in CODECS else split_views(codec.decode(tensor), codec)


def _bytes_mean(seen: Sequence[Seen], codec: Codec) -> float:
    return float(np.mean([sum(len(tensor.payload) for tensor in _coded(codec, one.views)) for one in seen]))


def _others(seen: Sequence[Seen], name: str, codec: Codec) -> dict[str, float]:
    """Mean bytes of a picture otherwise: as JPEG, by the other codecs, at the order-0 entropy."""
    made = {f"jpeg_q{q}": float(np.mean([one.jpeg_bytes[q] for one in seen])) for q in JPEG_QUALITIES}
    names = [other for other in subjects(seen[0].views[0].encoder_id) if other != name and other in CODECS]
    made |= {other: _bytes_mean(seen, CODECS[other]) for other in names}
    if isinstance(codec, Projected):
        made["static_coder"] = static_bytes(codec, [join_views(one.views) for one in seen])
    return made | ({"order0": _order0_bytes(seen)} if codec.dtype == "int8" else {})


def static_bytes(codec: Projected, pictures: Sequence[Embeddings]) -> float:
    """Mean bytes of a picture if each class of coefficients took its order-0 entropy on these very pictures."""
    level = codec.basis.levels[codec.level]
    values = np.concatenate([codec.transform.quantise(one.data, codec.level) for one in pictures])  # [views, places]
    total = 0.0
    for kind, shift in enumerate(level["shifts"].tolist()):
        high = values[:, level["classes"] == kind] >> shift
        symbols = np.where(np.abs(high) >= MAGNITUDES, SYMBOLS - 1, 2 * np.abs(high) - (high > 0))
        counts = np.bincount(symbols.ravel(), minlength=SYMBOLS)
        total += symbols.size * bits(counts) + 16 * int(counts[-1]) + shift * high.size
    return total / 8 / len(pictures)


def _order0_bytes(seen: Sequence[Seen]) -> float:
    """Mean bytes of a picture if an int8 value took its order-0 entropy within its view; scales take 4 bytes each."""
    return float(np.mean([sum(_order0(view) for view in one.views) for one in seen]))


def _order0(view: Embeddings) -> float:
    scales = np.abs(view.data).max(axis=1) / 127
    values = np.rint(view.data / np.where(scales > 0, scales, 1)[:, None]).astype(np.int8)
    counts = np.bincount(values.view(np.uint8).ravel(), minlength=256)
    return values.size * bits(counts) / 8 + 4 * len(scales)


def _times(seen: Sequence[Seen], codec: Codec, rounds: int) -> dict[str, float]:
    """Medians over `rounds` of the thread CPU time that all views of a picture take, one picture after the other."""
    encode_us, decode_us, limits = [], [], Limits()
    for turn in range(rounds):
        views = seen[turn % len(seen)].views
        began = time.thread_time_ns()
        coded = _coded(codec, views)
        coded_at = time.thread_time_ns()
        for tensor in coded:
            _back(codec, tensor, limits)
        encode_us.append((coded_at - began) / 1e3)
        decode_us.append((time.thread_time_ns() - coded_at) / 1e3)
    return {"encode_us": median(encode_us), "decode_us": median(decode_us)}


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def _percent(values: Sequence[bool]) -> float | None:
    return 100 * sum(values) / len(values) if values else None
