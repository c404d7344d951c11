"""`edge-agent bench vlm`: encode, prefill, tokens and memory of a model, beside ONNX Runtime, LiteRT, transformers."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from edge_agent.cli.bench.libraries import LITERT, Library, absent, builders, litert_distribution
from edge_agent.cli.bench.measure import Contender, compare
from edge_agent.cli.bench.options import case_option, chosen, chosen_peers, peers_option, rounds_option
from edge_agent.cli.bench.rows import Report, timing_row
from edge_agent.cli.bench.vlm_floats import unpacked
from edge_agent.cli.bench.vlm_memory import memory_row
from edge_agent.cli.bench.vlm_scene import Plain, Scene
from edge_agent.cli.options import json_option
from edge_agent.cli.paths import FILE
from edge_agent.sources.photo import load_photo
from edge_agent.types import U8
from edge_agent.vlm import Bundle, find_bundle, litert
from edge_agent.vlm.bundle import DECODER
from edge_agent.vlm.selftest import picture

CASES = ("encode", "prefill", "next_question", "token", "memory")
MODELS = ("edge-vqa", "cloud-vqa")
VARIANTS = {"fp32": "", "int8": "int8"}
ONNXRUNTIME = "onnxruntime"
LESS = "less: no choice, text or probability"
LIBRARIES: Mapping[str, Library] = {
    ONNXRUNTIME: Library(ONNXRUNTIME, ONNXRUNTIME, ONNXRUNTIME, "", "pip install onnxruntime"),
    "litert": Library("litert", litert_distribution(), LITERT[litert_distribution()], "litert", litert.INSTALL),
    "transformers": Library(
        "transformers", "transformers", "transformers", "transformers", "pip install torch transformers", ("torch",)
    ),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for."""

    models: tuple[Path, ...]
    cases: tuple[str, ...]
    threads: tuple[int, ...]
    peers: tuple[str, ...]
    rounds: int
    photo: U8


@click.command()
@click.option("--model", "models", metavar="BUNDLE", multiple=True, help="A name or a folder; may be repeated.")
@click.option("--threads", type=click.IntRange(1, 64), multiple=True, help="May be repeated. [default: 1 and 2]")
@click.option("--image", type=FILE, help="A photo; without one a picture is drawn.")
@rounds_option
@case_option
@peers_option
@json_option
def command(
    models: tuple[str, ...],
    threads: tuple[int, ...],
    image: Path | None,
    rounds: int,
    cases: tuple[str, ...],
    peers: str | None,
    as_json: bool,
) -> None:
    """The model runtime.

    encode: photo to embeddings. prefill: reading picture and question. next_question: the same picture once more.
    token: one token of an answer; bare_session is the time of its graphs alone. memory: resident after an answer.
    With one thread the CPU time of that thread is measured, with more the time on the wall.
    """
    photo = drawn() if image is None else load_photo(image).pixels
    wanted = Wanted(
        tuple(find_bundle(name) for name in models or MODELS),
        chosen(cases, CASES, "case"),
        threads or (1, 2),
        chosen_peers(peers, tuple(LIBRARIES)),
        rounds,
        photo,
    )
    report = Report(as_json)
    report.missing(absent(LIBRARIES, wanted.peers))
    for row in rows(wanted):
        say_memory(row) if row["case"] == "memory" and not as_json else report.row(row)


def say_memory(row: Mapping[str, Any]) -> None:
    """The row of `memory` for people."""
    plain = row["peers"]["onnxruntime"]["resident_mb"]
    where = f"{row['size']} {row['variant']}"
    click.echo(f"memory          {where}: {row['ours_mb']} MiB resident, plain onnxruntime {plain} MiB")


def drawn() -> U8:
    """[480, 640, 3] uint8: the self-test's picture, five times as large."""
    made: U8 = np.ascontiguousarray(picture().repeat(5, axis=0).repeat(5, axis=1))
    return made


def rows(wanted: Wanted) -> Iterator[dict[str, Any]]:
    """Measures, and gives each row as soon as it is there."""
    for folder in wanted.models:
        with tempfile.TemporaryDirectory() as room:
            yield from rows_of(folder, Path(room), wanted)


def rows_of(folder: Path, room: Path, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """The rows of one model in each of its precisions; `room` may be written to."""
    for variant, bundle in precisions(folder, room):
        for threads in wanted.threads:
            scene = Scene(bundle, wanted.photo, threads)
            extra = {"threads": threads, "variant": variant, "clock": "cpu" if threads == 1 else "wall"}
            for case in wanted.cases:
                if case != "memory" and (case != "encode" or bundle.has_vision):
                    yield measure(scene, case, wanted, extra)
        if "memory" in wanted.cases:
            yield memory_row(bundle, variant, min(wanted.threads))


def precisions(folder: Path, room: Path) -> Iterator[tuple[str, Bundle]]:
    """A bundle of ours in int8, as it was shipped, and in float32, unpacked in `room`; a pulled one in float32 and
    int8, where it has both.
    """
    if (folder / "manifest.json").is_file():
        shipped = Bundle.open(folder)
        yield "int8", shipped
        yield "fp32", unpacked(shipped, room)
        return
    graph = folder / DECODER
    files = {one: graph.with_name(graph.stem + (end and f"_{end}") + ".onnx") for one, end in VARIANTS.items()}
    there = [one for one, path in files.items() if path.is_file()]
    for variant in there:
        yield variant, Bundle.open(folder, variant=VARIANTS[variant])
    if not there:
        yield "first", Bundle.open(folder)


def measure(scene: Scene, case: str, wanted: Wanted, extra: Mapping[str, Any]) -> dict[str, Any]:
    """One row; for `token`, how much the decode loop adds to the graphs."""
    own = {
        "encode": scene.encode,
        "prefill": scene.prefill,
        "next_question": scene.next_question,
        "token": scene.decode,
    }[case]
    units = scene.tokens if case == "token" else 1
    ours = Contender("ours", "edge-agent", lambda _: own(), units=units)
    peers = [bare(scene)] if case == "token" else []
    peers += plain_peers(plain_of(scene), case, units) if ONNXRUNTIME in wanted.peers else []
    others = tuple(name for name in wanted.peers if name != ONNXRUNTIME)
    peers += [one for build in builders(LIBRARIES, others) for one in build((scene, case))]
    clock = time.thread_time_ns if scene.threads == 1 else time.perf_counter_ns
    timing, timings = compare(ours, peers, wanted.rounds, clock=clock)
    row = timing_row("vlm", case, scene.bundle.name, timing, list(zip(peers, timings, strict=True)), extra)
    row["rows"] = scene.prompt.rows
    if case == "token":
        shares = [100 * (1 / ratio - 1) for ratio in timings[0].ratios]
        row["loop_adds_pct"] = round(statistics.median(shares), 1)
        low, _, high = statistics.quantiles(shares, n=4, method="inclusive")
        row["loop_adds_pct_quartiles"] = [round(low, 1), round(high, 1)]
    return row


def bare(scene: Scene) -> Contender:
    """Our sessions alone, their inputs made beforehand: what the decode loop adds is told by it."""
    return Contender("bare_session", ONNXRUNTIME, lambda _: scene.bare(), units=scene.tokens, work=LESS)


def plain_of(scene: Scene) -> Plain:
    """The scene through plain ONNX Runtime."""
    return Plain(scene.bundle, scene.photo, scene.threads, scene.prompt, scene.ids)


def plain_peers(plain: Plain, case: str, units: int) -> list[Contender]:
    """The same graphs run naively."""

    def contender(name: str, call: Any, work: str = "same") -> Contender:
        return Contender(name, ONNXRUNTIME, lambda _: call(), units=units, work=work)

    if case == "encode":
        return [contender(ONNXRUNTIME, plain.encode)]
    if case == "token":
        again = contender("onnxruntime_no_cache", plain.decode_without_cache, LESS)
        return [contender(ONNXRUNTIME, plain.decode, LESS), again]
    return [contender(ONNXRUNTIME, plain.prefill)]
