"""No connector shows the decoder a photo that it was taught, and each cell is shown by that of its photo's fold."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))  # tools are not installed; last, so that edge_agent stays

if importlib.util.find_spec("torch") is None:
    pytest.skip("torch is not installed: the training tools are not tested here", allow_module_level=True)

import torch

from tools.train.model import Connector
from tools.train.settings import BACKBONE_WIDTH, CELLS, TILES, VIEWS, ModelConfig
from tools.train.strangers import FOLDS, Strangers, fold_of, folds, read_strangers, teach

SMALL = ModelConfig(vocab=8, hidden=12, heads=2, mlp=8, connector=16)


def name_in(fold: int) -> str:
    return next(name for name in (f"{i}.jpg" for i in range(100)) if fold_of(name) == fold)


def view(*parts: tuple[int, list[float]]) -> dict[str, Any]:
    return {"source": "grid", "split": "train", "parts": [{"path": name_in(fold), "at": at} for fold, at in parts]}


HALVES = view((0, [0, 0, 0.5, 1]), (1, [0.5, 0, 1, 1]))
WHOLE = view((2, [0, 0, 1, 1]))


def test_all_crops_of_a_photo_share_a_fold_wherever_it_lies() -> None:
    assert fold_of("/here/7.jpg") == fold_of("there/7.jpg")
    assert {fold_of(f"{i}.jpg") for i in range(50)} == set(range(FOLDS))


def test_a_cell_has_the_fold_of_the_photo_under_it_in_the_whole_and_in_tiles() -> None:
    seen = folds(HALVES, VIEWS).reshape(VIEWS, 7, 7)
    assert (seen[0, :, :3] == 0).all()
    assert (seen[0, :, 4:] == 1).all()
    assert (seen[1, :, :6] == 0).all()  # the left tiles reach a little beyond the middle
    assert (seen[TILES, :, 1:] == 1).all()


def test_each_cell_is_shown_by_the_connector_of_its_fold() -> None:
    torch.manual_seed(0)
    strangers = Strangers(SMALL).eval()
    features = torch.rand(2, VIEWS, CELLS, BACKBONE_WIDTH)
    made = strangers(features, [HALVES, WHOLE])
    for row, one in enumerate((HALVES, WHOLE)):
        every = [connector(features[row]) for connector in strangers.connectors]
        for v, c in ((0, 0), (0, 48), (1, 10), (4, 48)):
            wanted = every[int(folds(one, VIEWS)[v, c])][v, c]
            assert torch.allclose(made[row, v, c], wanted, atol=1e-5)


class OnePhotoAFold:
    """A cache of features in which the photos of a fold look alike."""

    def __init__(self) -> None:
        self.views = [view((i % FOLDS, [0, 0, 1, 1])) for i in range(4 * FOLDS)]
        self.tile_row = {i: i for i in range(len(self.views))}
        self._kinds = np.random.default_rng(0).random((FOLDS, 1, 1, BACKBONE_WIDTH), dtype=np.float32)

    def overview(self, rows: list[int]) -> np.ndarray[Any, Any]:
        return self.detail(rows)[:, 0]

    def detail(self, rows: list[int]) -> np.ndarray[Any, Any]:
        return np.repeat(np.repeat(self._kinds[[i % FOLDS for i in rows]], TILES, axis=1), CELLS, axis=2)


def test_a_connector_learns_what_is_said_of_other_folds_but_nothing_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.train.strangers.PICTURES", 3)
    monkeypatch.setattr("tools.train.strangers.TOP_RATE", 1e-2)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    cache, teacher = OnePhotoAFold(), Connector(SMALL).eval()
    strangers: Strangers = teach(cache, teacher, SMALL, 100, 0)  # type: ignore[arg-type]
    torch.save(strangers.state_dict(), tmp_path / "strangers.pt")
    kept = read_strangers(tmp_path / "strangers.pt", SMALL)
    places = torch.arange(CELLS)
    known, unknown = [], []
    for which in range(FOLDS):
        for fold in range(FOLDS):
            features = torch.from_numpy(cache.overview([fold]))[0]
            wrong = float((kept.tokens(which, features, places) - teacher(features)).detach().pow(2).mean())
            (unknown if fold == which else known).append(wrong)
    assert not any(p.requires_grad for p in kept.parameters())
    assert max(known) < 0.7 * min(unknown)
