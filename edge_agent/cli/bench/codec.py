"""`edge-agent bench codec`: quantising kernels against other libraries; bytes, accuracy and time of each codec."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click

from edge_agent import features
from edge_agent.cli.bench.codec_delta import DELTA, delta_rows, say_delta
from edge_agent.cli.bench.codec_payload import PAYLOAD, PICTURES, ROUND_TRIP, payload_rows, say_payload
from edge_agent.cli.bench.codec_sounds import SOUND, say_sound, sound_rows
from edge_agent.cli.bench.libraries import Library, absent, builders
from edge_agent.cli.bench.measure import Contender, compare
from edge_agent.cli.bench.options import Asked, Wanted, asking
from edge_agent.cli.bench.peers.tensors_numpy import prepared_codes
from edge_agent.cli.bench.rows import Report, timing_row
from edge_agent.cli.bench.tensors import INPUTS, NORMAL, TensorScene, encoded, frames_of, normal
from edge_agent.cli.output import emit
from edge_agent.transport.tensors import choose

KERNELS = ("quantise_int8", "dequantise_int8", "quantise_int4", "dequantise_int4", "row_changes", "delta_int8")
CASES = (*KERNELS, PAYLOAD, PICTURES, ROUND_TRIP, DELTA, SOUND)
SAY = {DELTA: say_delta, SOUND: say_sound}
SIZES = ("64x576", "50x192")
LIBRARIES: Mapping[str, Library] = {
    "numpy": Library("numpy", "numpy", "numpy", "tensors_numpy"),
    "numba": Library("numba", "numba", "numba", "tensors_numba"),
    "faiss": Library("faiss", "faiss-cpu", "faiss", "tensors_faiss"),
}


@click.command()
@click.option("--limit", type=click.IntRange(min=1), default=200, show_default=True, help="Questions for `payload`.")
@asking(INPUTS)
def command(asked: Asked, limit: int) -> None:
    """Kernels for embeddings, and what the codecs make of them.

    Sizes are tokens x hidden. `payload` codes what the shipped encoder makes of pictures; where the folder has
    coco/dev.jsonl, the shipped cloud decoder answers its questions from coded embeddings, too, and (case `picture`)
    from the photos sent as JPEG and WebP. `round_trip`: encoding and decoding a whole picture in a learned basis.
    `delta`: a camera's pictures as changes of the one before, bytes and answers. `sound`: what is said to be heard
    of the clips in esc10 that nobody learned from.
    """
    wanted = asked.checked(CASES, SIZES, INPUTS, tuple(LIBRARIES))
    report = Report(wanted.as_json)
    report.missing(absent(LIBRARIES, wanted.peers))
    for run in range(1, wanted.runs + 1):
        mark = {"run": run} if wanted.runs > 1 else {}
        for row in kernel_rows(wanted):
            report.row(row | mark)
        for row in payloads(wanted, limit):
            if wanted.as_json:
                emit(row | mark)
            else:
                SAY.get(row["case"], say_payload)(row)


def payloads(wanted: Wanted, limit: int) -> Iterator[dict[str, Any]]:
    """Rows of the whole codecs that were asked for."""
    cases = {PAYLOAD, PICTURES, ROUND_TRIP}.intersection(wanted.cases)
    if cases:
        for row in payload_rows(wanted.data, limit, wanted.rounds, PICTURES in cases):
            if row["case"] in cases:
                yield row
    if DELTA in wanted.cases:
        yield from delta_rows(wanted.data)
    if SOUND in wanted.cases:
        yield from sound_rows(wanted.data)


def kernel_rows(wanted: Wanted) -> Iterator[dict[str, Any]]:
    """Measures, and gives each row as soon as it is there."""
    cases = [case for case in wanted.cases if case in KERNELS]
    peers = builders(LIBRARIES, wanted.peers)
    missing = {library.name: library.install for library in absent(LIBRARIES, wanted.peers)}
    for name in wanted.inputs if cases else ():
        for size in wanted.sizes if name == NORMAL else (None,):
            tensors = [e.data for e in encoded(frames_of(wanted.data))] if size is None else normal(*_sides(size))
            label = size or "x".join(str(side) for side in tensors[0].shape)
            for case in cases:
                extra: dict[str, Any] = {"input": name, "isa": features.isa()}
                row = measure_scene(TensorScene(case, tensors), peers, wanted.rounds, label, extra)
                yield row | ({"missing": missing} if missing else {})


def _sides(size: str) -> tuple[int, int]:
    tokens, _, hidden = size.partition("x")
    return int(tokens), int(hidden)


def measure_scene(
    scene: TensorScene, peers: list[Callable[[Any], list[Contender]]], rounds: int, size: str, extra: Mapping[str, Any]
) -> dict[str, Any]:
    """One row."""
    contenders = [contender for build in peers for contender in build(scene)]
    ours, timings = compare(own(scene), contenders, rounds)
    return timing_row("codec", scene.case, size, ours, list(zip(contenders, timings, strict=True)), extra)


def own(scene: TensorScene) -> Contender:
    """Ours, into memory that is used again, as the codecs do."""
    core: Any = choose()
    at, before, first = scene.at, scene.before, scene.tensors[0]
    if scene.case in ("quantise_int8", "quantise_int4"):
        quantise = getattr(core, scene.case)
        out, scales = quantise(first)
        codes = "codes" if scene.case == "quantise_int8" else "packed"
        return _ours(lambda i: quantise(at(i), out, scales), lambda r: {codes: r[0], "scales": r[1]})
    if scene.case == "row_changes":
        changes = core.row_changes(first, first)
        return _ours(lambda i: core.row_changes(at(i), before(i), changes), lambda r: {"changes": r})
    if scene.case == "delta_int8":
        known = [core.quantise_int8(x) for x in scene.tensors]
        delta, peaks = core.delta_int8(first, *known[0])
        return _ours(
            lambda i: core.delta_int8(at(i), *known[(i - 1) % len(known)], delta, peaks),
            lambda r: {"delta": r[0], "peaks": r[1]},
        )
    levels, steps = prepared_codes(scene)
    count, hidden, x = len(levels), scene.shape[1], first.copy()
    if scene.case == "dequantise_int8":
        return _ours(lambda i: core.dequantise_int8(levels[i % count], steps[i % count], x), lambda r: {"x": r})
    return _ours(lambda i: core.dequantise_int4(levels[i % count], steps[i % count], hidden, x), lambda r: {"x": r})


def _ours(call: Callable[[int], Any], read: Callable[[Any], Mapping[str, Any]]) -> Contender:
    return Contender("ours", "edge-agent", call, read)
