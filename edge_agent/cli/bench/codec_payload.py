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
from edge_agent.cli.bench.machine import machine
from edge_agent.cli.bench.peers.bits import bits
from edge_agent.cli.vqa import Row, is_right, read_rows, sample
from edge_agent.transport.codecs import CODECS, Codec
from edge_agent.types import U8, Embeddings

PAYLOAD = "payload"
EXACT = "raw-f32"
QUESTIONS = "coco/dev.jsonl"
JPEG_QUALITIES = (80, 50)
MAX_NEW_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Seen:
    """One picture as the encoder sees it: `views` are the whole and its tiles. `rows` are the questions about it."""

    views: tuple[Embeddings, ...]
    jpeg_bytes: dict[int, int]
    rows: tuple[Row, ...]


def payload_rows(data: Path | None, limit: int, rounds: int) -> Iterator[dict[str, Any]]:
    """One row a codec. Without questions `accuracy` and `changed_pct` are null. Raises ModelError, InputError."""
    seen = look(data, limit)
    exact = answers(seen, CODECS[EXACT])
    truth = [row for one in seen for row in one.rows]
    for codec in CODECS.values():
        given = exact if codec.codec_id == EXACT else answers(seen, codec)
        yield {
            "bench": "codec",
            "case": PAYLOAD,
            "codec": codec.codec_id,
            "bytes_mean": _bytes_mean(seen, codec),
            "accuracy": _share([is_right(a, row.answer) for a, row in zip(given, truth, strict=True)]),
            "changed_pct": _percent([a != b for a, b in zip(given, exact, strict=True)]),
            **_times(seen, codec, rounds),
            "others_bytes": _others(seen, codec),
            "pictures": len(seen),
            "views": len(seen[0].views),
            "size": "x".join(str(side) for side in seen[0].views[0].data.shape),
            "questions": len(truth),
            "input": "coco" if truth else pictures.TEXTURE,
            "machine": machine(),
        }


def say_payload(row: dict[str, Any]) -> None:
    """One row for people."""
    known = row["accuracy"] is not None
    answered = f"accuracy {row['accuracy']:.3f}, {row['changed_pct']:.1f} % changed" if known else "no questions"
    others = ", ".join(f"{name} {size:.0f}" for name, size in row["others_bytes"].items())
    click.echo(
        f"{row['codec']:<14} {row['views']} x {row['size']}: {row['bytes_mean']:.0f} bytes a picture ({others}); "
        f"{answered}; encode {row['encode_us']:.0f} us, decode {row['decode_us']:.0f} us"
    )


def look(data: Path | None, limit: int) -> list[Seen]:
    """Pictures by the shipped encoder: those of the questions where there are any, else frames of the texture."""
    from edge_agent.sources.photo import load_photo
    from edge_agent.vlm import Bundle, VisionEncoder, find_bundle

    encoder = VisionEncoder(Bundle.open(find_bundle("edge-vqa")))
    if data is None or not (data / QUESTIONS).is_file():
        return [Seen(encoder.encode_views(frame), _jpeg(frame), ()) for frame in pictures.texture(640, 480)]
    by_photo: dict[Path, list[Row]] = {}
    for row in sample(read_rows(data / QUESTIONS), limit, 0):
        by_photo.setdefault(row.image, []).append(row)
    found = []
    for path, rows in by_photo.items():
        photo = load_photo(path).pixels
        found.append(Seen(encoder.encode_views(photo), _jpeg(photo), tuple(rows)))
    return found


def _jpeg(picture: U8) -> dict[int, int]:
    import cv2

    return {q: len(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, q])[1]) for q in JPEG_QUALITIES}


def answers(seen: Sequence[Seen], codec: Codec) -> list[str]:
    """What the shipped cloud decoder answers to all questions from embeddings that went through a codec."""
    from edge_agent.vlm import Bundle, Generator, find_bundle

    if not any(one.rows for one in seen):
        return []
    generator = Generator(Bundle.open(find_bundle("cloud-vqa")))
    given = []
    for one in seen:
        views = [codec.decode(codec.encode(view)) for view in one.views]
        for row in one.rows:
            tokens = generator.stream(views, row.question, max_new_tokens=MAX_NEW_TOKENS)
            given.append("".join(token.text for token in tokens).strip())
    return given


def _bytes_mean(seen: Sequence[Seen], codec: Codec) -> float:
    return float(np.mean([sum(len(codec.encode(view).payload) for view in one.views) for one in seen]))


def _others(seen: Sequence[Seen], codec: Codec) -> dict[str, float]:
    """Mean bytes of a picture otherwise: as JPEG, by the other codecs, at the order-0 entropy."""
    jpeg = {f"jpeg_q{q}": float(np.mean([one.jpeg_bytes[q] for one in seen])) for q in JPEG_QUALITIES}
    coded = {name: _bytes_mean(seen, other) for name, other in CODECS.items() if name != codec.codec_id}
    return jpeg | coded | ({"order0": _order0_bytes(seen)} if codec.dtype == "int8" else {})


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
    encode_us, decode_us = [], []
    for turn in range(rounds):
        views = seen[turn % len(seen)].views
        began = time.thread_time_ns()
        coded = [codec.encode(view) for view in views]
        coded_at = time.thread_time_ns()
        for tensor in coded:
            codec.decode(tensor)
        encode_us.append((coded_at - began) / 1e3)
        decode_us.append((time.thread_time_ns() - coded_at) / 1e3)
    return {"encode_us": median(encode_us), "decode_us": median(decode_us)}


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def _percent(values: Sequence[bool]) -> float | None:
    return 100 * sum(values) / len(values) if values else None
