"""Models that other packages ship, for the tests of what runs them: where they were pulled to, else the test skips."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.store import side_models

PLACES = {one.package: side_models.place_of(one) for one in side_models.KNOWN.values()}  # before tests hide the folders


def side_folder(model: side_models.SideModel) -> Path:
    """Its folder, every byte as released."""
    place = PLACES[model.package]
    if place is None:
        pytest.skip(f"edge-agent models pull pip:{model.package}")
    assert side_models.problems_of(model, place) == []
    return place
