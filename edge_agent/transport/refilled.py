"""The codec `refilled-ID`: tokens left out (pruning), filled in by a median token that both sides have stored.

Its file, as `learned_file` says, `EAPMEDIA`. The header: `format` 1, `encoder_id`, `tokens`, `hidden`; the array:
`medians` [tokens, hidden] float16, of each place of a view the median over training pictures, value by value.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edge_agent.errors import UsageError
from edge_agent.transport.codecs import Int4Zstd
from edge_agent.transport.encoded import EncodedTensor, bad_tensor, coded, declared, decoded, finite, plain
from edge_agent.transport.learned_file import (
    MOST_HIDDEN,
    MOST_TOKENS,
    file_id,
    header_bytes,
    packed_arrays,
    read_header,
    size_of,
)
from edge_agent.types import F32, Embeddings

PREFIX = "refilled-"
MAGIC = b"EAPMEDIA"
FORMAT = 1
SHARE = 0.5
_INNER = Int4Zstd()


@dataclass(frozen=True, slots=True)
class Medians:
    """What stands in for tokens that were left out: `data` [tokens, hidden] float32. `medians_id` names every byte of
    its file.
    """

    medians_id: str
    encoder_id: str
    data: F32 = field(repr=False)


def medians_bytes(encoder_id: str, data: F32) -> bytes:
    """The file of medians [tokens, hidden]."""
    tokens, hidden = data.shape
    header = {"format": FORMAT, "encoder_id": encoder_id, "tokens": tokens, "hidden": hidden}
    return header_bytes(MAGIC, header) + data.astype("<f2").tobytes()


def parse_medians(data: bytes) -> Medians:
    """The medians in the bytes of their file. Raises ValueError or KeyError."""
    header, at = read_header(data, MAGIC, FORMAT)
    shape = size_of(header["tokens"], MOST_TOKENS), size_of(header["hidden"], MOST_HIDDEN)
    (found,) = packed_arrays(data, at, [{"medians": ("<f2", shape)}])
    values = found["medians"].astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError("it holds a value that is not finite")
    return Medians(file_id(data), str(header["encoder_id"]), values)


class Refilled:
    """`refilled-ID`, ID naming the medians. Body: a bit a token, the first in the highest bit, 1 where it follows, the
    bits behind the last token 0; then the tokens that follow, as `int4-zstd` writes them. `share` of each view's tokens
    is kept in writing, those farthest from the median of their place; any number of them, at least one, is read.
    """

    dtype = "int4"

    def __init__(self, medians: Medians, share: float = SHARE) -> None:
        self.medians = medians
        self.share = share
        self.encoder_id = medians.encoder_id
        self.codec_id = PREFIX + medians.medians_id
        self.view_tokens: int | None = len(medians.data)

    def at(self, share: float) -> Refilled:
        """The same codec, keeping another share."""
        return Refilled(self.medians, share)

    def fits(self, embeddings: Embeddings) -> bool:
        """Whether the medians are those of such embeddings."""
        tokens, hidden = self.medians.data.shape
        same = plain(embeddings.encoder_id) == self.encoder_id and embeddings.place is None
        return same and embeddings.data.shape[1:] == (hidden,) and len(embeddings.data) % tokens == 0

    def encode(self, embeddings: Embeddings) -> EncodedTensor:
        """Raises UsageError also for embeddings that the medians are not of."""
        data = finite(embeddings)
        if not self.fits(embeddings):
            text = f"the medians {self.medians.medians_id} are of {self.medians.encoder_id}"
            raise UsageError(f"{text}, not of {data.shape} of {embeddings.encoder_id}", "use the codec int8-zstd")
        mask = self._kept(data)
        inner = _INNER.encode(replace(embeddings, data=np.ascontiguousarray(data[mask])))
        return coded(self, embeddings, np.packbits(mask).tobytes() + inner.payload)

    def decode(self, tensor: EncodedTensor) -> Embeddings:
        tokens, hidden = declared(self, tensor, {})
        views, rest = divmod(tokens, len(self.medians.data))
        if rest or hidden != self.medians.data.shape[1]:
            text = " x ".join(map(str, self.medians.data.shape))
            raise bad_tensor(f"codec {self.codec_id} holds views of {text}, not {tensor.shape}")
        size = -(-tokens // 8)
        bits = np.unpackbits(np.frombuffer(tensor.payload[:size], np.uint8))
        if len(bits) < tokens or bits[tokens:].any() or not bits.any():
            raise bad_tensor(f"codec {self.codec_id}: its {tokens} marks are cut off, too many or all 0")
        mask = bits[:tokens].astype(bool)
        shape = (int(mask.sum()), hidden)
        inner = EncodedTensor(_INNER.codec_id, _INNER.dtype, shape, tensor.payload[size:], tensor.encoder_id)
        data = np.tile(self.medians.data, (views, 1))
        data[mask] = _INNER.decode(inner).data
        return decoded(tensor, data)

    def _kept(self, data: F32) -> Any:
        """[tokens] bool: of each view as many as `share` says, at least one."""
        each = len(self.medians.data)
        away = np.linalg.norm(data.reshape(-1, *self.medians.data.shape) - self.medians.data, axis=2)  # [views, tokens]
        kept = np.argsort(-away, axis=1, kind="stable")[:, : max(1, round(self.share * each))]
        mask = np.zeros(away.shape, dtype=bool)
        np.put_along_axis(mask, kept, True, axis=1)
        return mask.ravel()
