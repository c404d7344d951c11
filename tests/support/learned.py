"""Small stand-ins for what codecs have learned, of fixed numbers: for tests of the codecs `refilled` and `changes`.

python tests/support/learned.py > tests/golden/codecs_learned.json    at a new release; stored ones are never changed
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import zstandard

import bases
from edge_agent.transport.codecs import EncodedTensor, decode_tensor, register_codec
from edge_agent.transport.limits import Limits
from edge_agent.transport.refilled import Refilled, medians_bytes, parse_medians


def medians() -> bytes:
    """The file of medians [6, 8]: quarters."""
    values = np.arange(bases.TOKENS * bases.HIDDEN).reshape(bases.TOKENS, bases.HIDDEN) % 5 / 4
    return medians_bytes(bases.ENCODER, values.astype(np.float32))


def before_zstd(tensor: EncodedTensor) -> str:
    """The marks and the body of a refilled tensor, which every version of zstd gives back."""
    size = -(-tensor.shape[0] // 8)
    body = zstandard.ZstdDecompressor().decompress(tensor.payload[size:])
    return tensor.payload[:size].hex() + body.hex()


def golden() -> dict[str, Any]:
    """What tests/golden/codecs_learned.json holds."""
    codec = Refilled(parse_medians(medians()))
    register_codec(codec)
    tensor = codec.encode(bases.embeddings(7, views=2))
    stored = tensor.description() | {"payload": tensor.payload.hex(), "tensor_id": tensor.tensor_id()}
    stored["decoded"] = decode_tensor(tensor, Limits()).data.tobytes().hex()
    return {"medians": medians().hex(), "refilled_body": before_zstd(tensor), "tensors": {"refilled": stored}}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(golden(), indent=1, sort_keys=True) + "\n")
