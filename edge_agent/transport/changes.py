"""The codec `changes-ID`: what became of the integers of a tensor that the other side holds, in the same lattice.

It is a way to send a tensor of `projected`, not another tensor: both sides end with the very integers, so that nothing
drifts, and the name that a turn gives is the name of the whole. What lies near what is held keeps its value. The rest
is coded as the difference, under tables that were learned for each kind of place, size of what is held, and liveliness
of the view. The file is as `learned_file` says, `EAPCHANG`. The header: `format` 1, `encoder_id`, `basis`, `levels`
[{`kinds`, `edges` [SETS - 1]}], as many as the basis has; the arrays, of each level: `kinds` [tables of the basis'
level] uint8, `margins` [kinds, CONTEXTS] float32, `shifts` [SETS, kinds, CONTEXTS] uint8 and `counts` [SETS, kinds,
CONTEXTS, 32] uint16.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import ModelError, UsageError
from edge_agent.transport import projection
from edge_agent.transport.basis import FREQUENCY_SUM, MAGNITUDES, SYMBOLS
from edge_agent.transport.codecs import CODECS
from edge_agent.transport.encoded import EncodedTensor, bad_tensor, coded, declared, shaped
from edge_agent.transport.learned_file import Shapes, file_id, header_bytes, number_of, packed_arrays, read_header
from edge_agent.transport.projected import Projected
from edge_agent.transport.projection import I32
from edge_agent.transport.tensors import choose
from edge_agent.types import Embeddings

PREFIX = "changes-"
MAGIC = b"EAPCHANG"
FORMAT = 1
SETS, CONTEXTS = 4, 4
BASE_DIGITS = 16
BASE_BYTES = 28
"""What naming the base takes in TENSOR_BEGIN."""
WORTH = 0.9
"""A change is sent only where it takes at most so much of the whole."""
_BASE = re.compile(f"[0-9a-f]{{{BASE_DIGITS}}}")
U16 = NDArray[np.uint16]


class Coder(Protocol):
    """`edge_agent._core.SymbolCoder`, or the same in NumPy."""

    def pack(self, values: I32, kinds: U16) -> bytes: ...
    def unpack(self, payload: bytes, kinds: U16) -> I32: ...


@dataclass(frozen=True, slots=True)
class ChangeTables:
    """What was learned of changes in one basis. `changes_id` names every byte of the file; `levels` as it has them."""

    changes_id: str
    encoder_id: str
    basis_id: str
    levels: list[dict[str, Any]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Level:
    kinds: U16  # of each place, times CONTEXTS
    count: int  # of the kinds, times CONTEXTS
    margins: NDArray[np.float32]  # [kinds * CONTEXTS]
    edges: NDArray[np.float64]
    coder: Coder

    def contexts(self, held: I32) -> U16:
        """Of integers that are held, [views, values]: under which tables, of the first set, theirs are told."""
        contexts: U16 = self.kinds + np.minimum(np.abs(held), CONTEXTS - 1).astype(np.uint16)
        return contexts


def level_arrays(classes: int, kinds: int) -> Shapes:
    """Name, dtype and shape of each array of a level, in the order of the file."""
    return {
        "kinds": ("|u1", (classes,)),
        "margins": ("<f4", (kinds, CONTEXTS)),
        "shifts": ("|u1", (SETS, kinds, CONTEXTS)),
        "counts": ("<u2", (SETS, kinds, CONTEXTS, SYMBOLS)),
    }


def changes_bytes(encoder_id: str, basis_id: str, levels: Sequence[Mapping[str, Any]]) -> bytes:
    """The file; each level has its arrays and `edges`."""
    told = [{"kinds": len(level["margins"]), "edges": list(level["edges"])} for level in levels]
    header = {"format": FORMAT, "encoder_id": encoder_id, "basis": basis_id, "levels": told}
    parts = [header_bytes(MAGIC, header)]
    for level in levels:
        for name, (dtype, _) in level_arrays(1, 1).items():
            parts.append(np.ascontiguousarray(level[name]).astype(dtype).tobytes())
    return b"".join(parts)


def parse_changes(data: bytes, basis: Projected) -> ChangeTables:
    """What the bytes of a file hold, for the basis that it names. Raises ValueError, KeyError or TypeError."""
    header, at = read_header(data, MAGIC, FORMAT)
    if header["basis"] != basis.basis.basis_id:
        raise ValueError("it is of another basis")
    told, own = header["levels"], basis.basis.levels
    if len(told) != len(own) or not all(type(one["kinds"]) is int and 1 <= one["kinds"] <= 255 for one in told):
        raise ValueError("its levels are not those of the basis")
    shapes = [level_arrays(len(of["shifts"]), one["kinds"]) for of, one in zip(own, told, strict=True)]
    levels = []
    for one, found in zip(told, packed_arrays(data, at, shapes), strict=True):
        edges = [number_of(edge) for edge in one["edges"]]
        if len(edges) != SETS - 1 or edges != sorted(edges) or not np.isfinite(found["margins"]).all():
            raise ValueError("its edges do not ascend, or a margin is not finite")
        if (found["kinds"] >= one["kinds"]).any() or (found["counts"].astype(int).sum(3) != FREQUENCY_SUM).any():
            raise ValueError("a kind is none of its kinds, or counts do not sum to 8192")
        levels.append({**found, "edges": edges})
    return ChangeTables(file_id(data), str(header["encoder_id"]), basis.basis.basis_id, levels)


def header_of(data: bytes) -> dict[str, Any]:
    """What the bytes of a file begin with, which names the basis that the rest is read in. Raises ValueError."""
    return read_header(data, MAGIC, FORMAT)[0]


class Changes:
    """`changes-ID`, ID naming the tables; config `base`, how the name of the tensor that it changes begins, and
    `level`, that of both. Raises ModelError for tables that are none.
    """

    dtype = "int16"

    def __init__(self, tables: ChangeTables, projected: Projected) -> None:
        self.tables = tables
        self.projected = projected
        self.encoder_id = tables.encoder_id
        self.codec_id = PREFIX + tables.changes_id
        self.view_tokens: int | None = projected.view_tokens
        try:
            self._levels = [_level(one, own) for one, own in zip(tables.levels, projected.basis.levels, strict=True)]
        except (TypeError, ValueError) as error:
            text = f"the changes {tables.changes_id} are damaged: {error}"
            raise ModelError(text, "edge-agent models verify") from error

    def encode(self, embeddings: Embeddings) -> EncodedTensor:
        """Raises UsageError: a change needs what it changes, see `change`."""
        raise UsageError(f"codec {self.codec_id} codes nothing by itself", "use the codec projected")

    def decode(self, tensor: EncodedTensor) -> Embeddings:
        """Raises FrameError: see `resolve`."""
        raise bad_tensor(f"codec {self.codec_id}: a change came without what it changes")

    def fits(self, base: EncodedTensor, embeddings: Embeddings, level: int) -> bool:
        """Whether embeddings to be coded at `level` may be told as a change of `base`."""
        same = (base.codec, base.config.get("level")) == (self.projected.codec_id, level)
        return same and base.shape == embeddings.data.shape and base.encoder_id == embeddings.encoder_id

    def change(self, embeddings: Embeddings, base: EncodedTensor, level: int) -> EncodedTensor | None:
        """As a change of `base`, which fits; `whole` of what is returned is the tensor that the other side will have.
        None where that gains nothing. Raises UsageError for embeddings that cannot be coded.
        """
        plan, basis = self._levels[level], self.projected.at(level)
        held = basis.transform.unpack(base.payload, level, len(embeddings.data) // basis.basis.tokens)
        contexts = plan.contexts(held)
        try:
            data = np.ascontiguousarray(shaped(embeddings))
            values = basis.transform.quantise(data, level, held=held, margins=plan.margins[contexts])
        except ValueError as error:
            raise UsageError(f"embeddings cannot be coded: {error}", "run edge-agent models verify") from error
        whole = coded(basis, embeddings, basis.transform.pack(values, level), {"level": level})
        moved = np.where(held < 0, held - values, values - held)
        if np.abs(moved).max() > projection.MOST_VALUE:
            return None
        sets = np.searchsorted(plan.edges, (moved != 0).mean(axis=1)).astype(np.uint16)  # [views]
        payload = _marks(sets) + plan.coder.pack(moved, contexts + sets[:, None] * np.uint16(plan.count))
        if len(payload) + BASE_BYTES > WORTH * len(whole.payload):
            return None
        config = {"base": base.tensor_id()[:BASE_DIGITS], "level": level}
        return replace(whole, codec=self.codec_id, payload=payload, config=config, whole=whole)

    def resolve(self, tensor: EncodedTensor, base: EncodedTensor) -> EncodedTensor:
        """The whole tensor that a change makes of `base`. Raises FrameError `bad_tensor`."""
        level = self._declared(tensor)
        if (base.codec, dict(base.config)) != (self.projected.codec_id, {"level": level}) or base.shape != tensor.shape:
            raise bad_tensor(f"codec {self.codec_id}: what it changes is coded otherwise")
        plan, transform = self._levels[level], self.projected.transform
        views = tensor.shape[0] // self.projected.basis.tokens
        size = -(-views // 4)
        try:
            held = transform.unpack(base.payload, level, views)
            contexts = plan.contexts(held)
            kinds = contexts + _sets(tensor.payload[:size], views)[:, None] * np.uint16(plan.count)
            moved = plan.coder.unpack(tensor.payload[size:], kinds)
            payload = transform.pack(np.where(held < 0, held - moved, held + moved), level)
        except ValueError as error:
            raise bad_tensor(f"codec {self.codec_id}: {error}") from error
        config = {"level": level}
        return replace(tensor, codec=self.projected.codec_id, payload=payload, config=config, whole=None)

    def _declared(self, tensor: EncodedTensor) -> int:
        config, basis = tensor.config, self.projected.basis
        rest = {name: value for name, value in config.items() if name != "base"}
        declared(self, replace(tensor, config=rest), {"level": range(len(basis.levels))})
        base_of(tensor)
        if tensor.shape[0] % basis.tokens or tensor.shape[1] != basis.hidden:
            text = f"views of {basis.tokens} x {basis.hidden}, not {tensor.shape}"
            raise bad_tensor(f"codec {self.codec_id} holds {text}")
        return int(config["level"])


def is_change(tensor: EncodedTensor) -> bool:
    """Whether it says what became of another."""
    return isinstance(CODECS.get(tensor.codec), Changes)


def base_of(tensor: EncodedTensor) -> str:
    """How the name of the tensor begins that it changes. Raises FrameError `bad_tensor`."""
    base = tensor.config.get("base")
    if not isinstance(base, str) or not _BASE.fullmatch(base):
        raise bad_tensor(f"codec {tensor.codec}: base is not {BASE_DIGITS} hex digits")
    return base


def resolved(tensor: EncodedTensor, base: EncodedTensor) -> EncodedTensor:
    """The whole tensor that a change makes of `base`. Raises FrameError `bad_tensor`."""
    codec = CODECS[tensor.codec]
    assert isinstance(codec, Changes)
    return codec.resolve(tensor, base)


def _level(told: Mapping[str, Any], basis: Mapping[str, Any]) -> _Level:
    starts = np.zeros((told["counts"].size // SYMBOLS, SYMBOLS + 1), np.uint32)
    np.cumsum(told["counts"].reshape(-1, SYMBOLS), axis=1, out=starts[:, 1:])
    centroids = np.zeros((len(starts), MAGNITUDES), np.float32)  # what travels are integers
    tables = {"shifts": told["shifts"].astype(np.uint8).ravel(), "starts": starts, "centroids": centroids}
    kind: Any = getattr(choose(), "SymbolCoder", projection.SymbolCoder)
    margins = told["margins"].astype(np.float32).ravel()
    kinds = (told["kinds"].astype(np.uint16) * CONTEXTS)[basis["classes"]]
    return _Level(kinds, len(margins), margins, np.array(told["edges"]), kind(tables))


def _marks(sets: U16) -> bytes:
    """Two bits a view, the first in the highest."""
    padded = np.pad(sets, (0, -len(sets) % 4)).reshape(-1, 4).astype(np.uint8)
    return (padded @ np.array([64, 16, 4, 1], np.uint8)).astype(np.uint8).tobytes()


def _sets(marks: bytes, views: int) -> U16:
    """And back. Raises ValueError where a bit behind the last view is not 0, or marks are missing."""
    found = np.frombuffer(marks, np.uint8)[:, None] >> np.array([6, 4, 2, 0], np.uint8) & 3
    if found.size < views or found.ravel()[views:].any():
        raise ValueError("the marks of its views are cut off or too many")
    return found.ravel()[:views].astype(np.uint16)
