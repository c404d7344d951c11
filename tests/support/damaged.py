"""Tensors that are not whole, and with what they are refused: for the tests of every codec."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from edge_agent.transport.changes import resolved
from edge_agent.transport.codecs import EncodedTensor, decode_tensor
from edge_agent.transport.frames import FrameError
from edge_agent.transport.limits import Limits


def refused(tensor: EncodedTensor, limits: Limits | None = None, base: EncodedTensor | None = None) -> str:
    """The code with which a tensor, or a change of `base`, is refused."""
    with pytest.raises(FrameError) as caught:
        decode_tensor(tensor, limits or Limits()) if base is None else resolved(tensor, base)
    return caught.value.code


def cut_or_longer(tensor: EncodedTensor) -> Iterator[EncodedTensor]:
    """The tensor with every shorter payload, and with a byte more."""
    for length in range(len(tensor.payload)):
        yield dataclasses.replace(tensor, payload=tensor.payload[:length])
    for byte in (b"\0", b"x"):
        yield dataclasses.replace(tensor, payload=tensor.payload + byte)
