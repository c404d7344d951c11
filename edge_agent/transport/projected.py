"""The codec `projected-ID`: embeddings in a basis that both sides have, in few integers and then in few bytes."""

from __future__ import annotations

from copy import copy
from typing import Any, Protocol

import numpy as np

from edge_agent.errors import ModelError, UsageError
from edge_agent.transport import projection
from edge_agent.transport.basis import Basis
from edge_agent.transport.codecs import learned_codecs
from edge_agent.transport.encoded import EncodedTensor, bad_tensor, coded, declared, decoded, plain, shaped
from edge_agent.transport.projection import I32
from edge_agent.transport.tensors import choose
from edge_agent.types import F32, Embeddings

PREFIX = "projected-"


class Transform(Protocol):
    """`edge_agent._core.Projection`, or the same in NumPy."""

    def quantise(
        self, x: F32, level: int, isa: str | None = None, held: I32 | None = None, margins: F32 | None = None
    ) -> I32: ...
    def restore(self, values: I32, level: int) -> F32: ...
    def pack(self, values: I32, level: int) -> bytes: ...
    def unpack(self, payload: bytes, level: int, views: int = 1) -> I32: ...


class Projected:
    """`projected-ID`, ID naming the basis; config `level`, 0 the finest. Only embeddings of the basis' own encoder: of
    one view, or of several, one after another. `level` is the one to write; every level is read.

    Raises ModelError for a basis whose parts do not fit each other.
    """

    dtype = "int16"

    def __init__(self, basis: Basis, level: int = 0) -> None:
        self.basis = basis
        self.encoder_id = basis.encoder_id
        self.codec_id = PREFIX + basis.basis_id
        self.view_tokens: int | None = basis.tokens
        self.level = min(level, len(basis.levels) - 1)
        kind: Any = getattr(choose(), "Projection", projection.Projection)
        try:
            self.transform: Transform = kind(basis.tokens, basis.hidden, basis.groups, basis.levels)
        except (TypeError, ValueError) as error:
            raise ModelError(f"the basis {basis.basis_id} is damaged: {error}", "edge-agent models verify") from error

    def at(self, level: int) -> Projected:
        """The same codec, writing `level`."""
        made = copy(self)
        made.level = min(level, len(self.basis.levels) - 1)
        return made

    @property
    def view_bytes(self) -> int:
        """What a view takes at this level, a mean over the pictures that the basis was learned from."""
        return int(self.basis.levels[self.level]["bytes"])

    def fits(self, embeddings: Embeddings) -> bool:
        """Whether the basis was made for such embeddings."""
        return (
            plain(embeddings.encoder_id) == self.encoder_id
            and embeddings.data.shape[1:] == (self.basis.hidden,)
            and len(embeddings.data) % self.basis.tokens == 0
            and embeddings.place is None
        )

    def encode(self, embeddings: Embeddings) -> EncodedTensor:
        """Raises UsageError also for embeddings that the basis was not made for."""
        data = np.ascontiguousarray(shaped(embeddings))
        if not self.fits(embeddings):
            raise UsageError(
                f"the basis {self.basis.basis_id} is for views of {self.basis.tokens} x {self.basis.hidden} of "
                f"{self.basis.encoder_id}, not for {data.shape} of {embeddings.encoder_id}",
                "use the codec int8-zstd",
            )
        try:
            values = self.transform.quantise(data, self.level)
        except ValueError as error:
            raise UsageError(f"embeddings cannot be coded: {error}", "run edge-agent models verify") from error
        return coded(self, embeddings, self.transform.pack(values, self.level), {"level": self.level})

    def decode(self, tensor: EncodedTensor) -> Embeddings:
        shape = declared(self, tensor, {"level": range(len(self.basis.levels))})
        views, rest = divmod(shape[0], self.basis.tokens)
        if rest or shape[1] != self.basis.hidden:
            text = f"views of {self.basis.tokens} x {self.basis.hidden}, not {shape}"
            raise bad_tensor(f"codec {self.codec_id} holds {text}")
        level = int(tensor.config["level"])
        try:
            return decoded(tensor, self.transform.restore(self.transform.unpack(tensor.payload, level, views), level))
        except ValueError as error:
            raise bad_tensor(f"codec {self.codec_id}: {error}") from error


def projected_codecs(encoder_id: str) -> list[Projected]:
    """Those that were registered for embeddings of that encoder."""
    return learned_codecs(Projected, encoder_id)
