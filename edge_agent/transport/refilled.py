"""The codec `refilled-ID`: tokens left out (pruning), filled in by a median token that both sides have stored.

Its file, little endian: 8 bytes `EAPMEDIA`, u32 length of the header, the header (a JSON object: `format` 1,
`encoder_id`, `tokens`, `hidden`), then `medians` [tokens, hidden] float16: of each place of a view the median over
training pictures, value by value.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edge_agent.errors import UsageError
from edge_agent.transport.codecs import CODECS, Int4Zstd
from edge_agent.transport.encoded import EncodedTensor, bad_tensor, coded, declared, decoded, finite, plain
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
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    return b"".join([MAGIC, len(text).to_bytes(4, "little"), text, data.astype("<f2").tobytes()])


def parse_medians(data: bytes) -> Medians:
    """The medians in the bytes of their file. Raises ValueError, KeyError or TypeError."""
    length = int.from_bytes(data[8:12], "little")
    if data[:8] != MAGIC or len(data) < 12 + length:
        raise ValueError("it does not begin as medians")
    header = json.loads(data[12 : 12 + length])
    if header["format"] != FORMAT:
        raise ValueError(f"it has format {header['format']}, this version reads format {FORMAT}")
    tokens, hidden = header["tokens"], header["hidden"]
    if type(tokens) is not int or type(hidden) is not int or not (1 <= tokens <= 4096 and 1 <= hidden <= 8192):
        raise ValueError(f"it is for {tokens!r} x {hidden!r}, not 1 x 1 to 4096 x 8192")
    if len(data) != 12 + length + 2 * tokens * hidden:
        raise ValueError(f"it has {len(data)} bytes instead of {12 + length + 2 * tokens * hidden}")
    values = np.frombuffer(data, "<f2", tokens * hidden, 12 + length).astype(np.float32).reshape(tokens, hidden)
    if not np.isfinite(values).all():
        raise ValueError("it holds a value that is not finite")
    return Medians(hashlib.sha256(data).hexdigest()[:16], str(header["encoder_id"]), values)


class Refilled:
    """`refilled-ID`, ID naming the medians. Body: a bit a token, the first in the highest bit, 1 where it follows, the
    bits behind the last token 0; then the tokens that follow, as `int4-zstd` writes them. `share` of each view's tokens
    is kept in writing, those farthest from the median of their place; any number of them, at least one, is read.
    """

    dtype = "int4"

    def __init__(self, medians: Medians, share: float = SHARE) -> None:
        self.medians = medians
        self.share = share
        self.codec_id = PREFIX + medians.medians_id
        self.view_tokens: int | None = len(medians.data)

    def at(self, share: float) -> Refilled:
        """The same codec, keeping another share."""
        return Refilled(self.medians, share)

    def fits(self, embeddings: Embeddings) -> bool:
        """Whether the medians are those of such embeddings."""
        tokens, hidden = self.medians.data.shape
        same = plain(embeddings.encoder_id) == self.medians.encoder_id and embeddings.place is None
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


def refilled_codecs(encoder_id: str) -> list[Refilled]:
    """Those that were registered for embeddings of that encoder."""
    known = [codec for codec in CODECS.values() if isinstance(codec, Refilled)]
    return [codec for codec in known if codec.medians.encoder_id == plain(encoder_id)]
