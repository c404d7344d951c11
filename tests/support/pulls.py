"""`models pull` as a test runs it: the tiny model, the record that is printed, and what lies there afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge_agent.cli.main import main

TINY = Path(__file__).resolve().parents[1] / "data" / "tiny-smolvlm"
BIG = "onnx/decoder_model_merged_int8.onnx"


def pull(capfd: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    """The record that was printed; with another `code` its one line of error as `error`."""
    capfd.readouterr()
    found = main(["models", "pull", "--json", *arguments])
    out, err = capfd.readouterr()
    assert found == code, err
    if code:
        assert len(err.splitlines()) == 1, err
        return {"error": err}
    return dict(json.loads(out))


def there(tmp_path: Path) -> list[str]:
    folder = tmp_path / "models"
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock")) if folder.exists() else []
