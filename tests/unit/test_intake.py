"""The native intake of tensor pieces, and the room that they fill."""

from __future__ import annotations

import pytest

from edge_agent.transport.frames import Frame, FrameType, encode_frame
from edge_agent.transport.intake import Filling, Intake, new_intake


def chunk(payload: bytes, seq: int, *, session: int = 7, stream: int = 1) -> bytes:
    frame = Frame(FrameType.TENSOR_CHUNK, payload=payload, session=session, stream=stream, seq=seq)
    return encode_frame(frame)


def armed(filling: Filling, *, most_bytes: int = 1000, seq: int = 0) -> Intake:
    intake = new_intake()
    intake.arm(7, 1, seq, filling, most_bytes, 65536)
    return intake


def test_pieces_in_their_order_become_the_tensor() -> None:
    filling = Filling(10)
    intake = armed(filling, seq=2**32 - 2)
    assert intake.take(chunk(b"abcdef", 2**32 - 2))
    assert intake.take(chunk(b"ghij", 2**32 - 1))
    assert intake.settle() == (2, 10)
    assert intake.settle() == (0, 0)
    assert filling.finish() == b"abcdefghij"


@pytest.mark.parametrize(
    "data",
    [chunk(b"ab", 1), chunk(b"ab", 0, session=8), chunk(b"ab", 0, stream=2), chunk(b"a" * 11, 0), b"", b"EAP1"],
    ids=["number", "session", "stream", "room", "nothing", "magic alone"],
)
def test_what_is_not_the_next_piece_is_left_alone(data: bytes) -> None:
    filling = Filling(10)
    assert not armed(filling).take(data)
    assert filling.filled == 0


def test_no_more_is_taken_than_was_allowed_and_nothing_after_that() -> None:
    filling = Filling(10)
    intake = armed(filling, most_bytes=6)
    assert not intake.take(chunk(b"abcdefg", 0))
    assert intake.take(chunk(b"abcdef", 0))
    assert not intake.take(chunk(b"g", 1))
    intake.disarm()
    assert intake.settle() == (1, 6)


def test_every_bit_of_a_frame_matters() -> None:
    data = chunk(b"abc", 0)
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        filling = Filling(3)
        assert not armed(filling).take(bytes(changed)), bit
        assert filling.filled == 0


def test_only_bytes_are_taken_since_nobody_can_change_them_meanwhile() -> None:
    assert not armed(Filling(3)).take(bytearray(chunk(b"abc", 0)))  # type: ignore[arg-type]


def test_a_tensor_is_given_out_once_and_only_whole() -> None:
    filling = Filling(4)
    filling.add(b"abc")
    with pytest.raises(ValueError, match="not all bytes"):
        filling.finish()
    with pytest.raises(ValueError, match="room"):
        filling.add(b"de")
    intake = armed(filling)
    filling.add(b"d")
    whole = filling.finish()
    with pytest.raises(ValueError, match="taken"):
        filling.finish()
    with pytest.raises(ValueError, match="room"):
        filling.add(b"")
    assert not intake.take(chunk(b"x", 0))
    assert whole == b"abcd"


def test_a_filling_lives_as_long_as_an_intake_writes_to_it() -> None:
    intake = armed(Filling(1 << 20))
    assert all(intake.take(chunk(bytes(100), seq)) for seq in range(10))


def test_a_checksum_that_fails_is_an_error_and_takes_nothing() -> None:
    def broken(data: memoryview, before: int) -> int:
        raise RuntimeError("broken")

    filling = Filling(3)
    intake = Intake(broken)
    intake.arm(7, 1, 0, filling, 1000, 65536)
    with pytest.raises(RuntimeError, match="broken"):
        intake.take(chunk(b"abc", 0))
    assert filling.filled == 0


def test_a_filling_that_a_checksum_takes_away_is_not_written_to() -> None:
    filling = Filling(3)
    filling.add(b"ab")

    def stealing(data: memoryview, before: int) -> int:
        filling.add(b"!")
        filling.finish()
        return int.from_bytes(chunk(b"c", 0)[32:36], "little")

    intake = Intake(stealing)
    intake.arm(7, 1, 0, filling, 1000, 65536)
    assert not intake.take(chunk(b"c", 0))
