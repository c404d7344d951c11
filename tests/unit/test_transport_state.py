"""Numbering, assembly, limits and messages: the pure parts that client and server share."""

from __future__ import annotations

import dataclasses
import uuid

import numpy as np
import pytest

from edge_agent.transport.answers import Done, Usage, tokens_frame, tokens_of
from edge_agent.transport.assembly import TensorAssembly
from edge_agent.transport.codecs import CODECS, EncodedTensor, find_codec
from edge_agent.transport.frames import Frame, FrameError, FrameType
from edge_agent.transport.limits import Limits
from edge_agent.transport.messages import Hello, TensorBegin, TurnOpening, Welcome, error_frame, error_of, uuid7
from edge_agent.transport.numbering import Numbering
from edge_agent.types import Embeddings, TokenEvent, Turn


def tensor(seed: int = 0, tokens: int = 4) -> EncodedTensor:
    data = np.random.default_rng(seed).normal(size=(tokens, 8)).astype(np.float32)
    return find_codec("raw-f32").encode(Embeddings(data, "e"))


def assembly(*tensors: EncodedTensor, **limits: int) -> TensorAssembly:
    return TensorAssembly(tuple(one.tensor_id() for one in tensors), Limits(**limits), ("e",), 8, CODECS)


def frames(one: EncodedTensor, chunk: int = 50) -> list[Frame]:
    chunks = [one.payload[start : start + chunk] for start in range(0, len(one.payload), chunk)]
    return [
        TensorBegin.frame_of(one, one.tensor_id()),
        *(Frame(FrameType.TENSOR_CHUNK, payload=part) for part in chunks),
        Frame(FrameType.TENSOR_END),
    ]


def test_tensors_are_assembled_in_the_order_that_the_turn_named_them():
    one, two = tensor(1), tensor(2)
    parts = assembly(one, two)
    for frame in frames(two) + frames(one):
        assert not parts.complete
        parts.accept(frame)
    assert parts.complete
    assert parts.tensors() == (one, two)


def test_a_turn_without_tensors_is_complete_at_once():
    assert assembly().complete


@pytest.mark.parametrize(
    "order",
    [[0, 0], [1], [-1], [0, -1], [0, 1, -1], [0, 1, 2, 3, 1], [0, 1, 2, 3, -1, 0]],
    ids=["begin twice", "chunk first", "end first", "no chunk", "cut", "too long", "again"],
)
def test_frames_in_another_order_are_refused(order):
    one = tensor()
    parts = assembly(one, tensor(2))
    made = frames(one)
    for index in order[:-1]:
        parts.accept(made[index])
    with pytest.raises(FrameError):
        parts.accept(made[order[-1]])


def test_the_sum_of_declared_sizes_is_limited_before_the_bytes_come():
    one, two = tensor(1), tensor(2)
    for limits in ({"compressed_bytes_per_turn": 200}, {"decoded_bytes_per_turn": 200}):
        parts = assembly(one, two, **limits)
        for frame in frames(one):
            parts.accept(frame)
        with pytest.raises(FrameError) as caught:
            parts.accept(frames(two)[0])
        assert caught.value.code == "too_large"


def test_a_chunk_without_bytes_is_refused():
    parts = assembly(tensor())
    parts.accept(frames(tensor())[0])
    with pytest.raises(FrameError):
        parts.accept(Frame(FrameType.TENSOR_CHUNK))


def test_numbers_count_up_per_stream_and_direction():
    ours, theirs = Numbering(9), Numbering(9)
    for stream, seq in [(0, 0), (1, 0), (1, 1), (0, 1), (2, 0)]:
        frame = ours.stamp(Frame(FrameType.BYE), stream)
        assert (frame.session, frame.stream, frame.seq) == (9, stream, seq)
        theirs.accept(frame)
    with pytest.raises(FrameError):
        theirs.accept(frame)


def test_a_forgotten_stream_takes_no_memory():
    numbers = Numbering()
    for stream in range(1000):
        numbers.accept(numbers.stamp(Frame(FrameType.BYE), stream))
        numbers.forget(stream)
    assert not numbers._sent
    assert not numbers._seen


def test_announced_limits_only_ever_lower_ours():
    assert Limits.from_meta({}) == Limits()
    assert Limits.from_meta({"chunk_bytes": 10**9, "future": "x"}) == Limits()
    assert Limits.from_meta({"chunk_bytes": 100}) == Limits(chunk_bytes=100)
    assert Limits.from_meta(Limits(history_turns=3).to_meta()) == Limits(history_turns=3)
    for value in (0, -1, 1.5, True, "1", None):
        with pytest.raises(FrameError):
            Limits.from_meta({"chunk_bytes": value})


def test_messages_survive_their_frames():
    welcome = Welcome(1, "m", ("a",), ("e",), 8, Limits(history_turns=2), 5, 6, 20)
    opening = TurnOpening(uuid7(5), "why?", ("a" * 64,), 1000, 5, 70, (Turn("q", "a"),))
    usage, done = Usage(1, 2, 3, 4.5, 5.5, 6.5, True), Done(2, "stop", 0.5, 0.25)
    assert Hello.from_frame(Hello((1, 2), ("c",), "d").to_frame()) == Hello((1, 2), ("c",), "d")
    assert Welcome.from_frame(welcome.to_frame()) == welcome
    assert TurnOpening.from_frame(opening.to_frame(), Limits()) == opening
    assert Usage.from_frame(usage.to_frame()) == usage
    assert Done.from_frame(done.to_frame()) == done


def test_unknown_meta_keys_are_ignored():
    frame = Done(2, "stop", 0.5, 0.25).to_frame()
    assert Done.from_frame(dataclasses.replace(frame, meta={**frame.meta, "future": 1})) == Done(2, "stop", 0.5, 0.25)


def test_tokens_survive_with_text_of_any_language():
    events = [TokenEvent(5, "tafel \N{GRINNING FACE}", 0.5, 0.25), TokenEvent(2**32 - 1, "", 1.0, 0.0)]
    assert tokens_of(tokens_frame(3, events), 3, Limits()) == events


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("\x9b2Jgone", "2Jgone"),
        ("\x1b]0;title\x07x", "]0;titlex"),
        ("a\nb\tc\r\nd", "a b c d"),
        ("b\x08\x7f\x00", "b"),
        ("\x85\x8d", ""),
        ("caf\u00e9 \u4e2d \N{GRINNING FACE}", "caf\u00e9 \u4e2d \N{GRINNING FACE}"),
    ],
)
def test_tokens_are_rid_of_what_would_command_a_terminal(sent, shown):
    (event,) = tokens_of(tokens_frame(0, [TokenEvent(5, sent, 0.5, 0.25)]), 0, Limits())
    assert event.text == shown


@pytest.mark.parametrize("code", ["\x1b[31m", "", "Code", "a" * 33, "two words"])
def test_an_error_with_a_code_that_is_none_is_refused(code):
    with pytest.raises(FrameError):
        error_of(Frame(FrameType.ERROR, {"code": code, "message": "x"}))


def test_a_turn_id_is_a_uuid_of_version_7_that_sorts_by_time():
    one, two = uuid7(1_700_000_000_000), uuid7(1_700_000_000_001)
    assert uuid.UUID(one).version == 7
    assert uuid.UUID(one).variant == uuid.RFC_4122
    assert uuid.UUID(one).int >> 80 == 1_700_000_000_000
    assert one < two
    assert uuid7(5) != uuid7(5)


@pytest.mark.parametrize("code", ["overloaded", "timeout", "internal", "draining"])
def test_passing_troubles_are_marked_retryable(code):
    assert error_of(error_frame(code, "x")).retryable


@pytest.mark.parametrize(
    "code", ["protocol", "too_large", "unknown_encoder", "over_budget", "bad_request", "cancelled"]
)
def test_lasting_troubles_are_not(code):
    assert not error_of(error_frame(code, "x")).retryable


def test_a_tensor_in_tiny_chunks_takes_no_more_memory_than_its_bytes():
    import tracemalloc

    one = tensor(tokens=2048)  # 64 KiB
    parts = assembly(one, compressed_bytes_per_turn=1 << 20)
    sent = frames(one, chunk=3)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for frame in sent[:-1]:
        parts.accept(Frame(frame.type, frame.meta, bytes(bytearray(frame.payload))))
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    parts.accept(sent[-1])
    assert parts.tensors() == (one,)
    assert held < 2 * len(one.payload)
