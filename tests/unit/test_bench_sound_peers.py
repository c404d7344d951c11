"""Same work: what a library is timed for on sound gives what ours gives, chunk after chunk and hop by hop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_agent.cli.bench.audio import CASES, HOPS, LIBRARIES
from edge_agent.cli.bench.measure import Contender
from edge_agent.cli.bench.ours_sound import named, own_sound
from edge_agent.cli.bench.sounds import CHUNKS, SoundScene, base_sound, make_scene
from peers import contenders

SECONDS = 0.1
LOOSE = {"librosa_flatness_zcr_rms": (2e-3, 5e-3), "essentia_flux": (2e-2, 1e-3), "aubio_flux": (1e-3, 1e-4)}
"""Relative and absolute, where a library's window or way of counting is its own; else 1e-3 and 1e-4."""


def scene(case: str, hop: int) -> SoundScene:
    return make_scene(case, base_sound("noise", 1.0, None), SECONDS, hop)


def results(contender: Contender) -> list[dict[str, Any]]:
    return [
        {key: np.array(value, float) for key, value in contender.read(contender.call(i)).items()} for i in range(CHUNKS)
    ]


def with_what_is_ours_to_derive(mine: dict[str, Any]) -> dict[str, Any]:
    return mine | {"flux_inside": mine["flux"][1:]}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("hop", HOPS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_does_the_work_that_it_is_timed_for(library: str, case: str, hop: int) -> None:
    where = scene(case, hop)
    ours = results(own_sound(where))
    for contender in contenders(LIBRARIES[library], where):
        relative, absolute = LOOSE.get(contender.name, (1e-3, 1e-4))
        for index, (mine, theirs) in enumerate(zip(ours, results(contender), strict=True)):
            mine = with_what_is_ours_to_derive(mine)
            skipped = (1 if library != "aubio" else 4) if index == 0 else 0  # until there is a whole window behind
            compared = theirs.keys() & mine.keys()
            assert compared
            for key in compared:
                assert theirs[key].shape == mine[key].shape
                assert np.allclose(theirs[key][skipped:], mine[key][skipped:], relative, absolute), key
            if contender.work == "same":
                assert len(compared) == 5
            else:
                assert len(compared) < 5


@pytest.mark.parametrize("hop", HOPS)
def test_ours_hop_by_hop_is_ours_chunk_by_chunk(hop: int) -> None:
    whole, by_hop = results(own_sound(scene("all_audio", hop))), results(own_sound(scene("hop", hop)))
    with_names = results(named(scene("hop", hop)))
    for chunk, hops, names in zip(whole, by_hop, with_names, strict=True):
        assert chunk.keys() == hops.keys() == names.keys()
        for key, value in chunk.items():
            assert np.array_equal(value, hops[key]), key
            assert np.array_equal(value, names[key]), key


def test_chunks_are_whole_hops_behind_a_lead() -> None:
    where = make_scene("all_audio", base_sound("noise", 5.0, None), 1.0, 256)
    assert (where.length, where.frames, where.lead) == (62 * 256, 62, 256)
    assert np.array_equal(where.span(1)[where.lead :], where.chunk(1))
    assert np.array_equal(where.chunk(CHUNKS), where.chunk(0))
    assert np.array_equal(where.span(1)[: where.lead], where.chunk(0)[-where.lead :])
