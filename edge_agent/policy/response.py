"""The response score of an action in a conversation: k nearest neighbours among recorded turns, as TMO simulates it.

A state is 25 integers: five turns of [previous action -1/0/1, view 0, 1, 2 used 0/1, task], the current one last,
missing ones all -1. An action is [cloud, view 0, view 1, view 2]. Distance is euclidean over the 29; the five nearest
rows count with weight 1/(d + 1e-6) [C: read in the authors' released code]. All squared distances are integers, sums
of six table look-ups, which is what makes this quick without an index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.policy.conversation import ACTIONS, F64, SPAN, VIEW_SETS, VIEWS

NEIGHBOURS = 5
EPSILON = 1e-6
CHUNK = 1 << 20  # distances computed at a time
TIES = ("order", "shared")

Codes = NDArray[np.int32]
UPLOAD_BITS = np.array([[0] * (1 + VIEWS)] + [[1, *(int(v in s) for v in range(VIEWS))] for s in VIEW_SETS])  # [9, 4]


@dataclass(frozen=True, slots=True)
class RecordedTurn:
    """One turn of a recorded conversation, with what led to it: the row that the response model learns from."""

    tasks: tuple[int, ...]
    actions: tuple[int, ...]
    action: int
    score: float


def turn_codes(tasks: Sequence[int], actions: Sequence[int], task_count: int) -> list[int]:
    """The five turns up to the current one as codes: 0 <= (previous action + 1) * tasks + task, or the pad."""
    pad = (ACTIONS + 1) * task_count
    last = len(tasks) - 1
    turns = range(last - SPAN + 1, last + 1)
    return [pad if t < 0 else (actions[t - 1] + 1 if t else 0) * task_count + tasks[t] for t in turns]


def batch_codes(tasks: NDArray[np.int64], actions: NDArray[np.int64], task_count: int) -> Codes:
    """[M, 5] the same for M conversations of t turns: tasks [M, t], actions [M, t - 1]."""
    count, turns = tasks.shape
    codes = np.full((count, SPAN), (ACTIONS + 1) * task_count, dtype=np.int32)
    for turn in range(max(0, turns - SPAN), turns):
        before = actions[:, turn - 1] + 1 if turn else 0
        codes[:, turn - turns + SPAN] = before * task_count + tasks[:, turn]
    return codes


def _code_values(task_count: int) -> NDArray[np.int64]:
    """[codes, 5] what each code stands for; the last is the pad."""
    previous = [[-1] + [0] * VIEWS, *UPLOAD_BITS.tolist()]
    return np.array([[*bits, task] for bits in previous for task in range(task_count)] + [[-1] * (VIEWS + 2)])


class ResponseModel:
    """Fitted on recorded turns; `scores` gives each of the nine actions its response in any state.

    Exactly five rows count. Among rows at the same distance as the fifth, `ties="order"` takes the first in the order
    of the sorted rows; `ties="shared"` lets all of them share the places that are left, which depends on no order.
    """

    def __init__(self, rows: Sequence[RecordedTurn], task_count: int, ties: str = "order") -> None:
        if len(rows) < NEIGHBOURS:
            raise ValueError(f"{len(rows)} recorded turns: at least {NEIGHBOURS} are needed")
        if ties not in TIES:
            raise ValueError(f"ties are one of {', '.join(TIES)}, not {ties}")
        self.task_count = task_count
        values = _code_values(task_count)
        codes = np.array([turn_codes(r.tasks, r.actions, task_count) for r in rows])  # [N, 5]
        states = values[codes].reshape(len(rows), -1)  # [N, 25]
        uploads = UPLOAD_BITS[[r.action for r in rows]]  # [N, 4]
        table = np.hstack([states, uploads])
        order = np.lexsort(table.T)
        self._score: F64 = np.array([r.score for r in rows], dtype=np.float64)[order]
        self._turn = np.stack([_squares(values, table[order][:, 5 * p : 5 * p + 5]) for p in range(SPAN)])
        self._action = _squares(UPLOAD_BITS, table[order][:, 5 * SPAN :])  # [9, N]
        self._pick = self._first_five if ties == "order" else self._shared_five

    def scores(self, codes: Codes) -> F64:
        """[M, 9] float64 response of each action in each of the states [M, 5]."""
        count = len(self._score)
        step = max(1, CHUNK // (ACTIONS * count))
        out = np.empty((len(codes), ACTIONS))
        for start in range(0, len(codes), step):
            part = codes[start : start + step]
            state = np.sum([self._turn[p][part[:, p]] for p in range(SPAN)], axis=0)  # [m, N]
            out[start : start + step] = self._pick(state[:, None, :] + self._action[None])
        return out

    def _first_five(self, squares: NDArray[np.int32]) -> F64:
        """Squared distances [m, 9, N] to scores [m, 9]."""
        count = len(self._score)
        key = squares * count + np.arange(count, dtype=np.int32)  # sorts by distance, then by row
        key = np.partition(key, NEIGHBOURS - 1, axis=-1)[..., :NEIGHBOURS]
        key.sort(axis=-1)
        weight = 1.0 / (np.sqrt(key // count) + EPSILON)
        return np.asarray((weight * self._score[key % count]).sum(-1) / weight.sum(-1))

    def _shared_five(self, squares: NDArray[np.int32]) -> F64:
        fifth = np.partition(squares, NEIGHBOURS - 1, axis=-1)[..., NEIGHBOURS - 1 : NEIGHBOURS]
        nearer, tied = squares < fifth, squares == fifth
        share = (NEIGHBOURS - nearer.sum(-1, keepdims=True)) / tied.sum(-1, keepdims=True)
        weight = (nearer + tied * share) / (np.sqrt(squares) + EPSILON)
        return np.asarray((weight * self._score).sum(-1) / weight.sum(-1))


def _squares(values: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int32]:
    """[values, N] squared distances between each value and each row."""
    return np.asarray(((values[:, None, :] - rows[None]) ** 2).sum(-1), dtype=np.int32)
