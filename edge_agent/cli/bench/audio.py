"""`edge-agent bench audio`: the statistics of sound against other libraries, by chunk and hop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from edge_agent import features
from edge_agent.cli.bench.libraries import Library, absent, builders
from edge_agent.cli.bench.measure import Contender, compare
from edge_agent.cli.bench.options import chosen, chosen_peers, data_folder, timing_options
from edge_agent.cli.bench.ours_sound import named, own_sound
from edge_agent.cli.bench.rows import Report, timing_row
from edge_agent.cli.bench.sounds import CHUNKS, INPUTS, SoundScene, base_sound, make_scene, there

HOPS = (160, 256)
CHUNK_S = {"1s": 1.0, "10s": 10.0}
WHOLE = tuple(f"{chunk}/hop{hop}" for chunk in CHUNK_S for hop in HOPS)
BY_HOP = tuple(f"hop{hop}" for hop in HOPS)
SIZES = (*WHOLE, *BY_HOP)
CASES = ("flux_only", "all_audio", "hop")
NO_AUBIO = "no wheels; from source, with a C compiler: pip install --no-build-isolation aubio"
LIBRARIES: Mapping[str, Library] = {
    "scalar": Library("scalar", "edge-agent", "edge_agent", "scalar"),
    "numpy": Library("numpy", "numpy", "numpy", "spectra"),
    "scipy": Library("scipy", "scipy", "scipy", "spectra_scipy"),
    "pyfftw": Library("pyfftw", "pyfftw", "pyfftw", "spectra_pyfftw"),
    "librosa": Library("librosa", "librosa", "librosa", "spectra_librosa"),
    "essentia": Library("essentia", "essentia", "essentia", "spectra_essentia", "pip install essentia"),
    "aubio": Library("aubio", "aubio", "aubio", "spectra_aubio", NO_AUBIO),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for."""

    cases: tuple[str, ...]
    sizes: tuple[str, ...]
    inputs: tuple[str, ...]
    peers: tuple[str, ...]
    rounds: int
    data: Path | None


@click.command()
@click.option("--input", "inputs", metavar="NAME", multiple=True, help=f"Only these of {', '.join(INPUTS)}.")
@timing_options
def command(
    inputs: tuple[str, ...],
    rounds: int,
    runs: int,
    cases: tuple[str, ...],
    sizes: tuple[str, ...],
    peers: str | None,
    data: str | None,
    as_json: bool,
) -> None:
    """Kernels for sound: frames of 512 samples at 16 kHz.

    Sizes are a chunk and a hop; `hop160` feeds one hop a call, and its times are for one hop.
    """
    folder = data_folder(data)
    wanted = Wanted(
        chosen(cases, CASES, "case"),
        chosen(sizes, SIZES, "size"),
        chosen(inputs, there(folder), "input"),
        chosen_peers(peers, tuple(LIBRARIES)),
        rounds,
        folder,
    )
    report = Report(as_json)
    report.missing(absent(LIBRARIES, wanted.peers))
    for run in range(1, runs + 1):
        for row in rows(wanted):
            report.row(row | ({"run": run} if runs > 1 else {}))


def rows(wanted: Wanted) -> Iterator[dict[str, Any]]:
    """Measures, and gives each row as soon as it is there."""
    peers = builders(LIBRARIES, wanted.peers)
    for name in wanted.inputs:
        sound = base_sound(name, 1 + CHUNKS * max(CHUNK_S.values()), wanted.data)
        for size in wanted.sizes:
            for case in wanted.cases:
                if (case == "hop") == (size in BY_HOP):
                    extra: dict[str, Any] = {"input": name, "isa": features.isa()}
                    missing = {library.name: library.install for library in absent(LIBRARIES, wanted.peers)}
                    if missing:
                        extra["missing"] = missing
                    yield measure_scene(scene_of(case, size, sound), peers, wanted.rounds, size, extra)


def scene_of(case: str, size: str, sound: Any) -> SoundScene:
    """The scene of one size."""
    chunk, _, hop = size.rpartition("hop")
    return make_scene(case, sound, CHUNK_S.get(chunk.rstrip("/"), 1.0), int(hop))


def measure_scene(
    scene: SoundScene, peers: list[Callable[[Any], list[Contender]]], rounds: int, size: str, extra: Mapping[str, Any]
) -> dict[str, Any]:
    """One row."""
    contenders = [contender for build in peers for contender in build(scene)]
    if scene.case == "hop":
        contenders.insert(0, named(scene))
    ours, timings = compare(own_sound(scene), contenders, rounds)
    return timing_row("audio", scene.case, size, ours, list(zip(contenders, timings, strict=True)), extra)
