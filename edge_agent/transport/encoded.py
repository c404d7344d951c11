"""A tensor as it travels: its description, its name, and what every codec checks and says of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from edge_agent.errors import UsageError
from edge_agent.transport.frames import FrameError, canonical_json
from edge_agent.types import F32, Embeddings, Modality

PICTURE_CODECS = ("jpeg", "webp")
"""Those of pictures that the cloud encodes, see transport.pictures: `shape` is [height, width] then."""
PIXELS = "pixels"
"""The encoder id of a picture that nobody has encoded: who lists it takes pictures."""


@dataclass(frozen=True, slots=True)
class EncodedTensor:
    """One tensor as it travels. `shape` is [tokens, hidden]; `dtype` is the coded one; `config` survives JSON. `whole`:
    the tensor that a change stands for, whose name it has.
    """

    codec: str
    dtype: str
    shape: tuple[int, int]
    payload: bytes
    encoder_id: str
    modality: Modality = Modality.IMAGE
    config: Mapping[str, Any] = field(default_factory=dict)
    whole: EncodedTensor | None = field(default=None, repr=False)

    def description(self) -> dict[str, Any]:
        """Everything but the payload, as TENSOR_BEGIN carries it."""
        return {
            "codec": self.codec,
            "config": dict(self.config),
            "dtype": self.dtype,
            "encoder_id": self.encoder_id,
            "modality": self.modality.value,
            "shape": list(self.shape),
        }

    def tensor_id(self) -> str:
        """Its name, 64 hex digits: sha256 of the canonical description, a line feed and the payload."""
        if self.whole is not None:
            return self.whole.tensor_id()
        digest = hashlib.sha256(canonical_json(self.description()) + b"\n")
        digest.update(self.payload)
        return digest.hexdigest()


class Codec(Protocol):
    """A way to write embeddings. `codec_id` names it on the wire for ever; a changed format is a new id. A tensor holds
    one view of a picture or one sound; with `view_tokens`, any number of views of so many tokens, one after another.
    """

    codec_id: str
    dtype: str
    view_tokens: int | None

    def encode(self, embeddings: Embeddings) -> EncodedTensor:
        """Raises UsageError for data that is not [tokens, hidden] float32, is empty, or holds NaN or infinity."""
        ...

    def decode(self, tensor: EncodedTensor) -> Embeddings:
        """A new array, owned by the caller. Raises FrameError; memory is taken only for the declared shape, after the
        payload proved to have exactly its size.
        """
        ...


class Learned(Codec, Protocol):
    """A codec of what was learned of one encoder's embeddings. `encoder_id` is plain."""

    encoder_id: str


def check_name(tensor: EncodedTensor, name: str) -> None:
    """Raises FrameError (`bad_tensor`) unless the tensor is the one that `name` promises."""
    if tensor.tensor_id() != name:
        raise bad_tensor("a tensor is not the one that its name promises")


def bad_tensor(message: str) -> FrameError:
    """The payload or its description is wrong."""
    return FrameError(message, code="bad_tensor")


def shaped(embeddings: Embeddings) -> F32:
    """Their data. Raises UsageError unless it is [tokens, hidden] float32 and not empty."""
    data = embeddings.data
    if data.ndim != 2 or data.size == 0 or data.dtype != np.float32:
        raise UsageError(f"embeddings are {data.dtype} of shape {data.shape}, not float32 of [tokens, hidden]")
    return data


def finite(embeddings: Embeddings) -> F32:
    """Likewise. Raises UsageError for NaN or infinity, too."""
    data = shaped(embeddings)
    if not np.isfinite(data).all():
        raise not_finite()
    return data


def not_finite() -> UsageError:
    """What a codec says of such values."""
    return UsageError("embeddings hold NaN or infinity", "the vision encoder failed: run edge-agent models verify")


def plain(encoder_id: str) -> str:
    """Without the format in which the encoder runs: the same embeddings but for rounding."""
    return encoder_id.partition("+")[0]


def coded(
    codec: Codec, embeddings: Embeddings, payload: bytes, config: Mapping[str, Any] | None = None
) -> EncodedTensor:
    """What `codec` made of embeddings."""
    tokens, hidden = embeddings.data.shape
    shape, modality = (int(tokens), int(hidden)), embeddings.modality
    return EncodedTensor(codec.codec_id, codec.dtype, shape, payload, embeddings.encoder_id, modality, config or {})


def declared(codec: Codec, tensor: EncodedTensor, ranges: Mapping[str, range]) -> tuple[int, int]:
    """The shape of a tensor of `codec`. Raises FrameError unless its config has exactly the integers of `ranges`."""
    if tensor.dtype != codec.dtype:
        raise bad_tensor(f"codec {codec.codec_id} holds {codec.dtype}, not {tensor.dtype}")
    if tensor.config.keys() != ranges.keys():
        raise bad_tensor(f"codec {codec.codec_id} has the configuration {sorted(ranges)}, not {sorted(tensor.config)}")
    for name, within in ranges.items():
        value = tensor.config[name]
        if type(value) is not int or value not in within:
            raise bad_tensor(f"codec {codec.codec_id}: {name} is not an integer of {within.start} to {within.stop - 1}")
    return tensor.shape


def decoded(tensor: EncodedTensor, data: F32) -> Embeddings:
    """`data` as what the tensor stands for. Raises FrameError where it is not finite."""
    if not np.isfinite(data).all():
        raise bad_tensor("decoded values are infinite or NaN")
    return Embeddings(data, tensor.encoder_id, tensor.modality)
