"""Tensors of int4-zstd and of a learned basis, as 0.1.0 wrote them: still written and read to the same bits."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

import bases
import eap1
import learned
from edge_agent.transport.basis import parse_basis
from edge_agent.transport.changes import resolved
from edge_agent.transport.codecs import Int4Zstd, decode_tensor, register_codec
from edge_agent.transport.limits import Limits
from edge_agent.transport.projected import Projected
from edge_agent.transport.refilled import Refilled, parse_medians
from edge_agent.transport.shipped import parse_shipped

FIXTURE = json.loads((Path(__file__).parent / "codecs_0_1_0.json").read_text(encoding="utf-8"))
LEARNED = json.loads((Path(__file__).parent / "codecs_learned.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(FIXTURE["tensors"]))
def test_golden_tensors_are_still_decoded_to_the_same_bits(name):
    register_codec(Projected(parse_basis(bytes.fromhex(FIXTURE["basis"]))))
    stored = FIXTURE["tensors"][name]
    tensor = eap1.stored_tensor(stored)
    assert tensor.tensor_id() == stored["tensor_id"]
    assert decode_tensor(tensor, Limits()).data.tobytes().hex() == stored["decoded"]


def test_golden_tensors_are_still_coded_alike():
    made = bases.golden()
    assert made["basis"] == FIXTURE["basis"]
    for level in (0, 1):
        assert made["tensors"][f"projected {level}"] == FIXTURE["tensors"][f"projected {level}"]
    assert Int4Zstd().quantise(eap1.data()).hex() == FIXTURE["int4_body"]


def test_golden_tensors_of_what_was_learned_are_still_decoded_to_the_same_bits():
    register_codec(Refilled(parse_medians(bytes.fromhex(LEARNED["medians"]))))
    stored = LEARNED["tensors"]["refilled"]
    tensor = eap1.stored_tensor(stored)
    assert tensor.tensor_id() == stored["tensor_id"]
    assert decode_tensor(tensor, Limits()).data.tobytes().hex() == stored["decoded"]


def test_golden_tensors_of_what_was_learned_are_still_coded_alike():
    made = learned.golden()
    assert made["medians"] == LEARNED["medians"]
    assert made["refilled_body"] == LEARNED["refilled_body"]


@pytest.mark.parametrize("level", [0, 1])
def test_golden_changes_still_make_the_same_tensor_of_what_is_held(level):
    register_codec(Projected(parse_basis(bytes.fromhex(FIXTURE["basis"]))))
    register_codec(parse_shipped(bytes.fromhex(LEARNED["changes"])))
    stored = LEARNED["tensors"][f"changes {level}"]
    tensor = eap1.stored_tensor(stored)
    payload, config = bytes.fromhex(stored["base"]), {"level": level}
    held = dataclasses.replace(tensor, codec=bases_codec(), config=config, payload=payload)
    assert held.tensor_id().startswith(tensor.config["base"])
    assert resolved(tensor, held).tensor_id() == stored["tensor_id"]


def test_golden_changes_are_still_told_alike():
    made = learned.golden()
    assert made["changes"] == LEARNED["changes"]
    for level in (0, 1):
        assert made["tensors"][f"changes {level}"] == LEARNED["tensors"][f"changes {level}"]


def bases_codec() -> str:
    return Projected(parse_basis(bytes.fromhex(FIXTURE["basis"]))).codec_id
