"""Where each token lies: the kind of each position, and the place of each picture token in the whole picture."""

from __future__ import annotations

import torch
from torch import Tensor

from tools.train.settings import (
    AUDIO_POSITION,
    GRID,
    IMAGE_TOKENS,
    NAME_TOKENS,
    TEXT_POSITION,
    TILE_COLUMNS,
    TILE_OVERLAP,
    TILE_ROWS,
    VIEWS,
)

PLACE_SIZE = 0.6


def places(context: int) -> Tensor:
    """[context] int64: which view (0 .. VIEWS - 1), sound (VIEWS) or text (VIEWS + 1) stands at each position."""
    at = torch.arange(context)
    kind = at.div(IMAGE_TOKENS, rounding_mode="floor").clamp(max=VIEWS - 1)
    return kind + (at >= AUDIO_POSITION) * (VIEWS - kind) + (at >= TEXT_POSITION).long()


def cell_middles() -> Tensor:
    """[VIEWS * 51, 2] column and row (0..1 of the whole picture) of the middle of each picture token's cell.

    Tokens that name a view (the last of each) stand in the middle of it.
    """
    sizes = [1 / (count - (count - 1) * TILE_OVERLAP) for count in (TILE_COLUMNS, TILE_ROWS)]
    along = (torch.arange(GRID) + 0.5) / GRID
    made = []
    for view in range(VIEWS):
        row, column = divmod(view - 1, TILE_COLUMNS) if view else (0, 0)
        across, down = along, along
        if view:
            across = column * (1 - sizes[0]) / max(1, TILE_COLUMNS - 1) + along * sizes[0]
            down = row * (1 - sizes[1]) / max(1, TILE_ROWS - 1) + along * sizes[1]
        cells = torch.stack((across.repeat(GRID), down.repeat_interleave(GRID)), dim=1)  # [49, 2]
        made += [cells, cells.mean(dim=0).expand(NAME_TOKENS, 2)]
    return torch.cat(made)


def drawn_places(hidden: int) -> Tensor:
    """[VIEWS * 51 + 1, hidden]: where each picture token lies, spread over all values; zero for what is no picture.

    Column and row and their first waves, in directions drawn by chance: the values of the connector say where they
    come from hardly at all (a linear fit explains a third of the column), and what is not said cannot be compared.
    """
    at = cell_middles() * 2 - 1  # [n, 2], -1..1
    waves = [torch.sin(torch.pi * k * at / 2) for k in (1, 2, 4)] + [
        torch.cos(torch.pi * k * at / 2) for k in (1, 2, 4)
    ]
    told = torch.cat((2 * at, *waves), dim=1)  # [n, 14]
    axes = torch.randn(told.shape[1], hidden, generator=torch.Generator().manual_seed(7))
    drawn = told @ axes * (PLACE_SIZE / told.shape[1] ** 0.5)
    return torch.cat((drawn, torch.zeros(1, hidden)))
