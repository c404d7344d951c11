"""The codec `changes`: both sides end with the same integers, and what is near what is held is kept."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import bases
import learned
from damaged import cut_or_longer, refused
from edge_agent import _core
from edge_agent.errors import UsageError
from edge_agent.transport import projection
from edge_agent.transport.basis import parse_basis
from edge_agent.transport.changes import Changes, parse_changes, resolved
from edge_agent.transport.codecs import EncodedTensor, decode_tensor, learned_codecs
from edge_agent.transport.encoded import check_name
from edge_agent.transport.frames import FrameError
from edge_agent.transport.limits import Limits
from edge_agent.transport.projected import Projected
from edge_agent.transport.shipped import read_shipped, register_shipped
from edge_agent.types import Embeddings
from edge_agent.vlm import open_bundle

CODEC = learned.changes_codec()


def base_of(before: Embeddings, level: int = 0) -> EncodedTensor:
    return CODEC.projected.at(level).encode(before)


def told(before: Embeddings, now: Embeddings, level: int = 0) -> tuple[EncodedTensor, EncodedTensor]:
    """What is held, and the change of it."""
    base = base_of(before, level)
    made = CODEC.change(now, base, level)
    assert made is not None
    return base, made


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("views", [1, 5])
def test_the_other_side_ends_with_the_tensor_whose_name_the_turn_gives(level: int, views: int) -> None:
    before = bases.embeddings(1, views=views)
    base, made = told(before, learned.after(before, 2), level)
    travelled = dataclasses.replace(made, whole=None)
    whole = resolved(travelled, base)
    check_name(whole, made.tensor_id())
    assert whole == made.whole
    assert len(made.payload) < len(whole.payload)


def test_over_many_frames_nothing_drifts() -> None:
    now = bases.embeddings(1, views=2)
    held = base_of(now, 1)
    for frame in range(30):
        now = learned.after(now, frame, 0.05)
        made = CODEC.change(now, held, 1)
        held = CODEC.projected.at(1).encode(now) if made is None else resolved(made, held)
        values = CODEC.projected.transform.unpack(held.payload, 1, 2)
        exact = CODEC.projected.transform.quantise(now.data, 1)
        assert np.abs(values - exact).max() <= 2  # a margin of 1.125 steps, and half a step of rounding


def test_the_same_picture_again_is_the_same_tensor() -> None:
    before = bases.embeddings(3, views=2)
    base, made = told(before, before)
    assert made.tensor_id() == base.tensor_id()
    assert len(made.payload) < 20


def test_another_picture_is_told_whole() -> None:
    assert CODEC.change(bases.embeddings(4, views=5), base_of(bases.embeddings(5, views=5)), 0) is None


@pytest.mark.parametrize(
    ("base", "level"),
    [
        (base_of(bases.embeddings(1), 1), 0),
        (base_of(bases.embeddings(1, views=2)), 0),
        (base_of(bases.embeddings(1, encoder_id=bases.ENCODER + "+litert")), 0),
    ],
    ids=["another level", "other views", "another format of the encoder"],
)
def test_what_is_coded_otherwise_is_no_base(base: EncodedTensor, level: int) -> None:
    assert not CODEC.fits(base, bases.embeddings(1), level)
    assert CODEC.fits(base_of(bases.embeddings(2)), bases.embeddings(1), 0)


def test_every_cut_and_every_addition_is_refused() -> None:
    before = bases.embeddings(1, views=5)
    base, made = told(before, learned.after(before))
    assert {refused(one, base=base) for one in cut_or_longer(made)} == {"bad_tensor"}


@pytest.mark.parametrize(
    "change",
    [
        {"config": {"level": 0}},
        {"config": {"base": "0" * 16}},
        {"config": {"base": "0" * 15, "level": 0}},
        {"config": {"base": "G" * 16, "level": 0}},
        {"config": {"base": 7, "level": 0}},
        {"config": {"base": "0" * 16, "level": 2}},
        {"config": {"base": "0" * 16, "level": True}},
        {"config": {"base": "0" * 16, "level": 0, "more": 1}},
        {"config": {"base": "0" * 16, "level": 1}},
        {"shape": (5, 8)},
        {"shape": (12, 8)},
        {"shape": (6, 9)},
        {"dtype": "int8"},
    ],
)
def test_another_description_is_refused(change) -> None:
    before = bases.embeddings(1)
    base, made = told(before, before)
    assert refused(dataclasses.replace(made, **change), base=base) == "bad_tensor"


def test_the_wrong_base_gives_a_tensor_that_its_name_betrays() -> None:
    before = bases.embeddings(1, views=2)
    _, made = told(before, learned.after(before))
    try:
        whole = resolved(made, base_of(bases.embeddings(2, views=2)))
    except FrameError:
        return
    with pytest.raises(FrameError, match="name"):
        check_name(whole, made.tensor_id())


def test_a_change_holds_no_embeddings_by_itself() -> None:
    before = bases.embeddings(1)
    _, made = told(before, before)
    with pytest.raises(FrameError):
        decode_tensor(made, Limits())
    with pytest.raises(UsageError):
        CODEC.encode(before)


@pytest.mark.parametrize("views", [1, 5])
def test_the_native_coder_writes_and_keeps_what_the_reference_does(views: int) -> None:
    parts = (CODEC.projected.basis.tokens, CODEC.projected.basis.hidden)
    parts += (CODEC.projected.basis.groups, CODEC.projected.basis.levels)
    native, reference = _core.Projection(*parts), projection.Projection(*parts)
    before = bases.embeddings(1, views=views)
    held = reference.quantise(before.data, 0)
    margins = np.random.default_rng(0).random(held.shape).astype(np.float32) * 2
    now = learned.after(before, 3, 0.5).data
    values = native.quantise(now, 0, held=held, margins=margins)
    assert np.array_equal(values, reference.quantise(now, 0, held=held, margins=margins))
    assert (values == held).any()
    tables = {name: CODEC.projected.basis.levels[0][name] for name in ("shifts", "starts", "centroids")}
    kinds = (np.arange(values.size).reshape(values.shape) % 4).astype(np.uint16)
    payload = _core.SymbolCoder(tables).pack(values, kinds)
    assert payload == projection.SymbolCoder(tables).pack(values, kinds)
    assert np.array_equal(_core.SymbolCoder(tables).unpack(payload, kinds), values)
    assert np.array_equal(projection.SymbolCoder(tables).unpack(payload, kinds), values)


def test_the_coder_refuses_what_has_no_table_or_no_shape() -> None:
    tables = {name: CODEC.projected.basis.levels[0][name] for name in ("shifts", "starts", "centroids")}
    coder, values = _core.SymbolCoder(tables), np.zeros((1, 4), np.int32)
    with pytest.raises(ValueError, match="there is not"):
        coder.pack(values, np.full((1, 4), 9, np.uint16))
    with pytest.raises(ValueError, match="for each value"):
        coder.pack(values, np.zeros((1, 3), np.uint16))
    with pytest.raises(TypeError):
        coder.pack(values, np.zeros((1, 4), np.int32))
    with pytest.raises(ValueError, match="outside"):
        coder.pack(values + 40000, np.zeros((1, 4), np.uint16))
    with pytest.raises(ValueError, match="8192"):
        _core.SymbolCoder(tables | {"starts": tables["starts"] * 0})


def test_codecs_are_found_by_their_kind_and_by_the_encoder_whatever_format_it_runs_in() -> None:
    for encoder_id in (bases.ENCODER, bases.ENCODER + "+litert"):
        assert [one.codec_id for one in learned_codecs(Changes, encoder_id)] == [CODEC.codec_id]
        assert CODEC.projected.codec_id in [one.codec_id for one in learned_codecs(Projected, encoder_id)]
    assert learned_codecs(Changes, "another") == learned_codecs(Projected, "another") == []


def test_tables_of_another_basis_are_refused() -> None:
    other = bases.basis_bytes(encoder_id="another")
    with pytest.raises(ValueError, match="another basis"):
        parse_changes(learned.changes(), Projected(parse_basis(other)))


def test_the_shipped_pair_tells_changes_in_its_basis() -> None:
    edge, cloud = (open_bundle(name, verify=False) for name in ("edge-vqa", "cloud-vqa"))
    assert [path.name for path in edge.codec_files] == [path.name for path in cloud.codec_files]
    register_shipped(edge.codec_files)
    told = [read_shipped(path) for path in edge.codec_files if "changes-" in path.name]
    assert [codec.projected.basis.encoder_id for codec in told if isinstance(codec, Changes)] == [edge.encoder_id]
