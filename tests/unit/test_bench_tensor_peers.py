"""Same work: what a library is timed for on embeddings gives what ours gives, or loses no more than it says."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.cli.bench.codec import KERNELS, LIBRARIES, own
from edge_agent.cli.bench.tensors import TensorScene, normal
from peers import contenders, results

TIES = 1e-3
"""Share of values that may be one step apart where another order of operations meets a tie."""


def scene(case: str) -> TensorScene:
    return TensorScene(case, normal(13, 50)[:3])


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("case", KERNELS)
def test_a_library_does_the_work_that_it_is_timed_for(library: str, case: str) -> None:
    where = scene(case)
    ours = results(own(where), 3)
    for contender in contenders(LIBRARIES[library], where):
        for mine, theirs in zip(ours, results(contender, 3), strict=True):
            if contender.work != "same":
                continue
            assert theirs.keys() == mine.keys()
            for key, value in mine.items():
                assert theirs[key].shape == value.shape
                assert theirs[key].dtype == value.dtype
                if np.issubdtype(value.dtype, np.integer):
                    assert np.mean(theirs[key] != value) <= TIES, key
                else:
                    assert np.allclose(theirs[key], value, rtol=1e-6, atol=0), key


@pytest.mark.parametrize("case", [case for case in KERNELS if "quantise" in case])
@pytest.mark.parametrize("library", LIBRARIES)
def test_who_does_it_otherwise_loses_no_more_than_a_step_of_a_channel(library: str, case: str) -> None:
    where = scene(case)
    spans = np.ptp(np.concatenate(where.tensors), axis=0)  # [hidden]
    for contender in contenders(LIBRARIES[library], where):
        for x, theirs in zip(where.tensors, results(contender, 3), strict=True):
            if contender.name.startswith("faiss_sq"):
                assert np.all(np.abs(theirs["x"] - x) <= spans / (255 if "8" in contender.name else 15) + 1e-5)
            elif "fp16" in contender.name:
                assert np.allclose(theirs["x"], x, rtol=1e-3, atol=1e-6)
            elif contender.name == "memcpy":
                assert np.array_equal(theirs["value"], x)


def test_most_tokens_stay_from_one_matrix_to_the_next() -> None:
    first, second, _ = scene("delta_int8").tensors
    stayed = np.all(first == second, axis=1)
    assert 0.3 < stayed.mean() < 1.0
