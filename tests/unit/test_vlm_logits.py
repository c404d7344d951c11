"""What softmax says of a token: the kernel against its definition, on every instruction set, and what it refuses."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_agent import _core
from edge_agent.errors import ModelError
from edge_agent.types import F32
from edge_agent.vlm.choice import GREEDY, Choice, Picker


def defined(logits: F32, token: int, temperature: float) -> tuple[float, float]:
    """Probability of `token`, and entropy over log(count), in double precision."""
    scaled = (logits.astype(np.float64) - float(logits.max())) / temperature
    shares = np.exp(scaled) / np.exp(scaled).sum()
    known = shares[shares > 0]
    return float(shares[token]), float(-(known * np.log(known)).sum() / math.log(len(logits)))


def drawn(count: int, spread: float = 3.0) -> F32:
    return (np.random.default_rng(count).normal(size=count) * spread).astype(np.float32)


@pytest.mark.parametrize("isa", _core.available_isas())
@pytest.mark.parametrize("count", [2, 7, 8, 9, 16, 31, 500, 4661, 49280])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_statistics_are_those_of_softmax(isa: str, count: int, temperature: float) -> None:
    logits = drawn(count)
    token, probability, entropy = _core.token_statistics(logits, temperature, None, isa)
    assert token == int(logits.argmax())
    assert (probability, entropy) == pytest.approx(defined(logits, token, temperature), abs=5e-6)
    other = count // 3
    found, share, _ = _core.token_statistics(logits, temperature, other, isa)
    assert (found, share) == (other, pytest.approx(defined(logits, other, temperature)[0], abs=5e-6))


@given(st.lists(st.floats(-(2.0**127), 2.0**127, width=32), min_size=1, max_size=70), st.floats(0.001, 1000))
def test_every_instruction_set_says_the_same_to_the_last_bit(values: list[float], temperature: float) -> None:
    logits = np.asarray(values, dtype=np.float32)
    found = {_core.token_statistics(logits, temperature, None, isa) for isa in _core.available_isas()}
    assert len(found) == 1
    token, probability, entropy = found.pop()
    assert token == int(logits.argmax())
    assert 0 < probability <= 1
    assert 0 <= entropy <= 1


def test_known_values() -> None:
    assert _core.token_statistics(np.zeros(100, np.float32)) == (0, pytest.approx(0.01), pytest.approx(1.0))
    assert _core.token_statistics(np.zeros(1, np.float32)) == (0, 1.0, 0.0)
    sharp = np.zeros(100, np.float32)
    sharp[5] = 1000.0
    assert _core.token_statistics(sharp) == (5, 1.0, pytest.approx(0.0))
    thirds = np.log(np.asarray([0.5, 0.25, 0.25], np.float32))
    assert _core.token_statistics(thirds)[2] == pytest.approx(1.5 * math.log(2) / math.log(3), abs=1e-5)


def test_temperature_flattens() -> None:
    logits = np.asarray([0.0, 1.0, 4.0], dtype=np.float32)
    cold, hot = _core.token_statistics(logits, 1.0), _core.token_statistics(logits, 3.0)
    assert hot[1] < cold[1]
    assert hot[2] > cold[2]


def test_a_forbidden_token_counts_for_nothing() -> None:
    logits = np.asarray([0.0, -np.inf, 0.0], dtype=np.float32)
    assert _core.token_statistics(logits)[:2] == (0, pytest.approx(0.5))
    assert _core.token_statistics(logits, 1.0, 1)[1] == pytest.approx(0.0, abs=1e-30)


@pytest.mark.parametrize("count", [8, 4661, 20000])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_numbers_that_are_none_are_refused_wherever_they_stand(count: int, bad: float) -> None:
    for at in (0, count // 2, count - 1):
        logits = drawn(count)
        logits[at] = bad
        with pytest.raises(ValueError, match="NaN, or no finite"):
            _core.token_statistics(logits)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((np.zeros(4),), TypeError, "float32"),
        (([0.0],), TypeError, "NumPy array"),
        ((np.zeros((2, 2), np.float32),), ValueError, "packed"),
        ((np.zeros(8, np.float32)[::2],), ValueError, "packed"),
        ((np.zeros(0, np.float32),), ValueError, "not empty"),
        ((np.zeros(4, np.float32), 0.0), ValueError, "temperature"),
        ((np.zeros(4, np.float32), math.nan), ValueError, "temperature"),
        ((np.zeros(4, np.float32), "warm"), TypeError, "real number"),
        ((np.zeros(4, np.float32), 1.0, 4), ValueError, "0 to 3"),
        ((np.zeros(4, np.float32), 1.0, -1), ValueError, "0 to 3"),
        ((np.zeros(4, np.float32), 1.0, 10**30), OverflowError, "int"),
        ((np.zeros(4, np.float32), 1.0, None, "mmx"), ValueError, "available are"),
        ((), TypeError, "by position"),
        ((np.full(4, -np.inf, np.float32),), ValueError, "no finite"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(arguments: tuple[Any, ...], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        _core.token_statistics(*arguments)


def test_a_large_vocabulary_leaves_the_interpreter_to_others() -> None:
    logits: NDArray[np.float32] = drawn(1 << 22)
    alone = _core.token_statistics(logits)
    found: list[tuple[int, float, float]] = []
    threads = [threading.Thread(target=lambda: found.append(_core.token_statistics(logits))) for _ in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert found == [alone] * 3


def test_a_picker_gives_the_statistics_of_what_it_took() -> None:
    logits = drawn(50)
    assert Picker(GREEDY).take(logits, 1.0) == _core.token_statistics(logits)
    for seed in range(5):
        token, probability, _ = Picker(Choice(2.0, seed=seed)).take(logits, 1.5)
        assert token == Picker(Choice(2.0, seed=seed)).pick(logits)
        assert probability == _core.token_statistics(logits, 1.5, token)[1]


def test_a_decoder_that_gives_no_numbers_is_named() -> None:
    with pytest.raises(ModelError, match="no usable numbers"):
        Picker(GREEDY).take(np.full(9, np.nan, np.float32), 1.0)
