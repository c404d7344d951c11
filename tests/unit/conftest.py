"""What unit tests leave behind is put away."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from boxes import close_boxes


@pytest.fixture(autouse=True)
def closed_boxes() -> Iterator[None]:
    yield
    close_boxes()
