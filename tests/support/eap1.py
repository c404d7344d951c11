"""The golden frames and tensors of EAP/1: fixed content, built by this release's code, compared with the stored bytes.

Run it to print the fixture of a new release, with `features` that of the features; stored fixtures are never changed or
removed.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from edge_agent.transport.answers import Done, Usage, tokens_frame
from edge_agent.transport.codecs import EncodedTensor, Int8Zstd, find_codec
from edge_agent.transport.drafts import Draft, Verdict
from edge_agent.transport.features import CLIENT
from edge_agent.transport.frames import Frame, FrameType, encode_frame
from edge_agent.transport.messages import Hello, TensorBegin, TurnOpening, Welcome, error_frame
from edge_agent.transport.numbering import Numbering
from edge_agent.transport.resume import Resume, Resumed
from edge_agent.types import F32, Embeddings, Modality, TokenEvent, Turn

SESSION = 0x0123456789ABCDEF
TURN_ID = "018bcfe5-6800-7abc-8def-0123456789ab"


def data() -> F32:
    """[3, 4] float32 with a token of zeros and powers of two, so that every machine computes the same bytes."""
    return np.array([[0, 0, 0, 0], [127, -127, 64, 1], [-0.5, 0.25, 0.125, 0.0]], dtype=np.float32)


def stored_tensor(stored: dict[str, Any]) -> EncodedTensor:
    """A tensor as the fixtures keep it."""
    return EncodedTensor(
        stored["codec"],
        stored["dtype"],
        tuple(stored["shape"]),
        bytes.fromhex(stored["payload"]),
        stored["encoder_id"],
        Modality(stored["modality"]),
        stored["config"],
    )


def frames() -> dict[str, bytes]:
    """One frame of every type of this release, numbered as in one session each way."""
    up, down = Numbering(), Numbering(SESSION)
    tensor = find_codec("raw-f32").encode(Embeddings(data(), "golden-encoder"))
    opening = TurnOpening(TURN_ID, "Wie viele Äpfel?", (tensor.tensor_id(),), 2000, 16, 500, (Turn("what?", "a bowl"),))
    made = {"HELLO": up.stamp(Hello((1,), ("int8-zstd", "raw-f32"), "golden").to_frame())}
    up.session = SESSION
    rising = {
        "TURN": opening.to_frame(),
        "TENSOR_BEGIN": TensorBegin.frame_of(tensor, tensor.tensor_id()),
        "TENSOR_CHUNK": Frame(FrameType.TENSOR_CHUNK, payload=tensor.payload),
        "TENSOR_END": Frame(FrameType.TENSOR_END),
        "CANCEL": Frame(FrameType.CANCEL),
    }
    falling = {
        "TOKENS": tokens_frame(0, [TokenEvent(17, "drei", 0.5, 0.25), TokenEvent(2, "", 0.75, 0.125)]),
        "USAGE": Usage(60, 2, 31, 1.5, 20.25, 8.0).to_frame(),
        "DONE": Done(2, "stop", 0.625, 0.25).to_frame(),
        "ERROR": error_frame("overloaded", "too many turns at once", retry_after_ms=1000),
    }
    made["WELCOME"] = down.stamp(Welcome(1, "golden", ("int8-zstd",), ("golden-encoder",), 4).to_frame())
    made |= {name: up.stamp(frame, 1) for name, frame in rising.items()}
    made |= {name: down.stamp(frame, 1) for name, frame in falling.items()}
    made["GOAWAY"] = down.stamp(Frame(FrameType.GOAWAY, {"code": "draining", "drain_s": 30.0}))
    made["BYE"] = up.stamp(Frame(FrameType.BYE))
    return {name: encode_frame(frame) for name, frame in made.items()}


def feature_frames() -> dict[str, bytes]:
    """One frame of every type and with every key that the features brought."""
    up, down = Numbering(SESSION), Numbering(SESSION)
    tensor = find_codec("raw-f32").encode(Embeddings(data(), "golden-encoder"))
    name = tensor.tensor_id()
    welcome = Welcome(
        1,
        "golden",
        ("raw-f32",),
        ("golden-encoder",),
        4,
        detail_views=(2, 3),
        features=("draft", "have", "base", "resume", "credit"),
        tokenizer_id="0123456789abcdef",
        resume_token="00112233445566778899aabbccddeeff",
        credit=1 << 20,
    )
    turn = TurnOpening(TURN_ID, "und jetzt?", (name,), 2000, 16, held=(name,), base_turn=TURN_ID, drafts=True)
    usage = Usage(60, 3, 31, 1.5, 20.25, 8.0, drafted=2, accepted=1)
    made = {
        "HELLO": Numbering().stamp(Hello((1,), ("raw-f32",), "golden", CLIENT[:5]).to_frame()),
        "WELCOME": down.stamp(welcome.to_frame()),
        "CREDIT": down.stamp(Frame(FrameType.CREDIT, {"bytes": 262_144})),
        "TURN": up.stamp(turn.to_frame(), 1),
        "DRAFT": up.stamp(Draft("0123456789abcdef", (17, 2, 2**32 - 1)).to_frame(), 1),
        "HAVE": down.stamp(Frame(FrameType.HAVE, {"tensor_ids": [name]}), 1),
        "VERDICT": down.stamp(Verdict(1, 3, "differs", 5).to_frame(), 1),
        "USAGE": down.stamp(usage.to_frame(), 1),
        "RESUME": Numbering(SESSION).stamp(Resume(welcome.resume_token, ((1, 2), (3, 0))).to_frame()),
        "RESUMED": Numbering(SESSION).stamp(Resumed(((1, 2), (3, 0)), 786_432).to_frame()),
    }
    return {kind: encode_frame(frame) for kind, frame in made.items()}


def tensors() -> dict[str, dict[str, Any]]:
    """Every codec's tensor of `data()`. Of int8-zstd also the body before zstd, whose bytes no zstd version changes."""
    made = {}
    for codec_id in ("int8-zstd", "raw-f32"):
        tensor = find_codec(codec_id).encode(Embeddings(data(), "golden-encoder"))
        made[codec_id] = tensor.description() | {"payload": tensor.payload.hex(), "tensor_id": tensor.tensor_id()}
    made["int8-zstd"]["body"] = Int8Zstd().quantise(data()).hex()
    return made


if __name__ == "__main__":
    if sys.argv[1:] == ["features"]:
        sys.stdout.write(json.dumps({k: v.hex() for k, v in feature_frames().items()}, indent=1, sort_keys=True) + "\n")
        sys.exit()
    fixture = {"frames": {name: raw.hex() for name, raw in frames().items()}, "tensors": tensors()}
    sys.stdout.write(json.dumps(fixture, indent=1, sort_keys=True) + "\n")
