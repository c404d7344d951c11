"""`edge-agent bench audio`: the statistics of sound against other libraries, by chunk and hop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click

from edge_agent import features
from edge_agent.cli.bench.libraries import Library, absent, builders
from edge_agent.cli.bench.measure import Contender, compare
from edge_agent.cli.bench.options import Asked, Wanted, asking
from edge_agent.cli.bench.ours_sound import named, own_sound
from edge_agent.cli.bench.rows import report_runs, timing_row
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


@click.command()
@asking(INPUTS)
def command(asked: Asked) -> None:
    """Kernels for sound: frames of 512 samples at 16 kHz.

    Sizes are a chunk and a hop; `hop160` feeds one hop a call, and its times are for one hop.
    """
    wanted = asked.checked(CASES, SIZES, there(asked.data), tuple(LIBRARIES))
    report_runs(wanted, LIBRARIES, lambda: rows(wanted))


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
