"""The weights in a bundle's decoder graph by what they are for: for tools that make something of what is shipped.

`tools.train.export` writes matrices without names, in the order in which they are used; all else keeps its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

F32 = NDArray[np.float32]
MATRICES = ("qkv", "project", "gate", "up", "down")
TOLD = 12
"""Rows of the table by which what is reckoned is added to the logits: 0 to 9, yes, no."""
TELLER, RECKONING = "decoder.teller.", ".reckoning."
"""What begins the names of what counts and compares (`tools.train.reckoned`), and stands before its weights."""


@dataclass(frozen=True, slots=True)
class Tables:
    """What the graph looks up by position, [context, ...]: the turns of rotary position and what kind a token is."""

    cos: F32
    sin: F32
    places: NDArray[np.int64]
    spots: NDArray[np.int64]


class Weights:
    """Of any graph that the training tools wrote: every constant by name, int8 times its scale as float32."""

    def __init__(self, path: Path) -> None:
        graph = onnx.load(str(path)).graph
        self.nodes = list(graph.node)
        self.inner = list(_inner(self.nodes))  # of branches
        self.arrays: dict[str, NDArray[Any]] = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
        for node in self.nodes:
            if node.op_type == "Constant":
                self.arrays[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
            elif node.op_type == "DequantizeLinear":
                self.arrays[node.output[0]] = self._dequantised(node)
            elif node.op_type == "Identity" and node.input[0] in self.arrays:
                self.arrays[node.output[0]] = self.arrays[node.input[0]]

    def _dequantised(self, node: Any) -> F32:
        codes, scale = (self.arrays[name] for name in node.input)
        axis = next((one.i for one in node.attribute if one.name == "axis"), 1)
        shape = [1] * codes.ndim
        shape[axis] = -1
        values: F32 = codes.astype(np.float32) * scale.reshape(shape)
        return values

    def matrices(self) -> list[F32]:
        """Those that something is multiplied by, in order, [in, out] each."""
        nodes = (node for node in self.nodes if node.op_type == "MatMul" and node.input[1] in self.arrays)
        return [self.arrays[node.input[1]] for node in nodes]


class DecoderWeights(Weights):
    """Of a decoder, or of members side by side. Raises SystemExit where the graph holds anything else.

    `members`: each one's weights by their names in `tools.train.model.Decoder`, those of layers [out, in]; `words`
    [vocab, hidden] are the same for all; `reckoning`: those of `tools.train.reckoning.Reckoning`, where it reckons.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.reckoning = self._reckoning()
        outer = "decoder.decoder." if self.reckoning else "decoder."
        alone = f"{outer}norm.weight" in self.arrays
        prefixes = [outer] if alone else self._members(f"{outer}members.")
        self.members = [
            {k.removeprefix(own): v for k, v in self.arrays.items() if k.startswith(own) and k.endswith("weight")}
            for own in prefixes
        ]
        matrices = [one for one in self.matrices() if one.shape[0] != TOLD]
        if not self.members or len(matrices) != len(MATRICES) * sum(self.layers()) + len(self.members):
            raise SystemExit(
                f"{path}: {len(matrices)} matrices in {self.layers()} layers: another release of the tools made it"
            )
        self.words: F32 = np.ascontiguousarray(matrices[-1].T)
        if any(not np.array_equal(matrices[-1], other) for other in matrices[-len(self.members) :]):
            raise SystemExit(f"{path}: the members of this decoder have different words")
        rest = iter(matrices)
        for member, count in zip(self.members, self.layers(), strict=True):
            member.update(pair for layer in range(count) for pair in _layer(layer, rest))

    def _members(self, prefix: str) -> list[str]:
        """What begins the names of each member, in order."""
        numbers = {name.removeprefix(prefix).split(".")[0] for name in self.arrays if name.startswith(prefix)}
        return [f"{prefix}{number}." for number in sorted(numbers, key=int)]

    def _reckoning(self) -> dict[str, F32]:
        told = {k: v for k, v in self.arrays.items() if k.startswith(TELLER) and RECKONING in k}
        named = {k.partition(RECKONING)[2]: v for k, v in told.items()}
        if not named:
            return {}
        labels = len(named["label.bias"])
        maps = [
            self.arrays[node.input[1]]
            for node in self.inner
            if node.op_type == "MatMul" and node.input[1] in self.arrays and not node.input[1].startswith("decoder.")
        ]
        (label,) = [one for one in maps if one.shape[1] == labels]
        return {**named, "label.weight": np.ascontiguousarray(label.T)}

    def layers(self) -> list[int]:
        """How many layers each member has."""
        return [sum(name.endswith("mlp_norm.weight") for name in member) for member in self.members]

    def tables(self) -> Tables:
        """Raises SystemExit where they are not the same four for each member, looked up by `position_ids`."""
        every = [
            self.arrays[node.input[0]]
            for node in self.nodes
            if node.op_type == "Gather" and node.input[1] == "position_ids"
        ]
        found, others = every[:4], every[4:]
        same = all(np.array_equal(one, found[i % 4]) for i, one in enumerate(others))
        if [one.ndim for one in found] != [2, 2, 1, 1] or not same:
            raise SystemExit(
                f"the graph looks up {len(every)} tables by position: another release of the tools made it"
            )
        return Tables(*found)


def _inner(nodes: Iterable[Any]) -> Iterator[Any]:
    """The nodes of branches, and of branches in them."""
    for node in nodes:
        for one in node.attribute:
            yield from one.g.node
            yield from _inner(one.g.node)


def _layer(number: int, matrices: Iterator[F32]) -> Iterator[tuple[str, F32]]:
    for kind in MATRICES:
        yield f"layers.{number}.{kind}.weight", np.ascontiguousarray(next(matrices).T)
