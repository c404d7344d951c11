"""Codecs of uploaded embeddings: float32 in, a compact payload with declared shape out, and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TypeVar

import numpy as np
import zstandard

from edge_agent.errors import UsageError
from edge_agent.transport.encoded import (
    PICTURE_CODECS,
    PIXELS,
    Codec,
    EncodedTensor,
    Learned,
    bad_tensor,
    coded,
    declared,
    decoded,
    finite,
    not_finite,
    plain,
    shaped,
)
from edge_agent.transport.frames import FrameError
from edge_agent.transport.limits import Limits
from edge_agent.transport.tensors import choose
from edge_agent.types import F32, U8, Embeddings

__all__ = [
    "CODECS",
    "DEFAULT_CODEC",
    "PICTURE_CODECS",
    "PIXELS",
    "Codec",
    "EncodedTensor",
    "Int4Zstd",
    "Int8Zstd",
    "RawF32",
    "check_declaration",
    "decode_tensor",
    "decode_views",
    "find_codec",
    "join_views",
    "learned_codecs",
    "register_codec",
    "split_views",
]

DEFAULT_CODEC = "int8-zstd"
_MAX_WINDOW_BYTES = 8 * 1024 * 1024
LearnedT = TypeVar("LearnedT", bound=Learned)


class RawF32:
    """`raw-f32`: the values themselves, little endian, row by row. 4 bytes a value; exact."""

    codec_id = "raw-f32"
    dtype = "float32"
    view_tokens: int | None = None

    def encode(self, embeddings: Embeddings) -> EncodedTensor:
        data = finite(embeddings)
        return coded(self, embeddings, data.astype("<f4").tobytes())

    def decode(self, tensor: EncodedTensor) -> Embeddings:
        tokens, hidden = declared(self, tensor, {})
        if len(tensor.payload) != tokens * hidden * 4:
            raise bad_tensor(f"{len(tensor.payload)} bytes do not hold {tokens} x {hidden} float32 values")
        data = np.frombuffer(tensor.payload, dtype="<f4").astype(np.float32).reshape(tokens, hidden)
        return decoded(tensor, data)


class _Scaled(ABC):
    """A scale a token, then small integers, then one zstd frame around both. `_width` bytes hold a token's integers."""

    codec_id = ""
    dtype = ""
    view_tokens: int | None = None

    def __init__(self, level: int = 3) -> None:
        self._level = level

    def encode(self, embeddings: Embeddings) -> EncodedTensor:
        body = self.quantise(shaped(embeddings))
        compressor = zstandard.ZstdCompressor(level=self._level, write_content_size=True, write_checksum=False)
        return coded(self, embeddings, bytes(compressor.compress(body)))

    def quantise(self, data: F32) -> bytearray:
        """The body before zstd of `data` [tokens, hidden] float32. Raises UsageError where a value is not finite."""
        tokens, hidden = data.shape
        width = self._width(hidden)
        body = bytearray(tokens * (4 + width))
        scales = np.frombuffer(body, dtype="<f4", count=tokens)
        values = np.frombuffer(body, dtype=np.uint8, offset=4 * tokens).reshape(tokens, width)
        try:
            self._quantise(np.ascontiguousarray(data), values, scales)
        except ValueError as error:
            raise not_finite() from error
        return body

    def decode(self, tensor: EncodedTensor) -> Embeddings:
        tokens, hidden = declared(self, tensor, {})
        width = self._width(hidden)
        body = _unzstd(tensor.payload, tokens * (4 + width))
        scales = np.frombuffer(body, dtype="<f4", count=tokens)
        values = np.frombuffer(body, dtype=np.uint8, offset=tokens * 4).reshape(tokens, width)
        try:
            return decoded(tensor, self._dequantise(values, scales, hidden))  # [tokens, hidden] float32
        except ValueError as error:
            raise bad_tensor("a scale is negative, infinite or NaN, or an unused half byte is not 0") from error

    @abstractmethod
    def _width(self, hidden: int) -> int: ...

    @abstractmethod
    def _quantise(self, data: F32, values: U8, scales: F32) -> None: ...

    @abstractmethod
    def _dequantise(self, values: U8, scales: F32, hidden: int) -> F32: ...


class Int8Zstd(_Scaled):
    """`int8-zstd`: each token divided by its largest magnitude / 127 and rounded to int8, then one zstd frame.

    Body before zstd: scales [tokens] float32, then values [tokens, hidden] int8 in -127..127, little endian. A value is
    off by at most half its token's scale. A token of zeros has scale 0.
    """

    codec_id = "int8-zstd"
    dtype = "int8"

    def _width(self, hidden: int) -> int:
        return hidden

    def _quantise(self, data: F32, values: U8, scales: F32) -> None:
        choose().quantise_int8(data, values.view(np.int8), scales)

    def _dequantise(self, values: U8, scales: F32, hidden: int) -> F32:
        return choose().dequantise_int8(values.view(np.int8), scales)


class Int4Zstd(_Scaled):
    """`int4-zstd`: likewise with / 7 and -7..7, two values a byte, the first in its low half, in two's complement; the
    last high half of an odd width is 0.
    """

    codec_id = "int4-zstd"
    dtype = "int4"

    def _width(self, hidden: int) -> int:
        return (hidden + 1) // 2

    def _quantise(self, data: F32, values: U8, scales: F32) -> None:
        choose().quantise_int4(data, values, scales)

    def _dequantise(self, values: U8, scales: F32, hidden: int) -> F32:
        if hidden % 2 == 1 and (values[:, -1] > 15).any():
            raise ValueError
        return choose().dequantise_int4(values, scales, hidden)


_BUILT_IN: tuple[Codec, ...] = (Int8Zstd(), Int4Zstd(), RawF32())
_known: dict[str, Codec] = {codec.codec_id: codec for codec in _BUILT_IN}
CODECS: Mapping[str, Codec] = MappingProxyType(_known)
"""Every codec of this process by its id: those built in, and those of the bases that were registered."""


def register_codec(codec: Codec) -> None:
    """Make a codec known to this process. Its id names everything that it depends on, so a second of it is the same."""
    _known.setdefault(codec.codec_id, codec)


def find_codec(codec_id: str) -> Codec:
    """The codec of that name. Raises UsageError naming the known ones."""
    if codec_id not in CODECS:
        raise UsageError(f"no codec is called {codec_id!r}", f"known codecs: {', '.join(sorted(CODECS))}")
    return CODECS[codec_id]


def learned_codecs(kind: type[LearnedT], encoder_id: str) -> list[LearnedT]:
    """Those of a kind that were registered for embeddings of that encoder."""
    known = [codec for codec in CODECS.values() if isinstance(codec, kind)]
    return [codec for codec in known if codec.encoder_id == plain(encoder_id)]


def decode_tensor(tensor: EncodedTensor, limits: Limits) -> Embeddings:
    """Decode what came from the wire, after checking its declaration. Raises FrameError (`bad_tensor`, `unknown_codec`,
    `too_large`).
    """
    check_declaration(tensor.codec, tensor.shape, limits)
    if tensor.codec in PICTURE_CODECS:
        raise bad_tensor("a picture holds no embeddings")
    return CODECS[tensor.codec].decode(tensor)


def join_views(views: Sequence[Embeddings]) -> Embeddings:
    """Views of one encoder one after another, for a codec with `view_tokens`."""
    return replace(views[0], data=np.concatenate([view.data for view in views]))


def split_views(whole: Embeddings, codec: Codec) -> tuple[Embeddings, ...]:
    """And back."""
    each = codec.view_tokens or len(whole.data)
    return tuple(replace(whole, data=whole.data[at : at + each]) for at in range(0, len(whole.data), each))


def decode_views(tensor: EncodedTensor, limits: Limits) -> tuple[Embeddings, ...]:
    """As decode_tensor, each view of a picture for itself."""
    return split_views(decode_tensor(tensor, limits), CODECS[tensor.codec])


def check_declaration(codec: str, shape: tuple[int, int], limits: Limits) -> int:
    """Bytes that a tensor of `shape` takes once decoded (float32). Raises FrameError before any memory is taken.

    A pixel of a picture counts 4 bytes, too; neither side has more than `limits.tokens_per_tensor` of them.
    """
    if codec not in CODECS and codec not in PICTURE_CODECS:
        raise FrameError(f"codec {codec!r} is not known here", code="unknown_codec")
    tokens, hidden = shape
    widest = limits.tokens_per_tensor if codec in PICTURE_CODECS else limits.hidden_size
    if not (1 <= tokens <= limits.tokens_per_tensor and 1 <= hidden <= widest):
        most = f"{limits.tokens_per_tensor} x {widest}"
        raise FrameError(f"a tensor of {tokens} x {hidden} is outside 1 x 1 to {most}", code="too_large")
    decoded = tokens * hidden * 4
    if decoded > limits.decoded_bytes_per_turn:
        raise FrameError(
            f"a tensor decodes to {decoded} bytes; at most {limits.decoded_bytes_per_turn}", code="too_large"
        )
    return decoded


def _unzstd(payload: bytes, expected_bytes: int) -> bytes:
    """One zstd frame whose header declares exactly `expected_bytes`; checked before decompressing."""
    try:
        header = zstandard.get_frame_parameters(payload)
        if header.content_size != expected_bytes or header.dict_id != 0:
            raise bad_tensor(
                f"a zstd frame declares {header.content_size} bytes where the shape needs {expected_bytes}"
            )
        decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
        body: bytes = decompressor.decompress(payload, max_output_size=expected_bytes, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise bad_tensor(f"a payload is not one whole zstd frame ({error})") from error
    if len(body) != expected_bytes:
        raise bad_tensor(f"a zstd frame holds {len(body)} bytes where the shape needs {expected_bytes}")
    return body
