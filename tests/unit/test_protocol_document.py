"""docs/protocol.md says of every type, limit, number and code what the code does: who writes a client has only that."""

from __future__ import annotations

import ast
import re
import struct
from pathlib import Path

import pytest

from cloud_stub import app, memory, reception, streams, turns
from edge_agent.transport import dialing, features, frames, limits, messages, posting, recall, resume
from edge_agent.transport.codecs import CODECS
from edge_agent.transport.drafts import REASONS
from edge_agent.transport.frames import FrameType
from edge_agent.transport.limits import Limits

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
KIB = 1024
CLIENTS_OWN = {"unreachable", "closed", "auth"}


def section(title: str) -> str:
    return re.split(r"^##+ ", TEXT.partition(f"\n## {title}\n")[2], flags=re.MULTILINE)[0]


def rows(title: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`([a-z0-9_]+)`", cell)


def number(words: str) -> int:
    digits, _, unit = words.replace(",", "").partition(" ")
    return int(digits) * {"": 1, "KiB": KIB, "MiB": KIB * KIB}[unit]


def test_every_type_has_its_row_with_its_code():
    told = {row[1]: int(row[0], 16) for row in rows("Types")}
    assert told == {one.name: one.value for one in FrameType}


def test_the_header_is_as_wide_as_its_fields_and_they_stand_where_they_are_said_to():
    at = 0
    for row in rows("Frame"):
        assert int(row[0]) == at, row
        at += int(row[1])
    assert at == frames.HEADER_BYTES
    whole = frames.encode_frame(frames.Frame(FrameType.HELLO, session=7, stream=8, seq=9, flags=0x80))
    assert struct.unpack_from("<BBHQII", whole, 4) == (FrameType.HELLO, 0x80, frames.SCHEMA, 7, 8, 9)


def test_each_flag_is_told_with_its_bit():
    told = re.findall(r"0x([0-9a-f]{2}) ([A-Z_]+)", next(row[3] for row in rows("Frame") if row[2] == "flags"))
    assert {name: int(bit, 16) for bit, name in told} == {one.name: one.value for one in frames.Flag}


def test_every_limit_has_its_row_with_its_value():
    told = {}
    for keys, values, *_ in rows("Limits"):
        told |= dict(zip(names(keys), map(number, re.split(r", (?=\d,?\d{3})|, ", values)), strict=True))
    assert told == Limits().to_meta()


def test_every_code_that_is_sent_has_its_row_and_is_retryable_as_it_says():
    told = {name: row[2].startswith("yes") for row in rows("Errors") for name in names(row[0])}
    sent = {code for folder in ("cloud_stub", "edge_agent/transport") for code in codes(ROOT / folder)}
    assert set(told) == sent - CLIENTS_OWN
    assert {name for name, again in told.items() if again} == messages.RETRYABLE - CLIENTS_OWN
    for own in CLIENTS_OWN:
        assert f"`{own}`" in section("Errors")


def codes(folder: Path) -> set[str]:
    """What stands behind `code=` in the calls of a folder."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                given = (one.value for one in node.keywords if one.arg == "code")
                found |= {one.value for one in given if isinstance(one, ast.Constant)}
    return found


def test_the_codecs_that_are_built_in_have_their_rows():
    told = {re.findall(r"`([a-z0-9-]+)`", row[0])[0]: row[1] for row in rows("Codecs")}
    learned = ("projected-", "refilled-", "changes-")  # of files that were opened: sections of their own
    assert told == {name: codec.dtype for name, codec in CODECS.items() if not name.startswith(learned)}


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("magic | `{}`", frames.MAGIC.decode()),
        ("minor version of the sender, now {}", frames.SCHEMA),
        ("subprotocol `{}`", frames.SUBPROTOCOL),
        ("WebSocket at `{}`", frames.ENDPOINT),
        ("`POST {}`", frames.POST_ENDPOINT),
        ("meta_len | at most {:,}", frames.MAX_META_BYTES),
        ("payload_len | at most {:,}", frames.MAX_PAYLOAD_BYTES),
        ("nesting deeper than {}", frames.MAX_JSON_DEPTH),
        ("pings every {} s", app.HEARTBEAT_S),
        ("pings every {:g} s", dialing.HEARTBEAT_S),
        ("HELLO comes within {:g} s", reception.HELLO_S),
        ("tensors of its turns (the last {},", memory.TENSORS),
        ("tensors of its turns (the last {},", recall.TENSORS),
        (", {} MiB)", memory.TENSOR_BYTES // KIB**2),
        ("conversations (the last {},", memory.CONVERSATIONS),
        (", {} Ki characters)", memory.CONVERSATION_CHARS // KIB),
        ("its turns go on for {:g} s", resume.WINDOW_S),
        ("the last {} that ended", streams.ENDED_KEPT),
        ("each finished turn for {:g} minutes", turns.STORED_S / 60),
        ("(at most {:,})", turns.STORED_TURNS),
        ("`bytes` (1 to 2^{})", messages.MAX_CREDIT.bit_length() - 1),
        ("have at most {} characters", limits.ID_CHARS),
        ("`config` {:,} bytes", limits.CODEC_CONFIG_BYTES),
        ("1 to {:,} bytes of it", Limits().chunk_bytes),
        ("A payload down is at most {} KiB", dialing._MAX_DOWN_PAYLOAD // KIB),
        ("after {} minutes it tries a WebSocket again", {600.0: "ten"}[posting.LOOK_AGAIN_S]),
    ],
    ids=lambda one: str(one)[:40],
)
def test_a_number_in_the_text_is_that_of_the_code(words: str, value: object):
    assert words.format(value) in TEXT


def test_features_and_reasons_are_all_named():
    for name in features.CLIENT:
        assert f"`{name}`" in TEXT
    for reason in REASONS:
        assert f"`{reason}`" in TEXT
