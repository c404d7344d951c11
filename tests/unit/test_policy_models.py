"""The file of node models: read whole or refused, guessed without it, and complete as it is shipped."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_agent.policy import predictors as predicting
from edge_agent.policy.predictors import NOTHING_KNOWN, NUMBERS, read_predictors
from nodes import asking


def document(**changed: Any) -> dict[str, Any]:
    model = {"numbers": [0.0] * len(NUMBERS), "words": [0.5]}
    one = {
        "place": "edge", "quality": model, "drafted": model, "draft": [1.0, 0.0, 0.0], "device_ms": model,
        "megapixel_ms": 1.0, "service_ms": model, "overhead_ms": 1.0, "bytes_up": 0, "bytes_down": 0,
    }  # fmt: skip
    made = {
        "version": 2, "numbers": list(NUMBERS), "draft_numbers": list(predicting.DRAFT_NUMBERS), "words": ["many"],
        "nodes": {"edge-1t": one}, "measured_with": "a pair",
    }  # fmt: skip
    return made | changed


def test_a_model_file_is_read() -> None:
    read = read_predictors(json.dumps(document()))
    assert read.nodes["edge-1t"].right(read.see(asking("how many?"))) == pytest.approx(1 / (1 + np.exp(-0.5)))


def spoil(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    made = document()
    change(made["nodes"]["edge-1t"])
    return made


@pytest.mark.parametrize(
    "bad",
    [
        [],
        document(version=1),
        document(version=3),
        document(words="many"),
        document(words=["w"] * 2),
        document(numbers=["one"]),
        document(nodes={}),
        document(measured_with=None),
        spoil(lambda n: n.update(place="moon")),
        spoil(lambda n: n.update(draft=[1.0])),
        spoil(lambda n: n.pop("quality")),
        spoil(lambda n: n.update(megapixel_ms=float("inf"))),
        spoil(lambda n: n.update(gain=[1, 2])),
        spoil(lambda n: n.update(gain={"spread": -1.0})),
        spoil(lambda n: n.update(gain={"spread": 0.1, "cloud": {}, "device": {}})),
    ],
)
def test_a_model_file_that_does_not_fit_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_predictors(json.dumps(bad))


def test_the_shipped_models_cover_what_the_agent_asks_of_them() -> None:
    shipped = predicting.shipped_predictors()
    assert shipped is not NOTHING_KNOWN
    assert {"edge-1t", "cloud-overview", "cloud-tiles"} <= set(shipped.nodes)
    seen = shipped.see(asking("how many chairs are there?"))
    for model in shipped.nodes.values():
        assert 0.0 < model.right(seen) < 1.0
        assert 1.0 < model.on_device_ms(seen) + model.in_decoder_ms(seen) < 5000.0
