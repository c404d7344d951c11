"""What this release writes is byte for byte what 0.1.0 wrote, and what 0.1.0 wrote is still read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import eap1
from edge_agent.transport.answers import Usage
from edge_agent.transport.codecs import decode_tensor
from edge_agent.transport.drafts import Draft, Verdict
from edge_agent.transport.frames import Frame, FrameType, decode_frame, encode_frame
from edge_agent.transport.limits import Limits
from edge_agent.transport.messages import TurnOpening, Welcome
from edge_agent.transport.resume import Resume, Resumed

FIXTURE = json.loads((Path(__file__).parent / "eap1_0_1_0.json").read_text(encoding="utf-8"))

FEATURES = json.loads((Path(__file__).parent / "eap1_features.json").read_text(encoding="utf-8"))


def test_every_type_has_a_golden_frame():
    assert set(FIXTURE["frames"]) | set(FEATURES) == {kind.name for kind in FrameType}


@pytest.mark.parametrize("name", sorted(FEATURES))
def test_golden_frames_of_the_features_are_still_written_and_read(name):
    raw = bytes.fromhex(FEATURES[name])
    assert eap1.feature_frames()[name] == raw
    frame = decode_frame(raw)
    assert (frame.name, encode_frame(frame)) == (name, raw)


def test_what_the_features_brought_is_read_back_as_it_was_meant():
    def frame(name: str) -> Frame:
        return decode_frame(bytes.fromhex(FEATURES[name]))

    welcome = Welcome.from_frame(frame("WELCOME"))
    assert (welcome.features, welcome.credit) == (("draft", "have", "base", "resume", "credit"), 1 << 20)
    assert (welcome.tokenizer_id, welcome.resume_token[:4]) == ("0123456789abcdef", "0011")
    turn = TurnOpening.from_frame(frame("TURN"), Limits())
    assert (turn.held, turn.base_turn, turn.drafts) == (turn.tensors, turn.turn_id, True)
    assert Draft.from_frame(frame("DRAFT"), Limits()).ids == (17, 2, 2**32 - 1)
    assert Verdict.from_frame(frame("VERDICT"), 3) == Verdict(1, 3, "differs", 5)
    assert (Usage.from_frame(frame("USAGE")).drafted, Usage.from_frame(frame("USAGE")).accepted) == (2, 1)
    assert Resume.from_frame(frame("RESUME")).streams == ((1, 2), (3, 0))
    assert Resumed.from_frame(frame("RESUMED")) == Resumed(((1, 2), (3, 0)), 786_432)


def test_every_type_of_the_release_has_a_golden_frame():
    reserved = {"RESUME", "RESUMED", "HAVE", "DRAFT", "VERDICT", "CREDIT"}
    assert set(FIXTURE["frames"]) == {kind.name for kind in FrameType} - reserved


@pytest.mark.parametrize("name", sorted(FIXTURE["frames"]))
def test_golden_frames_are_still_written(name):
    assert eap1.frames()[name].hex() == FIXTURE["frames"][name]


@pytest.mark.parametrize("name", sorted(FIXTURE["frames"]))
def test_golden_frames_are_still_read(name):
    raw = bytes.fromhex(FIXTURE["frames"][name])
    frame = decode_frame(raw)
    assert isinstance(frame, Frame)
    assert frame.name == name
    assert encode_frame(frame) == raw


@pytest.mark.parametrize("codec", sorted(FIXTURE["tensors"]))
def test_golden_tensors_are_still_decoded_to_the_same_values(codec):
    stored = FIXTURE["tensors"][codec]
    tensor = eap1.stored_tensor(stored)
    assert tensor.tensor_id() == stored["tensor_id"]
    wanted = eap1.data()
    if codec == "int8-zstd":
        scales = np.array([0, 1, np.float32(0.5) / np.float32(127)], dtype=np.float32)
        values = np.array([[0, 0, 0, 0], [127, -127, 64, 1], [-127, 64, 32, 0]], dtype=np.float32)
        wanted = values * scales[:, None]
    assert decode_tensor(tensor, Limits()).data.tobytes() == wanted.tobytes()


def test_golden_tensors_are_still_coded_alike():
    made = eap1.tensors()
    assert made["int8-zstd"]["body"] == FIXTURE["tensors"]["int8-zstd"]["body"]
    assert made["raw-f32"] == FIXTURE["tensors"]["raw-f32"]
